"""STM: space-time memory networks.

Oh, Lee, Xu, Kim, "Video object segmentation using space-time memory networks", ICCV 2019.
Equations 1-2 (memory read), section 3.4 (several objects), section 3.3 (decoder).

The paper's own training code is not public; the clip loss is that of the usual reproductions: the
second frame is predicted from the first, the third from the first and the predicted second.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import aggregate_logits
from ...ops.backends import widened
from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState, place_objects
from ..memory_managers import MemoryManager
from .base import normalized
from .supervised import SupervisedSegmentor


@MODELS.register_module()
class STM(SupervisedSegmentor):
    """Segments each object by reading what earlier frames, encoded with its mask, say of it.

    The call graph::

        segment  > query_encoder > query_kv > matching_head (eq. 1) > decoder > aggregate_logits
        memorize > memory_encoder(image, mask, other masks), per object > memory_kv -> bank 'memory'
        loss     > SupervisedSegmentor: segment and memorize over the clip

    Args:
        query_encoder: Config or module: (B,3,H,W) -> maps from fine to coarse, the last at 1/16.
        memory_encoder: Config or module: (B*K,5,H,W) of image, mask and the others' mask -> tuple
            whose last is at 1/16. One 5-channel convolution is the paper's sum of three.
        decoder: Config or module of a decode head, see `RefineDecoder`.
        matching_head: Config or module of a global matching head.
        memory: Config of a memory manager; FrameBank(every=5, recent=1) is the paper's,
            AdaptiveBank that of AFB-URR (with GlobalMatching(count_above=1e-3)).
        in_channels: Of both encoders' last maps.
        key_channels: Ck.
        **kwargs: See `SupervisedSegmentor`.
    """

    example = dict(
        query_encoder=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4,
                           num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
                           out_indices=(0, 1, 2)),
        memory_encoder=dict(type='mmseg.ResNet', in_channels=5, depth=18, base_channels=4,
                            stem_channels=4, num_stages=3, strides=(1, 2, 2),
                            dilations=(1, 1, 1), out_indices=(2,)),
        decoder=dict(type='RefineDecoder', skip_channels=(8, 4), value_channels=6, channels=8),
        matching_head=dict(type='GlobalMatching'), memory=dict(type='FrameBank', every=5),
        in_channels=16, key_channels=4, loss=dict(type='CrossEntropy'), geometry=dict(divisor=16))

    def __init__(self, query_encoder: dict | nn.Module, memory_encoder: dict | nn.Module, *,
                 decoder: dict | nn.Module, matching_head: dict | nn.Module, memory: dict,
                 in_channels: int = 1024, key_channels: int = 128, **kwargs) -> None:
        super().__init__(**kwargs)
        self.query_encoder = MODELS.build(query_encoder)
        self.memory_encoder = MODELS.build(memory_encoder)
        self.decoder = MODELS.build(decoder)
        self.matching_head = MODELS.build(matching_head)
        self.memory = memory
        self.query_kv = KeyValue(in_channels, key_channels, self.decoder.value_channels)
        self.memory_kv = KeyValue(in_channels, key_channels, self.decoder.value_channels)

    def init_state(self, video: VideoSource | None) -> VideoState:
        """An empty bank."""
        bank: MemoryManager = MODELS.build(self.memory)
        return VideoState(banks=dict(memory=bank))

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log odds (B,K+1,H,W) of the aggregated objects."""
        *skips, _ = self.encode(frame)
        key, value = self.query(frame, state)
        readout = read_elements(self.matching_head, key, frame, state.banks['memory'])
        return aggregate_decoded(self.decoder(readout, value, skips[::-1]), frame, state)

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Encode the frame with each object's mask, see `memory_input`."""
        x = self.memory_input(frame, probs[:, 1:])
        valid = state.valid
        found = self.memory_kv(self.memory_encoder(x[valid])[-1])
        key, value = (place_objects(part, valid) for part in found)
        bank = state.banks['memory']
        if (mass := frame.found('mass')) is not None:
            bank.count(mass)
        bank.add(frame.index, objects=dict(key=key, value=value, exists=state.exists(key)),
                 permanent=frame.introduced, given=frame.given)

    def memory_input(self, frame: Frame, objects: Tensor) -> Tensor:
        """(B,K,5,H,W), see `with_masks`."""
        return with_masks(frame, objects)

    def encode(self, frame: Frame) -> tuple[Tensor, ...]:
        """Maps of the frame from fine to coarse, computed once."""
        return frame.cached('maps', lambda: self.query_encoder(normalized(frame)))

    def query(self, frame: Frame, state: VideoState) -> tuple[Tensor, Tensor]:
        """Key (B,Ck,h,w) and value (B,Cv,h,w) of the frame."""
        return self.query_kv(self.encode(frame)[-1])


class KeyValue(nn.Module):
    """Two 3x3 convolutions of one map."""

    def __init__(self, in_channels: int, key_channels: int, value_channels: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(in_channels, key_channels, 3, padding=1)
        self.value = nn.Conv2d(in_channels, value_channels, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value, (B,C,h,w) each."""
        return self.key(x), self.value(x)


def with_masks(frame: Frame, objects: Tensor) -> Tensor:
    """(B,K,5,H,W): the normalised image, each soft mask (B,K,H,W) and the sum of the others'."""
    image = normalized(frame)[:, None].expand(-1, objects.shape[1], -1, -1, -1)
    others = (objects.sum(1, keepdim=True) - objects).clamp(0, 1)
    return torch.cat([image, objects[:, :, None], others[:, :, None]], 2)


def read_elements(head: nn.Module, key: Tensor, frame: Frame, bank: MemoryManager) -> Tensor:
    """(B,K,Cv,h,w) of a bank for (B,Ck,h,w); what is older than an object is not there for it.

    How much of each element was read is kept on the frame as 'mass'.
    """
    readout, mass = head(key.flatten(2), *bank.elements(frame.index))
    frame.keep('mass', mass.detach())
    return readout.unflatten(-1, key.shape[-2:])


def aggregate_decoded(logits: Tensor, frame: Frame, state: VideoState) -> Tensor:
    """Log odds (B,K+1,H,W) of a decoder's two logits of each object (B,K,2,h,w)."""
    shape = logits.shape[:2]
    # in bfloat16 a probability near 1 would be 1, without gradient
    logits = F.interpolate(widened(logits.flatten(0, 1)), frame.image.shape[-2:],
                           mode='bilinear', align_corners=False).unflatten(0, shape)
    return aggregate_logits(logits.softmax(2)[:, :, 1], valid=state.valid)
