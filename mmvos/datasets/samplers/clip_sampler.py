"""An endless stream of clips that can start anywhere."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ...registry import DATA_SAMPLERS
from ..clip_dataset import ClipIndex, Clips


@DATA_SAMPLERS.register_module()
class ClipSampler(Sampler):
    """Epoch after epoch of `Clips.epoch`, each redrawn from (seed, epoch).

    Position n of the stream, and the seed of every draw made for it, depend on the seed alone, so
    a resumed run sees what an uninterrupted one would have seen.

    Args:
        dataset: Gives the clips.
        seed: The runner's seed; drawn and shared between processes if None.
    """

    example: dict | None = None  # needs a dataset

    def __init__(self, dataset: Clips, seed: int | None = None) -> None:
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.skipped = 0

    def skip(self, num_samples: int) -> None:
        """Start after this many samples of this process (MMEngine calls it to resume)."""
        self.skipped = num_samples

    def __iter__(self) -> Iterator[ClipIndex]:
        position, first = 0, self.skipped * self.world_size
        for epoch in count():
            clips = self.dataset.epoch(np.random.default_rng((self.seed, epoch)), epoch)
            for offset in range(max(0, first - position), len(clips)):
                now = position + offset
                if now % self.world_size == self.rank:
                    yield ClipIndex(*clips[offset], seed=(self.seed, epoch, now),
                                    epoch=epoch)
            position += len(clips)

    def __len__(self) -> int:
        return len(self.dataset)
