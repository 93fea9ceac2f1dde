"""What any method without masks has to beat: nothing, the centre, and what moves."""
from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from ...registry import MODELS
from ...structures import Frame, VideoState
from .base import VideoSegmentor, against_background

SURE = 10.  # log odds of what a baseline says


class ZeroShotBaseline(VideoSegmentor):
    """Says what is object and what is not, and nothing between."""

    needs_mask = False

    @staticmethod
    def logits(inside: Tensor) -> Tensor:
        """(B,2,H,W) of (B,H,W) bool."""
        return against_background(torch.where(inside, SURE, -SURE).to(torch.float32)[:, None])


@MODELS.register_module()
class CentrePrior(ZeroShotBaseline):
    """An ellipse about the centre of every frame; of no size, everything is background.

    Args:
        size: Its axes as shares of height and width.
        **kwargs: See `VideoSegmentor`.
    """

    example = dict(size=(.5, .5))

    def __init__(self, size: tuple[float, float] = (.5, .5), **kwargs) -> None:
        super().__init__(**kwargs)
        if len(size) != 2 or not all(0 <= share <= 1 for share in size):
            raise ValueError(f'CentrePrior: expected two shares from 0 to 1, got {tuple(size)}')
        self.size = tuple(size)

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """The same logits (B,2,H,W) for every frame."""
        batch, _, height, width = frame.image.shape
        y, x = ((2 * torch.arange(n, device=frame.image.device) + 1) / n - 1
                for n in (height, width))
        axes = [max(share, 1e-9) for share in self.size]
        inside = (y[:, None] / axes[0])**2 + (x / axes[1])**2 < 1
        if not all(self.size):
            inside = torch.zeros_like(inside)
        return self.logits(inside.expand(batch, -1, -1))

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Nothing."""


@MODELS.register_module()
class LargestMovingRegion(ZeroShotBaseline):
    """The largest connected region that moves against the frame's median motion.

    Motion is that since the frame before; what is faster than `threshold` pixels a frame moves. On
    the first frame nothing is known to move.

    Args:
        motion_estimator: Config or module, of stride 1.
        threshold: Pixels a frame.
        **kwargs: See `VideoSegmentor`.
    """

    example = dict(motion_estimator=dict(type='DISFlow', stride=1, scale=1))

    def __init__(self, motion_estimator: dict | nn.Module, threshold: float = 1.,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.motion_estimator = MODELS.build(motion_estimator)
        self.motion_estimator.require_stride(1)
        self.threshold = threshold

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Logits (B,2,H,W)."""
        if 'motion' not in state.shared:
            return self.logits(torch.zeros_like(frame.image[:, 0], dtype=torch.bool))
        flow = self.motion_estimator(frame, state.shared['motion'][:, :, None], [1])[:, 0]
        relative = flow - flow.flatten(2).median(2).values[..., None, None]
        moving = (relative.norm(dim=1) > self.threshold).cpu().numpy()
        inside = np.stack([largest_region(one) for one in moving])
        return self.logits(torch.from_numpy(inside).to(frame.image.device))

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """What motion is estimated from."""
        state.shared['motion'] = self.motion_estimator.code(frame)


def largest_region(inside: np.ndarray) -> np.ndarray:
    """The largest connected region (4 neighbours) of (H,W) bool; of several, the first."""
    regions, count = ndimage.label(inside)
    if not count:
        return inside
    return regions == 1 + np.bincount(regions.ravel())[1:].argmax()
