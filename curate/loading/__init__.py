"""What a trainer reads: samples from manifests, crops from volumes, and their stateless order.

``curate.loading.dataset`` needs torch and is imported by its own name; the rest does not.
"""

from curate.loading.crops import Augmentation, CropRequest, CropShape, Jitter
from curate.loading.order import State, batches, epoch_order, rank_share
from curate.loading.reader import CropReader
from curate.loading.samples import StudySample

__all__ = [
    "Augmentation",
    "CropReader",
    "CropRequest",
    "CropShape",
    "Jitter",
    "State",
    "StudySample",
    "batches",
    "epoch_order",
    "rank_share",
]
