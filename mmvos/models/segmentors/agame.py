"""A-GAME: a generative model of each object's appearance, fitted in closed form, beside its mask.

Johnander, Danelljan, Brissman, Khan, Felsberg, "A generative appearance model for end-to-end
trainable video object segmentation", CVPR 2019: the modules and the order of a frame, mask
propagation, fusion, upsampling, several objects, table 1 (ablations). The mixture of Gaussians is
`mmvos/models/appearance_models/gaussian.py`.

Where the text and the released code differ, this follows the code and says so at the place.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import aggregate_logits
from ...ops.backends import widened, without_autocast
from ...registry import MODELS
from ...structures import Frame, VideoState, grow_objects, place_objects
from ..appearance_models import base_weights
from .base import normalized
from .supervised import SupervisedSegmentor


@MODELS.register_module()
class AGAME(SupervisedSegmentor):
    """Segments each object by its Gaussians' scores and by its mask one frame ago.

    The call graph::

        segment  > backbone > fuse(appearance scores, mask propagation) > upsampling > merge
                                                                        > coarse (1/16)
        memorize > recurrent_mask > appearance.update -> objects 'mean', 'var'
                                  > the mask itself   -> objects 'previous'
                                  > propagation.of_first, where a mask is given -> objects 'first'
        loss     > SupervisedSegmentor: segment and memorize over the clip; frame_losses

    What does not depend on the object runs once per frame; the rest runs for all objects of all
    samples at once, in a batch of the N objects that are valid.

    Args:
        backbone: Config or module: (B,3,H,W) -> three maps at 1/4, 1/8 and 1/16.
        appearance: Config or module, see `GaussianAppearance`; None for table 1's "no appearance".
        in_channels: Of the backbone's maps, from fine to coarse.
        propagation_channels: Of the mask propagation; None for table 1's "no mask-prop".
        fusion_channels: Of the two fusing convolutions; the second is the upsampling's too.
        coarse_weight: Of the coarse output's loss: 1 in the first stage of training, 0 in the
            second.
        **kwargs: See `SupervisedSegmentor`.
    """

    example = dict(
        backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4,
                      num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
                      out_indices=(0, 1, 2)),
        appearance=dict(type='GaussianAppearance', in_channels=16, channels=6),
        in_channels=(4, 8, 16), propagation_channels=6, fusion_channels=(8, 6),
        loss=dict(type='CrossEntropy'), geometry=dict(divisor=16, sides='both', mode='reflect'))

    def __init__(self, backbone: dict | nn.Module, appearance: dict | nn.Module | None, *,
                 in_channels: Sequence[int] = (256, 512, 2048),
                 propagation_channels: int | None = 512,
                 fusion_channels: tuple[int, int] = (512, 128), coarse_weight: float = 1.,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if appearance is None and propagation_channels is None:
            raise ValueError('expected an appearance or propagation_channels: without both nothing '
                             'tells what the object is')
        *skips, coarsest = in_channels
        hidden, channels = fusion_channels
        self.coarse_weight = coarse_weight
        self.backbone = MODELS.build(backbone)
        self.appearance = appearance and MODELS.build(appearance)
        self.propagation = propagation_channels and MaskPropagation(coarsest, propagation_channels)
        scores = self.appearance.components if self.appearance else 0
        self.fusion = nn.ModuleList([conv(scores + (propagation_channels or 0), hidden, 3),
                                     conv(hidden, channels, 3)])
        self.coarse = conv(channels, 2)
        self.upsampling = Upsampling(skips[::-1], channels)

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Logits (B,K+1,H,W) of the merged objects; the coarse output is kept on the frame."""
        valid = state.valid
        owner = valid.nonzero()[:, 0]
        *skips, _ = self.encode(frame)
        fused = self.fuse(frame, state, owner)
        frame.keep('coarse', place_objects(widened(self.coarse(fused)), valid))
        logits = self.upsampling(fused, skips[::-1], owner)
        logits = F.interpolate(widened(logits), frame.image.shape[-2:], mode='bilinear',
                               align_corners=False)
        return merge(place_objects(logits, valid), valid)

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Blend this frame into what is known of each object; begin anew where a mask is given.

        A given mask without pixels says that a known object is not here: it is no new beginning.
        """
        objects = state.objects
        given = torch.zeros_like(state.valid) if frame.given is None else frame.given
        mask = self.recurrent_mask(frame, probs, given)
        fresh = given & (mask.flatten(2).any(2) | frame.introduced)
        if self.appearance:
            self._fit(self.reduced(frame), mask, fresh, state)
        if self.propagation:
            objects['previous'] = mask
            if frame.given is not None:
                new = self.propagation.of_first(self.encode(frame)[-1], mask)
                old = objects.get('first', new)
                objects['first'] = torch.where(fresh[:, :, None, None, None], new, old)

    def _fit(self, features: Tensor, mask: Tensor, fresh: Tensor, state: VideoState) -> None:
        """Write 'mean' and 'var' (B,K,k,C)."""
        objects, valid = state.objects, state.valid
        nothing = features.new_zeros(*valid.shape, self.appearance.components, features.shape[1])
        old = {name: objects.get(name, nothing)[valid] for name in ('mean', 'var')}
        found = self.appearance.update(features[valid.nonzero()[:, 0]], mask[valid],
                                       fresh=fresh[valid], **old)
        objects['mean'], objects['var'] = (place_objects(part, valid) for part in found)

    def recurrent_mask(self, frame: Frame, probs: Tensor, given: Tensor) -> Tensor:
        """(B,K,h,w) soft masks that update the state.

        In training the softmax of the coarse output, so that gradients need not pass through the
        upsampling; at test time (as the released code sets it) the final, merged probabilities,
        averaged over the 16x16 pixels of a cell. Given masks are averaged too: they are soft, not
        the 0 and 1 of the text.
        """
        mask = F.adaptive_avg_pool2d(widened(probs[:, 1:]), self.encode(frame)[-1].shape[-2:])
        coarse = frame.found('coarse') if self.training else None
        if coarse is None:
            return mask
        coarse = coarse.softmax(2)[:, :, 1]
        coarse = grow_objects(coarse.detach() if self.detach else coarse, mask.shape[1])
        return torch.where(given[:, :, None, None], mask, coarse)

    def encode(self, frame: Frame) -> tuple[Tensor, ...]:
        """Maps of the frame from fine to coarse, computed once."""
        return frame.cached('maps', lambda: self.backbone(normalized(frame)))

    def reduced(self, frame: Frame) -> Tensor:
        """(B,C,h,w) that the Gaussians model, computed once."""
        return frame.cached('reduced', lambda: self.appearance.reduced(self.encode(frame)[-1]))

    def fuse(self, frame: Frame, state: VideoState, owner: Tensor) -> Tensor:
        """(N,C,h,w) from the scores and the propagated mask of N objects of the samples `owner`."""
        own = {name: tensor[state.valid] for name, tensor in state.objects.items()}
        parts = []
        if self.appearance:
            parts.append(self.appearance(self.reduced(frame)[owner], own['mean'], own['var']))
        if self.propagation:
            parts.append(self.propagation(self.encode(frame)[-1], owner, own['previous'],
                                          own['first']))
        # raw scores are in the hundreds, where bfloat16 knows every second number only
        with without_autocast(parts[0]):
            x = self.fusion[0](torch.cat([part.to(self.coarse.weight.dtype) for part in parts], 1))
        return self.fusion[1](x.relu()).relu()

    def frame_losses(self, frame: Frame, probs: Tensor, target: Tensor,
                     counts: list[int]) -> list[Tensor]:
        """Loss of the final output + `coarse_weight` * -log p of each object's coarse output.

        Not by the loss module, which takes probabilities: raw scores make an untrained network so
        sure that these are 0 in float32, where a wrong pixel would get no gradient.
        """
        losses = super().frame_losses(frame, probs, target, counts)
        if not self.coarse_weight:
            return losses
        coarse = frame.found('coarse')
        for b, n in enumerate(counts):
            # logarithms are enlarged, as in the released code
            logs = F.interpolate(coarse[b, :n].log_softmax(1), target.shape[-2:], mode='bilinear',
                                 align_corners=False)
            truth = target[b, 1:n + 1].long()
            losses[b] = losses[b] + self.coarse_weight * F.nll_loss(logs, truth)
        return losses


def merge(logits: Tensor, valid: Tensor) -> Tensor:
    """Join objects that were segmented alone; the background is the least of their backgrounds.

    A single object is left as it is: the aggregation would sharpen p to p^2 / (p^2 + (1-p)^2). The
    released code merges on DAVIS-2017 and YouTube-VOS, there in videos of one object too, and not
    on DAVIS-2016; here it is the number of objects that decides.

    Args:
        logits: (B,K,2,H,W), background and object.
        valid: (B,K).

    Returns:
        (B,K+1,H,W) logits, minus infinity for objects that are not valid.
    """
    several = aggregate_logits(logits.softmax(2)[:, :, 1], 'min', valid)
    margin = (logits[:, :, 1] - logits[:, :, 0]).masked_fill(~valid[:, :, None, None], -torch.inf)
    alone = valid.sum(1) == 1
    return torch.where(alone[:, None, None, None], F.pad(margin, (0, 0, 0, 0, 1, 0)), several)


class MaskPropagation(nn.Module):
    """Carries the mask on from the frame before, by what this and the object's first frame show.

    A 1x1 convolution of [this frame, first frame, mask before (2), first mask (2)], three dilated
    3x3 convolutions side by side, a 3x3 convolution. The first is linear: the part of this frame
    is computed once for all objects, that of the first frame and mask once per object.

    Args:
        in_channels: C of the backbone's map.
        channels: Cp.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.sizes = (in_channels, in_channels, 2, 2)
        self.mix = conv(sum(self.sizes), channels)
        self.pyramid = nn.ModuleList(conv(channels, channels, 3, dilation)
                                     for dilation in (1, 3, 6))
        self.join = conv(3 * channels, channels, 3)

    def of_first(self, features: Tensor, mask: Tensor) -> Tensor:
        """What the first convolution makes of an object's first frame; it never changes.

        Args:
            features: (B,C,h,w).
            mask: (B,K,h,w).

        Returns:
            (B,K,Cp,h,w).
        """
        _, of_frame, _, of_mask = self.mix.weight.split(self.sizes, 1)
        frame = F.conv2d(features, of_frame, self.mix.bias)
        masks = F.conv2d(base_weights(mask.flatten(0, 1)), of_mask)
        return frame[:, None] + masks.unflatten(0, mask.shape[:2])

    def forward(self, features: Tensor, owner: Tensor, previous: Tensor, first: Tensor) -> Tensor:
        """Propagate the masks of N objects.

        Args:
            features: (B,C,h,w) of this frame.
            owner: (N,) sample of each object.
            previous: (N,h,w) mask of the frame before.
            first: (N,Cp,h,w) from `of_first`.

        Returns:
            (N,Cp,h,w).
        """
        of_frame, _, of_mask, _ = self.mix.weight.split(self.sizes, 1)
        x = F.conv2d(features, of_frame)[owner] + F.conv2d(base_weights(previous), of_mask) + first
        x = x.relu()
        return self.join(torch.cat([branch(x) for branch in self.pyramid], 1).relu()).relu()


