"""Manifests for the KubeRay operator, 1.6 or later: a RayJob that does a spec, and a RayCluster to attach to.

The API is ray.io/v1; ``authOptions`` makes the operator create the token and give it to every container of Ray's.
"""

from __future__ import annotations

from typing import Any

from cluster.deploy.description import Deployment
from cluster.deploy.ray_nodes import GCS_PORT, METRICS_PORT, SHARED_MEMORY_BYTES, environment, start_options, versions
from curate.errors import Misconfigured

USER = 1000  # of the image
KERNELS = "/opt/kernels"  # compiled when the image was built
KERNEL_CACHE = "/var/cache/kernels"  # a copy on the node, for numba must be able to write where it reads
SPEC_FOLDER = "/etc/curate"
SPEC_FILE = f"{SPEC_FOLDER}/spec.toml"
DRIVER = "curate run"
HEAD_PORTS = {"gcs-server": GCS_PORT, "dashboard": 8265, "client": 10001, "metrics": METRICS_PORT}

Manifest = dict[str, Any]


def ray_job(deployment: Deployment, spec: str) -> list[Manifest]:
    """The spec as a ConfigMap and the RayJob that does it; a failed attempt, exit 75 too, is followed by another."""
    job = {
        **_head(deployment, "RayJob"),
        "spec": {
            "entrypoint": f"{DRIVER} {SPEC_FILE} --executor ray --address auto",
            "backoffLimit": deployment.kubernetes.retries,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "rayClusterSpec": _cluster_spec(deployment),
        },
    }
    return [_spec_map(deployment, spec), job]


def ray_cluster(deployment: Deployment, spec: str) -> list[Manifest]:
    """The same machines, waiting: `kubectl exec` into the head and `curate run` as often as you like."""
    return [
        _spec_map(deployment, spec),
        {**_head(deployment, "RayCluster"), "spec": _cluster_spec(deployment)},
    ]


def _head(deployment: Deployment, kind: str) -> Manifest:
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": _metadata(deployment, deployment.name)}


def _metadata(deployment: Deployment, name: str) -> Manifest:
    labels = {"app.kubernetes.io/name": "spine-curate", "app.kubernetes.io/instance": deployment.name}
    return {"name": name, "namespace": deployment.kubernetes.namespace, "labels": labels}


def _spec_map(deployment: Deployment, spec: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(deployment, f"{deployment.name}-spec"),
        "data": {"spec.toml": spec},
    }


def _cluster_spec(deployment: Deployment) -> Manifest:
    if deployment.store_is_folder and deployment.kubernetes.claim is None:
        raise Misconfigured("store: a folder; name the claim to mount there (kubernetes.claim)")
    if deployment.secrets and deployment.kubernetes.secret is None:
        raise Misconfigured("kubernetes.secret: missing; it holds what `secrets` names")
    nodes, head = deployment.nodes, deployment.head
    return {
        "rayVersion": versions()["ray"],
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            # no CPU: units run on the working nodes alone, and losing one of those never loses the driver
            "rayStartParams": start_options(0, head.memory_gib) | {"dashboard-host": "0.0.0.0"},
            "template": _pod(deployment, "ray-head", head.cores, head.memory_gib, HEAD_PORTS),
        },
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": nodes.count,
                "minReplicas": nodes.count,
                "maxReplicas": nodes.count,
                "rayStartParams": start_options(nodes.cores, nodes.memory_gib),
                "template": _pod(
                    deployment,
                    "ray-worker",
                    nodes.cores,
                    nodes.memory_gib,
                    {"metrics": METRICS_PORT},
                ),
            }
        ],
    }


def _where_workers_go(deployment: Deployment) -> Manifest:
    wishes: Manifest = {}
    if deployment.kubernetes.node_selector:
        wishes["nodeSelector"] = dict(deployment.kubernetes.node_selector)
    if deployment.nodes.spot and deployment.kubernetes.spot_taint:
        wishes["tolerations"] = [{"key": deployment.kubernetes.spot_taint, "operator": "Exists"}]
    return wishes


