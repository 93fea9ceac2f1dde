"""CorrFlow: self-supervised learning for video correspondence flow.

Lai and Xie, "Self-supervised Learning for Video Correspondence Flow", BMVC 2019: colours are copied
from frame to frame (equations 1-3), channels of the input are dropped, steps of a clip are trained
with scheduled sampling, and colours carried there and back again have to be those that set out.

Numbers are the released code's: window of radius 6, 16 colour classes, clips of 3 frames with a gap
of 4, probabilities, the weight 0.1 of the cycles. What differs from it:

- Products of features are divided by sqrt(C); `temperature=1` of the matching heads is the release.
- True classes are read at the kernel centres. The release shrinks the map of class *numbers*
  bilinearly and cuts the fraction off, which invents classes where two meet.
- Colours that were predicted go on to the next step as they are, cell by cell; the release enlarges
  and shrinks them in between.
- The released writer pads masks by 3 pixels on each side after 6 were cut on the right, a shift.
  Here frames are padded and masks cut to the frame again.
- Scheduled sampling draws once for each clip; how often was not to be had from our sources.
"""
from __future__ import annotations

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from ...registry import MODELS
from ...structures import VOSDataSample
from ..losses.color_classes import color_masks
from .label_propagation import LabelPropagation


@MODELS.register_module()
class CorrFlow(LabelPropagation):
    """Label propagation from the frame before, trained by carrying classes of colour along clips.

    The call graph::

        loss     > drop_rgb > encode_clip > forward_loss > carry, scheduled sampling
                                          > cycle_loss   > carry
        segment  > LabelPropagation: features of RGB > match > upsample
        memorize > LabelPropagation: features, labels at kernel centres -> bank 'frames'

    Args:
        backbone: See `LabelPropagation`; sees RGB in [0,1].
        matching_head: See `LabelPropagation`; released with radius 6, `out_of_range='mask'`.
        true_colors: Probability that a step starts from true colours instead of those that the
            step before predicted, at the start and at the end of training; linear between.
        cycle_weight: Of the loss of colours that went there and back.
        intact: Probability that no channel of the input is dropped.
        **kwargs: Of `LabelPropagation`; `memory` is FrameBank(recent=1, annotated=False).
    """

    example = {
        **LabelPropagation.example,
        'matching_head': dict(type='LocalMatching', radius=3, out_of_range='mask'),
        'memory': dict(type='FrameBank', recent=1, annotated=False),
        'reconstruction_head': dict(type='LocalMatching', radius=3, out_of_range='mask'),
        'loss': dict(type='ColorClassLoss'), 'geometry': dict(divisor=8)}

    def __init__(self, backbone: dict | nn.Module, matching_head: dict | nn.Module, *,
                 true_colors: tuple[float, float] = (0.9, 0.6), cycle_weight: float = 0.1,
                 intact: float = 0.3, **kwargs) -> None:
        super().__init__(backbone, matching_head, **kwargs)
        if len(true_colors) != 2 or not all(0 <= p <= 1 for p in (*true_colors, intact)):
            raise ValueError('expected true_colors=(start, end) and intact, probabilities from 0 '
                             f'to 1, got {tuple(true_colors)} and {intact}')
        self.true_colors = tuple(true_colors)
        self.cycle_weight = cycle_weight
        self.intact = intact

    def encoder_input(self, image: Tensor) -> Tensor:
        """RGB as it is, without mean and deviation."""
        return image

    def loss(self, inputs: Tensor,
             data_samples: list[VOSDataSample] | None = None) -> dict[str, Tensor]:
        """Carry the colours of each clip forwards, and there and back again.

        Args:
            inputs: (B,T,3,H,W) RGB in [0,1], T >= 2.
            data_samples: Not used: no label is ever seen.

        Returns:
            'loss_forward' and 'loss_cycle', scalars; the second is weighted.
        """
        self.check_trainable(inputs)
        truth = color_masks(inputs)
        keys = self.encode_clip(drop_rgb(inputs, self.intact))
        return dict(loss_forward=self.forward_loss(keys, truth),
                    loss_cycle=self.cycle_weight * self.cycle_loss(keys, truth))

    def forward_loss(self, keys: list[Tensor], truth: Tensor) -> Tensor:
        """Sum over the steps t-1 -> t.

        Args:
            keys: T maps (B,C,h,w).
            truth: (B,T,16,H,W) one-hot.
        """
        true_cells, losses = self.cells(truth), []
        colors = true_cells[:, 0]
        for now in range(1, len(keys)):
            colors = self.carry(colors, keys[now - 1], keys[now])
            losses.append(self.compare(colors, truth[:, now]))
            told = torch.rand(len(colors), 1, 1, 1, device=colors.device) < self.truth_probability()
            colors = torch.where(told, true_cells[:, now], colors)
        return torch.stack(losses).sum()

    def cycle_loss(self, keys: list[Tensor], truth: Tensor) -> Tensor:
        """Sum over the turning points n of 0 -> ... -> n -> ... -> 0; arguments as `forward_loss`.

        On these ways no true colour helps but the first frame's.
        """
        colors, losses = self.cells(truth)[:, 0], []
        for turn in range(1, len(keys)):
            colors = self.carry(colors, keys[turn - 1], keys[turn])
            back = colors
            for now in reversed(range(turn)):
                back = self.carry(back, keys[now + 1], keys[now])
            losses.append(self.compare(back, truth[:, 0]))
        return torch.stack(losses).sum()

    def carry(self, colors: Tensor, source: Tensor, query: Tensor) -> Tensor:
        """Colours (B,16,h,w) of the source's cells where its features (B,C,h,w) match."""
        return self.copy(query, [source], colors[:, None])

    def compare(self, colors: Tensor, truth: Tensor) -> Tensor:
        """Loss of cells (B,16,h,w), brought bilinearly to full size, against (B,16,H,W)."""
        return self.loss_module(self.upsample(colors, truth.shape[-2:]), truth)

    def truth_probability(self) -> float:
        """Probability of a true colour, by how far the runner is."""
        hub, (start, end) = MessageHub.get_current_instance(), self.true_colors
        done = hub.get_info('iter', 0) / max(1, hub.get_info('max_iters', 1))
        return start + (end - start) * min(1., done)


def drop_rgb(clip: Tensor, intact: float = 0.3) -> Tensor:
    """Zero one or two channels of the whole batch and scale the others by 3 / (3 - dropped).

    Nothing with probability `intact`, else one or two with equal odds; the same in all frames.

    Args:
        clip: (B,T,3,H,W) RGB.
        intact: Probability.
    """
    if torch.rand(()) < intact:
        return clip
    dropped = int(torch.randint(1, 3, ()))
    keep = clip.new_full((3, 1, 1), 3 / (3 - dropped))
    keep[torch.randperm(3)[:dropped]] = 0
    return clip * keep
