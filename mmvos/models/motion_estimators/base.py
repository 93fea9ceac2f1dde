"""Where a query cell was in an earlier frame."""
from __future__ import annotations

from abc import abstractmethod

from mmengine.model import BaseModule
from torch import Tensor

from ...structures import Frame


class MotionEstimator(BaseModule):
    """Offsets from the query frame to remembered frames.

    Args:
        stride: Pixels per feature cell; the grid is h = ceil(H / stride), w = ceil(W / stride).
        init_cfg: See mmengine's BaseModule.
    """

    def __init__(self, stride: int = 4, *, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.stride = stride

    def require_stride(self, stride: int) -> None:
        """Raise ValueError unless offsets are those of a grid of this stride."""
        if self.stride != stride:
            raise ValueError(f'expected motion_estimator=dict(stride={stride}, ...), the grid that '
                             f'it moves, got stride={self.stride}')

    def grid_size(self, frame: Frame) -> tuple[int, int]:
        """(h, w) of the offsets for this frame."""
        height, width = frame.image.shape[-2:]
        return -(-height // self.stride), -(-width // self.stride)

    @abstractmethod
    def encode(self, frame: Frame) -> Tensor:
        """What is stored of a frame to estimate motion towards it later: (B,Cm,hm,wm)."""

    @abstractmethod
    def forward(self, frame: Frame, ref_codes: Tensor, gaps: list[int],
                start: Tensor | None = None) -> Tensor:
        """Estimate motion from the frame to each reference.

        Args:
            frame: The query.
            ref_codes: (B,Cm,T,hm,wm), what `encode` gave for the references.
            gaps: T distances in frames, query index minus reference index.
            start: What to begin the search with, as the result; None: no motion.

        Returns:
            (B,T,2,h,w) float32 in feature cells, xy, p_ref = p_query + offset, not rounded.
        """

    def code(self, frame: Frame) -> Tensor:
        """`encode(frame)`, computed once per frame."""
        return frame.cached('motion_code', lambda: self.encode(frame))
