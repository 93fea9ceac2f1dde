"""Masks carried along by motion alone: the baselines of any matching method."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ops import hard_labels, warp
from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState
from .base import VideoSegmentor


@MODELS.register_module()
class FlowPropagation(VideoSegmentor):
    """Warps the newest remembered masks to the current frame.

    With `FrameBank(recent=1)` and a flow, masks travel from frame to frame; with
    `FrameBank(anchors=(0,), recent=0)` and `ZeroFlow`, the first mask is copied ("identity").

    Args:
        memory: Config of a `FrameMemory`.
        motion_estimator: Config or module, with stride 1.
        **kwargs: See `VideoSegmentor`.
    """

    example = dict(memory=dict(type='FrameBank'), motion_estimator=dict(type='ZeroFlow', stride=1))

    def __init__(self, memory: dict, motion_estimator: dict | torch.nn.Module, **kwargs) -> None:
        super().__init__(**kwargs)
        self.memory = memory
        self.motion_estimator = MODELS.build(motion_estimator)
        self.motion_estimator.require_stride(1)

    def init_state(self, video: VideoSource | None) -> VideoState:
        """An empty bank."""
        return VideoState(banks=dict(frames=MODELS.build(self.memory)))

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log of the warped probabilities (B,K+1,H,W)."""
        bank, now = state.banks['frames'], frame.index
        code = bank.read('motion', now)[:, :, -1:]
        offset = self.motion_estimator(frame, code, bank.gaps(now)[-1:])[:, 0]
        masks = warp(bank.read('mask', now)[:, :, 0, -1], offset).clamp(0, 1)
        background = (1 - masks.sum(1, keepdim=True)).clamp_min(0)
        return torch.cat([background + 1e-8, masks], 1).clamp_min(1e-8).log()

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Store the hard masks and the motion code."""
        labels = hard_labels(probs)[:, 0].long()
        masks = F.one_hot(labels, probs.shape[1]).movedim(-1, 1)[:, 1:, None]
        state.banks['frames'].add(
            frame.index, shared=dict(motion=self.motion_estimator.code(frame)),
            objects=dict(mask=masks.to(probs.dtype)), permanent=frame.introduced)
