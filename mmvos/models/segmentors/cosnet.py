"""COSNet: the object that a video shows again and again, found without a mask.

Lu, Wang, Ma, Shen, Shao, Porikli, "See more, know more: Unsupervised video object segmentation with
co-attention Siamese networks", CVPR 2019: co-attention (`CoAttention`), segmentation of a frame
beside its attention summary, several references at inference, training on pairs and static images.

Where paper and released code differ: summaries of N references are averaged before they are
segmented (`COSNetPredictions` averages predictions instead, as released), references are spread
evenly over the video and never are the frame itself (released: drawn at random, the frame among
them): of N+1 chosen frames the nearest, or the frame itself, is left out. As released, the two
branches of training have heads of their own; the target's is used.
"""
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops.backends import widened
from ...registry import MODELS
from ...structures import Frame, VideoSource, VideoState, VOSDataSample, true_masks
from .base import VideoSegmentor, against_background

SAMPLING = ('uniform', 'random', 'consecutive')
_MEAN = (122.67892, 116.66877, 104.00699)  # RGB of 255


@MODELS.register_module()
class COSNet(VideoSegmentor):
    """Segments what a frame has in common with other frames of its video.

    The call graph::

        init_state > features of N+1 frames, once per video -> shared 'references'
        segment    > features > co_attention with each reference > fuse > head > up-sampling
        memorize   > in a session: features of the last N frames; else nothing
        loss       > pairs of frames: co_attention.both > heads; single ones: static_head

    A session does not know its video: the last N frames are the references there, as they are with
    sampling='consecutive'; the first frame, which has none, has itself.

    Args:
        features: Config or module: (B,3,H,W) -> tuple whose last is (B,C,h,w), see
            `DeepLabFeatures`.
        co_attention: Config or module, see `CoAttention`.
        references: N; `COSNetAlone` has none.
        sampling: Which N: 'uniform' over the video, 'random' (of the same seed for all videos) or
            'consecutive', the frames before.
        loss: Config or module of the loss of pairs, None for a model that is only tested.
        static_loss: The same for single frames.
        penalty: Weight of the co-attention's `penalty`.
        **kwargs: See `VideoSegmentor`; `geometry` needs a `size`.

    Raises:
        ValueError: Unknown sampling, fewer than 1 reference, or a geometry without size.
    """

    example = dict(
        features=dict(
            type='DeepLabFeatures', in_channels=32, channels=8, out_channels=8,
            backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4,
                          strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), out_indices=(3,))),
        co_attention=dict(type='SymmetricCoAttention', channels=8), references=2,
        loss=dict(type='BalancedBCE'), static_loss=dict(type='BalancedBCE'),
        geometry=dict(size=(33, 41)))
    needs_mask = False

    def __init__(self, features: dict | nn.Module, co_attention: dict | nn.Module, *,
                 references: int = 5, sampling: str = 'uniform',
                 loss: dict | nn.Module | None = None, static_loss: dict | nn.Module | None = None,
                 penalty: float = 1e-4, **kwargs) -> None:
        super().__init__(**kwargs)
        if references < 1 or sampling not in SAMPLING:
            raise ValueError(f'expected references >= 1 and sampling one of {SAMPLING}, got '
                             f'{references} and {sampling!r}')
        if self.geometry.size is None:
            raise ValueError('COSNet works at one size; give geometry=dict(size=(473, 473))')
        self.features = MODELS.build(features)
        self.co_attention = MODELS.build(co_attention)
        channels = self.co_attention.channels
        self.heads = nn.ModuleList(_head(channels) for _ in range(2))  # of target and reference
        self.static_head = nn.Conv2d(channels, 1, 1)
        self.num_references = references
        self.sampling = sampling
        self.loss_module = loss and MODELS.build(loss)
        self.static_loss = static_loss and MODELS.build(static_loss)
        self.penalty = penalty

    # ---- training

    def loss(self, inputs: Tensor, data_samples: list[VOSDataSample]) -> dict[str, Tensor]:
        """Loss of a batch of pairs, or of single frames.

        Args:
            inputs: (B,T,3,H,W) RGB in [0,1]; T = 2 for two frames of a video, 1 for a static image.
            data_samples: Each with `gt_masks` (T,H,W) uint8; whatever is no background counts.

        Returns:
            'loss_video' and 'loss_penalty', or 'loss_static'.

        Raises:
            ValueError: T is something else, or the loss for it is missing.
        """
        frames = inputs.shape[1]
        module = {1: self.static_loss, 2: self.loss_module}.get(frames)
        if module is None:
            raise ValueError('COSNet trains on clips of 2 frames with `loss` and on single frames '
                             f'with `static_loss`; got clips of {frames}')
        truth = true_masks(data_samples, inputs.device) > 0
        values = self.features(self.encoder_input(inputs.flatten(0, 1)))[-1]
        if frames == 1:
            return dict(loss_static=self._compare(self.static_head(values), truth[:, 0], module))
        a, b = values.unflatten(0, inputs.shape[:2]).unbind(1)
        logits = [head(torch.cat([summary, value], 1)) for head, summary, value in
                  zip(self.heads, self.co_attention.both(a, b), (a, b), strict=True)]
        losses = [self._compare(x, truth[:, t], module) for t, x in enumerate(logits)]
        return dict(loss_video=sum(losses),
                    loss_penalty=self.penalty * self.co_attention.penalty())

    def _compare(self, logits: Tensor, truth: Tensor, module: nn.Module) -> Tensor:
        """Loss of logits (B,1,h,w) against (B,H,W) bool."""
        probs = self._full(logits, truth.shape[-2:]).softmax(1)
        return module(probs, torch.stack([~truth, truth], 1).to(probs.dtype))

    # ---- inference

    @torch.no_grad()
    def init_state(self, video: VideoSource | None) -> VideoState:
        """Features of N+1 frames, spread over the video; nothing where frames come one by one."""
        state = VideoState()
        if video is None or self.sampling == 'consecutive':
            return state
        device = self.data_preprocessor.device
        indices = self.sample(len(video))
        frames = (Frame(index, self.geometry.to_network(video.read(index), self.geometry.size,
                                                        device)) for index in indices)
        state.shared['references'] = torch.stack([self.encode(frame) for frame in frames], 2)
        state.shared['indices'] = torch.tensor(indices)
        return state

    def sample(self, length: int) -> list[int]:
        """Indices of N+1 frames, or of all where there are fewer: one more than a frame reads."""
        count = min(self.num_references + 1, length)
        if self.sampling == 'random':
            return sorted(np.random.default_rng(0).permutation(length)[:count].tolist())
        return np.linspace(0, length - 1, count).round().astype(int).tolist()

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Logits (B,2,H,W): 0 for background, the object's log odds."""
        value = self.value(frame, state)
        logits = self.fuse(value, self.references(value, frame, state))
        return self._full(logits, frame.image.shape[-2:])

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Keep the features of the last N frames, unless the references are chosen already."""
        if 'indices' in state.shared:
            return
        value = self.value(frame, state)[:, :, None]
        if 'references' in state.shared:
            value = torch.cat([state.shared['references'], value], 2)
        state.shared['references'] = value[:, :, -self.num_references:]

    def references(self, value: Tensor, frame: Frame, state: VideoState) -> Tensor:
        """(B,C,T,h,w), T <= N, without the frame itself where there is another one."""
        kept = state.shared.get('references')
        if kept is None:
            return value[:, :, None]
        indices = state.shared.get('indices')
        if indices is None or len(indices) == 1:
            return kept
        # one is too many: the frame itself, or else the nearest, which says least that is new
        nearest = int((indices - frame.index).abs().argmin())
        return kept[:, :, [n for n in range(len(indices)) if n != nearest]]

    def fuse(self, value: Tensor, references: Tensor) -> Tensor:
        """Log odds (B,1,h,w): summaries are averaged, then segmented."""
        summary = self.co_attention(value, references).mean(1)
        return self.heads[0](torch.cat([summary, value], 1))

    def value(self, frame: Frame, state: VideoState) -> Tensor:
        """V (B,C,h,w), once per frame; that of a reference is there already."""
        indices = state.shared.get('indices')
        if indices is not None and (here := (indices == frame.index).nonzero().flatten()).numel():
            return state.shared['references'][:, :, int(here[0])]
        return self.encode(frame)

    def encode(self, frame: Frame) -> Tensor:
        """V (B,C,h,w) of the frame, computed once."""
        with self._precision(frame):
            return frame.cached('maps', lambda: self.features(self.encoder_input(frame.image))[-1])

    def encoder_input(self, image: Tensor) -> Tensor:
        """BGR in [0,255] without their mean, as released weights expect it."""
        mean = image.new_tensor(_MEAN)[:, None, None]
        return (255 * image - mean).flip(-3)

    @staticmethod
    def _full(logits: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
        """(B,2,H,W) of log odds (B,1,h,w)."""
        return against_background(F.interpolate(widened(logits), size, mode='bilinear',
                                                align_corners=False))


@MODELS.register_module()
class COSNetPredictions(COSNet):
    """COSNet as released: each reference gives a prediction, and these are averaged."""

    def fuse(self, value: Tensor, references: Tensor) -> Tensor:
        """Log odds (B,1,h,w) of the mean probability."""
        summaries = self.co_attention(value, references).unbind(1)
        probs = torch.stack([widened(self.heads[0](torch.cat([summary, value], 1))).sigmoid()
                             for summary in summaries]).mean(0)
        return probs.logit(1e-6)


@MODELS.register_module()
class COSNetGroup(COSNet):
    """COSNet with one softmax over the places of all references (a variant of the release)."""

    def fuse(self, value: Tensor, references: Tensor) -> Tensor:
        """Log odds (B,1,h,w)."""
        summary = self.co_attention.joint(value, references)
        return self.heads[0](torch.cat([summary, value], 1))


@MODELS.register_module()
class COSNetAlone(COSNet):
    """COSNet without references: every frame by the head of static images (table 2, N = 0)."""

    def init_state(self, video: VideoSource | None) -> VideoState:
        """Empty, and it stays so."""
        return VideoState()

    def segment(self, frame: Frame, state: VideoState) -> Tensor:
        """Logits (B,2,H,W): 0 for background, the object's log odds."""
        return self._full(self.static_head(self.encode(frame)), frame.image.shape[-2:])

    def memorize(self, frame: Frame, probs: Tensor, state: VideoState) -> None:
        """Nothing."""


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False),
                         nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 1, 1))
