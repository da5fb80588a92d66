"""Files that put a spec on a cluster, rendered from one short description. They name secrets and hold none."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from typing import Any, Literal, get_args

import yaml

from cluster.deploy import kuberay, launcher, scripts
from cluster.deploy.description import EXAMPLE, Deployment, parse_deployment, read_deployment
from cluster.deploy.ray_nodes import versions

Kind = Literal["kuberay", "slurm", "launcher", "docker"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def render(kind: Kind, deployment: Deployment, spec: str) -> dict[str, str]:
    """The files of one kind by name. ``spec`` is the text of the spec, which KubeRay's manifests carry along.

    The same description and versions give the same bytes. Raises ``Misconfigured`` when the description lacks what
    this kind needs.
    """
    match kind:
        case "kuberay":
            return {
                "rayjob.yaml": _yaml(
                    f"kubectl apply -f rayjob.yaml; kubectl -n {deployment.kubernetes.namespace} get rayjob "
                    f"{deployment.name} -w",
                    kuberay.ray_job(deployment, spec),
                ),
                "raycluster.yaml": _yaml(
                    "kubectl apply -f raycluster.yaml; then `curate run` in the head's container",
                    kuberay.ray_cluster(deployment, spec),
                ),
            }
        case "launcher":
            cluster = launcher.cluster_file(deployment)
            command = launcher.run_command(deployment)
            return {"cluster.yaml": _yaml(f"ray up cluster.yaml; ray exec cluster.yaml '{command}'", [cluster])}
        case "slurm":
            return scripts.slurm(deployment)
        case "docker":
            return scripts.docker(deployment)


def dashboard() -> str:
    """A Grafana dashboard of ``cluster.metrics``, to be imported as it is."""
    return resources.files("cluster.deploy").joinpath("grafana.json").read_text("utf-8")


def _yaml(use: str, documents: Iterable[dict[str, Any]]) -> str:
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"# Use: {use}\n# Made for {made}.\n" + yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=1000)


class _Plain(yaml.SafeDumper):
    """Without anchors, and with texts of many lines as such."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)

__all__ = ["EXAMPLE", "KINDS", "Deployment", "Kind", "dashboard", "parse_deployment", "read_deployment", "render"]
