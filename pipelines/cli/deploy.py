"""``curate deploy``: the files that put a spec on a cluster."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.deploy import EXAMPLE, Deployment, dashboard, read_deployment
from cluster.deploy import render as render_files
from curate.errors import Misconfigured
from pipelines.cli.console import console
from pipelines.cli.exits import Verbs

deploy = typer.Typer(
    name="deploy",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Put a spec on a cluster: Kubernetes, Slurm, or machines that Ray's launcher starts.",
)

KindName = Annotated[
    Literal["kuberay", "slurm", "launcher", "docker"],
    typer.Argument(help="What to render.", metavar="kuberay|slurm|launcher|docker", show_default=False),
]
File = Annotated[Path, typer.Option("--deploy", help="The description of the machines, a TOML file.")]
Out = Annotated[Path | None, typer.Option("--out", help="A folder to write to, instead of printing.")]


@deploy.command("render")
def render(kind: KindName, file: File = Path("deploy.toml"), out: Out = None) -> None:
    """Render the files of one kind of cluster from a short description of the machines.

    `curate deploy example > deploy.toml`, change it, then

        curate deploy render docker                    an image with kernels compiled, not root: build and push it first
        curate deploy render kuberay  --out k8s        RayJob (does the spec), RayCluster (waits for you)
        curate deploy render slurm    --out jobs       ray.sbatch (one Ray over all nodes), or
                                                       submit-array.sh (plan, an array of workers without Ray, join)
        curate deploy render launcher --out cloud      cluster.yaml for `ray up` on AWS or Google Cloud

    Each file says at its top how to use it. All of them stop softly on a notice and go on after exit code 75. Ray's
    token authentication is on. Secrets are named, never written: they come from the environment, a Kubernetes secret
    or a file of yours.
    """
    deployment = read_deployment(file)
    files = render_files(kind, deployment, _spec_of(deployment))
    if out is None:
        for name, text in files.items():
            print(text if len(files) == 1 else f"# ---- {name}\n{text}")
        return
    taken = [name for name in files if (out / name).exists() and (out / name).read_text("utf-8") != files[name]]
    if taken:
        raise Misconfigured(f"{out} holds other files of these names: {', '.join(taken)}")
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, "utf-8")
        console.print(f"{out / name} written")


@deploy.command("example")
def example() -> None:
    """Print a description to start from."""
    print(EXAMPLE, end="")


@deploy.command("dashboard")
def show_dashboard() -> None:
    """Print a Grafana dashboard of a run: items, bytes, losses, times and memory. Import it as it is.

    Ray's nodes export the numbers to Prometheus where `ray[default]` is installed, as in the image.
    """
    print(dashboard(), end="")


def _spec_of(deployment: Deployment) -> str:
    """The text of the spec, which must name the same store. Raises ``Misconfigured``."""
    path = Path(deployment.spec)
    try:
        text = path.read_text("utf-8")
        store = tomllib.loads(text).get("store")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"spec: {path} cannot be read ({type(error).__name__})") from None
    if _place(path, str(store)) != _place(path, deployment.store):
        raise Misconfigured("store: not the store of the spec")
    return text


def _place(spec: Path, store: str) -> str:
    return store.rstrip("/") if "://" in store else str((spec.parent / Path(store).expanduser()).resolve())
