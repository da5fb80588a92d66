"""The spec: one TOML file that names everything a run depends on.

Read strictly: an unknown, missing or ill-typed key is refused with its path before anything starts. Paths are relative
to the spec file; those of archives and labels to ``folder``, where the spec names one. The digests of its parts enter
fingerprints, so a change recomputes what it touches and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from curate.deid import Profile, load_profile
from curate.errors import Misconfigured
from curate.storage import is_url, lies_within, plain_url
from curate.storage.opening import as_path
from curate.toml_files import fault_line, read_toml
from pipelines.train.settings import StagedSettings

Task = Literal["cervical", "lumbar"]
MODALITY: dict[str, str] = {"cervical": "CT", "lumbar": "MR"}


def _below(base: str, value: object, info: ValidationInfo) -> object:
    return info.context[base] / Path(value).expanduser() if isinstance(value, str) and info.context else value


def _relative_to_spec(value: object, info: ValidationInfo) -> object:
    return _below("spec", value, info)


def _relative_to_sources(value: object, info: ValidationInfo) -> object:
    return _below("sources", value, info)


def _place(value: object, info: ValidationInfo) -> object:
    """A folder relative to the spec, or the URL of a place in an object store."""
    if not isinstance(value, str) or not is_url(value):
        return _relative_to_spec(str(as_path(value)) if isinstance(value, str) else value, info)
    try:
        return plain_url(value)
    except Misconfigured as error:
        raise ValueError(str(error)) from None


def _spacing(value: object) -> object:
    return None if value == "source" else value


SpecPath = Annotated[Path, BeforeValidator(_relative_to_spec)]
SourcePath = Annotated[Path, BeforeValidator(_relative_to_sources)]
Place = Annotated[Path | str, BeforeValidator(_place)]  # a str is a URL
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Overrides = dict[str, Literal["keep", "clean", "empty", "remove"]]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Spacing = Annotated[Annotated[float, Field(gt=0.0, le=100.0)] | None, BeforeValidator(_spacing)]


class Section(BaseModel):
    """A part of the spec: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Site(Section):
    """One hospital, or one download: where its archives lie and how its folders name things."""

    name: Name
    archives: tuple[SourcePath, ...] = Field(min_length=1)
    layout: Annotated[str, Field(pattern=r"\{study\}")] | None = None
    assume_modality: bool = False  # a header without Modality has the task's (the Kaggle downloads)
    deid_overrides: Overrides = Field(default_factory=dict)  # on top of those of [deid]


class CervicalLabelFiles(Section):
    """The label files of the 2022 challenge; ``boxes`` and ``segmentations`` may be left out."""

    train: SourcePath
    boxes: SourcePath | None = None
    segmentations: SourcePath | None = None


class LumbarLabelFiles(Section):
    """The label files of the 2024 challenge."""

    train: SourcePath
    coordinates: SourcePath
    series_descriptions: SourcePath


class Deid(Section):
    """The de-identification profile, what is changed of it, and where its key comes from.

    ``options`` replaces those of the profile by a list of its own; ``overrides`` decides about single tags.
    """

    profile: Name = "basic"
    options: tuple[str, ...] | None = None
    overrides: Overrides = Field(default_factory=dict)
    allow: tuple[str, ...] = ()
    decisions: SpecPath | None = None  # what a person marked on the values page
    key: Annotated[str, Field(pattern=r"^(env|file|cmd):.+")] | None = None

    @model_validator(mode="after")
    def _needs_a_key(self) -> Self:
        if self.profile != "public" and self.key is None:
            raise ValueError('a keyed profile needs key = "env:NAME", "file:PATH" or "cmd:PROGRAM"')
        return self


class Volumes(Section):
    """How volumes are normalised. ``spacing_mm`` in array order (k, j, i); "source" keeps an axis as it is."""

    orientation: Annotated[str, Field(pattern=r"^(radiological|[RLAPIS]{3})$")] = "radiological"
    spacing_mm: tuple[Spacing, Spacing, Spacing]
    antialias: bool = True
    minimum_slices: int = Field(default=3, ge=1)  # of a stack
    maximum_gap_mm: float = Field(default=10.0, gt=0.0)  # between neighbouring slices of a stack
    maximum_missing: float = Field(default=0.2, ge=0.0, lt=1.0)  # share of a stack's slices: not there, or damaged


class Split(Section):
    """Which patients go where: by a hash of the patient key, so that old patients never move; sites may be held out."""

    salt: str = Field(min_length=1)
    validation_fraction: Fraction
    test_fraction: Fraction
    holdout_sites: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ValueError("validation_fraction + test_fraction leave nothing to train on")
        return self


class Release(Section):
    """What the release is called and under which terms it stands."""

    name: Name
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    title: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    citation: str = ""
    include_volumes: bool = True


class Runtime(Section):
    """How the work is cut and where it runs; nothing here changes a byte of the result."""

    executor: Literal["ray", "processes", "inline"] = "ray"
    address: str | None = None
    workers: int | None = Field(default=None, ge=1)
    grace_seconds: float = Field(default=60.0, ge=0.0)  # to finish what runs, once told to stop
    deadline_seconds: float = Field(default=600.0, gt=0.0)  # of any item, besides what its bytes need
    unit_megabytes: int = Field(default=256, ge=1)
    files_per_chunk: int = Field(default=2000, ge=1)
    partition_instances: int = Field(default=2**20, ge=1)  # planned at a time; the planner takes about 1 kB for each
    lanes_megabytes: tuple[Annotated[int, Field(ge=512)], ...] = Field(default=(1024, 2048, 4096, 8192), min_length=1)
    maximum_file_megabytes: int = Field(default=4096, ge=1)


