"""Online adaptation: an appearance model of one video, trained on its own propagated masks.

Zhu, Zhang, Fu, Guo, Xie, "Self-supervised video object segmentation", arXiv 2006.12480, section 3.3
(equation 9) and appendix B. A network learns what is regular in masks before it learns their
errors; stopped in time (the paper: after 150 to 250 iterations) it is better than its teacher.

The paper leaves open, and here is: batches of 4 frames; cross entropy and dice with equal weight;
frame t of T weighs 1 - t / (2 (T-1)), a frame with a given mask 2; the rate halved every 50
iterations; one training per video, after the last frame was propagated; logits brought to native
size before the best is taken.
"""
from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from ...ops import hard_labels, normalize_imagenet
from ...ops.backends import widened
from ...registry import MODELS, TRANSFORMS
from ...structures import LabelMaps, VideoSource
from ..losses import cross_entropy, dice_loss
from .base import OnProgress, Refiner, no_progress

MOST_FRAMES = 256  # kept in memory to train on; of a longer video as many, evenly spaced
LEAST_ITERATIONS = 100  # below, it has hardly learned the object
AUGMENT = (dict(type='RandomFlipClip'), dict(type='RandomGray', prob=0.1),
           dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05))


@dataclass(frozen=True)
class Example:
    """A frame to train on.

    Args:
        image: (S,S,3) RGB uint8.
        channels: (S,S) uint8, the channel of each pixel's object; 0 is background.
        known: (C,) bool, False for objects that were given later: here they may be anywhere.
        weight: Of its loss.
    """

    image: np.ndarray
    channels: np.ndarray
    known: np.ndarray
    weight: float


