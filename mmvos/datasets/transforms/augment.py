"""Augmentation of clips: colours and shapes, shared by all frames or drawn for each.

Every transform gives all frames of a clip the same draw; inside `PerFrame` each frame gets its own.
"""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from scipy.interpolate import RBFInterpolator

from ...registry import TRANSFORMS
from .clip import each

FILL = (124, 116, 104)  # ImageNet's mean colour: what comes in from outside a frame


@TRANSFORMS.register_module()
class PerFrame(BaseTransform):
    """Apply transforms to every frame with draws of its own: neighbours move and change colour.

    One number is drawn from the clip's generator, so what is shared by the clip does not depend on
    how many frames it has or on what is drawn for them.

    Args:
        transforms: Configs of transforms that keep the size.
    """

    example = dict(transforms=[dict(type='ColorJitter', brightness=.5)])
    per_frame = True

    def __init__(self, transforms: Sequence[dict]) -> None:
        self.transforms = Compose([TRANSFORMS.build(step) for step in transforms])

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        seed = int(results['rng'].integers(2**32))
        keys = [key for key in ('frames', 'masks') if key in results]
        parts = [self.transforms({**results, 'rng': np.random.default_rng((seed, t)),
                                  **{key: [results[key][t]] for key in keys}})
                 for t in range(len(results['frames']))]
        return results | {key: [part[key][0] for part in parts] for key in keys}


@TRANSFORMS.register_module()
class RandomAffine(BaseTransform):
    """Rotate, shear, scale and shift about the centre; the outside is grey and background.

    Args:
        prob: Probability.
        rotate: Largest angle in degrees, either way.
        shear: Largest angle in degrees along x, either way.
        translate: Largest shift as a share of height and width, either way.
        scale: Smallest and largest factor.
    """

    example = dict(prob=1.)

    def __init__(self, prob: float = 0.5, *, rotate: float = 30., shear: float = 15.,
                 translate: float = 0.05, scale: tuple[float, float] = (0.8, 1.2)) -> None:
        self.prob = prob
        self.rotate = rotate
        self.shear = shear
        self.translate = translate
        self.scale = tuple(scale)

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        rng = results['rng']
        if rng.random() >= self.prob:
            return results
        shape = np.array(results['frames'][0].shape[:2])
        angle, lean = np.deg2rad(rng.uniform(-1, 1, 2) * (self.rotate, self.shear))
        linear = rng.uniform(*self.scale) * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        ) @ np.array([[1, np.tan(lean)], [0, 1]])
        centre = (shape[::-1] - 1) / 2
        shift = rng.uniform(-1, 1, 2) * self.translate * shape[::-1]
        matrix = np.concatenate([linear, (centre + shift - linear @ centre)[:, None]], 1)
        return each(results, lambda image: cv2.warpAffine(
            image, matrix, shape[::-1].tolist(), flags=_interpolation(image), **_outside(image)))


@TRANSFORMS.register_module()
class RandomHomography(BaseTransform):
    """Move the corners of the picture apart from each other; the outside is grey and background.

    Args:
        prob: Probability.
        shift: Largest shift of a corner as a share of height and width, either way; below a
            quarter, where the corners could form no convex shape any more and the picture fold.
    """

    example = dict(prob=1.)

    def __init__(self, prob: float = 1., *, shift: float = 0.1) -> None:
        if not (0 <= prob <= 1 and 0 <= shift < 0.25):
            raise ValueError('RandomHomography: expected 0 <= prob <= 1 and 0 <= shift < 0.25, got '
                             f'{prob} and {shift}')
        self.prob = prob
        self.shift = shift

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        rng = results['rng']
        if rng.random() >= self.prob:
            return results
        height, width = results['frames'][0].shape[:2]
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
        moved = corners + rng.uniform(-1, 1, (4, 2)) * self.shift * (width, height)
        matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
        return each(results, lambda image: cv2.warpPerspective(
            image, matrix, (width, height), flags=_interpolation(image), **_outside(image)))


