"""The three verbs of a video segmentor and the one path of a frame."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from ...io import encode_mask
from ...ops import normalize_imagenet
from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState, VOSDataSample, grow_objects
from ..refiners import Refiner
from ..refiners.base import OnProgress, no_progress
from .geometry import Geometry
from .session import VOSSession
from .whole_video import segment_video


class VideoSegmentor(BaseModel):
    """Segments a video frame by frame; everything it remembers is in a `VideoState`.

    A method writes `segment` and `memorize`, and `init_state` where it has banks.

    The call graph::

        predict > segment_video > VOSSession.step > step > segment     logits of this frame
                                                         > memorize    the only writer of the state
                                                  > postprocessor, if there is one
                                > refiner, if there is one
        loss > the method's own

    Args:
        geometry: Arguments of `Geometry`, applied to frames and masks before the network sees
            them; only `VOSSession` inverts it.
        postprocessor: Config or module of what changes the probabilities of a frame after the
            network; nothing is remembered of it. See `DenseCRF`.
        refiner: Config or module of a second pass over whole videos; see `Refiner`.
        data_preprocessor: Config or module; `VOSDataPreprocessor` by default.
        init_cfg: See mmengine's BaseModule.
    """

    needs_mask = True  # False: finds objects by itself, as many as `num_slots`, and takes no masks
    num_slots = 1
    map_names: tuple[str, ...] = ()  # of what `maps` can show
    autocast: torch.dtype | None = None  # set by `apis.use_dtype`; None: as the caller has it

    def __init__(self, *, geometry: dict | None = None,
                 postprocessor: dict | torch.nn.Module | None = None,
                 refiner: dict | Refiner | None = None,
                 data_preprocessor: dict | torch.nn.Module | None = None,
                 init_cfg: dict | None = None) -> None:
        # MMEngine would look the type up in its own scope
        data_preprocessor = MODELS.build(data_preprocessor or dict(type='VOSDataPreprocessor'))
        super().__init__(data_preprocessor, init_cfg)
        self.geometry = Geometry(**(geometry or {}))
        self.postprocessor = postprocessor and MODELS.build(postprocessor)
        self.refiner = refiner and MODELS.build(refiner)
        self.listeners: list[Callable[[VOSDataSample, int, np.ndarray], None]] = []
        self.report: OnProgress = no_progress

    def init_state(self, video: VideoSource | None) -> VideoState:
        """A fresh state, empty unless a method has banks; `video` is None in a session."""
        return VideoState()

    @abstractmethod
    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Logits (B,K+1,H,W) of this frame, channel 0 is background; never writes the state."""

    @abstractmethod
    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Store what later frames need of this one; probs is (B,K+1,H,W)."""

    def step(self, frame: Frame, state: VideoState) -> Tensor:
        """One frame: segment, take given masks over, memorise.

        Frames before the first object are background and are not memorised. Without masks
        (`needs_mask = False`) there are `num_slots` objects from the first frame on.

        Returns:
            Probabilities (B,K+1,H,W), K objects known after this frame.
        """
        # here, not around a whole run: MMEngine's test loop turns autocast off again
        with self._precision(frame):
            if not self.needs_mask and not state.num_objects:
                slots = frame.image.new_ones(len(frame.image), self.num_slots, dtype=torch.bool)
                state.grow(slots)
            if state.num_objects:
                probs = self.segment(frame, state).softmax(1)
            else:
                batch, _, height, width = frame.image.shape
                probs = frame.image.new_ones(batch, 1, height, width)
            if frame.masks is not None:
                before = state.objects.get('valid', frame.valid[:, :0])
                frame.introduced = frame.valid & ~grow_objects(before, frame.valid.shape[1])
                state.grow(frame.valid)
                probs = merge_given(probs, frame.masks, frame.given)
            if state.num_objects:
                self.memorize(frame, probs, state)
            return probs

    def _precision(self, frame: Frame) -> AbstractContextManager:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(frame.image.device.type, self.autocast)

    def adopted(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """What `load_weights` loads of a checkpoint's weights, under the names of this model."""
        return weights

    def maps(self, frame: Frame) -> dict[str, Tensor]:
        """What the method saw of a frame besides its objects, for the eye.

        Called after `step`; it reads what `segment` cached on the frame and computes nothing again.

        Returns:
            At most one map for each of `map_names`, over the padded frame: (B,1,h,w) from 0 to 1,
            or (B,2,h,w) vectors, x first, where length 1 is the longest that is told apart. None
            for a frame that was not segmented, as the first one.
        """
        return {}

    def require_maps(self) -> None:
        """Refuse a model without maps, or with a refiner.

        Raises:
            ValueError: `map_names` is empty; the methods that have maps are named. Or the masks
                come from a refiner, the maps would be of others.
        """
        if self.refiner is not None:
            raise ValueError('maps are of the first pass, masks of the refiner '
                             f'{type(self.refiner).__name__}; leave one of them out')
        if self.map_names:
            return
        able = sorted(f'{name} (configs/{name.lower()})' for name, cls in MODELS.module_dict.items()
                      if getattr(cls, 'map_names', ()) and 'maps' in vars(cls))
        raise ValueError(f'{type(self).__name__} has no maps to save; leave them out or give a '
                         f'config of a method that has: {", ".join(able)}')

    def session(self, video: VideoSource | None = None, size: int | None = None, *,
                keep_maps: bool = False) -> VOSSession:
        """A session that feeds frames one by one; see `VOSSession`.

        Raises:
            ValueError: The model has a refiner, which needs the whole video.
        """
        if self.refiner is not None:
            raise ValueError(f'{type(self.refiner).__name__} refines whole videos and a session '
                             'has none; use VOSInferencer(model)(video, masks), or leave the '
                             'refiner out')
        return VOSSession(self, video, size=size, keep_maps=keep_maps)

    @torch.no_grad()
    def predict(self, inputs: list[VideoSource],
                data_samples: list[VOSDataSample]) -> list[VOSDataSample]:
        """Segment whole videos, one palette PNG per frame in `pred_masks`.

        `listeners` are called after every frame with (data sample, index, (H,W) uint8 labels),
        `report` while a refiner keeps them waiting, see `segment_video`.
        """
        for video, sample in zip(inputs, data_samples, strict=True):
            pngs = []
            given = sample.given.get if self.needs_mask else _nothing
            frames = segment_video(self, video, given, report=self.report)
            for index, (_, labels, _) in enumerate(frames):
                pngs.append(encode_mask(labels))
                for listener in self.listeners:
                    listener(sample, index, labels)
            sample.pred_masks = pngs
        return data_samples

    def loss(self, inputs: Tensor, data_samples: list[VOSDataSample] | None) -> dict[str, Tensor]:
        """Losses of a batch of clips (B,T,3,H,W)."""
        raise ValueError(f'{type(self).__name__} has nothing to train; use tools/test.py')

    def forward(self, inputs: Tensor | list[VideoSource],
                data_samples: list[VOSDataSample] | None = None,
                mode: str = 'predict') -> dict[str, Tensor] | list[VOSDataSample]:
        """MMEngine's entry: mode is 'loss' or 'predict'."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode should be 'loss' or 'predict', got {mode!r}")


def normalized(frame: Frame) -> Tensor:
    """(B,3,H,W) without ImageNet's mean and deviation, computed once per frame."""
    return frame.cached('normalized', lambda: normalize_imagenet(frame.image))


