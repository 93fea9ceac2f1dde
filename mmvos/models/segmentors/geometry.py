"""Padding and decimation that a network asks for."""
from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """Pad to the right and below until both sides are multiples of `divisor`.

    Args:
        divisor: 1 pads nothing.
        value: Grey level in [0,1] of the padding of images; masks are padded with background.
        decimate: Networks see every n-th pixel of the padded frame; 2 is MAMP's "half resolution"
            on YouTube-VOS. Masks keep the size of the padded frame.
    """

    divisor: int = 1
    value: float = 0.
    decimate: int = 1

    def pad(self, x: Tensor, value: float = 0.) -> Tensor:
        """Pad (..., H, W) to multiples of the divisor."""
        below, right = -x.shape[-2] % self.divisor, -x.shape[-1] % self.divisor
        return F.pad(x, (0, right, 0, below), value=value) if below or right else x

    def pad_image(self, image: Tensor) -> Tensor:
        """Pad an image (..., 3, H, W) with the grey level."""
        return self.pad(image, self.value)

    @staticmethod
    def crop(x: Tensor, size: tuple[int, int]) -> Tensor:
        """Undo `pad`."""
        return x[..., :size[0], :size[1]]
