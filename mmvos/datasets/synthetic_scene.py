"""Moving cut-outs of photographs: the geometry and the pixels of synthetic video."""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from ..io import read_image

#: Colour photographs inside scikit-image's wheel (its others would have to be downloaded) with
#: their (height, width): a scene is laid out without decoding them.
PHOTOGRAPHS = (('astronaut.png', (512, 512)), ('chelsea.png', (300, 451)),
               ('coffee.png', (400, 600)), ('rocket.jpg', (427, 640)),
               ('motorcycle_left.png', (500, 741)), ('hubble_deep_field.jpg', (872, 1000)))
_STEP = 32  # px: photographs are cached at multiples of this size only, so a few serve all videos
_TRIES = 40  # draws of an object's path, of which the first with enough room is taken


def photograph_size(index: int, short_side: int) -> tuple[int, int]:
    """(h, w) in pixels of a photograph with this shorter side."""
    height, width = PHOTOGRAPHS[index][1]
    scale = short_side / min(height, width)
    return round(height * scale), round(width * scale)


@lru_cache(maxsize=48)
def photograph(index: int, short_side: int) -> np.ndarray:
    """(h,w,3) RGB uint8, read-only, a photograph with this shorter side in pixels.

    It is smoothed a little (sigma 0.6 px), so that sampling between its pixels is benign.

    Args:
        index: Position in `PHOTOGRAPHS`.
        short_side: Length of the shorter side.
    """
    spec = find_spec('skimage')
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError('SyntheticVOS takes its photographs from scikit-image, which is '
                                  'not installed; pip install scikit-image')
    image = read_image(Path(spec.origin).parent / 'data' / PHOTOGRAPHS[index][0])
    height, width = photograph_size(index, short_side)
    shrinks = short_side < min(image.shape[:2])
    shrunk = cv2.resize(image, (width, height),
                        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(shrunk, (0, 0), .6)
    smooth.setflags(write=False)
    return smooth


@dataclass(frozen=True)
class Wave:
    """mean + amplitude * sin(2 pi time / period + phase); time and period in frames."""

    mean: float
    amplitude: float
    period: float
    phase: float

    def at(self, time: float) -> float:
        """Value at a time."""
        return self.mean + self.amplitude * float(np.sin(2 * np.pi * time / self.period +
                                                         self.phase))


@dataclass(frozen=True)
class Motion:
    """A smooth similarity transform that changes with time: it never leaves its bounds.

    Args:
        x: Horizontal position of the layer's centre in the frame, px.
        y: Vertical position, px.
        angle: Rotation, radians.
        log_scale: Natural logarithm of the scale.
    """

    x: Wave
    y: Wave
    angle: Wave
    log_scale: Wave

    def centre(self, time: float) -> np.ndarray:
        """(2,) float64 xy, px."""
        return np.array([self.x.at(time), self.y.at(time)])

    def scale(self, time: float) -> float:
        """Frame pixels per layer pixel."""
        return float(np.exp(self.log_scale.at(time)))

    def to_layer(self, time: float) -> np.ndarray:
        """(2,3) float64: takes (x, y, 1) in the frame to xy around the layer's centre."""
        angle, scale = self.angle.at(time), self.scale(time)
        linear = np.array([[np.cos(angle), np.sin(angle)],
                           [-np.sin(angle), np.cos(angle)]]) / scale
        return np.hstack([linear, -linear @ self.centre(time)[:, None]])


@dataclass(frozen=True)
class Blob:
    """A smooth closed outline r(a) = radius * (1 + sum_n Re(c_n exp(i n a))), n = 2, 3, ...

    Args:
        radius: Mean radius, px of the layer.
        harmonics: c_2, c_3, ...
    """

    radius: float
    harmonics: tuple[complex, ...]

    @property
    def reach(self) -> float:
        """No point of the outline is farther from the centre, px of the layer."""
        return self.radius * (1 + sum(abs(c) for c in self.harmonics))

    def depth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """How far a point lies inside of the outline along its ray, px of the layer."""
        point = x + 1j * y
        distance = np.abs(point)
        unit = point / np.maximum(distance, 1e-9)
        wobble = np.zeros_like(unit)
        for harmonic in reversed(self.harmonics):
            wobble = (wobble + harmonic) * unit
        return self.radius * (1 + (wobble * unit).real) - distance


@dataclass(frozen=True)
class Layer:
    """A photograph that moves, whole (the background) or cut out along a blob.

    Args:
        photo: Index of the photograph.
        short_side: Its shorter side, px.
        centre: The point of it that `motion` moves, px.
        motion: Where that point is in the frame.
        blob: Outline, or None for the background.
        start: First frame on which the layer exists.
    """

    photo: int
    short_side: int
    centre: tuple[float, float]
    motion: Motion
    blob: Blob | None = None
    start: int = 0

    def box(self, time: int, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of a frame of `size` (H, W) that hold all of the layer."""
        if self.blob is None:
            return slice(0, size[0]), slice(0, size[1])
        reach = self.blob.reach * self.motion.scale(time) + 1
        x, y = self.motion.centre(time)
        return _clip(y - reach, y + reach, size[0]), _clip(x - reach, x + reach, size[1])

    def cover(self, time: int, box: tuple[slice, slice]) -> np.ndarray:
        """(h,w) float32 in a box: >= 0.5 where a pixel's centre is inside, else below.

        The ramp at the outline is one pixel wide.
        """
        assert self.blob is not None, 'the background covers everything'
        matrix = self.motion.to_layer(time)
        rows = np.arange(box[0].start, box[0].stop)[:, None]
        columns = np.arange(box[1].start, box[1].stop)[None]
        x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
        y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
        depth = self.blob.depth(x, y) * self.motion.scale(time)
        return np.clip(depth + .5, 0, 1).astype(np.float32)

    def pixels(self, time: int, box: tuple[slice, slice]) -> np.ndarray:
        """(h,w,3) RGB uint8: the photograph as it shows in a box of the frame."""
        matrix = self.motion.to_layer(time)
        matrix[:, 2] += matrix[:, :2] @ (box[1].start, box[0].start) + self.centre
        size = (box[1].stop - box[1].start, box[0].stop - box[0].start)
        return cv2.warpAffine(photograph(self.photo, self.short_side), matrix, size,
                              flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                              borderMode=cv2.BORDER_REFLECT_101)

    def carry(self, time: int, other: int) -> np.ndarray:
        """(2,3) float64: takes (x, y, 1) on the frame at `time` to the same point at `other`."""
        here, there = (np.vstack([self.motion.to_layer(t), (0, 0, 1)]) for t in (time, other))
        return (np.linalg.inv(there) @ here)[:2]


def _clip(low: float, high: float, size: int) -> slice:
    start = min(max(int(np.floor(low)), 0), size)
    return slice(start, min(max(int(np.ceil(high)) + 1, start), size))


def draw_scene(rng: np.random.Generator, size: tuple[int, int],
               starts: tuple[int, ...]) -> list[Layer]:
    """A background and one object per entry of `starts`, each over the ones before it.

    Only uniform draws and permutations are used: the same generator gives the same scene anywhere.

    Args:
        rng: Source of every draw.
        size: (H, W) of the frames, px.
        starts: First frame of each object.
    """
    photos = rng.permutation(len(PHOTOGRAPHS))
    layers = [_draw_background(rng, size, int(photos[0]))]
    for number, start in enumerate(starts):
        # the background's photograph is not used again before every other one
        photo = int(photos[1 + number % (len(photos) - 1)])
        layers.append(_draw_object(rng, size, photo, start, layers[1:]))
    return layers


def _wave(rng: np.random.Generator, mean: float, amplitude: float,
          periods: tuple[float, float]) -> Wave:
    return Wave(mean, amplitude, rng.uniform(*periods), rng.uniform(0, 2 * np.pi))


def _draw_background(rng: np.random.Generator, size: tuple[int, int], photo: int) -> Layer:
    """A slow camera; the photograph is large enough that its borders stay out of sight."""
    height, width = size
    motion = Motion(x=_wave(rng, (width - 1) / 2, .06 * width, (60, 120)),
                    y=_wave(rng, (height - 1) / 2, .06 * height, (60, 120)),
                    angle=_wave(rng, 0, .05, (60, 120)),
                    log_scale=_wave(rng, 0, .05, (60, 120)))
    # all photographs are at least as wide as high
    rows, columns = photograph_size(photo, 1000)
    short_side = _round_up(1.4 * max(height, width * rows / columns))
    rows, columns = photograph_size(photo, short_side)
    return Layer(photo, short_side, ((columns - 1) / 2, (rows - 1) / 2), motion)


def _draw_object(rng: np.random.Generator, size: tuple[int, int], photo: int, start: int,
                 others: list[Layer]) -> Layer:
    height, width = size
    blob = Blob(rng.uniform(.12, .25) * min(size),
                tuple(complex(np.exp(2j * np.pi * rng.uniform()) * rng.uniform(0, most))
                      for most in (.3, .15, .1, .05)))
    short_side = _round_up(blob.reach * rng.uniform(2.1, 3.))
    rows, columns = photograph_size(photo, short_side)
    centre = (rng.uniform(blob.reach, columns - blob.reach),
              rng.uniform(blob.reach, rows - blob.reach))
    candidates = [Motion(
        x=_wave(rng, rng.uniform(.25, .75) * width, rng.uniform(.1, .3) * width, (70, 160)),
        y=_wave(rng, rng.uniform(.25, .75) * height, rng.uniform(.1, .3) * height, (70, 160)),
        angle=_wave(rng, 0, rng.uniform(.1, .6), (70, 160)),
        log_scale=_wave(rng, 0, rng.uniform(.05, .2), (70, 160))) for _ in range(_TRIES)]
    layers = [Layer(photo, short_side, centre, motion, blob, start) for motion in candidates]
    return max(layers, key=lambda layer: min(_room(layer, size, others), 0))


def _room(layer: Layer, size: tuple[int, int], others: list[Layer]) -> float:
    """How well a new object shows on its first frame, px; from 0 on there is nothing to wish for.

    It should lie inside of the frame and apart from the other objects, now or where these start.
    """
    x, y = layer.motion.centre(layer.start)
    radius = layer.blob.radius
    inside = min(x, y, size[1] - 1 - x, size[0] - 1 - y) - .8 * radius
    apart = [np.hypot(*(layer.motion.centre(time) - other.motion.centre(time))) -
             .9 * (radius + other.blob.radius)
             for other in others for time in {layer.start, other.start}]
    return min([inside, *apart])


def _round_up(pixels: float) -> int:
    return max(1, int(np.ceil(pixels / _STEP))) * _STEP
