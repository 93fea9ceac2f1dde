"""Region similarity J.

Source: Perazzi et al., "A benchmark dataset and evaluation methodology for video object
segmentation", CVPR 2016, section 4.1.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .masks import Masks, Region, check_masks


def region_similarity(pred: Masks, gt: Masks, void: Masks | None = None) -> NDArray[np.float64]:
    """Return J of every frame: intersection over union, 1 where both masks are empty.

    Args:
        pred: (T, H, W) predicted masks of one object.
        gt: (T, H, W) annotated masks.
        void: (T, H, W) pixels that do not count.

    Returns:
        (T,) values from 0 to 1.

    Raises:
        ValueError: The masks are not boolean or differ in shape.
    """
    check_masks(pred, gt, void)
    values = np.empty(len(gt))
    for t in range(len(gt)):
        pair = pred[t], gt[t]
        if void is not None:
            pair = pair[0] & ~void[t], pair[1] & ~void[t]
        values[t] = similarity(*(Region(mask.view(np.uint8)) for mask in pair))
    return values


def similarity(pred: Region, gt: Region) -> float:
    """Return J of one frame: intersection over union, 1 where both masks are empty."""
    inside = pred.overlap(gt) if pred.area and gt.area else 0
    union = pred.area + gt.area - inside
    return inside / union if union else 1.
