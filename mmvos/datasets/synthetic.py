"""Videos rendered on the fly from a seed: cut-out photographs that move over one another."""
from __future__ import annotations

import numpy as np

from ..registry import DATASETS
from ..structures import MaskSource, VideoSource
from .base import VideoDataset
from .synthetic_scene import Layer, draw_scene


class SyntheticVideo(VideoSource):
    """A rendered video with exact masks and exact flow; holds a description, no pixels.

    Any frame is rendered by itself. The same arguments give the same scene everywhere: the same
    masks and flow, and colours equal up to the rounding of the image libraries.

    Object k (id k, from 1) lies over the objects before it. All move by smooth similarity
    transforms over a background that moves too.

    Args:
        seed: Any non-negative integer.
        index: Number of the video.
        length: T, frames.
        size: (H, W), px.
        num_objects: K.
        late: The last of two or more objects appears at frame length // 3 instead of 0.

    Example:
        >>> video = SyntheticVideo(0, 0, length=8, size=(48, 64), num_objects=2)
        >>> video.read(3).shape, video.labels(3).shape, video.flow(3, 0).shape
        ((48, 64, 3), (48, 64), (48, 64, 2))
    """

    def __init__(self, seed: int, index: int, *, length: int, size: tuple[int, int],
                 num_objects: int, late: bool = False) -> None:
        self.name = f'synthetic_{index:03d}'
        self.frame_names = [f'{i:05d}' for i in range(length)]
        self._size = size
        starts = [0] * num_objects
        if late and num_objects > 1:
            starts[-1] = length // 3
        self.layers: list[Layer] = draw_scene(np.random.default_rng((seed, index)), size,
                                              tuple(starts))

    def __len__(self) -> int:
        return len(self.frame_names)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), px."""
        return self._size

    @property
    def starts(self) -> list[int]:
        """First frame of objects 1..K."""
        return [layer.start for layer in self.layers[1:]]

    def read(self, index: int) -> np.ndarray:
        """(H,W,3) RGB uint8 of a frame, blended over one pixel at the outlines."""
        index = self._checked(index)
        image = self.layers[0].pixels(index, self.layers[0].box(index, self._size))
        for _, layer, box in self._objects(index):
            cover = layer.cover(index, box)[..., None]
            below = image[box]
            above = layer.pixels(index, box)
            image[box] = np.rint(below + cover * (above.astype(np.float32) - below))
        return image

    def labels(self, index: int) -> np.ndarray:
        """(H,W) uint8 ids of a frame: the object that a pixel's centre lies in, 0 is background."""
        index = self._checked(index)
        labels = np.zeros(self._size, np.uint8)
        for number, layer, box in self._objects(index):
            labels[box][layer.cover(index, box) >= .5] = number
        return labels

    def flow(self, index: int, ref: int) -> np.ndarray:
        """(H,W,2) float32 xy, px: p_ref = p + flow for what shows at p on frame `index`.

        It tells where the point is on frame `ref` even if it cannot be seen there: see `visible`.
        """
        index, ref = self._checked(index), self._checked(ref)
        moves = np.stack([layer.carry(index, ref) for layer in self.layers])[self.labels(index)]
        rows, columns = np.mgrid[:self._size[0], :self._size[1]]
        points = np.stack([columns, rows, np.ones_like(rows)], -1)
        there = np.einsum('hwij,hwj->hwi', moves, points)
        return (there - points[..., :2]).astype(np.float32)

    def visible(self, index: int, ref: int) -> np.ndarray:
        """(H,W) bool: what shows at a pixel of frame `index` shows on frame `ref` too."""
        labels, other = self.labels(index), self.labels(ref)
        rows, columns = np.mgrid[:self._size[0], :self._size[1]]
        there = np.rint(self.flow(index, ref) + np.stack([columns, rows], -1)).astype(int)
        x, y = there[..., 0], there[..., 1]
        inside = (x >= 0) & (y >= 0) & (x < self._size[1]) & (y < self._size[0])
        seen = other[y.clip(0, self._size[0] - 1), x.clip(0, self._size[1] - 1)]
        return inside & (seen == labels)

    def _objects(self, index: int) -> list[tuple[int, Layer, tuple[slice, slice]]]:
        """Id, layer and box of the objects that touch a frame, from the lowest to the highest."""
        found = [(number, layer, layer.box(index, self._size))
                 for number, layer in enumerate(self.layers) if number and layer.start <= index]
        return [(number, layer, box) for number, layer, box in found
                if box[0].start < box[0].stop and box[1].start < box[1].stop]

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f'frame {index} of {self.name}, which has frames 0..{len(self) - 1}')
        return index


