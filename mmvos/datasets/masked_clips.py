"""Clips with masks, for training with supervision."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..io import InputError, as_labels
from ..registry import DATASETS
from .base import VideoDataset
from .clip_dataset import ClipDataset, ClipIndex

ATTEMPTS = 20  # draws of one clip until its first frame shows an object


@DATASETS.register_module()
class MaskedClipDataset(ClipDataset):
    """Clips of annotated frames in order of time, up to `max_skip` apart, or backwards.

    An epoch draws every video `clips_per_video` times. A clip whose first frame shows no object
    once it went through the pipeline is drawn again.

    Args:
        source: Config or `VideoDataset` with `truth`.
        pipeline: Transforms; besides what `ClipDataset` gives they see `masks`, a list of
            (H,W) uint8 ids; the last is `PackClip`.
        length: Frames of a clip.
        max_skip: Most annotated frames from one frame of a clip to the next; a curriculum changes
            it while training.
        clips_per_video: Clips of an epoch.
        reverse: Probability of a clip that runs backwards.
    """

    example = dict(source=dict(type='SyntheticVOS', num_videos=2, length=12, size=(32, 48)),
                   pipeline=[dict(type='ChooseObjects'), dict(type='PackClip')], max_skip=3)

    def __init__(self, source: dict | VideoDataset, pipeline: Sequence[dict], *, length: int = 3,
                 max_skip: int = 5, clips_per_video: int = 1, reverse: float = 0.5) -> None:
        source = DATASETS.build(source) if isinstance(source, dict) else source
        super().__init__(source, pipeline, length=length, gaps=(1,), gap_probs=(1.,))
        self.masks = [source.sources(source.get_data_info(index))[2]
                      for index in range(len(source))]
        short = [video.name for video, masks in zip(self.videos, self.masks, strict=True)
                 if masks is None or len(masks.indices) < length]
        if short:
            raise InputError(f"video '{short[0]}' has fewer than {length} annotated frames; take "
                             'another split, or shorter clips')
        self.max_skip = max_skip
        self.clips_per_video = clips_per_video
        self.reverse = reverse

    def __len__(self) -> int:
        """Clips of an epoch."""
        return len(self.videos) * self.clips_per_video

    def epoch(self, rng: np.random.Generator) -> list[tuple[int, tuple[int, ...]]]:
        """All (video, frames) of one epoch, shuffled."""
        videos = rng.permutation(np.repeat(np.arange(len(self.videos)), self.clips_per_video))
        return [(int(video), self.draw(int(video), rng)) for video in videos]

    def draw(self, video: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Return the frames of a clip."""
        indices = self.masks[video].indices
        most = min(self.max_skip, (len(indices) - 1) // (self.length - 1))
        steps = np.cumsum([0, *rng.integers(1, most + 1, self.length - 1)])
        positions = steps + rng.integers(len(indices) - steps[-1])
        if rng.random() < self.reverse:
            positions = positions[::-1]
        return tuple(indices[position] for position in positions.tolist())

    def __getitem__(self, item: ClipIndex) -> dict:
        rng, frames = np.random.default_rng(item.seed), item.frames
        video, masks = self.videos[item.video], self.masks[item.video]
        for _ in range(ATTEMPTS):
            packed = self.pipeline(dict(
                frames=[video.read(frame) for frame in frames],
                # 0/255, as in DAVIS-2016, is one object
                masks=[as_labels(masks.read(frame)) for frame in frames],
                video_name=video.name, rng=rng))
            if packed['data_samples'].gt_masks[0].any():
                return packed
            frames = self.draw(item.video, rng)
        raise InputError(f"{ATTEMPTS} clips of video '{video.name}' show no object on their first "
                         'frame; leave the video out, or crop less')
