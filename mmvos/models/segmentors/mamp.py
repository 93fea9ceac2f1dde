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

from ...ops import UPSAMPLE, hard_labels, rgb_to_lab
from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState, VOSDataSample
from ..memory_managers import MemoryManager
from .base import VideoSegmentor

PRIOR = 0.05  # weight of background where references that know a late object say nothing


@MODELS.register_module()
class MAMP(VideoSegmentor):
    """Propagates labels from remembered frames by matching features.

    The call graph::

        loss     > rgb_to_lab > drop_channel > backbone (twice) > reconstruction_head > loss
        segment  > rgb_to_lab > backbone > motion_estimator > matching_head > upsample
        memorize > features, labels at kernel centres, motion code -> bank 'frames'

    Args:
        backbone: Config or module: (B,3,H,W) normalised Lab -> tuple whose last is (B,C,h,w);
            has an attribute `stride`.
        matching_head: Config or module of a local matching head for inference.
        memory: Config of a memory manager.
        motion_estimator: Config or module; its stride is the backbone's.
        reconstruction_head: Config or module of a local matching head for training, or None.
        loss: Config or module of the reconstruction loss, or None.
        upsample: 'half_pixel' (the released code) or 'kernel_centre' (no offset).
        late_objects: What frames remembered before an object was given say of it: 'unknown' (see
            `share_unknown`) or 'background' (the released code).
        **kwargs: `geometry`, `data_preprocessor`, `init_cfg`; see `VideoSegmentor`.
    """

    example = dict(
        backbone=dict(type='VOSResNet18'),
        matching_head=dict(type='LocalMatching', radius=3, topk=9),
        memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
        motion_estimator=dict(type='DISFlow'),
        reconstruction_head=dict(type='LocalMatching', radius=3),
        loss=dict(type='ColorReconstructionLoss'),
        geometry=dict(divisor=8, value=0.467))

    def __init__(self, backbone: dict | torch.nn.Module, matching_head: dict | torch.nn.Module, *,
                 memory: dict, motion_estimator: dict | torch.nn.Module,
                 reconstruction_head: dict | torch.nn.Module | None = None,
                 loss: dict | torch.nn.Module | None = None,
                 upsample: str = 'half_pixel', late_objects: str = 'unknown', **kwargs) -> None:
        super().__init__(**kwargs)
        if upsample not in UPSAMPLE:
            raise ValueError(f'upsample should be one of {sorted(UPSAMPLE)}, got {upsample!r}')
        if late_objects not in ('unknown', 'background'):
            raise ValueError("late_objects should be 'unknown' or 'background', "
                             f'got {late_objects!r}')
        self.backbone = MODELS.build(backbone)
        self.matching_head = MODELS.build(matching_head)
        self.memory = memory
        self.motion_estimator = MODELS.build(motion_estimator)
        self.reconstruction_head = reconstruction_head and MODELS.build(reconstruction_head)
        self.loss_module = loss and MODELS.build(loss)
        self.upsample = UPSAMPLE[upsample]
        self.share_late = late_objects == 'unknown'

    # ---- training: reconstruct a dropped colour channel of the query from the reference

    def loss(self, inputs: Tensor,
             data_samples: list[VOSDataSample] | None = None) -> dict[str, Tensor]:
        """Reconstruct frame 1 of each clip from frame 0.

        Args:
            inputs: (B,2,3,H,W) RGB in [0,1].
            data_samples: Not used: no label is ever seen.

        Returns:
            'loss', a scalar.
        """
        lab = rgb_to_lab(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        lab, target = drop_channel(lab)
        reference, query = self.backbone(lab[:, 0])[-1], self.backbone(lab[:, 1])[-1]
        stride = self.backbone.stride
        colour = target[:, 0, None, :, None, ::stride, ::stride]  # (B,K=1,Cv=1,T=1,h,w)
        pred = self.reconstruction_head(query, reference[:, :, None], colour)
        pred = self.upsample(pred.flatten(1, 2), target.shape[-2:])
        return dict(loss=self.loss_module(pred, target[:, 1]))

    # ---- inference

    def init_state(self, video: VideoSource | None) -> VideoState:
        """An empty bank."""
        bank: MemoryManager = MODELS.build(self.memory)
        return VideoState(banks=dict(frames=bank))

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log of the propagated scores (B,K+1,H,W); all-zero scores are background."""
        bank, now = state.banks['frames'], frame.index
        objects = bank.read('label', now)
        # samples with fewer objects have nothing that is unknown
        absent = ~state.objects['valid'][:, :, None, None, None, None]
        exists = bank.read('exists', now).masked_fill(absent, 1)
        background = 1 - objects.sum(1, keepdim=True)
        late = self.share_late and not bool(exists.all())
        if late:  # one channel of background per reference
            refs = torch.eye(objects.shape[3], device=objects.device)[:, None, :, None, None]
            background = background * refs
        scores = self.matching_head(self.features(frame), bank.read('key', now),
                                    torch.cat([background, objects], 1), self.offset(frame, bank))
        scores = scores.flatten(1, 2)
        if late:
            scores = share_unknown(scores[:, :len(refs)], scores[:, len(refs):],
                                   exists.flatten(2))
        scores = self.upsample(scores, frame.image.shape[-2:])
        floor = torch.full_like(scores, 1e-8)
        floor[:, 0] = 2e-8
        return (scores + floor).log()

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Store features, hard labels at the kernel centres and the motion code.

        'exists' becomes 0 for objects that are given later: to this frame they are unknown.
        """
        stride = self.backbone.stride * self.geometry.decimate
        channel = hard_labels(probs[..., ::stride, ::stride])
        objects = torch.arange(1, probs.shape[1], device=probs.device)[:, None, None]
        label = (channel == objects).to(probs.dtype)[:, :, None]
        motion = self.motion_estimator.code(self.view(frame))
        valid = state.objects['valid']
        state.banks['frames'].add(
            frame.index, shared=dict(key=self.features(frame), motion=motion),
            objects=dict(label=label, exists=valid[:, :, None, None, None].to(label.dtype)),
            permanent=frame.introduced)

    def view(self, frame: Frame) -> Frame:
        """The frame as the network sees it, decimated."""
        step = self.geometry.decimate
        if step == 1:
            return frame
        return frame.cached('view', lambda: Frame(frame.index, frame.image[..., ::step, ::step]))

    def features(self, frame: Frame) -> Tensor:
        """(B,C,h,w), computed once per frame."""
        return frame.cached(
            'features', lambda: self.backbone(rgb_to_lab(self.view(frame).image))[-1])

    def offset(self, frame: Frame, bank: MemoryManager) -> Tensor:
        """(B,T,2,h,w) integer offsets in cells, clamped to the size of the map."""
        gaps = [frame.index - index for index in bank.indices(frame.index)]
        codes = bank.read('motion', frame.index)
        offset = self.motion_estimator(self.view(frame), codes, gaps)
        height, width = offset.shape[-2:]
        limit = offset.new_tensor((width, height))[:, None, None]
        return offset.clamp(-limit, limit).round()


def drop_channel(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Zero one colour channel of the whole batch and scale the others by 3/2.

    One of a and b, each with probability 1/2, the same in both frames; the target is taken
    before (MAST's information bottleneck as released).

    Args:
        lab: (B,T,3,H,W).

    Returns:
        The network's input (B,T,3,H,W) and the target (B,T,1,H,W).
    """
    channel = int(torch.randint(1, 3, ()))
    keep = lab.new_full((3, 1, 1), 1.5)
    keep[channel] = 0
    return lab * keep, lab[:, :, channel:channel + 1]


def share_unknown(background: Tensor, objects: Tensor, exists: Tensor) -> Tensor:
    """Settle what references say that are older than an object.

    "Background" there may be an object that nobody had pointed at yet; counted as background it
    would outvote the annotation. The weight of such votes is shared between background and the
    younger objects in proportion to what the references say that know them, plus `PRIOR` for
    background. The released code counts it as background.

    Args:
        background: (B,T,h,w) weight of background in each reference.
        objects: (B,K,h,w) weight of each object.
        exists: (B,K,T), 0 where the reference is older than the object.

    Returns:
        (B,K+1,h,w) with the same sum.
    """
    unknown = 1 - exists[..., None, None]  # B,K,T,1,1
    informed = (unknown.sum(1) == 0).to(background.dtype)  # B,T,1,1
    certain = (background * informed).sum(1, keepdim=True) + PRIOR
    share = background / (certain + (unknown * objects[:, :, None]).sum(1))  # B,T,h,w
    objects = objects + objects * (unknown * share[:, None]).sum(2)
    return torch.cat([(certain * share).sum(1, keepdim=True), objects], 1)
