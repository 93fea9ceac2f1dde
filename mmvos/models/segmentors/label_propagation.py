"""Propagation of labels by features that learned to propagate colours.

The family of Video Colorization (Vondrick et al., ECCV 2018), CorrFlow (Lai and Xie, BMVC 2019),
MAST (Lai, Lu, Xie, CVPR 2020), MAMP and Zhu et al.: a cell's value is the mean of the values that
remembered cells have, weighted by how well their features match. In training the value is a colour
that the encoder could not see, at inference it is the label.

This class alone is MAST's pair training and its propagation without dilated search, which is also
the first stage of Zhu et al.; what each method adds stands in its own file.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...ops import UPSAMPLE, hard_labels, rgb_to_lab
from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState, VOSDataSample
from ..memory_managers import FrameMemory
from .base import VideoSegmentor

PRIOR = 0.05  # weight of background where references that know a late object say nothing


@MODELS.register_module()
class LabelPropagation(VideoSegmentor):
    """Copies the labels of remembered frames to where features match.

    The call graph; a method writes anew what it does differently::

        loss     > encoder_input > drop_channel > encode_clip > reconstruct > loss
        segment  > features > match (offset, matching_head) > share_unknown > upsample
        memorize > keys, labels at kernel centres, motion_codes -> bank 'frames'

    Args:
        backbone: Config or module: what `encoder_input` returns -> tuple whose last is (B,C,h,w).
        matching_head: Config or module of a local matching head for inference.
        memory: Config of a `FrameMemory`.
        reconstruction_head: Config or module of a local matching head for training, or None.
        loss: Config or module of the reconstruction loss, or None.
        upsample: 'half_pixel' (the released code) or 'kernel_centre' (no offset).
        late_objects: What frames remembered before an object was given say of it: 'unknown' (see
            `share_unknown`) or 'background' (the released code).
        stride: Pixels per feature cell; None: the backbone has an attribute `stride`.
        **kwargs: See `VideoSegmentor`.
    """

    example = dict(
        backbone=dict(type='VOSResNet18'),
        matching_head=dict(type='LocalMatching', radius=3, topk=9),
        memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
        reconstruction_head=dict(type='LocalMatching', radius=3),
        loss=dict(type='ColorReconstructionLoss'),
        geometry=dict(divisor=8, value=0.467))

    def __init__(self, backbone: dict | torch.nn.Module, matching_head: dict | torch.nn.Module, *,
                 memory: dict, reconstruction_head: dict | torch.nn.Module | None = None,
                 loss: dict | torch.nn.Module | None = None,
                 upsample: str = 'half_pixel', late_objects: str = 'unknown',
                 stride: int | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        if upsample not in UPSAMPLE:
            raise ValueError(f'upsample should be one of {sorted(UPSAMPLE)}, got {upsample!r}')
        if late_objects not in ('unknown', 'background'):
            raise ValueError("late_objects should be 'unknown' or 'background', "
                             f'got {late_objects!r}')
        self.backbone = MODELS.build(backbone)
        self.stride: int = stride or _stride(self.backbone)
        self.matching_head = MODELS.build(matching_head)
        self.memory = memory
        self.reconstruction_head = reconstruction_head and MODELS.build(reconstruction_head)
        self.loss_module = loss and MODELS.build(loss)
        self.upsample = UPSAMPLE[upsample]
        self.share_late = late_objects == 'unknown'

    def encoder_input(self, image: Tensor) -> Tensor:
        """What the encoder sees of (B,3,H,W) RGB in [0,1]: normalised Lab."""
        return rgb_to_lab(image)

    # ---- training: reconstruct a dropped colour channel of the last frame from those before it

    def loss(self, inputs: Tensor,
             data_samples: list[VOSDataSample] | None = None) -> dict[str, Tensor]:
        """Reconstruct the last frame of each clip from the others.

        Args:
            inputs: (B,T,3,H,W) RGB in [0,1], T >= 2.
            data_samples: Not used: no label is ever seen.

        Returns:
            'loss', a scalar.

        Raises:
            ValueError: The model has nothing to train with, or a clip has one frame.
        """
        self.check_trainable(inputs)
        clip = self.encoder_input(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        clip, target = drop_channel(clip)
        *keys, query = self.encode_clip(clip)
        pred = self.reconstruct(query, keys, target[:, :-1])
        return dict(loss=self.loss_module(pred, target[:, -1]))

    def check_trainable(self, inputs: Tensor) -> None:
        """Raise ValueError for a model without head or loss, or clips of one frame."""
        if self.reconstruction_head is None or self.loss_module is None:
            raise ValueError(f'{type(self).__name__} has nothing to train with; give it '
                             'reconstruction_head=... and loss=...')
        if inputs.shape[1] < 2:
            raise ValueError(f'expected clips of 2 frames or more, got {inputs.shape[1]}; set '
                             'length of the dataset')

    def encode_clip(self, clip: Tensor) -> list[Tensor]:
        """T maps (B,C,h,w) of (B,T,C,H,W), one call each: batch statistics are of one time."""
        return [self.backbone(frame)[-1] for frame in clip.unbind(1)]

    def reconstruct(self, query: Tensor, keys: Sequence[Tensor], values: Tensor) -> Tensor:
        """Values of the query copied from references: one softmax over the windows of all.

        Args:
            query: (B,C,h,w).
            keys: T maps (B,C,h,w).
            values: (B,T,Cv,H,W), read at the kernel centres.

        Returns:
            (B,Cv,H,W).
        """
        return self.upsample(self.copy(query, keys, self.cells(values)), values.shape[-2:])

    def cells(self, x: Tensor) -> Tensor:
        """(...,h,w) of (...,H,W): the pixels at the kernel centres."""
        return x[..., ::self.stride, ::self.stride]

    def copy(self, query: Tensor, keys: Sequence[Tensor], cells: Tensor) -> Tensor:
        """`reconstruct` among cells: values (B,T,Cv,h,w) -> (B,Cv,h,w)."""
        values = cells.transpose(1, 2)[:, None]  # B,K=1,Cv,T,h,w
        return self.reconstruction_head(query, torch.stack([*keys], 2), values)[:, 0]

    # ---- inference

    def init_state(self, video: VideoSource | None) -> VideoState:
        """An empty bank."""
        bank: FrameMemory = MODELS.build(self.memory)
        return VideoState(banks=dict(frames=bank))

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log of the propagated scores (B,K+1,H,W); all-zero scores are background."""
        bank, now = state.banks['frames'], frame.index
        objects = bank.read('label', now)
        # samples with fewer objects have nothing that is unknown
        absent = ~state.valid[:, :, None, None, None, None]
        exists = bank.read('exists', now).masked_fill(absent, 1)
        background = 1 - objects.sum(1, keepdim=True)
        late = self.share_late and not bool(exists.all())
        if late:  # one channel of background per reference
            refs = torch.eye(objects.shape[3], device=objects.device)[:, None, :, None, None]
            background = background * refs
        scores = self.match(frame, bank, torch.cat([background, objects], 1)).flatten(1, 2)
        if late:
            scores = share_unknown(scores[:, :len(refs)], scores[:, len(refs):],
                                   exists.flatten(2))
        scores = self.upsample(scores, frame.image.shape[-2:])
        floor = torch.full_like(scores, 1e-8)
        floor[:, 0] = 2e-8
        return (scores + floor).log()

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Store keys, labels at the kernel centres and what motion is estimated from.

        'exists' becomes 0 for objects that are given later: to this frame they are unknown.
        """
        stride = self.stride * self.geometry.decimate
        label = self.labels(probs[..., ::stride, ::stride])[:, :, None]
        state.banks['frames'].add(
            frame.index, shared=dict(key=self.keys(frame), **self.motion_codes(frame)),
            objects=dict(label=label, exists=state.exists(label)),
            permanent=frame.introduced)

    def labels(self, probs: Tensor) -> Tensor:
        """What is remembered of probabilities (B,K+1,h,w): hard labels (B,K,h,w)."""
        objects = torch.arange(1, probs.shape[1], device=probs.device)[:, None, None]
        return (hard_labels(probs) == objects).to(probs.dtype)

    def match(self, frame: Frame, bank: FrameMemory, values: Tensor) -> Tensor:
        """Read values (B,K,Cv,T,h,w) of the references where they match: (B,K,Cv,h,w)."""
        keys = bank.read('key', frame.index)
        return self.matching_head(self.features(frame), keys, values, self.offset(frame, bank))

    def offset(self, frame: Frame, bank: FrameMemory) -> Tensor | None:
        """Where each cell looks in each reference: (B,T,2,h,w) cells, xy; None: where it is."""
        return None

    def motion_codes(self, frame: Frame) -> dict[str, Tensor]:
        """Further maps to remember of a frame, for `offset`."""
        return {}

    def adopted(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights without those of MAMP's motion estimator."""
        return {key: value for key, value in weights.items()
                if not key.startswith('motion_estimator.')}

    def view(self, frame: Frame) -> Frame:
        """The frame as the network sees it, decimated."""
        step = self.geometry.decimate
        if step == 1:
            return frame
        return frame.cached('view', lambda: Frame(frame.index, frame.image[..., ::step, ::step]))

    def features(self, frame: Frame) -> Tensor:
        """(B,C,h,w) of the frame as a query, computed once per frame."""
        return frame.cached(
            'features', lambda: self.backbone(self.encoder_input(self.view(frame).image))[-1])

    def keys(self, frame: Frame) -> Tensor:
        """(B,C,h,w) of the frame as a reference."""
        return self.features(frame)


def _stride(backbone: torch.nn.Module) -> int:
    stride = getattr(backbone, 'stride', None)
    if stride is None:
        raise ValueError(f'{type(backbone).__name__} has no attribute `stride`: expected '
                         'stride=N beside `backbone`, N pixels per cell of its last map')
    return stride


def drop_channel(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Zero one colour channel of the whole batch and scale the others by 3/2.

    One of a and b, each with probability 1/2, the same in all frames; the target is taken
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
