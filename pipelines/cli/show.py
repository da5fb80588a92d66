"""``curate show``: a picture of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.errors import Misconfigured, Rejected
from curate.storage import is_url
from pipelines.cli.console import console, notes

if TYPE_CHECKING:
    from PIL import Image

Target = Annotated[
    str,
    typer.Argument(
        help="A volume of a store or release (its path or URL ends in .zarr), or a DICOM file, folder or archive.",
        metavar="VOLUME|SERIES",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", help="The picture. Several stacks: picture-1.png, picture-2.png and so on.")
]
At = Annotated[
    str | None, typer.Option("--at", help="Voxel where the planes meet.", metavar="K,J,I", show_default=False)
]
Window = Annotated[
    str | None,
    typer.Option("--window", help="Grey scale, in the volume's units.", metavar="CENTRE,WIDTH", show_default=False),
]

VOLUMES, BOXES, POINTS = (f"manifests/{name}.parquet" for name in ("volumes", "boxes", "points"))


@dataclass(frozen=True, slots=True)
class _Labels:
    """What the manifests around a volume say of it; corners (4 x 3) and points (3) in its voxels, (k, j, i)."""

    boxes: Sequence[Any] = ()
    points: Sequence[Any] = ()
    point_names: Sequence[str] = ()
    flags: Sequence[str] = ()


def show(target: Target, out: Out = Path("picture.png"), at: At = None, window: Window = None) -> None:
    """Draw three planes of a volume, with masks, boxes and points if it lies in a store or release.

    The patient's right is on the viewer's left, front and head are up. Lines show where the planes meet: the first box
    or point, else the middle of what is labelled, else of the body. CT is shown with a bone window, MR from its 1st to
    its 99th percentile. A picture of files that are not de-identified shows what is burned into them.
    """
    place = None if at is None else [int(n) for n in _numbers("--at", at, 3, "three whole numbers, as 10,128,128", int)]
    grey = None
    if window is not None:
        centre, width = _numbers("--window", window, 2, "a centre and a width above 0, as 350,2000", float)
        if not width > 0:
            raise Misconfigured("--window: expected a centre and a width above 0, as 350,2000")
        grey = centre, width
    if out.suffix.lower() != ".png":
        raise Misconfigured("--out: expected a name that ends in .png")
    if not out.absolute().parent.is_dir():
        raise Misconfigured(f"--out: {out.parent} is no folder to write into")
    if not is_url(target) and not Path(target).exists():
        raise Misconfigured(f"{target} does not exist")
    with notes.status("drawing"):
        named = target.rstrip("/") if is_url(target) else str(Path(target).absolute())
        draw = _draw_volume if named.endswith(".zarr") else _draw_series
        pictures = draw(named, place, grey)
    for number, picture in enumerate(pictures, 1):
        path = out if len(pictures) == 1 else out.with_stem(f"{out.stem}-{number}")
        try:
            picture.save(path, format="PNG")
        except OSError:
            raise Misconfigured(f"--out: {path} cannot be written") from None
        console.print(f"{path}", markup=False, soft_wrap=True)


def _numbers(option: str, text: str, count: int, expected: str, kind: type[int] | type[float]) -> list[float]:
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count or not all(abs(number) < 1e9 for number in found):
        raise Misconfigured(f"{option}: expected {expected}")
    return list(found)


def _draw_volume(target: str, at: Sequence[int] | None, window: tuple[float, float] | None) -> list[Image.Image]:
    from curate.labels.masks import CERVICAL_MASK_NAMES
    from curate.volumes import open_volume
    from curate.volumes.picture import three_planes
    from pipelines.volumes import MASK

    try:
        volume = open_volume(target)
    except FileNotFoundError:
        raise Misconfigured(f"{target} is no volume: expected a folder N.zarr that `curate run` wrote") from None
    labels = _find_labels(target)
    picture = three_planes(
        volume.read(),
        volume.grid,
        units=volume.units,
        masks={name: volume.label(name) for name in volume.label_names},
        boxes=labels.boxes,
        points=labels.points,
        point_names=labels.point_names,
        at=at,
        window=window,
        flags=labels.flags,
        names={MASK: CERVICAL_MASK_NAMES},
    )
    return [picture]


def _draw_series(target: str, at: Sequence[int] | None, window: tuple[float, float] | None) -> list[Image.Image]:
    from curate.dicom import read_series
    from curate.volumes.picture import three_planes

    if is_url(target):
        raise Misconfigured(f"{target} is no volume: expected a URL that ends in .zarr; archives are read from folders")
    try:
        volumes = read_series(target)
    except Rejected as rejection:
        raise Misconfigured(f"{target} has no CT or MR series to show ({rejection}); see `curate scan`") from None
    return [
        three_planes(
            volume.array,
            volume.grid,
            units=volume.units,
            at=at,
            window=window,
            flags=sorted({*volume.flags, *volume.stack.flags}),
        )
        for volume in volumes
    ]


def _find_labels(volume: str) -> _Labels:
    """Boxes, points and flags of the store or release that the volume lies in; none when it lies in no such folder."""
    import pyarrow.compute as pc

    from curate.manifests import read_table
    from curate.release.tables import level_title
    from curate.storage import open_store

    parts = volume.split("/")
    above = ("/".join(parts[:n]) for n in range(len(parts) - 1, 2 if is_url(volume) else 1, -1))
    root = next((place for place in above if open_store(place).exists(VOLUMES)), None)
    if root is None:
        return _Labels()
    store = open_store(root)
    uri = volume.removeprefix(f"{root}/")
    rows = read_table(store, VOLUMES, filters=pc.field("uri") == uri).to_pylist()
    if not rows:
        return _Labels()
    row = rows[0]
    mine = (pc.field("series_key") == row["series_key"]) & (pc.field("stack") == row["stack"])

    def placed(key: str, column: str) -> list[dict[str, Any]]:
        found = read_table(store, key, filters=mine).to_pylist() if store.exists(key) else []
        return [each for each in found if each[column] is not None]

    boxes, points = placed(BOXES, "corners_index"), placed(POINTS, "point_index")
    return _Labels(
        [box["corners_index"] for box in boxes],
        [point["point_index"] for point in points],
        [level_title(point["level"]) for point in points],
        row["flags"] or (),
    )