def against_background(odds: Tensor, valid: Tensor | None = None) -> Tensor:
    """Logits (B,K+1,H,W) of log odds (B,K,H,W): 0 for the background.

    The likeliest object wins where its own probability is above one half; one that is not `valid`
    (B,K) never does.
    """
    if valid is not None:
        odds = odds.masked_fill(~valid[:, :, None, None], -torch.inf)
    return torch.cat([torch.zeros_like(odds[:, :1]), odds], 1)


def merge_given(probs: Tensor, masks: Tensor, given: Tensor) -> Tensor:
    """Replace given channels by their masks; a given pixel belongs to its object alone.

    Args:
        probs: (B,K0+1,H,W) predicted probabilities of the objects known before.
        masks: (B,K,H,W) in {0,1}, K >= K0.
        given: (B,K) bool.

    Returns:
        (B,K+1,H,W), summing to one.
    """
    missing = masks.shape[1] + 1 - probs.shape[1]
    probs = F.pad(probs, (0, 0, 0, 0, 0, missing))
    here = given[:, :, None, None]
    objects = probs[:, 1:].masked_fill(here, 0)
    rest = torch.cat([probs[:, :1], objects], 1)
    total = rest.sum(1, keepdim=True)
    # where only replaced objects had been predicted, nothing is left but background
    rest = torch.where(total > 1e-6, rest / total.clamp_min(1e-6), _background_like(rest))
    masks = masks.to(probs.dtype) * here
    cover = masks.sum(1, keepdim=True)
    merged = torch.cat([torch.zeros_like(cover), masks / cover.clamp_min(1)], 1)
    return torch.where(cover > 0, merged, rest)


def _nothing(index: int) -> None:
    """No mask is given."""


def _background_like(probs: Tensor) -> Tensor:
    out = torch.zeros_like(probs)
    out[:, 0] = 1
    return out
