"""RVOS: one recurrent network over the objects of a frame and over the frames of a video.

Ventura, Bellver, Girbau, Salvador, Marques, Giro-i-Nieto, "RVOS: End-to-end recurrent network for
video object segmentation", CVPR 2019: the recurrences (section 3.2), zero-shot and one-shot
segmentation (section 4), training with given and with inferred masks ("+").

Without the recurrence in time it is RSIS (Salvador et al., "Recurrent neural networks for semantic
instance segmentation", 2017; one level less), which took the matching of predictions and truth
from RIS (Romera-Paredes, Torr, "Recurrent instance segmentation", ECCV 2016).

Where text and released code differ, this follows the code and says so at the place.
"""
from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...ops.backends import widened
from ...registry import MODELS
from ...structures import Frame, VideoState, VOSDataSample, true_masks
from ..decode_heads.conv_lstm import Memory, RecurrentDecoder, enlarge, mask_pyramid
from ..losses.set_matching import SetMatcher, soft_iou_of_slots
from .base import VideoSegmentor, against_background, normalized

PREVIOUS = ('given', 'inferred')
_BACKBONE = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4,
                 out_indices=(0, 1, 2, 3))


class Decoded(NamedTuple):
    """What the decoder found of the K objects of a frame."""

    logits: Tensor  # (B,K,H,W), each object against all that is not it
    hidden: list[Tensor]  # (B,K,C,h,w), from coarse to fine


class RecurrentSegmentor(VideoSegmentor, ABC):
    """What zero-shot and one-shot RVOS have in common: encoder, decoder, memory.

    The hidden maps of each object cross time in `state.objects` as 'hidden_0' (coarse) to
    'hidden_3'. The cell does not: it comes from the previous object of the same frame.

    Args:
        backbone: Config or module: (B,3,H,W) -> maps at 1/4, 1/8, 1/16, 1/32.
        in_channels: Of these.
        channels: Hidden channels from coarse to fine; the maps are brought to these, the coarsest
            two to the same.
        recurrence: 'spatial', 'temporal' or both: the paper's S, T and ST.
        **kwargs: See `VideoSegmentor`.
    """

    masked = False  # whether the decoder reads previous masks

    def __init__(self, backbone: dict | nn.Module, *,
                 in_channels: Sequence[int] = (256, 512, 1024, 2048),
                 channels: Sequence[int] = (128, 64, 32, 16),
                 recurrence: Sequence[str] = ('spatial', 'temporal'), **kwargs) -> None:
        super().__init__(**kwargs)
        self.backbone = MODELS.build(backbone)
        if len(channels) != len(in_channels):
            raise ValueError("expected channels for each of the backbone's maps, got "
                             f'{tuple(channels)} for {tuple(in_channels)}')
        widths = [channels[0], *channels[:-1]]
        self.skips = nn.ModuleList(_skip(*pair) for pair in
                                   zip(in_channels[::-1], widths, strict=True))
        self.decoder = RecurrentDecoder(widths, channels, recurrence=recurrence,
                                        masked=self.masked)
        self.to(memory_format=torch.channels_last)  # training takes 0.6 to 0.85 of the time

    def encode(self, frame: Frame) -> list[Tensor]:
        """Maps of the frame from coarse to fine, computed once for all objects."""
        return frame.cached('maps', lambda: [skip(x) for skip, x in zip(
            self.skips, self.backbone(normalized(frame))[::-1], strict=True)])

    def decode(self, frame: Frame, state: VideoState, previous: Tensor | None = None) -> Decoded:
        """Segment the objects in their order; the next one never sees one that is not valid.

        Args:
            frame: The frame.
            state: Read, not written.
            previous: (B,K,H,W) mask of each object one frame ago, for a decoder that reads it.
        """
        skips, valid = self.encode(frame), state.valid
        before = self.decoder.nothing(skips)
        temporal = self._temporal(state, before)
        masks = None if previous is None else mask_pyramid(previous, len(skips))
        logits, hidden = [], []
        for k in range(valid.shape[1]):
            found, after = self.decoder(skips, before, [level[:, k] for level in temporal],
                                        masks and [level[:, k:k + 1] for level in masks])
            here = valid[:, k, None, None, None]
            logits.append(found)
            hidden.append([new.where(here, 0) for new, _ in after])
            before = [(new_h.where(here, old_h), new_c.where(here, old_c)) for
                      (new_h, new_c), (old_h, old_c) in zip(after, before, strict=True)]
        full = enlarge(widened(torch.cat(logits, 1)), frame.image.shape[-2:])
        return Decoded(full, [torch.stack(level, 1) for level in zip(*hidden, strict=True)])

    @staticmethod
    def _temporal(state: VideoState, nothing: Memory) -> list[Tensor]:
        """(B,K,C,h,w) of each level, zeros where nothing is remembered."""
        objects = state.objects
        return [objects.get(f'hidden_{n}', zero[:, None].expand(-1, state.num_objects, -1, -1, -1))
                for n, (zero, _) in enumerate(nothing)]

    def remember(self, found: Decoded, state: VideoState) -> None:
        """Store the hidden maps, where something reads them."""
        if 'temporal' in self.decoder.recurrence:
            state.objects |= {f'hidden_{n}': hidden for n, hidden in enumerate(found.hidden)}


