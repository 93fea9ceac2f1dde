"""Transforms of whole clips; every draw is shared by all frames of a clip.

They change `frames`, (H,W,3) uint8 images, and `masks`, (H,W) uint8 ids, where there are any.
"""
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from ...structures import VOSDataSample


@TRANSFORMS.register_module()
class ResizeClip(BaseTransform):
    """Stretch every frame to (H, W), bilinear, as MAST and MAMP train.

    Args:
        size: (H, W).
    """

    example = dict(size=(16, 24))

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        return _resized(results, self.size)


@TRANSFORMS.register_module()
class RandomCropClip(BaseTransform):
    """Cut the same random window out of every frame; smaller frames are enlarged first.

    Args:
        size: (H, W).
    """

    example = dict(size=(16, 24))

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        height, width = self.size
        shape = results['frames'][0].shape
        scale = max(height / shape[0], width / shape[1])
        if scale > 1:
            results = _resized(results, (max(height, round(shape[0] * scale)),
                                         max(width, round(shape[1] * scale))))
        shape = results['frames'][0].shape
        y = results['rng'].integers(shape[0] - height + 1)
        x = results['rng'].integers(shape[1] - width + 1)
        return each(results, lambda image: image[y:y + height, x:x + width])


@TRANSFORMS.register_module()
class CropAroundObject(BaseTransform):
    """Cut a window about an object of the first frame out of every frame, and resize it.

    The window has the proportions of `size`, is `scale` times as large and lies inside the frame;
    its centre is the box of one object, drawn at random, shifted by up to `jitter`. Frames smaller
    than the window are enlarged by it. Without an object it is `RandomCropClip`'s.

    Args:
        size: (H, W) of the result.
        scale: Smallest and largest factor.
        jitter: Largest shift of the centre in pixels, either way.
    """

    example = dict(size=(16, 24))

    def __init__(self, size: tuple[int, int], *, scale: tuple[float, float] = (0.8, 1.1),
                 jitter: int = 20) -> None:
        self.size = tuple(size)
        self.scale = tuple(scale)
        self.jitter = jitter

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        rng, shape = results['rng'], np.array(results['frames'][0].shape[:2])
        window = np.array(self.size) * rng.uniform(*self.scale)
        window = np.maximum(1, np.rint(window * min(1, *(shape / window)))).astype(int)
        y, x = self._corner(results, shape - window, window)
        cut = each(results, lambda image: image[y:y + window[0], x:x + window[1]])
        return _resized(cut, self.size)

    def _corner(self, results: dict, room: np.ndarray, window: np.ndarray) -> np.ndarray:
        """(y, x) of the window, from 0 to `room`."""
        rng, mask = results['rng'], results['masks'][0] if 'masks' in results else None
        if mask is None or not mask.any():
            return rng.integers(room + 1)
        rows, columns = np.nonzero(mask == rng.choice(np.unique(mask[mask > 0])))
        centre = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
        centre += rng.integers(-self.jitter, self.jitter + 1, 2)
        return np.clip(np.rint(centre - window / 2).astype(int), 0, room)


@TRANSFORMS.register_module()
class RandomFlipClip(BaseTransform):
    """Mirror all frames of a clip left to right.

    Args:
        prob: Probability.
    """

    example = dict(prob=0.5)

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        if results['rng'].random() < self.prob:
            return each(results, lambda image: image[:, ::-1])
        return results


@TRANSFORMS.register_module()
class ChooseObjects(BaseTransform):
    """Keep some of the objects that the clip's first frame shows, numbered 1, 2, ... anew.

    Others, and what only appears later, become background.

    Args:
        most: How many at most.
        area: Least number of pixels on the first frame.
        more_every: A curriculum: `first` objects at most at first, one more after so many epochs
            of the dataset, up to `most`. None has none.
        first: See `more_every`; RSIS begins with two.

    Raises:
        ValueError: A number below 1.
    """

    example = dict(most=2)

    def __init__(self, most: int = 3, area: int = 100, *, more_every: int | None = None,
                 first: int = 2) -> None:
        if min(most, first, 1 if more_every is None else more_every) < 1:
            raise ValueError('expected most, first and more_every >= 1 (more_every=None for no '
                             f'curriculum), got {most}, {first} and {more_every}')
        self.most = most
        self.area = area
        self.more_every = more_every
        self.first = first

    def limit(self, epoch: int) -> int:
        """How many objects at most in an epoch of the dataset."""
        if self.more_every is None:
            return self.most
        return min(self.most, self.first + epoch // self.more_every)

    def transform(self, results: dict) -> dict:
        """Change `masks`, if there are any."""
        if 'masks' not in results:
            return results
        ids, areas = np.unique(results['masks'][0], return_counts=True)
        seen = ids[(areas >= self.area) & (ids > 0)]
        # the sampler says which epoch: loaders draw ahead of training, and again after a resume
        kept = results['rng'].permutation(seen)[:self.limit(results.get('epoch', 0))]
        table = np.zeros(256, np.uint8)
        table[kept] = np.arange(1, len(kept) + 1)
        return {**results, 'masks': [table[mask] for mask in results['masks']]}


@TRANSFORMS.register_module()
class PackClip(BaseTransform):
    """Make `inputs` (T,3,H,W) uint8 RGB and a data sample; the last transform.

    Masks become the sample's `gt_masks` (T,H,W) uint8.
    """

    example: dict = {}

    def transform(self, results: dict) -> dict:
        """dict(inputs=Tensor, data_samples=VOSDataSample)."""
        clip = np.ascontiguousarray(np.stack(results['frames']).transpose(0, 3, 1, 2))
        sample = VOSDataSample(metainfo=dict(video_name=results['video_name']))
        if 'masks' in results:
            sample.gt_masks = torch.from_numpy(np.stack(results['masks']))
        return dict(inputs=torch.from_numpy(clip), data_samples=sample)


def each(results: dict, change: Callable[[np.ndarray], np.ndarray]) -> dict:
    """Return a copy of the results with every frame (H,W,3) and mask (H,W) changed alike."""
    return results | {key: [change(image) for image in results[key]]
                      for key in ('frames', 'masks') if key in results}


def _resized(results: dict, size: tuple[int, int]) -> dict:
    """Return a copy of the results at another (H, W): frames bilinear, masks by the nearest."""
    how = {2: cv2.INTER_NEAREST_EXACT, 3: cv2.INTER_LINEAR}
    return each(results, lambda image: cv2.resize(image, size[::-1],
                                                   interpolation=how[image.ndim]))