class _Spec(Section):
    name: Name
    folder: SpecPath | None = None  # where relative archives and label files start; by default beside the spec
    store: Place
    private: Place | None = None
    sites: tuple[Site, ...] = Field(min_length=1)
    deid: Deid
    volumes: Volumes
    split: Split
    release: Release
    train: StagedSettings = StagedSettings()
    runtime: Runtime = Runtime()

    def deid_profile(self, site: str = "") -> Profile:
        """The de-identification profile, as it is at a site. Raises Misconfigured with the path of the wrong key."""
        deid = self.deid
        profile = load_profile(deid.profile, options=deid.options, overrides=deid.overrides, allow=deid.allow)
        own = next((one.deid_overrides for one in self.sites if one.name == site), {})
        return profile.with_overrides(own)

    @property
    def private_zone(self) -> Path | str:
        """The place for what identifies: by default a folder beside the store or, for a store in a bucket, the spec."""
        return self.private or private_zone_of(self.store)

    @model_validator(mode="after")
    def _has_a_profile_at_every_site(self) -> Self:
        for site in self.sites:
            self.deid_profile(site.name)
        return self

    @model_validator(mode="after")
    def _sites_are_distinct(self) -> Self:
        names = [site.name for site in self.sites]
        if len(set(names)) < len(names):
            raise ValueError("two sites have the same name")
        unknown = sorted(set(self.split.holdout_sites) - set(names))
        if unknown:
            raise ValueError(f"split.holdout_sites names no site of this spec: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _zones_are_apart(self) -> Self:
        """Else a run would curate its own output, or publish the private zone with the store."""
        zones: dict[str, Path | str] = {"store": self.store, "private": self.private_zone}
        for number, site in enumerate(self.sites):
            zones |= {f"sites.{number}.archives.{n}": path for n, path in enumerate(site.archives)}
        for name in ("store", "private"):
            for other, place in zones.items():
                if other != name and (lies_within(zones[name], place) or lies_within(place, zones[name])):
                    raise ValueError(f"{name} and {other} lie one inside the other; keep them apart")
        return self


class CervicalSpec(_Spec):
    """RSNA 2022 shape: fracture labels a vertebra on cervical CT."""

    task: Literal["cervical"]
    labels: CervicalLabelFiles | None = None  # none yet: volumes are built, nothing can be trained or released


class LumbarSpec(_Spec):
    """RSNA 2024 shape: grades a condition and level on lumbar MR."""

    task: Literal["lumbar"]
    labels: LumbarLabelFiles | None = None


Spec = CervicalSpec | LumbarSpec
_MODELS: dict[str, type[CervicalSpec] | type[LumbarSpec]] = {"cervical": CervicalSpec, "lumbar": LumbarSpec}


def private_zone_of(store: Path | str) -> Path:
    """Where the private zone of a store lies unless the spec says otherwise: a folder beside the store; of a store in a
    bucket, a relative one. It is never put into a bucket that nobody named for it."""
    if is_url(store):
        return Path(str(store).rstrip("/").rpartition("/")[2] + ".private")
    return Path(store).with_name(Path(store).name + ".private")


def read_spec(path: Path) -> Spec:
    """Read and check a spec. Raises ``Misconfigured`` with one line a fault, each starting with the path of the key."""
    content = read_toml(path, absent="there is no such spec")
    return parse_spec(content, folder=path.resolve().parent)


def parse_spec(content: dict[str, Any], *, folder: Path) -> Spec:
    """Check the content of a spec whose relative paths start at ``folder``."""
    task = content.get("task")
    if not isinstance(task, str) or task not in _MODELS:
        raise Misconfigured(f"task: expected {' or '.join(map(repr, _MODELS))}, got {task!r}")
    try:
        bases = {"spec": folder, "sources": folder / Path(str(content.get("folder", ""))).expanduser()}
        return _MODELS[task].model_validate(_with_private_zone(_with_key_path(content, folder)), context=bases)
    except ValidationError as error:
        raise Misconfigured("\n".join(_fault(task, fault) for fault in error.errors())) from None


def _with_key_path(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """``deid.key = "file:PATH"`` is relative to the spec like every other path."""
    deid = content.get("deid")
    if not isinstance(deid, dict) or not str(deid.get("key", "")).startswith("file:"):
        return content
    path = folder / Path(str(deid["key"]).removeprefix("file:")).expanduser()
    return {**content, "deid": {**deid, "key": f"file:{path}"}}


def _with_private_zone(content: dict[str, Any]) -> dict[str, Any]:
    """Of a store in a bucket, the default private zone is a folder beside the spec."""
    store = content.get("store")
    if "private" in content or not (isinstance(store, str) and is_url(store)):
        return content
    return {**content, "private": str(private_zone_of(store))}


def _fault(task: str, fault: Any) -> str:
    if fault["loc"] == ("deid", "key"):  # somebody may have written the key itself
        return 'deid.key: expected "env:NAME" or "file:PATH"'
    line = fault_line(fault, whole="spec", missing=f"missing (the {task} task needs it)")
    is_plain = fault["type"] in ("extra_forbidden", "missing", "value_error")
    return line if is_plain else f"{line}, got {fault['input']!r}"
