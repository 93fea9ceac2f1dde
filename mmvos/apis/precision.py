"""Inference in bfloat16."""
from __future__ import annotations

import torch
from mmcv.cnn import fuse_conv_bn

from ..models.segmentors import VideoSegmentor

DTYPES = ('fp32', 'bf16')


def inference_context(model: VideoSegmentor, dtype: str, device: str) -> torch.autocast:
    """What to run a model in; prepares the model.

    'bf16' means convolutions in bfloat16, with the batch norms of the backbone folded into them:
    the model cannot be trained or saved afterwards. Matching takes bfloat16 features and sums in
    float32. 'fp32' changes nothing.

    Args:
        model: In eval mode, with its weights; with 'bf16' its backbone is changed in place.
        dtype: 'fp32' or 'bf16'.
        device: 'cpu' or 'cuda'.

    Raises:
        ValueError: Another dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype should be one of {DTYPES}, got {dtype!r}')
    if dtype == 'bf16' and hasattr(model, 'backbone'):
        fuse_conv_bn(model.backbone)
    return torch.autocast(device, torch.bfloat16, enabled=dtype == 'bf16')
