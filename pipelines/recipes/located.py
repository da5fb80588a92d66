"""A trained locator at work: where the objects of a study lie, found without any label of it.

Crops of training studies go where readers or masks say; of all others, and of training studies without a label, where
the locator says. An object that was not recognised is placed by its neighbours (``template``); one that lies outside
of every volume has no crop, and a classifier answers it from the prior.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from curate.geometry import Grid
from curate.loading import StudySample
from curate.loading.dataset import Draw
from curate.loading.joining import to_device
from curate.loading.places import Place, places_by_study
from curate.loading.samples import Slot
from curate.manifests.schemas import OBJECTS
from pipelines.recipes.looking import StudyViews
from pipelines.recipes.template import Located, locate
from pipelines.train.checkpoint import load_weights, read_record
from pipelines.train.recipe import Recipe, Stage

_OUTSIDE_MM = 5.0  # a place further out of every fitting volume is not in view


@dataclass(frozen=True, slots=True)
class CoarseChances:
    """What a segmentation says of each voxel of a view, packed: uint8 (classes, D, H, W), 255 is certain."""

    packed: bytes
    shape: tuple[int, int, int, int]
    affine: tuple[float, ...]

    @classmethod
    def of(cls, chances: NDArray[np.float32], grid: Grid) -> CoarseChances:
        """``chances``: (classes, D, H, W), 0..1, on ``grid``."""
        classes, d, h, w = chances.shape
        whole = np.rint(chances * 255).astype(np.uint8)
        return cls(zlib.compress(whole.tobytes(), 1), (classes, d, h, w), tuple(grid.affine.ravel().tolist()))

    @property
    def grid(self) -> Grid:
        return Grid(self.shape[1:], np.reshape(self.affine, (4, 4)))

    def read(self) -> NDArray[np.uint8]:
        """(classes, D, H, W)."""
        return np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Finds:
    """By study key: where the objects lie, and what the segmentation says, if the locator is one."""

    located: Mapping[str, Located]
    chances: Mapping[str, CoarseChances]


@dataclass(frozen=True, slots=True)
class TrainedLocator:
    """A locator's task and its checkpoint (a folder or URL). ``root``: URL of the store or release that it reads."""

    task: Any
    checkpoint: str
    root: str

    def find(self, manifests: Mapping[str, pa.Table]) -> Finds:
        """Look at every study of the samples table. Raises ``Unavailable`` when the storage refuses."""
        samples = self.task.samples(manifests)
        constants = trained_constants(self.checkpoint)
        template = np.where(constants[:, 3:] < 0, np.nan, constants[:, :3])
        model = trained_model(self.task, self.checkpoint)
        located, chances = {}, {}
        for sample, outputs, grid in _look(self.task, model, self.root, samples):
            answers = self.task.answers(outputs).cpu().numpy()[0]
            located[sample.study_key] = locate(answers, template)
            if outputs[0].ndim == 5:  # a segmentation: the class 0 is background
                seen = outputs[0][0, 1 : 1 + len(answers)].exp().cpu().numpy()
                chances[sample.study_key] = CoarseChances.of(seen, grid)
        return Finds(located, chances)


@dataclass(frozen=True, slots=True)
class KnownFinds:
    """In the place of a locator that has looked already."""

    finds: Finds

    def find(self, manifests: Mapping[str, pa.Table]) -> Finds:
        """What was found."""
        return self.finds


class Locator(Protocol):
    """What a classifier asks for its places."""

    def find(self, manifests: Mapping[str, pa.Table]) -> Finds:
        """Where the objects of every study of the samples table lie."""


def located_recipe(
    name: str, locator: Any, classifier: Callable[[Locator], Any], submission: Callable[..., pd.DataFrame]
) -> Recipe:
    """Two stages: ``locator``, a task; and what ``classifier`` makes of it once it is trained, whose crops lie where it
    says."""
    return Recipe(
        name,
        (
            Stage("locate", lambda root, checkpoints: locator),
            Stage(
                "classify",
                lambda root, checkpoints: classifier(TrainedLocator(locator, checkpoints["locate"], root)),
            ),
        ),
        submission,
    )


