"""A file for Ray's cluster launcher (`ray up`) on AWS or Google Cloud; schema: ``ray/autoscaler/ray-schema.json``.

The token is a file of yours, copied to the nodes: `ray get-auth-token --generate` makes it once.
"""

from __future__ import annotations

import shlex
from typing import Any

from cluster.deploy.description import Deployment, Launcher
from cluster.deploy.ray_nodes import (
    GCS_PORT,
    METRICS_PORT,
    SHARED_MEMORY_BYTES,
    environment,
    start_command,
    start_options,
)
from curate.errors import Misconfigured

TOKEN = "~/.ray/auth_token"  # where Ray itself looks
SPEC = "~/spec.toml"
SECRETS = "~/.curate-secrets"


def cluster_file(deployment: Deployment) -> dict[str, Any]:
    """The cluster: a head that only drives, and the working nodes, as many as the description says.

    Raises ``Misconfigured`` when the description has no ``[launcher]``, or secrets without a file that holds them.
    """
    launcher = deployment.launcher
    if launcher is None:
        raise Misconfigured("launcher: missing; it says provider, region and instance")
    if deployment.secrets and launcher.secrets_file is None:
        raise Misconfigured("launcher.secrets_file: missing; it holds what `secrets` names")
    nodes, head = deployment.nodes, deployment.head
    files = {TOKEN: TOKEN, SPEC: deployment.spec}
    if launcher.secrets_file:
        files[SECRETS] = launcher.secrets_file
    return {
        "cluster_name": deployment.name,
        "max_workers": nodes.count,
        "provider": _provider(launcher),
        "auth": {"ssh_user": "ubuntu"},
        "docker": {
            "image": deployment.image,
            "container_name": deployment.name,
            "pull_before_run": True,
            "disable_shm_size_detection": True,
            "run_options": [
                f"--shm-size={SHARED_MEMORY_BYTES >> 20}m",
                "--security-opt=no-new-privileges",
                "--ulimit=nofile=65536:65536",
                *(f"--env={name}={value}" for name, value in sorted(environment().items())),
            ],
        },
        "head_node_type": "head",
        "available_node_types": {
            "head": {
                "resources": {"CPU": 0},
                "node_config": _machine(launcher, launcher.head_instance or launcher.instance, spot=False),
            },
            "workers": {
                "min_workers": nodes.count,
                "max_workers": nodes.count,
                "resources": {"CPU": nodes.cores},
                "node_config": _machine(launcher, launcher.instance, spot=nodes.spot),
            },
        },
        "file_mounts": files,
        "head_start_ray_commands": [
            "ray stop",
            _start(
                deployment,
                start_options(0, head.memory_gib),
                "--head",
                f"--port={GCS_PORT}",
                "--autoscaling-config=~/ray_bootstrap_config.yaml",
            ),
        ],
        "worker_start_ray_commands": [
            "ray stop",
            _start(deployment, start_options(nodes.cores, nodes.memory_gib), f"--address=$RAY_HEAD_IP:{GCS_PORT}"),
        ],
    }


def run_command(deployment: Deployment) -> str:
    """What to say on the head to do the spec."""
    return f"{_with_secrets(deployment)}curate run {SPEC} --executor ray --address auto"


def _start(deployment: Deployment, options: dict[str, str], *more: str) -> str:
    start = " ".join(["ray start", *more, start_command(options), f"--metrics-export-port={METRICS_PORT}"])
    return f"{_with_secrets(deployment)}{start}"


def _with_secrets(deployment: Deployment) -> str:
    """Units inherit the variables of the node's Ray, the driver those of its shell."""
    if not deployment.secrets:
        return ""
    names = " ".join(map(shlex.quote, deployment.secrets))
    return f". {SECRETS} && export {names} && "


def _provider(launcher: Launcher) -> dict[str, Any]:
    place: dict[str, Any] = {"type": launcher.provider, "region": launcher.region, "cache_stopped_nodes": False}
    if launcher.zone:
        place["availability_zone"] = launcher.zone
    if launcher.project:
        place["project_id"] = launcher.project
    return place


def _machine(launcher: Launcher, instance: str, *, spot: bool) -> dict[str, Any]:
    if launcher.provider == "aws":
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": launcher.disk_gib, "VolumeType": "gp3"}}
        market = {"InstanceMarketOptions": {"MarketType": "spot"}} if spot else {}
        return {"InstanceType": instance, "BlockDeviceMappings": [disk], **market}
    source = "projects/deeplearning-platform-release/global/images/family/common-cpu"
    boot: dict[str, Any] = {
        "boot": True,
        "autoDelete": True,
        "type": "PERSISTENT",
        "initializeParams": {"diskSizeGb": launcher.disk_gib, "sourceImage": source},
    }
    return {"machineType": instance, "disks": [boot], **({"scheduling": [{"preemptible": True}]} if spot else {})}