@MODELS.register_module()
class RVOS(RecurrentSegmentor):
    """Zero-shot: finds up to `num_slots` objects by itself and follows each in its slot.

    The call graph::

        segment  > encode (once) > decode: RecurrentDecoder, slot after slot > [0, slot logits]
        memorize > hidden maps of this frame
        loss     > step over the clip > SetMatcher (first frame) > soft_iou_of_slots (every frame)
                                                                 > heads.losses

    The released code joins the slots by the truth of the first frame, see
    `mmvos.evaluation.functional.paint_slots`; here each pixel goes to its likeliest slot.

    Args:
        backbone: See `RecurrentSegmentor`; `recurrence=('spatial',)` on single frames is RSIS.
        num_slots: Objects at most.
        match_candidates: 'first_n' or 'all', see `SetMatcher`.
        heads: Config or module, see `ObjectHeads`: RSIS's, which RVOS has not.
        **kwargs: See `RecurrentSegmentor`.

    Raises:
        ValueError: Not 1 to 255 slots, channels that do not fit, or heads
            beside `match_candidates='all'`.
    """

    example = dict(backbone=_BACKBONE, in_channels=(4, 8, 16, 32), channels=(8, 6, 5, 4),
                   num_slots=3)
    needs_mask = False

    def __init__(self, backbone: dict | nn.Module, *, num_slots: int = 10,
                 match_candidates: str = 'first_n', heads: dict | nn.Module | None = None,
                 **kwargs) -> None:
        super().__init__(backbone, **kwargs)
        if not 1 <= num_slots <= 255:
            raise ValueError(f'expected num_slots of 1 to 255, got {num_slots}; the paper has 10')
        if heads and match_candidates == 'all':
            raise ValueError("the stop score ends the list of slots, so the first n have to be the "
                             "objects; give match_candidates='first_n', or no heads")
        self.num_slots = num_slots
        self.matcher = SetMatcher(match_candidates)
        self.heads = heads and MODELS.build(heads)
        channels = [level.channels for level in self.decoder.levels]
        if self.heads and self.heads.in_channels != sum(channels):
            raise ValueError(f'heads read all hidden maps; give them in_channels={sum(channels)}, '
                             f'the sum of {tuple(channels)}, not {self.heads.in_channels}')

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Logits (B,K+1,H,W): 0 for background, log odds of each slot that is not stopped."""
        found = frame.cached('decoded', lambda: self.decode(frame, state))
        valid = state.valid
        if self.heads and not self.training:
            valid = valid & self.heads.going(found.hidden)
        return against_background(found.logits, valid)

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Store the hidden maps of this frame."""
        self.remember(frame.found('decoded'), state)

    def loss(self, inputs: Tensor, data_samples: list[VOSDataSample]) -> dict[str, Tensor]:
        """1 - soft IoU of the matched slots, mean over objects, sum over frames.

        Slots are matched on the first frame and stay with their objects. An object that a frame
        does not show is not counted there, a slot without object nowhere.

        Args:
            inputs: (B,T,3,H,W) RGB in [0,1].
            data_samples: Each with `gt_masks` (T,H,W) uint8; objects are those of the first frame.
                With class heads also `gt_classes` (n,) long.

        Returns:
            'loss_mask', and what the heads add.
        """
        target, valid = object_masks(inputs, data_samples)
        state, losses = self.init_state(None), []
        state.grow(valid.new_ones(len(inputs), self.training_slots(valid)))
        for t, image in enumerate(inputs.unbind(1)):
            frame = Frame(t, image)
            self.step(frame, state)
            found = frame.found('decoded')
            masks, truth = found.logits.sigmoid(), target[:, t]
            if t == 0:
                slots = self.matcher(masks, truth, valid)
            terms = dict(loss_mask=soft_iou_of_slots(masks, truth, slots, shown(truth)))
            if self.heads:
                terms |= self.heads.losses(found.hidden, slots, truth,
                                           self._classes(data_samples, valid))
            losses.append(terms)
        return {name: sum(terms[name] for terms in losses) for name in losses[0]}

    def training_slots(self, valid: Tensor) -> int:
        """Slots that can matter to the loss: no slot knows of those after it."""
        if self.matcher.candidates == 'all':
            return self.num_slots
        beyond = self.heads.beyond if self.heads else 0
        return min(self.num_slots, max(1, int(valid.sum(1).max())) + beyond)

    @staticmethod
    def _classes(data_samples: list[VOSDataSample], valid: Tensor) -> Tensor | None:
        """(B,G), 0 where there is no object; None where samples have none."""
        if not all('gt_classes' in sample for sample in data_samples):
            return None
        classes = torch.zeros(valid.shape, dtype=torch.long, device=valid.device)
        for row, sample in zip(classes, data_samples, strict=True):
            row[:len(sample.gt_classes)] = sample.gt_classes
        return classes