def _pod(
    deployment: Deployment,
    name: str,
    cores: int,
    memory_gib: float,
    ports: dict[str, int],
) -> Manifest:
    volumes, mounts = _volumes(deployment)
    size = {"cpu": str(cores), "memory": f"{int(memory_gib * 1024)}Mi"}
    container = {
        "name": name,
        "image": deployment.image,
        "env": [
            *({"name": key, "value": value} for key, value in sorted(_environment().items())),
            *(
                {"name": key, "valueFrom": {"secretKeyRef": {"name": deployment.kubernetes.secret, "key": key}}}
                for key in deployment.secrets
            ),
        ],
        "ports": [{"name": key, "containerPort": port} for key, port in ports.items()],
        "resources": {"requests": size, "limits": size},
        "securityContext": _locked_down(),
        "volumeMounts": mounts,
    }
    if name == "ray-head":
        container["lifecycle"] = {"preStop": {"exec": {"command": ["bash", "-c", drain_driver()]}}}
    spec: Manifest = {
        "terminationGracePeriodSeconds": deployment.nodes.grace_seconds,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_kernels_to_node(deployment)],
        "containers": [container],
        "volumes": volumes,
    }
    if deployment.kubernetes.service_account:
        spec |= {"serviceAccountName": deployment.kubernetes.service_account, "automountServiceAccountToken": True}
    if name == "ray-worker":
        spec |= _where_workers_go(deployment)
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORT)}
    return {"metadata": {"annotations": annotations}, "spec": spec}


def _environment() -> dict[str, str]:
    """The operator sets the mode and the token itself."""
    ours = {name: value for name, value in environment().items() if name != "RAY_AUTH_MODE"}
    return ours | {"HOME": "/tmp", "NUMBA_CACHE_DIR": KERNEL_CACHE}


def drain_driver() -> str:
    """Ask the driver to finish what fits the grace, and wait for it.

    Its program is looked for by its folder, so that the shell around it, which would die of the signal, is not meant;
    brackets keep the search from finding itself.
    """
    program, _, verb = DRIVER.partition(" ")
    pattern = f"bin/[{program[0]}]{program[1:]} {verb}"
    return f"pkill -USR1 -f '{pattern}'; while pgrep -f '{pattern}' > /dev/null; do sleep 1; done; ray stop"


def _kernels_to_node(deployment: Deployment) -> Manifest:
    small = {"cpu": "100m", "memory": "128Mi"}
    return {
        "name": "kernels",
        "image": deployment.image,
        "command": ["cp", "-a", f"{KERNELS}/.", KERNEL_CACHE],
        "resources": {"requests": small, "limits": small},
        "securityContext": _locked_down(),
        "volumeMounts": [{"name": "kernels", "mountPath": KERNEL_CACHE}],
    }


def _locked_down() -> Manifest:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _volumes(deployment: Deployment) -> tuple[list[Manifest], list[Manifest]]:
    """What a pod may write to, and the spec; the volumes and their mounts."""
    shared = {"medium": "Memory", "sizeLimit": f"{SHARED_MEMORY_BYTES >> 20}Mi"}
    volumes: list[Manifest] = [
        {"name": "shared-mem", "emptyDir": shared},
        {"name": "tmp", "emptyDir": {}},
        {"name": "kernels", "emptyDir": {}},
        {"name": "spec", "configMap": {"name": f"{deployment.name}-spec"}},
    ]
    mounts: list[Manifest] = [
        {"name": "shared-mem", "mountPath": "/dev/shm"},
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "kernels", "mountPath": KERNEL_CACHE},
        {"name": "spec", "mountPath": SPEC_FOLDER, "readOnly": True},
    ]
    if deployment.store_is_folder:
        volumes.append({"name": "store", "persistentVolumeClaim": {"claimName": deployment.kubernetes.claim}})
        mounts.append({"name": "store", "mountPath": deployment.store.removeprefix("file://")})
    return volumes, mounts
