"""Short clips cut out of videos for training."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.dataset import Compose
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ..registry import DATASETS, TRANSFORMS
from .base import VideoDataset


@dataclass(frozen=True)
class ClipIndex:
    """Which frames of which video, the seed of every random draw made for them, and the epoch."""

    video: int
    frames: tuple[int, ...]
    seed: tuple[int, ...]
    epoch: int = 0  # of the dataset, for a curriculum


class Clips(Dataset, ABC):
    """Frames of the same video, indexed by `ClipIndex`; a class says which make an epoch.

    Args:
        source: Config or `VideoDataset`.
        pipeline: Transforms; they see dict(frames=[(H,W,3) uint8, ...], rng=np.random.Generator).
        length: Frames of a clip.
    """

    def __init__(self, source: dict | VideoDataset, pipeline: Sequence[dict], length: int) -> None:
        source = DATASETS.build(source) if isinstance(source, dict) else source
        sources = source.all_sources()
        self.videos = [video for video, _, _ in sources]
        self.truths = [truth for _, _, truth in sources]
        # MMEngine would look the types up in its own scope
        self.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])
        self.length = length
        self.metainfo = dict(dataset_type=type(self).__name__)

    @abstractmethod
    def __len__(self) -> int:
        """Clips of an epoch."""

    @abstractmethod
    def epoch(self, rng: np.random.Generator,
              number: int = 0) -> list[tuple[int, tuple[int, ...]]]:
        """All (video, frames) of epoch `number`, shuffled."""

    def __getitem__(self, item: ClipIndex) -> dict:
        video = self.videos[item.video]
        return self.pipeline(dict(
            frames=[video.read(frame) for frame in item.frames],
            video_name=video.name, rng=np.random.default_rng(item.seed)))


@DATASETS.register_module()
class ClipDataset(Clips):
    """Clips of `length` frames with a gap between them; indexed by `ClipIndex`.

    Every epoch draws a gap for each video, lists its frames with that gap and cuts the list into
    groups of `length` that do not overlap (MAST and MAMP as released). A video too short for a gap
    draws among the others; one too short for all is left out.

    Args:
        source: See `Clips`.
        pipeline: See `Clips`.
        length: Frames of a clip.
        gaps: Distances between frames of a clip.
        gap_probs: Their probabilities.
    """

    example = dict(source=dict(type='SyntheticVOS', num_videos=2, length=12, size=(32, 48)),
                   pipeline=[dict(type='PackClip')], gaps=(2,), gap_probs=(1.,))

    def __init__(self, source: dict | VideoDataset, pipeline: Sequence[dict], *, length: int = 2,
                 gaps: Sequence[int] = (2, 5, 8),
                 gap_probs: Sequence[float] = (.4, .4, .2)) -> None:
        if len(gaps) != len(gap_probs) or not np.isclose(sum(gap_probs), 1):
            raise ValueError('expected one probability per gap, summing to 1; '
                             f'got gaps={tuple(gaps)}, gap_probs={tuple(gap_probs)}')
        if min(gaps) < 1 or min(gap_probs) < 0:
            raise ValueError('expected gaps of 1 or more and probabilities of 0 or more, '
                             f'got gaps={tuple(gaps)}, gap_probs={tuple(gap_probs)}')
        super().__init__(source, pipeline, length)
        drawn = [(gap, prob) for gap, prob in zip(gaps, gap_probs, strict=True) if prob]
        self.gaps, self.gap_probs = zip(*drawn, strict=True)
        if not len(self):
            raise ValueError(f'no video has {length} frames at a gap of {min(self.gaps)}; use '
                             'longer videos, shorter clips or smaller gaps')
        short = [video.name for video in self.videos
                 if len(range(0, len(video), min(self.gaps))) < length]
        if short:
            print_log(f'{len(short)} of {len(self.videos)} videos have less than {length} frames '
                      f'at a gap of {min(self.gaps)} and are left out: {", ".join(short[:5])} ...',
                      'current')

    def __len__(self) -> int:
        """Clips of an epoch at the smallest gap."""
        return sum(len(range(0, len(v), min(self.gaps))) // self.length for v in self.videos)

    def epoch(self, rng: np.random.Generator,
              number: int = 0) -> list[tuple[int, tuple[int, ...]]]:
        """All (video, frames) of epoch `number`, shuffled."""
        clips = []
        for index, video in enumerate(self.videos):
            fits = np.array([len(range(0, len(video), gap)) >= self.length for gap in self.gaps])
            probs = self.gap_probs * fits
            if not probs.any():
                continue
            frames = range(0, len(video), int(rng.choice(self.gaps, p=probs / probs.sum())))
            clips += [(index, tuple(frames[i:i + self.length]))
                      for i in range(0, len(frames) - self.length + 1, self.length)]
        return [clips[i] for i in rng.permutation(len(clips))]


@DATASETS.register_module()
class MemoryClipDataset(ClipDataset):
    """As `ClipDataset`, but every clip begins with the first frame of its video.

    Its last frame is the query, the others are what the memory holds of a video at inference: the
    first frame and recent ones (Zhu et al., section 3.2).
    """

    def epoch(self, rng: np.random.Generator,
              number: int = 0) -> list[tuple[int, tuple[int, ...]]]:
        """All (video, frames) of epoch `number`, shuffled."""
        return [(video, (0, *frames[1:])) for video, frames in super().epoch(rng, number)]


@DATASETS.register_module()
class AnimatedImageDataset(Clips):
    """The first frame of every video, `length` times; `PerFrame` transforms make it move.

    Training without videos (Zhu et al., section 4.4: 100 images, moved by homographies).

    Args:
        source: See `Clips`; a folder with one image is a video, too.
        pipeline: See `Clips`.
        length: Frames of a clip.
    """

    example = dict(source=dict(type='SyntheticVOS', num_videos=2, length=12, size=(32, 48)),
                   pipeline=[dict(type='PerFrame', transforms=[dict(type='RandomHomography')]),
                             dict(type='PackClip')])

    def __init__(self, source: dict | VideoDataset, pipeline: Sequence[dict], *,
                 length: int = 2) -> None:
        super().__init__(source, pipeline, length)

    def __len__(self) -> int:
        """Clips of an epoch."""
        return len(self.videos)

    def epoch(self, rng: np.random.Generator,
              number: int = 0) -> list[tuple[int, tuple[int, ...]]]:
        """All (video, frames) of an epoch, shuffled."""
        return [(int(video), (0,) * self.length) for video in rng.permutation(len(self.videos))]
