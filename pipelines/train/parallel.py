"""One model on several ranks: copies that add up their gradients (DDP), or shares of it (FSDP2).

Sums of small numbers that the host needs, such as whether to stop, go over gloo on the host, so that a GPU never waits
for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Ranks:
    """Who this process is among the ranks. With more than one, ``torch.distributed`` is initialised already."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    host: Any = None  # a gloo group where the default one is not

    @classmethod
    def of_this_process(cls, device: torch.device) -> Ranks:
        """Read from ``torch.distributed``; a collective."""
        if not dist.is_initialized():
            return cls(device=device)
        host = None if device.type == "cpu" else dist.new_group(backend="gloo")
        return cls(dist.get_rank(), dist.get_world_size(), device, host)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over ranks of a tensor on the device, without the host waiting; a collective."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def total_on_host(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over ranks of a tensor on the host; a collective."""
        if self.world > 1:
            dist.all_reduce(values, group=self.host)
        return values

    def any(self, said: bool) -> bool:
        """Whether any rank says so; a collective."""
        return bool(self.total_on_host(torch.tensor([int(said)]))) if self.world > 1 else said


def spread(model: nn.Module, ranks: Ranks, strategy: Literal["ddp", "fsdp"]) -> nn.Module:
    """The model to call in training; ``model`` itself lies on the device. Alone, a rank keeps it as it is.

    FSDP2 shares out the parts that the model names as ``shards`` (modules that are only called), and then the rest.
    """
    if ranks.world == 1:
        return model
    if strategy == "ddp":
        return DistributedDataParallel(model, device_ids=[ranks.device] if ranks.device.type == "cuda" else None)
    mesh = init_device_mesh(ranks.device.type, (ranks.world,))
    for part in getattr(model, "shards", ()):
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


@contextlib.contextmanager
def gradients_stay_here(model: nn.Module, here: bool) -> Iterator[None]:
    """While ``here``, ranks keep their gradients to themselves: another part of the batch follows."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(not here)
        yield
    elif here and isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    else:
        yield
