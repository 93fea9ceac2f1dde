"""No motion: the ablation."""
from __future__ import annotations

from torch import Tensor

from ...registry import MODELS
from ...structures import Frame
from .base import MotionEstimator


@MODELS.register_module()
class ZeroFlow(MotionEstimator):
    """Every cell was where it is."""

    example = dict(stride=4)

    def encode(self, frame: Frame) -> Tensor:
        """Nothing to store: (B,0,1,1)."""
        return frame.image.new_zeros(frame.image.shape[0], 0, 1, 1)

    def forward(self, frame: Frame, ref_codes: Tensor, gaps: list[int],
                start: Tensor | None = None) -> Tensor:
        """(B,T,2,h,w) zeros."""
        return frame.image.new_zeros(frame.image.shape[0], len(gaps), 2, *self.grid_size(frame))
