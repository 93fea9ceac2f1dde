"""Inference in bfloat16."""
from __future__ import annotations

import torch
from mmcv.cnn import fuse_conv_bn
from torch import Tensor

from ..models.segmentors import VideoSegmentor
from ..structures import Frame, VideoState

DTYPES = ('fp32', 'bf16')


def use_dtype(model: VideoSegmentor, dtype: str) -> None:
    """Let a model segment in this type from now on.

    'bf16' means convolutions in bfloat16, with the batch norms of the backbone folded into them:
    the model cannot be trained or saved afterwards. Matching takes bfloat16 features and sums in
    float32. 'fp32' changes nothing.

    Args:
        model: In eval mode, with its weights; with 'bf16' it is changed in place.
        dtype: 'fp32' or 'bf16'.

    Raises:
        ValueError: Another dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype should be one of {DTYPES}, got {dtype!r}')
    if dtype == 'fp32':
        return
    if hasattr(model, 'backbone'):
        fuse_conv_bn(model.backbone)
    plain_step = model.step

    # here, not around a whole run: MMEngine's test loop turns autocast off again
    def step(frame: Frame, state: VideoState) -> Tensor:
        with torch.autocast(frame.image.device.type, torch.bfloat16):
            return plain_step(frame, state)
    model.step = step