@TRANSFORMS.register_module()
class RandomThinPlate(BaseTransform):
    """Bend by a thin-plate spline through shifted points of a grid; the outside is background.

    Args:
        prob: Probability.
        points: Points of the grid along each side.
        shift: Standard deviation of a point's shift as a share of height and width.
    """

    example = dict(prob=1.)

    def __init__(self, prob: float = 0.5, *, points: int = 4, shift: float = 0.02) -> None:
        if points < 2:
            raise ValueError(f'RandomThinPlate: expected 2 points or more a side, got {points}')
        self.prob = prob
        self.points = points
        self.shift = shift

    def transform(self, results: dict) -> dict:
        """Change `frames` and `masks`."""
        rng = results['rng']
        if rng.random() >= self.prob:
            return results
        height, width = results['frames'][0].shape[:2]
        knots = _grid(self.points)
        spline = RBFInterpolator(knots, rng.normal(0, self.shift, knots.shape),
                                 kernel='thin_plate_spline')
        # smooth, so a coarse lattice of it is enough; resize samples at the centres of its cells
        cells = 32
        shifts = spline((np.stack(np.mgrid[:cells, :cells], -1).reshape(-1, 2) + .5) / cells)
        shifts = cv2.resize(shifts.reshape(cells, cells, 2), (width, height))
        y, x = np.mgrid[:height, :width]
        where = ((x + shifts[..., 1] * width).astype(np.float32),
                 (y + shifts[..., 0] * height).astype(np.float32))
        return each(results, lambda image: cv2.remap(
            image, *where, _interpolation(image), **_outside(image)))


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue; masks stay.

    Args:
        brightness: Factors are drawn from 1 - b to 1 + b.
        contrast: The same, about the mean grey.
        saturation: The same, about each pixel's grey.
        hue: Largest turn of the colour circle, either way; 0.5 is half of it.
        prob: Probability.
    """

    example = dict(brightness=.5)

    def __init__(self, brightness: float = 0.1, *, contrast: float = 0.1, saturation: float = 0.1,
                 hue: float = 0.02, prob: float = 1.) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'ColorJitter: expected 0 <= prob <= 1, got {prob}')
        self.ranges = (brightness, contrast, saturation, hue)
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change `frames`."""
        # a jitter that is always on draws nothing for it: old seeds mean what they meant
        if self.prob < 1 and results['rng'].random() >= self.prob:
            return results
        brightness, contrast, saturation, hue = (
            results['rng'].uniform(-1, 1, 4) * self.ranges + (1, 1, 1, 0)).astype(np.float32)

        def change(image: np.ndarray) -> np.ndarray:
            hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
            hsv[..., 0] = (hsv[..., 0] + 360 * hue) % 360
            rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * brightness
            grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
            rgb = (rgb - grey.mean()) * contrast + grey.mean()
            grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
            return np.rint((grey + (rgb - grey) * saturation).clip(0, 1) * 255).astype(np.uint8)

        return {**results, 'frames': [change(image) for image in results['frames']]}


@TRANSFORMS.register_module()
class RandomGray(BaseTransform):
    """Take the colours away; masks stay.

    Args:
        prob: Probability.
    """

    example = dict(prob=1.)

    def __init__(self, prob: float = 0.05) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change `frames`."""
        if results['rng'].random() >= self.prob:
            return results
        return {**results, 'frames': [
            cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            for image in results['frames']]}


def _grid(points: int) -> np.ndarray:
    """(points^2, 2) positions (y, x) from 0 to 1."""
    axis = np.linspace(0, 1, points)
    return np.stack(np.meshgrid(axis, axis, indexing='ij'), -1).reshape(-1, 2)


def _interpolation(image: np.ndarray) -> int:
    return cv2.INTER_LINEAR if image.ndim == 3 else cv2.INTER_NEAREST


def _outside(image: np.ndarray) -> dict:
    """Frames become grey there, masks background."""
    return dict(borderMode=cv2.BORDER_CONSTANT, borderValue=FILL if image.ndim == 3 else 0)
