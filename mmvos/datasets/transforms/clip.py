"""Transforms of whole clips; every draw is shared by all frames of a clip."""
from __future__ import annotations

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from ...structures import VOSDataSample


@TRANSFORMS.register_module()
class ResizeClip(BaseTransform):
    """Stretch every frame to (H, W), bilinear, as MAST and MAMP train.

    Args:
        size: (H, W).
    """

    example = dict(size=(16, 24))

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        """Change `frames`."""
        size = self.size[::-1]
        results['frames'] = [cv2.resize(frame, size) for frame in results['frames']]
        return results


@TRANSFORMS.register_module()
class RandomCropClip(BaseTransform):
    """Cut the same random window out of every frame; smaller frames are enlarged first.

    Args:
        size: (H, W).
    """

    example = dict(size=(16, 24))

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        """Change `frames`."""
        height, width = self.size
        frames = [self._enlarge(frame) for frame in results['frames']]
        y = results['rng'].integers(frames[0].shape[0] - height + 1)
        x = results['rng'].integers(frames[0].shape[1] - width + 1)
        results['frames'] = [frame[y:y + height, x:x + width] for frame in frames]
        return results

    def _enlarge(self, frame: np.ndarray) -> np.ndarray:
        scale = max(self.size[0] / frame.shape[0], self.size[1] / frame.shape[1])
        if scale <= 1:
            return frame
        size = (max(self.size[1], round(frame.shape[1] * scale)),
                max(self.size[0], round(frame.shape[0] * scale)))
        return cv2.resize(frame, size)


@TRANSFORMS.register_module()
class RandomFlipClip(BaseTransform):
    """Mirror all frames of a clip left to right.

    Args:
        prob: Probability.
    """

    example = dict(prob=0.5)

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change `frames`."""
        if results['rng'].random() < self.prob:
            results['frames'] = [frame[:, ::-1] for frame in results['frames']]
        return results


@TRANSFORMS.register_module()
class PackClip(BaseTransform):
    """Make `inputs` (T,3,H,W) uint8 RGB and a data sample; the last transform."""

    example: dict = {}

    def transform(self, results: dict) -> dict:
        """dict(inputs=Tensor, data_samples=VOSDataSample)."""
        clip = np.ascontiguousarray(np.stack(results['frames']).transpose(0, 3, 1, 2))
        sample = VOSDataSample(metainfo=dict(video_name=results['video_name']))
        return dict(inputs=torch.from_numpy(clip), data_samples=sample)
