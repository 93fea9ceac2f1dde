"""Several datasets of clips as one."""
from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..io import InputError
from ..registry import DATASETS
from .clip_dataset import ClipIndex, Clips
from .masked_clips import MaskedClipDataset, StillClipDataset


@DATASETS.register_module()
class ClipMixture(Clips):
    """Several datasets of clips as one: DAVIS and YouTube-VOS, say.

    Args:
        datasets: Configs or datasets of clips, of equal clip length.
        repeats: How often each goes through its videos in one epoch of the mixture.
    """

    example = dict(datasets=[MaskedClipDataset.example | dict(type='MaskedClipDataset'),
                             StillClipDataset.example | dict(type='StillClipDataset')],
                   repeats=(2, 1))

    def __init__(self, datasets: Sequence[dict | Clips], repeats: Sequence[int]) -> None:
        self.datasets = [DATASETS.build(data) if isinstance(data, dict) else data
                         for data in datasets]
        lengths = {data.length for data in self.datasets}
        if len(repeats) != len(self.datasets) or min(repeats, default=0) < 1 or len(lengths) > 1:
            raise InputError('expected datasets of clips of one length and a number of repeats >= '
                             f'1 for each, got lengths {sorted(lengths)}, {len(self.datasets)} '
                             f'datasets and repeats {tuple(repeats)}')
        # its videos are those of its parts; it reads nothing itself
        self.videos = [video for data in self.datasets for video in data.videos]
        self.length = lengths.pop()
        self.repeats = tuple(repeats)
        self.starts = np.cumsum([0, *(len(data.videos) for data in self.datasets)]).tolist()
        self.metainfo = dict(dataset_type=type(self).__name__)

    def __len__(self) -> int:
        """Clips of an epoch."""
        return sum(len(data) * n for data, n in zip(self.datasets, self.repeats, strict=True))

    def epoch(self, rng: np.random.Generator,
              number: int = 0) -> list[tuple[int, tuple[int, ...]]]:
        """All (video, frames) of epoch `number`, shuffled; videos are counted through."""
        clips = [(start + video, frames) for data, repeats, start
                 in zip(self.datasets, self.repeats, self.starts[:-1], strict=True)
                 for _ in range(repeats) for video, frames in data.epoch(rng, number)]
        return [clips[i] for i in rng.permutation(len(clips))]

    def __getitem__(self, item: ClipIndex) -> dict:
        which = bisect(self.starts, item.video) - 1
        return self.datasets[which][replace(item, video=item.video - self.starts[which])]
