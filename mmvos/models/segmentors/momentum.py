"""Zhu et al.: correspondence with a momentum memory.

Zhu, Zhang, Fu, Guo, Xie, "Self-supervised video object segmentation", arXiv 2006.12480. Equations
1-4 (first stage, pairs: `LabelPropagation`), equations 5-8 (second stage and inference: here),
equation 9 (a second pass over the video: `OnlineAdaptation`, a refiner).

The paper says neither how the reference encoder begins (here as a copy of the query encoder), nor
when it moves (here before every forward pass), nor whose running statistics it has (here the query
encoder's; in training both use those of the batch), nor how products are scaled (here by
1/sqrt(C), as MAMP's, without which training fails on PyTorch of today).
"""
from __future__ import annotations

import torch
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn

from ...registry import MODELS
from ...structures import Frame
from .label_propagation import LabelPropagation

REFERENCE = 'reference_encoder'


@MODELS.register_module()
class MomentumPropagation(LabelPropagation):
    """Label propagation whose references are encoded by a moving average of the query's encoder.

    No gradient flows through references, so that more of them fit into memory. The call graph::

        loss     > encode_clip: reference_encoder (eq. 8), backbone > reconstruct (eq. 6)
        segment  > features > match: one softmax over all references (eqs. 6-7) > upsample
        memorize > keys by reference_encoder (eq. 5), labels at kernel centres -> bank 'frames'

    Weights of a first stage, with one encoder, serve as both.

    Args:
        backbone: See `LabelPropagation`.
        matching_head: See `LabelPropagation`.
        momentum: m of equation 8, below 1. The average moves once in every call of `loss`.
        **kwargs: Of `LabelPropagation`.
    """

    example = {**LabelPropagation.example, 'momentum': 0.99}

    def __init__(self, backbone: dict | nn.Module, matching_head: dict | nn.Module, *,
                 momentum: float = 0.999, **kwargs) -> None:
        super().__init__(backbone, matching_head, **kwargs)
        if not 0 < momentum < 1:
            raise ValueError(f'momentum should lie between 0 and 1, got {momentum}')
        # its first update copies, so it begins as the query encoder whatever that was loaded from
        self.reference_encoder = ExponentialMovingAverage(self.backbone, momentum=1 - momentum)
        self.reference_encoder.requires_grad_(False)

    def encode_clip(self, clip: Tensor) -> list[Tensor]:
        """References by the moving average, without gradient, and the query."""
        *references, query = clip.unbind(1)
        with torch.no_grad():
            self.reference_encoder.update_parameters(self.backbone)
            keys = [self.reference_encoder(frame)[-1] for frame in references]
        features = self.backbone(query)[-1]
        # each reference moved the average's running statistics, far more than its weights move
        for mine, its in zip(self.reference_encoder.module.buffers(), self.backbone.buffers(),
                             strict=True):
            mine.copy_(its)
        return [*keys, features]

    def keys(self, frame: Frame) -> Tensor:
        """(B,C,h,w) of the frame as a reference, computed once per frame."""
        return frame.cached('keys', lambda: self.reference_encoder(
            self.encoder_input(self.view(frame).image))[-1])

    def adopted(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a first stage, those of its encoder twice; others as they are."""
        weights = super().adopted(weights)
        if any(key.startswith(f'{REFERENCE}.') for key in weights):
            return weights
        both = {f'{REFERENCE}.module.{key.removeprefix("backbone.")}': value
                for key, value in weights.items() if key.startswith('backbone.')}
        return {**weights, **both, f'{REFERENCE}.steps': self.reference_encoder.steps}
