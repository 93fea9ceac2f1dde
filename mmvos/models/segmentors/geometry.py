"""Sizes and padding that a network asks for."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """How a frame is brought to what a network takes, and masks back: padded, shrunk, stretched.

    Args:
        divisor: Sides are padded to multiples of it; 1 pads nothing.
        value: Grey level in [0,1] of the padding of images; masks are padded with background.
        decimate: Label propagation sees every n-th pixel of the padded frame; 2 is MAMP's "half
            resolution" on YouTube-VOS. Masks keep the size of the padded frame.
        sides: 'end' pads below and to the right; 'both' (STM) all round, an odd pixel below and to
            the right.
        mode: 'constant' pads images with `value`; 'reflect' (A-GAME) mirrors them at their rim,
            again and again where a side is shorter than its padding. Masks are not mirrored.
        short_side: Frames whose shorter side is longer are first shrunk to it, for a model that
            was trained on small frames; masks come back at native size.
        size: (H, W) to which every frame is stretched, for a model that knows no other size;
            masks come back at native size.
    """

    divisor: int = 1
    value: float = 0.
    decimate: int = 1
    sides: str = 'end'
    mode: str = 'constant'
    short_side: int | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if min(self.divisor, self.decimate) < 1:
            raise ValueError('divisor and decimate of geometry should be 1 or more, got '
                             f'{self.divisor} and {self.decimate}')
        if self.sides not in ('end', 'both'):
            raise ValueError(f"sides of geometry should be 'end' or 'both', got {self.sides!r}")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError('short_side of geometry should be 1 or more pixels, or None, got '
                             f'{self.short_side}')
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1
                                      or self.short_side is not None):
            raise ValueError('size of geometry should be (H, W) in pixels, without short_side, or '
                             f'None, got {self.size} beside short_side={self.short_side}')
        if self.mode not in ('constant', 'reflect'):
            raise ValueError("mode of geometry should be 'constant' or 'reflect', got "
                             f'{self.mode!r}')

    def to_network(self, image: np.ndarray, size: tuple[int, int],
                   device: torch.device) -> Tensor:
        """(1,3,H',W') in [0,1], padded, of (H,W,3) RGB uint8 that is brought to `size` before."""
        if image.shape[:2] != tuple(size):
            shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
            image = cv2.resize(image, size[::-1],
                               interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        tensor = torch.from_numpy(np.ascontiguousarray(image)).to(device)
        return self.pad_image(tensor.permute(2, 0, 1)[None].float() / 255)

    def pad(self, x: Tensor, value: float = 0.) -> Tensor:
        """Pad (..., H, W) to multiples of the divisor."""
        below, right = -x.shape[-2] % self.divisor, -x.shape[-1] % self.divisor
        if not (below or right):
            return x
        top, left = self._before(below), self._before(right)
        return F.pad(x, (left, right - left, top, below - top), value=value)

    def pad_image(self, image: Tensor) -> Tensor:
        """Pad an image (..., 3, H, W) with the grey level, or with its mirror image."""
        if self.mode == 'constant':
            return self.pad(image, self.value)
        rows, columns = (self._mirrored(side).to(image.device) for side in image.shape[-2:])
        return image[..., rows[:, None], columns]

    def _mirrored(self, side: int) -> Tensor:
        """Return the row that each row of the padded image shows; the rim is not repeated."""
        padding, period = -side % self.divisor, max(2 * side - 2, 1)
        before = self._before(padding)
        position = torch.arange(-before, side + padding - before) % period
        return torch.minimum(position, period - position)

    def crop(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Undo `pad`."""
        top, left = (self._before(padded - wanted) for padded, wanted in
                     zip(x.shape[-2:], size, strict=True))
        return x[..., top:top + size[0], left:left + size[1]]

    def _before(self, padding: int) -> int:
        return padding // 2 if self.sides == 'both' else 0
