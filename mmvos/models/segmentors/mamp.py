"""MAMP: self-supervised video object segmentation by motion-aware mask propagation.

Miao, Bennamoun, Gao, Mian, arXiv 2107.12569. Equations 1-4 (training), sections "Motion-aware
Spatio-temporal Matching" and "Size-aware Image Feature Alignment" (inference).

Where the paper and the released code differ, this follows the code: a 3x3 projection to 64
channels (so sqrt(c) = 8), one dropped channel per batch and a factor 3/2 on the others, only the
dropped channel reconstructed, smooth-L1 on values times 20, zero logits outside the map, integer
flow, hard label memory.
"""
from __future__ import annotations

import torch
from torch import Tensor

from ...registry import MODELS
from ...structures import Frame
from ..memory_managers import FrameMemory
from .label_propagation import LabelPropagation


@MODELS.register_module()
class MAMP(LabelPropagation):
    """Label propagation from references that optical flow has warped to the query.

    The call graph::

        loss     > LabelPropagation: a dropped channel of Lab, pairs of frames
        segment  > features > match (offset > warp > 36 best candidates) > upsample
        memorize > features, labels at kernel centres, motion code -> bank 'frames'

    Args:
        backbone: See `LabelPropagation`.
        matching_head: See `LabelPropagation`; `LocalMatching` warps.
        motion_estimator: Config or module; its stride is the backbone's.
        **kwargs: Of `LabelPropagation`.
    """

    example = {**LabelPropagation.example, 'motion_estimator': dict(type='DISFlow')}

    def __init__(self, backbone: dict | torch.nn.Module, matching_head: dict | torch.nn.Module, *,
                 motion_estimator: dict | torch.nn.Module, **kwargs) -> None:
        super().__init__(backbone, matching_head, **kwargs)
        self.motion_estimator = MODELS.build(motion_estimator)
        self.motion_estimator.require_stride(self.stride)

    def adopted(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """All weights, those of the motion estimator, too."""
        return weights

    def offset(self, frame: Frame, bank: FrameMemory) -> Tensor:
        """(B,T,2,h,w) integer offsets in cells, clamped to the size of the map."""
        codes = bank.read('motion', frame.index)
        offset = self.motion_estimator(self.view(frame), codes, bank.gaps(frame.index))
        height, width = offset.shape[-2:]
        limit = offset.new_tensor((width, height))[:, None, None]
        return offset.clamp(-limit, limit).round()

    def motion_codes(self, frame: Frame) -> dict[str, Tensor]:
        """What the motion estimator remembers of a frame."""
        return dict(motion=self.motion_estimator.code(self.view(frame)))


@MODELS.register_module()
class SoftMAMP(MAMP):
    """MAMP that remembers probabilities, as CRW does (Jabri, Owens, Efros, NeurIPS 2020).

    A cell that two objects share is not decided anew in each frame, so borders keep their place.
    Frames whose masks are given are remembered hard, as their masks are.
    """

    def labels(self, probs: Tensor) -> Tensor:
        """Probabilities of the objects (B,K,h,w)."""
        return probs[:, 1:]
