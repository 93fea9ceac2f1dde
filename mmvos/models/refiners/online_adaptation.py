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
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.logging import print_log
from torch import Tensor, nn

from ...ops import hard_labels, normalize_imagenet
from ...ops.backends import widened
from ...registry import MODELS, TRANSFORMS
from ...structures import LabelMaps, VideoSource
from ..losses import cross_entropy, dice_loss
from .base import Refiner, Report, no_report

MOST_FRAMES = 256  # kept in memory to train on; of a longer video as many, evenly spaced
AUGMENT = (dict(type='RandomFlipClip'), dict(type='RandomGray', prob=0.1),
           dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05))


@dataclass(frozen=True)
class Example:
    """A frame to train on.

    Args:
        image: (S,S,3) RGB uint8.
        channels: (S,S) uint8, the channel of each pixel's object; 0 is background.
        weight: Of its loss.
    """

    image: np.ndarray
    channels: np.ndarray
    weight: float


@MODELS.register_module()
class OnlineAdaptation(Refiner):
    """Trains a U-Net from scratch on the masks of one video and takes what it says instead.

    Frame 0 and other frames keep what was given there. A video without objects, or with one frame,
    stays as it is. Results follow from the seed, unless `time_budget` ended the training.

    Args:
        iterations: Of the training.
        time_budget: Seconds of training after which it ends early; None: no limit.
        size: Frames are stretched to so many pixels squared.
        batch_size: Frames of an iteration.
        lr: Of Adam.
        base_channels: Width of the network; 64 is ResNet-18's.
        seed: Of the network and of every draw.
        init_cfg: See mmengine's BaseModule.

    Raises:
        ValueError: A number is too small.
    """

    example = dict(iterations=2, size=32, batch_size=2, base_channels=4)

    def __init__(self, iterations: int = 200, time_budget: float | None = None, *,
                 size: int = 480, batch_size: int = 4, lr: float = 2e-4, base_channels: int = 64,
                 seed: int = 0, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if min(iterations, batch_size, base_channels) < 1 or size < 32:
            raise ValueError('OnlineAdaptation: expected iterations, batch_size and base_channels '
                             f'of 1 or more and size of 32 or more, got {iterations}, '
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
                report: Report = no_report) -> Iterator[np.ndarray]:
        """See `Refiner.forward`."""
        ids = np.unique(np.concatenate([[0], *(np.unique(labels) for labels in masks)]))
        if len(ids) == 1 or len(video) == 1:
            yield from masks
            return
        examples = self.examples(video, masks, given, ids)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            net = self.adapted(examples, len(ids), device, report)
        with closing(video.frames()) as frames:
            for image in frames:
                with torch.autocast(device.type, autocast, enabled=autocast is not None):
                    yield ids.astype(np.uint8)[self.predicted(net, image, device)]

    def examples(self, video: VideoSource, masks: LabelMaps, given: Collection[int],
                 ids: np.ndarray) -> list[Example]:
        """Frames to train on, stretched; early ones weigh more."""
        last, channel = len(video) - 1, np.zeros(256, np.uint8)
        channel[ids] = np.arange(len(ids))
        chosen = set(np.linspace(0, last, min(MOST_FRAMES, len(video))).round().astype(int))
        chosen |= set(list(given)[:MOST_FRAMES])
        side, found = (self.size, self.size), []
        with closing(video.frames()) as frames:
            for t, image in enumerate(frames):
                if t in chosen:
                    labels = cv2.resize(masks[t], side, interpolation=cv2.INTER_NEAREST_EXACT)
                    weight = 2. if t in given else 1 - t / (2 * last)
                    found.append(Example(cv2.resize(image, side, interpolation=cv2.INTER_LINEAR),
                                         channel[labels], weight))
        return found

    @torch.enable_grad()
    def adapted(self, examples: Sequence[Example], channels: int, device: torch.device,
                report: Report) -> nn.Module:
        """A network trained on these frames, in eval mode."""
        with torch.random.fork_rng(devices=[]):  # who calls keeps his random numbers
            torch.manual_seed(self.seed)
            net = AppearanceNet(channels, self.base_channels)
        net.to(device, memory_format=torch.channels_last).train()
        optimizer = torch.optim.Adam(net.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 50, 0.5)
        rng, began = np.random.default_rng(self.seed), time.monotonic()
        for done in range(self.iterations):
            if self.time_budget is not None and time.monotonic() - began > self.time_budget:
                print_log(f'OnlineAdaptation: {self.time_budget} s are over after {done} of '
                          f'{self.iterations} iterations', 'current')
                break
            optimizer.zero_grad()
            self.loss(net, examples, rng, device).backward()
            optimizer.step()
            schedule.step()
            report('adapt', done + 1, self.iterations)
        return net.eval()

    def loss(self, net: nn.Module, examples: Sequence[Example], rng: np.random.Generator,
             device: torch.device) -> Tensor:
        """Weighted loss of a batch that is drawn and augmented here (equation 9)."""
        chosen = [examples[n] for n in rng.integers(len(examples), size=self.batch_size)]
        changed = [self.augmented(example, rng) for example in chosen]
        images = torch.stack([_to_tensor(frame, device) for frame, _ in changed])
        channels = torch.from_numpy(np.stack([mask for _, mask in changed])).to(device)
        probs = widened(net(images)).softmax(1)
        target = F.one_hot(channels.long(), probs.shape[1]).movedim(-1, 1).to(probs.dtype)
        losses = [example.weight * (cross_entropy(p[None], y[None]) + dice_loss(p[None], y[None]))
                  for example, p, y in zip(chosen, probs, target, strict=True)]
        return torch.stack(losses).mean()

    def augmented(self, example: Example, rng: np.random.Generator
                  ) -> tuple[np.ndarray, np.ndarray]:
        """Image and channels after random colour jitter, grey-scaling and flip."""
        results = dict(frames=[example.image], masks=[example.channels], rng=rng)
        for transform in self.augment:
            results = transform.transform(results)
        return np.ascontiguousarray(results['frames'][0]), results['masks'][0]

    @torch.no_grad()
    def predicted(self, net: nn.Module, image: np.ndarray, device: torch.device) -> np.ndarray:
        """(H,W) channels of an image."""
        small = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        logits = F.interpolate(widened(net(_to_tensor(small, device)[None])), image.shape[:2],
                               mode='bilinear', align_corners=False)
        return hard_labels(logits)[0, 0].cpu().numpy()


class AppearanceNet(nn.Module):
    """U-Net with a ResNet-18 for encoder: (B,3,H,W) RGB in [0,1] -> logits (B,C,H,W).

    Args:
        channels: C.
        base: Channels of the encoder's first stage.
    """

    def __init__(self, channels: int, base: int) -> None:
        super().__init__()
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
        """Logits of the size of the image."""
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
