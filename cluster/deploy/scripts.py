"""Scripts for Slurm and the Dockerfile, from templates beside this file."""

from __future__ import annotations

import math
import shlex

import jinja2

from cluster.deploy import kuberay
from cluster.deploy.description import Deployment
from cluster.deploy.ray_nodes import GCS_PORT, METRICS_PORT, environment, start_command, start_options, versions

MOST_TASKS = 1000  # Slurm's MaxArraySize is 1001 unless a site has raised it


def slurm(deployment: Deployment) -> dict[str, str]:
    """One job that is a Ray cluster (``ray.sbatch``), or plan, array and join without Ray (``submit-array.sh``)."""
    nodes = deployment.nodes
    memory = math.floor(nodes.memory_gib * 1024)
    start = start_options(nodes.cores, nodes.memory_gib) | {"metrics-export-port": str(METRICS_PORT)}
    alone = ("nodes=1", "ntasks=1", "cpus-per-task=1", f"mem={memory // nodes.cores}M")
    whole = (
        f"nodes={nodes.count}",
        "ntasks-per-node=1",
        f"cpus-per-task={nodes.cores}",
        f"mem={memory}M",
        "exclusive",
    )
    tasks = deployment.slurm.tasks or min(nodes.count * nodes.cores, MOST_TASKS)
    at_once = deployment.slurm.most_at_once
    array = f"array=0-{tasks - 1}" + (f"%{at_once}" if at_once else "")
    this_job = "$SLURM_JOB_ID"
    return {
        "ray.sbatch": _job(deployment, "ray", whole, this_job, start_options=start_command(start)),
        "plan.sbatch": _job(deployment, "plan", alone, this_job),
        "array.sbatch": _job(deployment, "array", (array, *alone), "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"),
        "join.sbatch": _job(deployment, "join", alone, this_job),
        "submit-array.sh": _fill("submit-array.sh.j2", deployment),
    }


def docker(deployment: Deployment) -> dict[str, str]:
    """An image of the package: not root, kernels compiled."""
    folders = {"user": kuberay.USER, "kernels": kuberay.KERNELS, "kernel_cache": kuberay.KERNEL_CACHE}
    return {"Dockerfile": _fill("Dockerfile.j2", deployment, **folders)}


def _job(deployment: Deployment, title: str, options: tuple[str, ...], requeue: str, **words: str) -> str:
    return _fill(f"{title}.sbatch.j2", deployment, title=title, options=options, requeue=requeue, **words)


def _fill(template: str, deployment: Deployment, **words: object) -> str:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("cluster.deploy"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["quote"] = shlex.quote
    return templates.get_template(template).render(
        deployment=deployment, versions=versions(), environment=environment(), gcs_port=GCS_PORT, **words
    )
