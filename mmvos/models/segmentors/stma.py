"""STMA: spatio-temporal memory with joint association.

"Video object segmentation with spatial and temporal memory" (see configs/stma): the backbone with
three streams (`STML`, section 3.2), object features, spatial memory of frames and temporal memory
of keys and ID values (section 3.3), reading and decoding.

The text leaves open, and here is: the value encoder (a ResNet-18 that reads image, mask and other
masks to 1/16, joined with the backbone's map, as in XMem), keys of 64 channels, object features as
the largest temporal values through one linear layer, and STM's decoder.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import aggregate_logits, normalize_imagenet
from ...ops.backends import widened
from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState, place_objects
from ..memory_managers import MemoryManager
from .supervised import SupervisedSegmentor


@MODELS.register_module()
class STMA(SupervisedSegmentor):
    """Associates a frame with earlier frames and with its objects inside of the backbone.

    The call graph::

        segment  > backbone.embed > backbone(frame, bank 'frames', object_features) > skips
                 > key > matching_head over bank 'memory' > decoder > aggregate_logits
        memorize > backbone.embed -> bank 'frames'
                 > value_encoder(image, mask, other masks), per object -> bank 'memory'
        loss     > SupervisedSegmentor: segment and memorize over the clip

    All objects share one pass of the backbone.

    Args:
        backbone: Config or module, see `STML`.
        value_encoder: Config or module: (B*K,5,H,W) of image, mask and the others' mask -> tuple
            whose last is at 1/16.
        decoder: Config or module of a decode head, see `RefineDecoder`.
        matching_head: Config or module of a global matching head.
        frames: Config of the spatial memory, a `FrameMemory`.
        memory: Config of the temporal memory.
        value_channels: Of the value encoder's last map.
        key_channels: Ck.
        **kwargs: `loss`, `detach`, `geometry`, `data_preprocessor`, `init_cfg`.
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
                 decoder: dict | nn.Module, matching_head: dict | nn.Module, frames: dict,
                 memory: dict, value_channels: int = 256, key_channels: int = 64,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.backbone = MODELS.build(backbone)
        self.value_encoder = MODELS.build(value_encoder)
        self.decoder = MODELS.build(decoder)
        self.matching_head = MODELS.build(matching_head)
        self.frames = frames
        self.memory = memory
        channels, values = self.backbone.channels, self.decoder.value_channels
        self.key = nn.Conv2d(channels, key_channels, 3, padding=1)
        self.query = nn.Conv2d(channels, values, 1)
        self.value = nn.Conv2d(value_channels + channels, values, 3, padding=1)
        self.objects = nn.Linear(values, channels)

    def init_state(self, video: VideoSource | None) -> VideoState:
        """Two empty banks."""
        banks: dict[str, MemoryManager] = dict(frames=MODELS.build(self.frames),
                                               memory=MODELS.build(self.memory))
        return VideoState(banks=banks)

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Log odds (B,K+1,H,W) of the aggregated objects."""
        x = self.associate(frame, state)
        skips = self.backbone.skips(self.tokens(frame)[:-1], x)
        readout, mass = self.matching_head(self.key(x).flatten(2),
                                           *state.banks['memory'].elements(frame.index))
        frame.cached('mass', mass.detach)
        logits = self.decoder(readout.unflatten(-1, x.shape[-2:]), self.query(x), skips[::-1])
        shape = logits.shape[:2]
        logits = F.interpolate(widened(logits.flatten(0, 1)), frame.image.shape[-2:],
                               mode='bilinear', align_corners=False).unflatten(0, shape)
        return aggregate_logits(logits.softmax(2)[:, :, 1], valid=state.objects['valid'])

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Add the frame to the spatial memory, its key and ID values to the temporal one."""
        x, valid = self.associate(frame, state), state.objects['valid']
        value = self.id_values(frame, probs[:, 1:], x, valid)
        key = self.key(x)[:, None].expand(-1, valid.shape[1], -1, -1, -1)
        bank = state.banks['memory']
        if (mass := frame.found('mass')) is not None:
            bank.count(mass)
        state.banks['frames'].add(frame.index, shared=dict(token=self.tokens(frame)[-1]),
                                  permanent=frame.introduced)
        bank.add(frame.index, objects=dict(key=key, value=value,
                                           exists=valid[:, :, None, None, None].to(key.dtype)),
                 permanent=frame.introduced, given=frame.given)

    def tokens(self, frame: Frame) -> tuple[Tensor, ...]:
        """The stem's maps of the frame, the last with positions; computed once."""
        return frame.cached('tokens', lambda: self.backbone.embed(normalize_imagenet(frame.image)))

    def associate(self, frame: Frame, state: VideoState) -> Tensor:
        """The frame's map (B,C,h,w) beside what the state remembered; computed once.

        The first frame has nothing to look at but itself.
        """
        return frame.cached('associated', lambda: self._associated(frame, state))

    def _associated(self, frame: Frame, state: VideoState) -> Tensor:
        test = self.tokens(frame)[-1]
        if state.banks['frames'].start is None:
            nothing = test.new_zeros(len(test), 0, self.backbone.channels)
            valid = torch.zeros(nothing.shape[:2], dtype=torch.bool, device=test.device)
            return self.backbone(test, test[:, :, None][:, :, :0], nothing, valid)[0]
        references = state.banks['frames'].read('token', frame.index)
        return self.backbone(test, references, *self.object_features(frame, state))[0]

    def object_features(self, frame: Frame, state: VideoState) -> tuple[Tensor, Tensor]:
        """F_o (B,K,C), the largest temporal values of each object, and which have any (B,K)."""
        _, values, exists = state.banks['memory'].elements(frame.index)
        if exists is None:
            exists = torch.ones_like(values[:, :, 0], dtype=torch.bool)
        known = exists.any(-1)
        largest = values.masked_fill(~exists[:, :, None], -torch.inf).amax(-1)
        return self.objects(largest.where(known[..., None], 0)), known

    def id_values(self, frame: Frame, masks: Tensor, x: Tensor, valid: Tensor) -> Tensor:
        """(B,K,Cv,h,w) of the frame with the mask of each object (B,K,H,W)."""
        image = normalize_imagenet(frame.image)[:, None].expand(-1, masks.shape[1], -1, -1, -1)
        others = (masks.sum(1, keepdim=True) - masks).clamp(0, 1)
        stacked = torch.cat([image, masks[:, :, None], others[:, :, None]], 2)
        found = self.value_encoder(stacked[valid])[-1]
        common = x[:, None].expand(-1, valid.shape[1], -1, -1, -1)[valid]
        return place_objects(self.value(torch.cat([found, common], 1)), valid)


@MODELS.register_module()
class STMAWithoutObjects(STMA):
    """No object looks at a frame inside of the backbone (ablation "w/o object features")."""

    def object_features(self, frame: Frame, state: VideoState) -> tuple[Tensor, Tensor]:
        """Nothing."""
        features, known = super().object_features(frame, state)
        return features[:, :0], known[:, :0]
