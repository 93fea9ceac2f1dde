"""STMA: spatial-temporal multi-level association.

Miao, Li, He, Lu, Yang, "Spatial-temporal multi-level association for video object segmentation",
2024: the backbone with three streams (`STML`, section 3.2), object features, spatial memory of
frames and temporal memory of keys and ID values (section 3.3), reading and decoding.

The text leaves open, and here is: the value encoder (a ResNet-18 that reads image, mask and other
masks to 1/16, joined with the backbone's map by a convolution instead of XMem's fusion block), keys
of 64 channels, object features as the largest temporal values through one linear layer, whose bias
is the position embedding that all share, and STM's decoder.
"""
from __future__ import annotations

from abc import ABC

import torch
from torch import Tensor, nn

from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState, place_objects
from ..backbones.stml import JointAttention
from ..memory_managers import FrameMemory, MemoryManager
from .base import normalized
from .stm import aggregate_decoded, read_elements, with_masks
from .supervised import SupervisedSegmentor

REFERENCES = 2  # while training, drawn from the past frames of the clip (section 4)


class SpatialMemorySegmentor(SupervisedSegmentor, ABC):
    """What STMA and its ablation without temporal memory share: tokens and spatial memory.

    While training a `FrameBank` memorises every frame of the clip, whatever `frames` is: they are
    apart in time already.

    Args:
        backbone: Config or module, see `STML`.
        decoder: Config or module of a decode head, see `RefineDecoder`.
        frames: Config of the spatial memory, a `FrameMemory`;
            FrameBank(every=3, newest=1, recent=0) is the paper's on DAVIS, every=5 on YouTube-VOS.
        **kwargs: See `SupervisedSegmentor`.
    """

    def __init__(self, backbone: dict | nn.Module, *, decoder: dict | nn.Module, frames: dict,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.backbone = MODELS.build(backbone)
        self.decoder = MODELS.build(decoder)
        self.frames = frames
        self.query = nn.Conv2d(self.backbone.channels, self.decoder.value_channels, 1)

    def init_state(self, video: VideoSource | None) -> VideoState:
        """An empty spatial memory."""
        frames = dict(type='FrameBank', every=1, recent=0) if self.training else self.frames
        bank: FrameMemory = MODELS.build(frames)
        return VideoState(banks=dict(frames=bank))

    def tokens(self, frame: Frame) -> tuple[Tensor, ...]:
        """The stem's maps of the frame, the last with positions; computed once."""
        return frame.cached('tokens', lambda: self.backbone.embed(normalized(frame)))

    def no_objects(self, test: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B,0,C) and which are valid (B,0), beside tokens (B,C,h,w)."""
        none = torch.zeros(len(test), 0, dtype=torch.bool, device=test.device)
        return test.new_zeros(len(test), 0, self.backbone.channels), none

    def drawn(self, references: Tensor) -> Tensor:
        """(...,T,h,w): all; while training two of them, drawn at random."""
        count = references.shape[-3]
        if not self.training or count <= REFERENCES:
            return references
        return references[..., torch.randperm(count)[:REFERENCES].sort().values, :, :]


@MODELS.register_module()
class STMA(SpatialMemorySegmentor):
    """Associates a frame with earlier frames and with its objects inside of the backbone.

    The call graph::

        segment  > backbone.embed > backbone(frame, bank 'frames', object_features) > skips
                 > key > matching_head over bank 'memory' > decoder > aggregate_logits
        memorize > backbone.embed -> bank 'frames'
                 > value_encoder(image, mask, other masks), per object -> bank 'memory'
        loss     > SupervisedSegmentor: segment and memorize over the clip

    All objects share one pass of the backbone.

    Args:
        backbone: See `SpatialMemorySegmentor`.
        value_encoder: Config or module: (B*K,5,H,W) of image, mask and the others' mask -> tuple
            whose last is at 1/16.
        matching_head: Config or module of a global matching head.
        memory: Config of the temporal memory, a `UsageBank` with `every`.
        value_channels: Of the value encoder's last map.
        key_channels: Ck.
        **kwargs: `decoder`, `frames` and others, see `SpatialMemorySegmentor`.
    """

    example = dict(
        backbone=dict(type='ViTSTML', channels=16, depth=2, heads=2, fine_channels=(4, 8)),
        value_encoder=dict(type='mmseg.ResNet', in_channels=5, depth=18, base_channels=4,
                           stem_channels=4, num_stages=3, strides=(1, 2, 2),
                           dilations=(1, 1, 1), out_indices=(2,)),
        decoder=dict(type='RefineDecoder', skip_channels=(8, 4), value_channels=6, channels=8),
        matching_head=dict(type='GlobalMatching', similarity='l2'),
        frames=dict(type='FrameBank', every=3, newest=1, recent=0),
        memory=dict(type='UsageBank', budget=400, every=3),
        value_channels=16, key_channels=4, loss=dict(type='CrossEntropy'),
        geometry=dict(divisor=16))

    def __init__(self, backbone: dict | nn.Module, value_encoder: dict | nn.Module, *,
                 matching_head: dict | nn.Module, memory: dict, value_channels: int = 256,
                 key_channels: int = 64, **kwargs) -> None:
        super().__init__(backbone, **kwargs)
        if 'every' not in memory:
            raise ValueError(f'{type(self).__name__}: expected a memory with every=..., such as '
                             f"dict(type='UsageBank', every=3), got {memory}")
        self.value_encoder = MODELS.build(value_encoder)
        self.matching_head = MODELS.build(matching_head)
        self.memory = memory
        channels, values = self.backbone.channels, self.decoder.value_channels
        self.key = nn.Conv2d(channels, key_channels, 3, padding=1)
        self.value = nn.Conv2d(value_channels + channels, values, 3, padding=1)
        self.objects = nn.Linear(values, channels)

    def init_state(self, video: VideoSource | None) -> VideoState:
        """Two empty banks."""
        state = super().init_state(video)
        bank: MemoryManager = MODELS.build(
            dict(self.memory, every=1) if self.training else self.memory)
        state.banks['memory'] = bank
        return state

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log odds (B,K+1,H,W) of the aggregated objects."""
        x = self.associate(frame, state)
        skips = self.backbone.skips(self.tokens(frame)[:-1], x)
        readout = read_elements(self.matching_head, self.key(x), frame, state.banks['memory'])
        return aggregate_decoded(self.decoder(readout, self.query(x), skips[::-1]), frame, state)

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Add the frame to the temporal memory, and its tokens to the spatial one."""
        self.identify(frame, probs, state)
        self.remember(frame, state)

    def identify(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Memorise key and ID values of the frame, if the temporal memory wants any."""
        bank, kind = state.banks['memory'], dict(permanent=frame.introduced, given=frame.given)
        if (mass := frame.found('mass')) is not None:
            bank.count(mass)
        if not bank.wants(frame.index, **kind):
            return
        x, valid = self.associate(frame, state), state.valid
        found = self.value_encoder(with_masks(frame, probs[:, 1:])[valid])[-1]
        value = self.value(torch.cat([found, of_objects(x, valid)], 1))
        key = self.key(x)[:, None].expand(-1, valid.shape[1], -1, -1, -1)
        bank.add(frame.index, objects=dict(key=key, value=place_objects(value, valid),
                                           exists=state.exists(key)), **kind)

    def remember(self, frame: Frame, state: VideoState) -> None:
        """Memorise the frame's tokens."""
        state.banks['frames'].add(frame.index, shared=dict(token=self.tokens(frame)[-1]),
                                  permanent=frame.introduced)

    def associate(self, frame: Frame, state: VideoState) -> Tensor:
        """The frame's map (B,C,h,w) beside what the state remembered; computed once.

        The first frame has nothing to look at but itself.
        """
        return frame.cached('associated', lambda: self.backbone(
            self.tokens(frame)[-1], self.references(frame, state),
            *self.object_features(frame, state))[0])

    def references(self, frame: Frame, state: VideoState) -> Tensor:
        """Tokens (B,C,T,h,w) of earlier frames."""
        bank = state.banks['frames']
        if not bank.indices(frame.index):
            return self.tokens(frame)[-1].unsqueeze(2)[:, :, :0]  # T = 0
        return self.drawn(bank.read('token', frame.index))

    def object_features(self, frame: Frame, state: VideoState) -> tuple[Tensor, Tensor]:
        """F_o (B,K,C), the largest temporal values of each object, and which have any (B,K)."""
        bank = state.banks['memory']
        if not bank.tensors():
            return self.no_objects(self.tokens(frame)[-1])
        _, values, exists = bank.elements(frame.index)
        if exists is None:
            exists = torch.ones_like(values[:, :, 0], dtype=torch.bool)
        there = exists.any(-1)
        largest = values.masked_fill(~exists[:, :, None], -torch.inf).amax(-1)
        return self.objects(largest.where(there[..., None], 0)), there


@MODELS.register_module()
class STMAWithoutObjects(STMA):
    """No object looks at a frame inside of the backbone (ablation "w/o obj").

    Args:
        *args: See `STMA`.
        **kwargs: See `STMA`.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        del self.objects

    def object_features(self, frame: Frame, state: VideoState) -> tuple[Tensor, Tensor]:
        """Nothing."""
        return self.no_objects(self.tokens(frame)[-1])


@MODELS.register_module()
class STMAWithoutFrames(STMA):
    """No earlier frame enters the backbone (ablation "w/o spatial memory").

    The frame and the objects look at each other, in a backbone of joint attention.

    Args:
        backbone: JointViTSTML, JointConvViTSTML or another of `JointAttention`.
        *args: See `STMA`.
        **kwargs: See `STMA`.
    """

    example = STMA.example | dict(backbone=dict(
        type='JointViTSTML', channels=16, depth=2, heads=2, fine_channels=(4, 8)))

    def __init__(self, backbone: dict | nn.Module, *args, **kwargs) -> None:
        super().__init__(backbone, *args, **kwargs)
        if not issubclass(self.backbone.attention, JointAttention):
            raise ValueError('STMAWithoutFrames: expected a backbone of JointAttention, such as '
                             f'JointViTSTML, got {type(self.backbone).__name__}, in which objects '
                             'reach the frame by way of references alone')

    def remember(self, frame: Frame, state: VideoState) -> None:
        """Nothing."""


@MODELS.register_module()
class STMAWithoutIdentities(SpatialMemorySegmentor):
    """No temporal memory: references carry masks (ablation "w/o temporal memory").

    As in SimVOS (Wu et al., ICCV 2023), on which the ablation is built, every object has a pass of
    the backbone for itself: its mask and the sum of the others', embedded, are added to the tokens
    of the references, and the decoder sees the frame's tokens before and after. A reference from
    before an object's first mask has nothing added. Corrections act where their frame is one of
    every n-th.

    Args:
        backbone: See `SpatialMemorySegmentor`.
        **kwargs: `decoder`, `frames` and others, see there.
    """

    example = {name: STMA.example[name]
               for name in ('backbone', 'decoder', 'frames', 'loss', 'geometry')}

    def __init__(self, backbone: dict | nn.Module, **kwargs) -> None:
        super().__init__(backbone, **kwargs)
        channels, stride = self.backbone.channels, self.backbone.stride
        self.mask = nn.Conv2d(2, channels, stride, stride, bias=False)
        self.readout = nn.Conv2d(channels, self.decoder.value_channels, 1)

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log odds (B,K+1,H,W) of the aggregated objects."""
        valid, bank = state.valid, state.banks['frames']
        *maps, test = (of_objects(x, valid) for x in self.tokens(frame))
        references = (bank.read('token', frame.index)[:, None]
                      + bank.read('mask', frame.index))[valid]
        x, _ = self.backbone(test, self.drawn(references), *self.no_objects(test))
        logits = self.decoder(self.readout(x)[:, None], self.query(test),
                              self.backbone.skips(tuple(maps), x)[::-1])
        return aggregate_decoded(place_objects(logits[:, 0], valid), frame, state)

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Add the frame's tokens and, of each object, its embedded mask."""
        valid, masks = state.valid, with_masks(frame, probs[:, 1:])[:, :, 3:]
        state.banks['frames'].add(
            frame.index, shared=dict(token=self.tokens(frame)[-1]),
            objects=dict(mask=place_objects(self.mask(masks[valid]), valid)),
            permanent=frame.introduced)


def of_objects(x: Tensor, valid: Tensor) -> Tensor:
    """(B,C,h,w) -> (N,C,h,w): the frame's map for each of the N valid objects."""
    return x[:, None].expand(-1, valid.shape[1], -1, -1, -1)[valid]
