"""Inference in bfloat16."""
from __future__ import annotations

import torch
from mmcv.cnn import fuse_conv_bn

from ..models.segmentors import VideoSegmentor

DTYPES = ('fp32', 'bf16')


def use_dtype(model: VideoSegmentor, dtype: str) -> None:
    """Let a model segment in this type from now on.

    'bf16' means convolutions in bfloat16, with the batch norms of `backbone`, of `features` and of
    every part named `..._encoder` folded into them: the model cannot be trained, saved or turned
    back afterwards. Matching takes bfloat16 features and sums in float32.

    Args:
        model: In eval mode, with its weights; with 'bf16' it is changed in place.
        dtype: 'fp32' or 'bf16'.

    Raises:
        ValueError: Another dtype, or 'fp32' for a model that was turned to 'bf16'.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype should be one of {DTYPES}, got {dtype!r}')
    if dtype == 'fp32':
        if model.autocast is not None:
            raise ValueError("the model was turned to 'bf16'; build and load it again for 'fp32'")
        return
    for name, part in model.named_children():
        if name in ('backbone', 'features') or name.endswith('_encoder'):
            fuse_conv_bn(part)
    model.autocast = torch.bfloat16