class Upsampling(nn.Module):
    """Two logits of every object at 1/4, enlarged twice beside the frame's finer maps.

    Args:
        skip_channels: Of the finer maps, from coarse to fine.
        channels: Of the objects' map and inside.
    """

    def __init__(self, skip_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(conv(skip, channels) for skip in skip_channels)
        self.blend = nn.ModuleList(conv(2 * channels, channels, 3) for _ in skip_channels)
        self.predict = conv(channels, 2, 3)

    def forward(self, x: Tensor, skips: Sequence[Tensor], owner: Tensor) -> Tensor:
        """(N,C,h,w) of N objects of the samples `owner` -> (N,2,4h,4w)."""
        for project, blend, skip in zip(self.project, self.blend, skips, strict=True):
            of_frame, of_object = blend.weight.chunk(2, 1)  # linear: the frame's half once
            frame = F.conv2d(project(skip).relu(), of_frame, blend.bias, padding=1)
            x = F.interpolate(x, skip.shape[-2:], mode='bilinear', align_corners=False)
            x = (frame[owner] + F.conv2d(x, of_object, padding=1)).relu()
        return self.predict(x)


def conv(in_channels: int, channels: int, kernel: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Convolution that keeps the size, begun as the released code begins it."""
    layer = nn.Conv2d(in_channels, channels, kernel, padding=dilation * (kernel // 2),
                      dilation=dilation)
    nn.init.kaiming_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
