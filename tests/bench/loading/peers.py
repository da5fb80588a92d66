"""What else a trainer could read crops with: each writes volumes its own way and gives a function that crops one."""

from __future__ import annotations

import importlib.util
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.geometry import Grid
from curate.volumes import open_volume, write_volume
from tests.bench.loading.made import CT_SPACING

Box = tuple[slice, slice, slice]
Crop = Callable[[Box], NDArray[Any]]

_thread = threading.local()


@dataclass(frozen=True)
class Peer:
    """``write``: an array to a path. ``open``: the path -> a function of a box; ``packages``: what it needs."""

    name: str
    write: Callable[[Path, NDArray[Any]], None]
    open: Callable[[Path], Crop]
    packages: tuple[str, ...] = ()
    files_of: str | None = None  # reads what another has written

    @property
    def missing(self) -> list[str]:
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


def _no_write(path: Path, array: NDArray[Any]) -> None: ...


def _write_ours(path: Path, array: NDArray[Any]) -> None:
    write_volume(path, array, Grid(array.shape, np.diag([*CT_SPACING, 1.0])), modality="CT", units="HU")


def _open_ours(path: Path) -> Crop:
    volume = open_volume(path)

    def crop(box: Box) -> NDArray[Any]:
        shape = tuple(part.stop - part.start for part in box)
        out = getattr(_thread, "out", None)  # as a loader does: into a buffer that it has
        if out is None or out.shape != shape:
            out = _thread.out = np.empty(shape, volume.dtype)
        return volume.crop([part.start for part in box], shape, out)

    return crop


def _write_npy(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.save(stream, array)


def _open_npy(path: Path) -> Crop:
    mapped = np.load(path, mmap_mode="r")
    return lambda box: np.array(mapped[box], order="C")


def _open_zarr(path: Path) -> Crop:
    import zarr

    array = zarr.open_array(path / "0", mode="r")
    return lambda box: np.asarray(array[box])


def _open_tensorstore(path: Path) -> Crop:
    import tensorstore

    context = tensorstore.Context({"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 1}})
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / "0")}}
    options = {"recheck_cached_metadata": False, "recheck_cached_data": False}
    array = tensorstore.open(spec, read=True, context=context, **options).result()
    return lambda box: np.asarray(array[box].read().result())


def _write_b2nd(path: Path, array: NDArray[Any]) -> None:
    import blosc2

    path.parent.mkdir(parents=True, exist_ok=True)
    settings = blosc2.CParams(codec=blosc2.Codec.LZ4HC, clevel=5, filters=[blosc2.Filter.SHUFFLE], nthreads=1)
    chunks = tuple(min(128, n) for n in array.shape)
    blocks = tuple(min(32, n) for n in array.shape)
    blosc2.asarray(array, chunks=chunks, blocks=blocks, urlpath=str(path), mode="w", cparams=settings)


def _open_b2nd(path: Path) -> Crop:
    import blosc2

    blosc2.set_nthreads(1)
    array = blosc2.open(str(path), mode="r", mmap_mode="r", dparams=blosc2.DParams(nthreads=1))
    return lambda box: np.asarray(array[box])


def _monai(path: Path) -> Any:
    from monai.data import PersistentDataset
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

    cache = path / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    # transforms of its own: it caches no others
    load = LoadImaged("image", reader="NumpyReader", dtype=np.int16, image_only=True)
    channel = EnsureChannelFirstd("image", channel_dim="no_channel")
    return PersistentDataset([{"image": str(path / "volume.npy")}], Compose([load, channel]), cache_dir=cache)


def _write_monai(path: Path, array: NDArray[Any]) -> None:
    _write_npy(path / "volume.npy", array)
    _monai(path)[0]


def _open_monai(path: Path) -> Crop:
    dataset = _monai(path)
    return lambda box: np.ascontiguousarray(np.asarray(dataset[0]["image"][(0, *box)]))


def _write_mds(path: Path, array: NDArray[Any]) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(path), columns={"image": "ndarray"}, size_limit="1gb") as writer:
        writer.write({"image": array})


def _open_mds(path: Path) -> Crop:
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=str(path), shuffle=False, batch_size=1)
    return lambda box: np.ascontiguousarray(dataset[0]["image"][box])


def _write_webdataset(path: Path, array: NDArray[Any]) -> None:
    import webdataset

    path.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path / "0.tar")) as writer:
        writer.write({"__key__": "0", "image.npy": array})


def _open_webdataset(path: Path) -> Crop:
    import webdataset

    def crop(box: Box) -> NDArray[Any]:
        dataset = webdataset.WebDataset(str(path / "0.tar"), shardshuffle=False).decode()
        return np.ascontiguousarray(next(iter(dataset))["image.npy"][box])

    return crop


def _write_litdata(path: Path, array: NDArray[Any]) -> None:
    from litdata.streaming.writer import BinaryWriter

    path.mkdir(parents=True, exist_ok=True)
    writer = BinaryWriter(str(path), chunk_size=1)
    writer[0] = array
    writer.done()
    writer.merge()


def _open_litdata(path: Path) -> Crop:
    from litdata import StreamingDataset

    dataset = StreamingDataset(str(path))
    return lambda box: np.ascontiguousarray(dataset[0][box])


MEMMAP = Peer("memmap of .npy", _write_npy, _open_npy)
OURS = Peer("ours", _write_ours, _open_ours)
PEERS = (
    Peer("tensorstore, same file", _no_write, _open_tensorstore, ("tensorstore",), "ours"),
    Peer("zarr-python, same file", _no_write, _open_zarr, ("zarr",), "ours"),
    Peer("blosc2 b2nd", _write_b2nd, _open_b2nd, ("blosc2",)),
    Peer("MONAI PersistentDataset", _write_monai, _open_monai, ("monai",)),
    Peer("MDS", _write_mds, _open_mds, ("streaming",)),
    Peer("webdataset", _write_webdataset, _open_webdataset, ("webdataset",)),
    Peer("litdata", _write_litdata, _open_litdata, ("litdata",)),
)


def places(peer: Peer, folder: Path, arrays: Sequence[Path]) -> list[Path]:
    """Where a peer's volumes lie, written if they are not there."""
    found = []
    for source in arrays:
        path = folder / (peer.files_of or peer.name).replace(" ", "_") / source.stem
        if not path.exists():
            warnings.simplefilter("ignore")
            peer.write(path, np.load(source))
        found.append(path)
    return found
