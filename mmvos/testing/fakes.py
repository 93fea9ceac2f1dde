"""Tiny stand-ins for videos and networks: everything is exact, seeded and fast."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..structures import Frame, MaskArrays, VideoSource


class FakeBackbone(nn.Module):
    """One strided 3x3 convolution with fixed weights, in place of any backbone.

    Args:
        channels: C of the feature map.
        stride: Pixels per cell.
    """

    def __init__(self, channels: int = 8, stride: int = 4) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(3, channels, 3, stride, 1)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) -> ((B,C,ceil(H/stride),ceil(W/stride)),)."""
        return (self.conv(x),)


class FakeVideo(VideoSource):
    """Coloured boxes that slide over noise, with exact masks; ids count from 1.

    Args:
        length: T.
        size: (H, W), px.
        starts: First frame of each object; before it, the object is not there.
        seed: Of the colours and the noise.

    Example:
        >>> video = FakeVideo(starts=(0, 2))
        >>> video.labels(0).max(), video.labels(2).max()
        (np.uint8(1), np.uint8(2))
    """

    def __init__(self, length: int = 4, size: tuple[int, int] = (33, 47), *,
                 starts: Sequence[int] = (0,), seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.name = f'fake_{seed}'
        self.frame_names = [f'{index:05d}' for index in range(length)]
        self.starts = tuple(starts)
        self._size = size
        self.background = rng.integers(0, 128, (*size, 3), dtype=np.uint8)
        self.colors = rng.integers(128, 256, (len(self.starts), 3), dtype=np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), px."""
        return self._size

    def labels(self, index: int) -> np.ndarray:
        """(H,W) uint8 ids; boxes stand side by side, each moves one pixel per frame, down."""
        labels = np.zeros(self._size, np.uint8)
        height, width = self._size
        column = width // max(1, len(self.starts))
        for number, start in enumerate(self.starts):
            if start <= index:
                top = (height // 4 + index) % (height // 2)
                left = number * column + column // 4
                labels[top:top + height // 3, left:left + max(2, column // 2)] = number + 1
        return labels

    def read(self, index: int) -> np.ndarray:
        """(H,W,3) RGB uint8."""
        if not 0 <= index < len(self):
            raise IndexError(f'frame {index} of {len(self)}')
        labels, image = self.labels(index), self.background.copy()
        for number, color in enumerate(self.colors, 1):
            image[labels == number] = color
        return image

    @property
    def given(self) -> MaskArrays:
        """What a model may see: each object on its first frame."""
        return MaskArrays({start: self._new(start) for start in set(self.starts)})

    @property
    def truth(self) -> MaskArrays:
        """Every frame's labels."""
        return MaskArrays({index: self.labels(index) for index in range(len(self))})

    def _new(self, index: int) -> np.ndarray:
        new = [0] + [number if start == index else 0 for number, start in enumerate(self.starts, 1)]
        return np.array(new, np.uint8)[self.labels(index)]


def fake_frames(videos: Sequence[FakeVideo], divisor: int = 1) -> Iterator[Frame]:
    """Frames of a batch of videos of one size, padded below and to the right with zeros.

    Channel k is object k+1 of each video; a video that has fewer objects is not `valid` there.
    Objects have to start in the order of their ids.
    """
    for index in range(len(videos[0])):
        image = torch.from_numpy(np.stack([video.read(index) for video in videos]))
        image = _pad(image.permute(0, 3, 1, 2).float() / 255, divisor)
        if not any(index in video.starts for video in videos):
            yield Frame(index, image)
            continue
        known = max(sum(start <= index for start in video.starts) for video in videos)
        starts = torch.tensor([[*video.starts, *[index + 1] * known][:known] for video in videos])
        labels = torch.from_numpy(np.stack([video.labels(index) for video in videos]))
        masks = labels[:, None] == torch.arange(1, known + 1)[:, None, None]
        given = starts == index
        yield Frame(index, image, _pad(masks * given[:, :, None, None], divisor).float(), given,
                    starts <= index)


def _pad(x: Tensor, divisor: int) -> Tensor:
    return nn.functional.pad(x, (0, -x.shape[-1] % divisor, 0, -x.shape[-2] % divisor))