@MODELS.register_module()
class OnlineAdaptation(Refiner):
    """Trains a U-Net from scratch on the masks of one video and takes what it says instead.

    Given masks are put back by the caller, see `Refiner.forward`. A video without objects, or with
    one frame, stays as it is. An object is neither taught nor found on frames before it was given.
    On a CPU results follow from the seed, unless `time_budget` ended the training.

    Args:
        iterations: Of the training.
        time_budget: Seconds of training after which it ends early; None: no limit. Masks stay as
            they are, with a warning, where fewer than 100 iterations fit into it.
        size: Frames are stretched to so many pixels squared, 33 or more.
        batch_size: Frames of an iteration.
        lr: Of Adam.
        base_channels: Width of the network; 64 is ResNet-18's.
        seed: Of the network and of every draw.
        init_cfg: See mmengine's BaseModule.

    Raises:
        ValueError: A number is too small.
    """

    example = dict(iterations=2, size=48, batch_size=2, base_channels=4)

    def __init__(self, iterations: int = 200, time_budget: float | None = None, *,
                 size: int = 480, batch_size: int = 4, lr: float = 2e-4, base_channels: int = 64,
                 seed: int = 0, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if min(iterations, batch_size, base_channels) < 1 or size < 33:
            raise ValueError('OnlineAdaptation: expected iterations, batch_size and base_channels '
                             f'of 1 or more and size of 33 or more, got {iterations}, '
                             f'{batch_size}, {base_channels} and {size}')
        if time_budget is not None and not time_budget > 0:
            raise ValueError('OnlineAdaptation: time_budget should be seconds above 0, or None, '
                             f'got {time_budget}')
        self.iterations = iterations
        self.time_budget = time_budget
        self.size = size
        self.batch_size = batch_size
        self.lr = lr
        self.base_channels = base_channels
        self.seed = seed
        self.augment = [TRANSFORMS.build(step) for step in AUGMENT]

    def forward(self, video: VideoSource, masks: LabelMaps, given: Collection[int], *,
                device: torch.device, autocast: torch.dtype | None = None,
                report: OnProgress = no_progress) -> Iterator[np.ndarray]:
        """See `Refiner.forward`."""
        start = first_frames(masks, given)
        ids = np.array([0, *sorted(start)])
        if len(ids) == 1 or len(video) == 1:
            yield from masks
            return
        begins = np.array([0, *(start[key] for key in sorted(start))])
        net = AppearanceNet(len(ids), self.base_channels, self.seed, autocast)
        net.to(device, memory_format=torch.channels_last)
        examples = self.examples(video, masks, given, ids, begins)
        if not self.adapted(net, examples, device, report):
            yield from masks
            return
        with closing(video.frames()) as frames:
            for t, image in enumerate(frames):
                yield ids.astype(np.uint8)[self.predicted(net, image, begins <= t, device)]

    def examples(self, video: VideoSource, masks: LabelMaps, given: Collection[int],
                 ids: np.ndarray, begins: np.ndarray) -> list[Example]:
        """Frames to train on, stretched; early ones weigh more.

        Args:
            video: T frames.
            masks: T maps of ids.
            given: See `Refiner.forward`.
            ids: (C,), 0 and the objects.
            begins: (C,) first frame of each.
        """
        last, channel = len(video) - 1, np.zeros(256, np.uint8)
        channel[ids] = np.arange(len(ids))
        chosen = set(np.linspace(0, last, min(MOST_FRAMES, len(video))).round().astype(int))
        chosen |= set(sorted(given)[:MOST_FRAMES])
        side, found = (self.size, self.size), []
        with closing(video.frames()) as frames:
            for t, image in enumerate(frames):
                known = begins <= t
                if t in chosen and known[1:].any():
                    labels = cv2.resize(masks[t], side, interpolation=cv2.INTER_NEAREST_EXACT)
                    weight = 2. if t in given else 1 - t / (2 * last)
                    small = cv2.resize(image, side, interpolation=cv2.INTER_LINEAR)
                    found.append(Example(small, channel[labels], known, weight))
        return found

    @torch.enable_grad()
    def adapted(self, net: nn.Module, examples: Sequence[Example], device: torch.device,
                report: OnProgress) -> bool:
        """Train the network on these frames; whether there was time for it."""
        net.train()
        optimizer = torch.optim.Adam(net.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 50, 0.5)
        rng, began = np.random.default_rng(self.seed), time.monotonic()
        least = min(LEAST_ITERATIONS, self.iterations)
        for done in range(self.iterations):
            if self.time_budget is not None and time.monotonic() - began > self.time_budget:
                if done < least:
                    warnings.warn(f'masks are not adapted: only {done} of {self.iterations} '
                                  f'iterations fit into {self.time_budget:g} s and it takes '
                                  f'{least} or more; give more time, or a GPU',
                                  stacklevel=2)
                    return False
                break
            optimizer.zero_grad()
            self.loss(net, examples, rng, device).backward()
            optimizer.step()
            schedule.step()
            report('adapt', done + 1, self.iterations)
        net.eval()
        return True

    def loss(self, net: nn.Module, examples: Sequence[Example], rng: np.random.Generator,
             device: torch.device) -> Tensor:
        """Weighted loss of a batch that is drawn and augmented here (equation 9)."""
        chosen = [examples[n] for n in rng.integers(len(examples), size=self.batch_size)]
        changed = [self.augmented(example, rng) for example in chosen]
        images = torch.stack([_to_tensor(frame, device) for frame, _ in changed])
        channels = torch.from_numpy(np.stack([mask for _, mask in changed])).to(device)
        probs = net(images).softmax(1)
        target = F.one_hot(channels.long(), probs.shape[1]).movedim(-1, 1).to(probs.dtype)
        losses = []
        for example, p, y in zip(chosen, probs, target, strict=True):
            known = torch.from_numpy(example.known).to(device)
            # what is not known yet is part of what is called background here
            background = p[:1] + p[~known].sum(0, keepdim=True)
            pair = torch.cat([background, p[known][1:]])[None], y[known][None]
            losses.append(example.weight * (cross_entropy(*pair) + dice_loss(*pair)))
        return torch.stack(losses).mean()

    def augmented(self, example: Example, rng: np.random.Generator
                  ) -> tuple[np.ndarray, np.ndarray]:
        """Image and channels after random colour jitter, grey-scaling and flip."""
        results = dict(frames=[example.image], masks=[example.channels], rng=rng)
        for transform in self.augment:
            results = transform.transform(results)
        return np.ascontiguousarray(results['frames'][0]), results['masks'][0]

    @torch.no_grad()
    def predicted(self, net: nn.Module, image: np.ndarray, known: np.ndarray,
                  device: torch.device) -> np.ndarray:
        """(H,W) channels of an image, of those that are `known` (C,) only."""
        small = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        logits = F.interpolate(net(_to_tensor(small, device)[None]), image.shape[:2],
                               mode='bilinear', align_corners=False)
        logits[:, torch.from_numpy(~known).to(device)] = -torch.inf
        return hard_labels(logits)[0, 0].cpu().numpy()


def first_frames(masks: LabelMaps, given: Collection[int]) -> dict[int, int]:
    """{id: first frame that shows it}; frame 0 for all that were found without any given mask."""
    found: dict[int, int] = {}
    for t, labels in enumerate(masks):
        for key in np.unique(labels).tolist():
            found.setdefault(key, t if given else 0)
    found.pop(0, None)
    return found


class AppearanceNet(nn.Module):
    """U-Net with a ResNet-18 for encoder: (B,3,H,W) RGB in [0,1] -> logits (B,C,H,W).

    Args:
        channels: C.
        base: Channels of the encoder's first stage.
        seed: Of its weights.
        autocast: The type of convolutions, None for float32.
    """

    def __init__(self, channels: int, base: int, seed: int,
                 autocast: torch.dtype | None = None) -> None:
        super().__init__()
        self.autocast = autocast
        with torch.random.fork_rng(devices=[]):  # who calls keeps his random numbers
            torch.default_generator.manual_seed(seed)
            self._build(channels, base)

    def _build(self, channels: int, base: int) -> None:
        self.encoder = MODELS.build(dict(
            type='mmseg.ResNet', depth=18, base_channels=base, stem_channels=base,
            norm_cfg=dict(type='BN')))
        widths = [8 * base, 4 * base, 2 * base, base, base]  # from 1/32 to 1/2
        self.up = nn.ModuleList(
            nn.Sequential(*(ConvModule(cin, skip, 3, padding=1, norm_cfg=dict(type='BN'))
                            for cin in (deep + skip, skip)))
            for deep, skip in zip(widths, widths[1:], strict=False))
        self.head = nn.Conv2d(base, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the size of the image, in float32."""
        # without cache: autocast keeps cast weights until the outermost context ends, which may be
        # a test loop's, and the network would never see its own updates
        with torch.autocast(image.device.type, self.autocast, self.autocast is not None,
                            cache_enabled=False):
            return widened(self._forward(image))

    def _forward(self, image: Tensor) -> Tensor:
        encoder, x = self.encoder, normalize_imagenet(image)
        x = encoder.relu(encoder.norm1(encoder.conv1(x)))
        skips, x = [x], encoder.maxpool(x)
        for name in encoder.res_layers:
            x = getattr(encoder, name)(x)
            skips.append(x)
        x = skips.pop()
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = F.interpolate(x, skip.shape[-2:], mode='bilinear', align_corners=False)
            x = up(torch.cat([x, skip], 1))
        return F.interpolate(self.head(x), image.shape[-2:], mode='bilinear', align_corners=False)


def _to_tensor(image: np.ndarray, device: torch.device) -> Tensor:
    """(3,H,W) in [0,1]."""
    return torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255