class SyntheticMasks(MaskSource):
    """Masks of a synthetic video, on all frames or only where objects are first seen.

    Args:
        video: The video.
        first: Only the first frame of each object, holding the objects that start there.
    """

    def __init__(self, video: SyntheticVideo, first: bool = False) -> None:
        self.video = video
        self.first = first

    @property
    def indices(self) -> list[int]:
        """Frames that have a mask, sorted."""
        return sorted(set(self.video.starts)) if self.first else list(range(len(self.video)))

    def read(self, index: int) -> np.ndarray:
        """(H,W) uint8 ids.

        Raises:
            KeyError: That frame has no mask.
        """
        if index not in self.indices:
            raise KeyError(f'frame {index} of {self.video.name} has no mask')
        labels = self.video.labels(index)
        if self.first:
            new = [0] + [start == index for start in self.video.starts]
            labels *= np.array(new, np.uint8)[labels]
        return labels


@DATASETS.register_module()
class SyntheticVOS(VideoDataset):
    """Synthetic videos that need no download; see `SyntheticVideo`.

    The numbers of objects take turns. Every third video with two objects or more has one that
    appears late. The truth has every frame; objects are given on the first frame they exist on.

    Args:
        num_videos: Number of videos.
        length: Frames of each.
        size: (H, W) of the frames, px.
        num_objects: Fewest and most objects of a video.
        seed: Any non-negative integer; another seed gives other videos.
        indices: See `VideoDataset`.
    """

    example = dict(num_videos=2, length=6, size=(32, 48), num_objects=(1, 2))

    def __init__(self, num_videos: int = 10, length: int = 24, *,
                 size: tuple[int, int] = (240, 432), num_objects: tuple[int, int] = (1, 5),
                 seed: int = 0, indices: int | list[int] | None = None) -> None:
        self.num_videos, self.length, self.size = num_videos, length, tuple(size)
        self.num_objects, self.seed = tuple(num_objects), seed
        self._check()
        super().__init__(indices=indices)

    def _check(self) -> None:
        if self.num_videos < 1 or self.length < 1:
            raise ValueError('expected num_videos >= 1 and length >= 1, '
                             f'got num_videos={self.num_videos}, length={self.length}')
        if len(self.size) != 2 or min(self.size) < 16:
            raise ValueError(f'expected size=(H, W), both at least 16 px, got size={self.size}')
        if len(self.num_objects) != 2 or not 1 <= self.num_objects[0] <= self.num_objects[1] <= 255:
            raise ValueError('expected num_objects=(fewest, most) with 1 <= fewest <= most <= 255, '
                             f'got num_objects={self.num_objects}')
        if self.seed < 0:
            raise ValueError(f'expected seed >= 0, got seed={self.seed}')

    def load_data_list(self) -> list[dict]:
        """The arguments of each video."""
        fewest, most = self.num_objects
        return [dict(video_name=f'synthetic_{index:03d}', index=index,
                     num_objects=fewest + index % (most - fewest + 1), late=index % 3 == 2)
                for index in range(self.num_videos)]

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource]:
        """The video, the objects' first masks and all masks."""
        video = SyntheticVideo(self.seed, info['index'], length=self.length, size=self.size,
                               num_objects=info['num_objects'], late=info['late'])
        return video, SyntheticMasks(video, first=True), SyntheticMasks(video)