@MODELS.register_module()
class RVOSMask(RecurrentSegmentor):
    """One-shot (the paper's RVOS-Mask): follows given objects, reading their last masks.

    The call graph::

        segment  > encode (once) > decode with objects 'previous' > [0, object logits]
        memorize > hidden maps of this frame, and its masks as 'previous'
                 > where masks are given: decode again with them, all objects
        loss     > step over the clip > soft_iou_of_slots (every frame)

    The frame in which an object is given is processed with this mask, the next one too, and later
    ones with what the decoder said of the object itself, before objects are merged.

    Args:
        backbone: See `RecurrentSegmentor`.
        previous: What training gives as previous masks: the true ones ('given'), then, in a
            second stage, the soft ones that it found itself ('inferred', the paper's "+").
        **kwargs: See `RecurrentSegmentor`.
    """

    example = dict(backbone=_BACKBONE, in_channels=(4, 8, 16, 32), channels=(8, 6, 5, 4),
                   previous='inferred')
    masked = True

    def __init__(self, backbone: dict | nn.Module, *, previous: str = 'given', **kwargs) -> None:
        super().__init__(backbone, **kwargs)
        if previous not in PREVIOUS:
            raise ValueError(f'previous should be one of {PREVIOUS}, got {previous!r}')
        self.previous = previous

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Logits (B,K+1,H,W): 0 for background, log odds of each object."""
        found = frame.cached('decoded', lambda: self.decode(frame, state,
                                                            state.objects['previous']))
        return against_background(found.logits, state.valid)

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Store hidden maps and masks; given masks count as those of the frame before, too."""
        masks, found, given = probs[:, 1:], frame.found('decoded'), frame.given
        if given is None:
            previous = found.logits.sigmoid()
        else:
            given = given[:, :, None, None]
            before = state.objects.get('previous', torch.zeros_like(masks))
            found = self.decode(frame, state, torch.where(given, masks, before))
            previous = torch.where(given, masks, found.logits.sigmoid())
        state.objects['previous'] = previous.detach()
        self.remember(found, state)
        frame.keep('memorized', found)

    def loss(self, inputs: Tensor, data_samples: list[VOSDataSample]) -> dict[str, Tensor]:
        """1 - soft IoU, mean over the objects that a frame shows, sum over all frames.

        Args:
            inputs: (B,T,3,H,W) RGB in [0,1].
            data_samples: Each with `gt_masks` (T,H,W) uint8; objects are those of the first frame.

        Returns:
            'loss_mask'.
        """
        target, valid = object_masks(inputs, data_samples)
        slots = torch.arange(valid.shape[1], device=valid.device).expand_as(valid)
        state, losses = self.init_state(None), []
        for t, image in enumerate(inputs.unbind(1)):
            given = (target[:, 0], valid, valid) if t == 0 else ()
            frame, truth = Frame(t, image, *given), target[:, t]
            self.step(frame, state)
            if self.previous == 'given':
                state.objects['previous'] = truth
            masks = frame.found('memorized').logits.sigmoid()
            losses.append(soft_iou_of_slots(masks, truth, slots, valid & shown(truth)))
        return dict(loss_mask=sum(losses))


def object_masks(inputs: Tensor, data_samples: list[VOSDataSample]) -> tuple[Tensor, Tensor]:
    """Masks of the objects that the first frames of clips show.

    Args:
        inputs: (B,T,3,H,W).
        data_samples: Each with `gt_masks` (T,H,W) uint8.

    Returns:
        (B,T,G,H,W) in {0,1}, and (B,G) bool, False where there is no such object; G is at least 1.
    """
    labels = true_masks(data_samples, inputs.device)
    ids = torch.arange(1, max(1, int(labels[:, 0].max())) + 1, device=inputs.device)
    masks = labels[:, :, None] == ids[:, None, None]
    valid = shown(masks[:, 0])
    return (masks & valid[:, None, :, None, None]).to(inputs.dtype), valid


def shown(masks: Tensor) -> Tensor:
    """(B,G) bool of (B,G,H,W): whether there is anything of the object."""
    return masks.flatten(2).any(2)


def _skip(in_channels: int, channels: int) -> nn.Sequential:
    """3x3 convolution and batch norm, without activation."""
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels))
