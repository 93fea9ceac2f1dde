"""Masks carried along by matching, learnt from colours alone.

After Vondrick, Shrivastava, Fathi, Guadarrama, Murphy, "Tracking Emerges by Colorizing Videos",
ECCV 2018: a network that sees grey frames only learns to copy the colours of a reference frame to
the next one (equations 1-3); where the colours come from, masks come from too. Simplified: a small
2D network, one reference, and 16 fixed colour bins instead of k-means.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvos.models import VideoSegmentor
from mmvos.ops import rgb_to_lab
from mmvos.structures import Frame, VideoSource, VideoState, VOSDataSample

from .registry import MODELS

BINS = 4  # per colour axis
SPREAD = 0.25  # bin centres reach from -SPREAD to SPREAD, in units of `rgb_to_lab`


@MODELS.register_module()
class ColorPropagation(VideoSegmentor):
    """Copies labels from remembered frames to where the features look alike.

    The call graph::

        loss     > features (twice) > matching_head over colour bins > loss
        segment  > features > matching_head over label maps > upsample
        memorize > features, label map > bank 'frames'

    Args:
        backbone: Config or module: (B,3,H,W) -> tuple whose last is (B,C,h,w); has `stride`.
        matching_head: Config or module of a global matching head.
        memory: Config of a memory manager.
        loss: Config or module of the loss between (B,C,h,w) probabilities, or None.
        **kwargs: `geometry`, `data_preprocessor`, `init_cfg`; see `VideoSegmentor`.
    """

    example = dict(
        backbone=dict(type='mmvos_example.SmallConvNet', channels=8),
        matching_head=dict(type='mmvos_example.CosineMatching'),
        memory=dict(type='mmvos_example.DoublingBank'),
        loss=dict(type='mmvos_example.SoftCrossEntropy'),
        geometry=dict(divisor=4))

    def __init__(self, backbone: dict | nn.Module, matching_head: dict | nn.Module, *,
                 memory: dict, loss: dict | nn.Module | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.backbone = build(backbone)
        self.matching_head = build(matching_head)
        self.memory = memory
        self.loss_module = loss and build(loss)

    # ---- training: where does the colour of each cell come from?

    def loss(self, inputs: Tensor,
             data_samples: list[VOSDataSample] | None = None) -> dict[str, Tensor]:
        """Copy the colours of frame 0 of each clip to frame 1.

        Args:
            inputs: (B,2,3,H,W) RGB in [0,1].
            data_samples: Not used: no label is ever seen.
        """
        reference, query = inputs.unbind(1)
        keys = self.backbone(grey(reference))[-1]
        features = self.backbone(grey(query))[-1]
        size = features.shape[-2:]
        colors = color_bins(reference, size)
        pred, _ = self.matching_head(
            features.flatten(2), keys.flatten(2)[:, None], colors.flatten(2)[:, None])
        pred = pred[:, 0].unflatten(-1, size)
        return dict(loss=self.loss_module(pred, color_bins(query, size)))

    # ---- inference

    def init_state(self, video: VideoSource | None) -> VideoState:
        """An empty bank."""
        return VideoState(banks=dict(frames=MODELS.build(self.memory)))

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log of the propagated scores (B,K+1,H,W); all-zero scores are background."""
        bank, features = state.banks['frames'], self.features(frame)
        objects = bank.read('label', frame.index)  # B,K,1,T,h,w
        labels = torch.cat([1 - objects.sum(1, keepdim=True), objects], 1)
        keys = bank.read('key', frame.index)  # B,C,T,h,w
        scores, _ = self.matching_head(features.flatten(2), keys.flatten(2)[:, None],
                                       labels.flatten(3))
        scores = scores[:, :, 0].unflatten(-1, features.shape[-2:])
        scores = F.interpolate(scores, frame.image.shape[-2:], mode='bilinear', align_corners=False)
        floor = torch.full_like(scores, 1e-8)
        floor[:, 0] = 2e-8
        return (scores + floor).log()

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Store the features and the share of each cell that each object covers."""
        features = self.features(frame)
        hard = F.one_hot(probs.argmax(1), probs.shape[1]).movedim(-1, 1)[:, 1:].to(probs.dtype)
        label = F.adaptive_avg_pool2d(hard, features.shape[-2:])[:, :, None]
        state.banks['frames'].add(frame.index, shared=dict(key=features),
                                  objects=dict(label=label), permanent=frame.introduced)

    def features(self, frame: Frame) -> Tensor:
        """(B,C,h,w), computed once per frame."""
        return frame.cached('features', lambda: self.backbone(grey(frame.image))[-1])


def build(part: dict | nn.Module) -> nn.Module:
    """A slot takes a config or a module."""
    return part if isinstance(part, nn.Module) else MODELS.build(part)


def grey(image: Tensor) -> Tensor:
    """(B,3,H,W) RGB to lightness in [-1,1], three times."""
    return rgb_to_lab(image)[:, :1].expand(-1, 3, -1, -1)


def color_bins(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Colour (a, b of Lab) of each cell as one of 16 bins: (B,3,H,W) -> one-hot (B,16,h,w)."""
    color = F.adaptive_avg_pool2d(rgb_to_lab(image)[:, 1:], size)
    position = ((color + SPREAD) / (2 * SPREAD) * (BINS - 1)).round().clamp(0, BINS - 1).long()
    return F.one_hot(position[:, 0] * BINS + position[:, 1], BINS**2).movedim(-1, 1).float()
