"""What a deployment is rendered from: one short TOML file about the machines, never about the data.

Read strictly, like a spec: an unknown, missing or ill-typed key is refused with its path. Secrets are named here, never
given: a name of an environment variable, of a Kubernetes secret, of a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from curate.errors import Misconfigured
from curate.toml_files import fault_line, read_toml

EXAMPLE = """\
# Where a spec runs. `curate deploy render kuberay|slurm|launcher|docker` reads this file.
name = "necks"
image = "registry.example.org/spine-curate:1"   # of the Dockerfile that `render docker` writes
spec = "necks.toml"                             # relative to this file
store = "s3://bucket/necks"                     # the spec's own: every node must reach it
secrets = ["CURATE_KEY"]                        # environment variables that hold keys and credentials; names only

[nodes]
count = 50
cores = 16
memory_gib = 64.0                               # what a job may use, a little less than the machine has
spot = true
price_per_hour = 0.25                           # of one node, in whatever money you count

[kubernetes]
namespace = "curate"
secret = "curate-secrets"                       # holds the secrets above, under their names

[slurm]
partition = "compute"
account = "imaging"
time = "12:00:00"

[launcher]
provider = "aws"
region = "us-west-2"
instance = "m6i.4xlarge"
"""

Label = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]  # what Kubernetes and Slurm both take
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._,-]{0,62}$")]
Path_ = Annotated[str, Field(pattern=r"^[^\s'\"\\$`;&|<>]+$")]
Image = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
Variable = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")]
Duration = Annotated[str, Field(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Nodes(_Section):
    """The machines that work, all alike."""

    count: int = Field(ge=1, le=10_000)
    cores: int = Field(ge=1, le=1024)
    memory_gib: float = Field(ge=1.0, le=65_536.0)
    spot: bool = False
    grace_seconds: int = Field(default=120, ge=10, le=3600)  # between the notice and the end of a node
    price_per_hour: float | None = Field(default=None, ge=0.0)


class Head(_Section):
    """The machine of the driver, which computes nothing and is never a spot machine."""

    cores: int = Field(default=2, ge=1, le=1024)
    memory_gib: float = Field(default=8.0, ge=2.0, le=65_536.0)


class Kubernetes(_Section):
    """``secret`` holds ``secrets`` under their names; ``claim`` is mounted at ``store`` if that is a folder."""

    namespace: Label = "default"
    secret: Label | None = None
    claim: Label | None = None
    service_account: Label | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)  # of the working nodes
    spot_taint: Word | None = None  # key of the taint that spot nodes carry
    retries: int = Field(default=6, ge=0, le=100)  # new clusters after a failed one


class Slurm(_Section):
    """``setup`` are lines of shell that make ``curate`` and ``ray`` callable, as ``module load``."""

    partition: Word | None = None
    account: Word | None = None
    time: Duration = "12:00:00"
    setup: tuple[str, ...] = ()
    tasks: int | None = Field(default=None, ge=1, le=100_000)  # of the array; by default one a core
    most_at_once: int | None = Field(default=None, ge=1)


class Launcher(_Section):
    """``secrets_file`` on this computer holds NAME=value lines and is copied to the nodes."""

    provider: Literal["aws", "gcp"]
    region: Word
    instance: Word
    head_instance: Word | None = None
    zone: Word | None = None
    project: Word | None = None  # gcp
    disk_gib: int = Field(default=100, ge=30)
    secrets_file: Path_ | None = None

    @model_validator(mode="after")
    def _names_what_its_provider_needs(self) -> Self:
        if self.provider == "gcp" and (self.project is None or self.zone is None):
            raise ValueError("gcp needs project and zone")
        return self


class Docker(_Section):
    """Where the image takes the package from: PyPI, or the folder that it is built in."""

    source: Literal["pypi", "folder"] = "pypi"


class Deployment(_Section):
    """Everything that a deployment is rendered from."""

    name: Label
    image: Image
    spec: Path_
    store: Path_
    secrets: tuple[Variable, ...] = ()
    nodes: Nodes
    head: Head = Head()
    kubernetes: Kubernetes = Kubernetes()
    slurm: Slurm = Slurm()
    launcher: Launcher | None = None
    docker: Docker = Docker()

    @property
    def store_is_folder(self) -> bool:
        """Whether the store lies in a file system that every node must mount."""
        return "://" not in self.store or self.store.startswith("file://")


def read_deployment(path: Path) -> Deployment:
    """Read and check a description; its ``spec`` becomes an absolute path.

    Raises ``Misconfigured`` with one line a fault, each with the path of its key.
    """
    content = read_toml(path, absent="there is no such file; `curate deploy example` prints one")
    deployment = parse_deployment(content)
    spec = path.resolve().parent / Path(deployment.spec).expanduser()
    return deployment.model_copy(update={"spec": str(spec)})


def parse_deployment(content: Mapping[str, Any]) -> Deployment:
    """Check what a description says. Raises ``Misconfigured``; values are not repeated: one may be a secret."""
    try:
        return Deployment.model_validate(content)
    except ValidationError as error:
        raise Misconfigured(
            "\n".join(fault_line(fault, whole="deployment") for fault in error.errors(include_input=False))
        ) from None
