"""A stage as the runtime sees it: a function that opens it once per process, and the parameters it was opened with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from cluster.outcomes import Output
from cluster.units import Item
from curate.errors import CurateError, Misconfigured
from curate.identity import Json, digest_json

LEAST_SECONDS = 600.0
SLOWEST_RATE = 100_000.0  # a hundredth of what one core does with the slowest codec
OWN_PACKAGES = frozenset({"curate", "cluster", "pipelines"})


class StageBroken(CurateError):
    """A stage could not be opened: no item can be tried, so the run stops."""


@dataclass(frozen=True, slots=True)
class Done:
    """What the work on one item gives back: the objects it published, and a record for the tables."""

    outputs: tuple[Output, ...] = ()
    record: Mapping[str, Json] = field(default_factory=dict)


Work: TypeAlias = Callable[[Item], Done]


@dataclass(frozen=True, slots=True)
class Job:
    """A stage, ready to run.

    ``open`` is a module-level function (it travels to workers by its name); it gets ``config`` and gives the function
    that settles one item, and is called once per process. ``parameters`` is the digest of everything that changes
    results, ``config`` may hold more (where the archive lies) and is never written to a receipt.
    """

    stage: str
    version: int  # raised when the bytes of results change
    open: Callable[[Mapping[str, Json]], Work]
    config: Mapping[str, Json] = field(default_factory=dict)
    parameters: str = ""
    libraries: tuple[str, ...] = ()  # distributions whose versions the receipt names
    least_seconds: float = LEAST_SECONDS  # that an item may take, whatever its size
    slowest_rate: float = SLOWEST_RATE  # bytes a second; slower is no work but a hang

    def __post_init__(self) -> None:
        if "<" in self.open.__qualname__ or "." in self.open.__qualname__:
            raise Misconfigured(f"stage {self.stage}: 'open' must be a module-level function")

    def deadline_seconds(self, item: Item) -> float:
        """How long the work on an item may take before its process is ended; the publishing of its unit included."""
        return self.least_seconds + item.cost / self.slowest_rate

    @property
    def identity(self) -> str:
        """One string for the opened stage: same string, same function and config."""
        reference = f"{self.open.__module__}:{self.open.__qualname__}"
        return digest_json(
            {"open": reference, "stage": self.stage, "version": self.version, "config": dict(self.config)}
        )


class _Opened(NamedTuple):
    job: Job  # recognised without a digest when it is asked for again
    identity: str
    work: Work


_opened: list[_Opened] = []  # at most one


def open_work(job: Job) -> Work:
    """The stage's work function in this process; the last opened stage is kept.

    Raises ``Misconfigured`` and other errors of this project as they are, and ``StageBroken`` for any other: it names
    the type of the error and where it came from, never its text.
    """
    for opened in _opened:
        if opened.job is job or opened.identity == job.identity:
            return opened.work
    try:
        work = job.open(job.config)
    except CurateError:
        raise
    except Exception as error:  # noqa: BLE001 - a message may carry header text: only its kind goes on
        raise StageBroken(f"stage {job.stage} cannot be opened: {describe(error, job)}") from None
    _opened[:] = [_Opened(job, job.identity, work)]
    return work


def describe(error: BaseException, job: Job) -> str:
    """Type of an error and the deepest line of our own code it passed, as ``ValueError at curate.dicom.frames:88``."""
    own = OWN_PACKAGES | {job.open.__module__.split(".")[0]}
    place = ""
    step = error.__traceback__
    while step is not None:
        module = str(step.tb_frame.f_globals.get("__name__", ""))
        if module.split(".")[0] in own or module == "__main__" == job.open.__module__:
            place = f" at {module}:{step.tb_lineno}"
        step = step.tb_next
    return f"{type(error).__name__}{place}"


def forget_opened() -> None:
    """Drop the opened stage, and with it what it holds open (archives, tables)."""
    _opened.clear()