def trained_model(task: Any, checkpoint: str) -> nn.Module:
    """The model of a task with the weights of a checkpoint (a folder or URL), in evaluation."""
    model: nn.Module = task.model(trained_constants(checkpoint))
    load_weights(checkpoint, model)
    return model.eval()


def trained_constants(checkpoint: str) -> NDArray[np.float64]:
    """The constants that a checkpoint's model started from."""
    return np.array(read_record(checkpoint).constants, dtype=np.float64)


def with_found_objects(
    manifests: Mapping[str, pa.Table], finds: Finds, names: Sequence[str], slots: Sequence[Slot]
) -> dict[str, pa.Table]:
    """The manifests with an objects table that holds no label but those of training studies.

    All else in it was found: ``names`` are the objects in the locator's order, each laid into the volume of its slot's
    series type that holds it best.
    """
    split_of = {row["study_key"]: row["split"] for row in manifests["samples"].to_pylist()}
    kept = [row for row in manifests["objects"].to_pylist() if split_of.get(row["study_key"]) == "train"]
    labelled = {(row["study_key"], row["object"]) for row in kept}
    places = places_by_study(manifests["volumes"], window=None)
    types = {slot.object: slot.series_type for slot in slots}
    for key, located in finds.located.items():
        for n in np.flatnonzero(located.is_known).tolist():
            place = volume_for(places.get(key, ()), located.places_mm[n], types[names[n]])
            if place is not None and (key, names[n]) not in labelled:
                row: dict[str, Any] = dict.fromkeys(OBJECTS.names)
                row |= {"study_key": key, "series_key": place.series_key, "stack": place.stack}
                row |= {"object": names[n], "centroid_mm": located.places_mm[n].tolist(), "voxels": 0}
                kept.append(row)
    return {**manifests, "objects": pa.Table.from_pylist(kept, schema=OBJECTS)}


def where_seen(sample: StudySample, located: Located | None) -> StudySample:
    """The sample with the crops that follow from what was located: none where nobody knows, estimated where it is.

    Crops of training studies that a label placed are left as they are.
    """
    crops = []
    for n, crop in enumerate(sample.crops):
        if crop is not None and crop.is_estimated:
            crop = None  # the mean place of other patients: nothing says that this one is there
        elif crop is not None and located is not None:
            at_find = np.allclose(crop.centre_mm, located.places_mm[n], atol=1e-6)
            crop = replace(crop, is_estimated=at_find and not bool(located.is_found[n]))
        crops.append(crop)
    return replace(sample, crops=tuple(crops))


def volume_for(places: Sequence[Place], point_mm: NDArray[np.float64], series_type: str | None) -> Place | None:
    """Of the volumes of a type (None: of any) the one that holds the point, in its middle if several do; else None.

    Decided in patient millimetres: which stack of which series shows a level is never read from a number.
    """
    fitting = [place for place in places if series_type is None or place.series_type == series_type]
    holding = [place for place in fitting if place.mm_outside(point_mm) <= _OUTSIDE_MM]
    return min(
        holding,
        key=lambda place: (place.mm_outside(point_mm), float(np.linalg.norm(place.centre_mm - point_mm)), place.uri),
        default=None,
    )


def about_places(located: Sequence[Located], what: str) -> tuple[str, ...]:
    """What a reader of a score or a submission should know of the places."""
    total = sum(len(one.is_found) for one in located)
    estimated = sum(int((one.is_known & ~one.is_found & ~one.doubted).sum()) for one in located)
    counts = {
        "were not recognised and were placed by their neighbours": estimated,
        "were seen where they cannot be and were placed by their neighbours": sum(
            int(one.doubted.sum()) for one in located
        ),
        "have no place: answered from the prior": sum(int((~one.is_known).sum()) for one in located),
    }
    return tuple(f"{count} of {total} {what} {text}" for text, count in counts.items() if count)


@torch.no_grad()
def _look(task: Any, model: nn.Module, root: str, samples: Sequence[StudyViews]) -> Any:
    """(sample, outputs, grid of the first view) of each study."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    dataset = task.dataset(root, samples, augment=False, seed=0)
    for index, sample in enumerate(samples):
        batch = to_device(dataset[Draw(index, None)], device)
        affine = batch.affines[0, 0].double().cpu().numpy()
        yield sample, model(*batch.inputs), Grid(batch.views.shape[2:], affine)
