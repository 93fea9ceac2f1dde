"""Clips with masks, for training with supervision."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from ..io import InputError, fit_mask
from ..io.colours import present_values
from ..registry import DATASETS
from .base import VideoDataset
from .clip_dataset import ClipIndex, Clips

ATTEMPTS = 100  # draws of clips until one shows an object on its first frame


@DATASETS.register_module()
class MaskedClipDataset(Clips):
    """Clips of annotated frames in order of time, up to `max_skip` apart, or backwards.

    An epoch draws every video `clips_per_video` times. A clip whose first frame shows no object
    once it went through the pipeline is replaced by one of any video, no further apart. Where the
    first mask of a video has only 0 and 255, 255 is its one object; elsewhere it is void and
    becomes background. Videos with too few annotated frames are left out.

    Args:
        source: Config or `VideoDataset` with `truth`.
        pipeline: Transforms; besides what `Clips` gives they see `masks`, a list of
            (H,W) uint8 ids; the last is `PackClip`.
        length: Frames of a clip.
        max_skip: Most annotated frames from one frame of a clip to the next.
        skip_every: The curriculum: 1 at first, one more after so many epochs, up to `max_skip`;
            None has none. It is counted here and not by a hook: loaders draw ahead of training,
            and a resumed run draws past epochs again.
        clips_per_video: Clips of an epoch.
        reverse: Probability of a clip that runs backwards.
    """

    example = dict(source=dict(type='SyntheticVOS', num_videos=2, length=12, size=(32, 48)),
                   pipeline=[dict(type='ChooseObjects'), dict(type='PackClip')], max_skip=3)
    shortest = 2  # clip, in frames

    def __init__(self, source: dict | VideoDataset, pipeline: Sequence[dict], *, length: int = 3,
                 max_skip: int = 5, skip_every: int | None = None, clips_per_video: int = 1,
                 reverse: float = 0.5) -> None:
        if length < self.shortest or min(max_skip, clips_per_video,
                                         1 if skip_every is None else skip_every) < 1:
            raise InputError(f'expected length >= {self.shortest}, max_skip, skip_every and '
                             'clips_per_video >= 1, '
                             f'got {length}, {max_skip}, {skip_every} and {clips_per_video}')
        super().__init__(source, pipeline, length)
        self._leave_out_short()
        self.max_skip = max_skip
        self.skip_every = skip_every
        self.clips_per_video = clips_per_video
        self.reverse = reverse
        self._white: dict[int, bool] = {}

    def _leave_out_short(self) -> None:
        """Keep the videos that have enough annotated frames."""
        pairs = list(zip(self.videos, self.truths, strict=True))
        kept = [(video, masks) for video, masks in pairs
                if masks is not None and len(masks.indices) >= self.needed_frames]
        if not kept:
            raise InputError(f'none of {len(pairs)} videos has {self.needed_frames} annotated '
                             'frames; take another split, or shorter clips')
        if len(kept) < len(pairs):
            names = ', '.join(sorted({v.name for v, _ in pairs} - {v.name for v, _ in kept})[:5])
            print_log(f'{len(pairs) - len(kept)} of {len(pairs)} videos have fewer than '
                      f'{self.needed_frames} annotated frames and are left out: {names} ...',
                      'current')
        self.videos, self.truths = map(list, zip(*kept, strict=True))

    @property
    def needed_frames(self) -> int:
        """Annotated frames that a video must have."""
        return self.length

    def __len__(self) -> int:
        """Clips of an epoch."""
        return len(self.videos) * self.clips_per_video

    def epoch(self, rng: np.random.Generator,
              number: int = 0) -> list[tuple[int, tuple[int, ...]]]:
        """All (video, frames) of epoch `number`, shuffled."""
        most = self.max_skip
        if self.skip_every is not None:
            most = min(most, 1 + number // self.skip_every)
        videos = rng.permutation(np.repeat(np.arange(len(self.videos)), self.clips_per_video))
        return [(int(video), self.draw(int(video), rng, most)) for video in videos]

    def draw(self, video: int, rng: np.random.Generator, most: int) -> tuple[int, ...]:
        """Return the frames of a clip, at most `most` annotated frames apart."""
        indices = self.truths[video].indices
        most = min(most, (len(indices) - 1) // (self.length - 1))
        steps = np.cumsum([0, *rng.integers(1, most + 1, self.length - 1)])
        positions = steps + rng.integers(len(indices) - steps[-1])
        if rng.random() < self.reverse:
            positions = positions[::-1]
        return tuple(indices[position] for position in positions.tolist())

    def __getitem__(self, item: ClipIndex) -> dict:
        rng, number, frames = np.random.default_rng(item.seed), item.video, item.frames
        position = {index: n for n, index in enumerate(self.truths[number].indices)}
        most = max([1, *np.abs(np.diff([position[index] for index in frames])).tolist()])
        for _ in range(ATTEMPTS):
            video = self.videos[number]
            read = {frame: video.read(frame) for frame in set(frames)}
            images = [read[frame] for frame in frames]
            packed = self.pipeline(dict(frames=images, masks=self._masks(number, frames, images),
                                        video_name=video.name, rng=rng,
                                        epoch=item.epoch))
            if packed['data_samples'].gt_masks[0].any():
                return packed
            number = int(rng.integers(len(self.videos)))
            frames = self.draw(number, rng, most)
        raise InputError(f'{ATTEMPTS} clips in a row show no object on their first frame; crop '
                         'less, or take videos with larger objects')

    def _masks(self, number: int, frames: Sequence[int],
               images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Ids of each frame, of the size of its image."""
        maps = {frame: self._ids(number, frame) for frame in set(frames)}
        return [fit_mask(maps[frame], image.shape[:2],
                         f"mask of frame {frame} of video '{self.videos[number].name}'")
                for frame, image in zip(frames, images, strict=True)]

    def _ids(self, number: int, frame: int) -> np.ndarray:
        """White is the object of a video whose first objects have no ids, and void of others."""
        masks = self.truths[number]
        if number not in self._white:
            values = ({int(x) for x in present_values(masks.read(index))} - {0}
                      for index in masks.indices)
            self._white[number] = next(filter(None, values), set()) <= {255}
        labels = masks.read(frame)
        return np.where(labels == 255, self._white[number], labels).astype(np.uint8)


@DATASETS.register_module()
class StillClipDataset(MaskedClipDataset):
    """Clips that repeat one annotated frame; `PerFrame` transforms make them move.

    Training on still images before videos (STM, section 3.4, and most of its successors).

    Args:
        source: Config or `VideoDataset` with `truth`: `StillImages`, or videos, every annotated
            frame of which is an image.
        pipeline: See `MaskedClipDataset`.
        length: Frames of a clip.
        clips_per_video: Clips of an epoch; for `StillImages`, of an image.
    """

    example = dict(source=dict(type='SyntheticVOS', num_videos=2, length=12, size=(32, 48)),
                   pipeline=[dict(type='PerFrame', transforms=[dict(type='RandomAffine')]),
                             dict(type='ChooseObjects'), dict(type='PackClip')])
    shortest = 1

    def __init__(self, source: dict | VideoDataset, pipeline: Sequence[dict], *, length: int = 3,
                 clips_per_video: int = 1) -> None:
        super().__init__(source, pipeline, length=length, clips_per_video=clips_per_video)

    @property
    def needed_frames(self) -> int:
        """One image."""
        return 1

    def draw(self, video: int, rng: np.random.Generator, most: int) -> tuple[int, ...]:
        """Return one frame, `length` times."""
        return (int(rng.choice(self.truths[video].indices)),) * self.length
