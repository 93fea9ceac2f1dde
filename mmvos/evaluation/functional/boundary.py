"""Boundary accuracy F (Perazzi et al., CVPR 2016, section 4.1), as DAVIS's toolkit computes it."""
from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .masks import Masks, Region, check_masks


def boundary_accuracy(pred: Masks, gt: Masks, void: Masks | None = None,
                      bound_th: float = 0.008) -> NDArray[np.float64]:
    """Return F of every frame: harmonic mean of the boundaries' precision and recall.

    A boundary pixel is right if the other boundary has a pixel within the tolerance. F is 1
    where neither mask has a boundary and 0 where only one has.

    Args:
        pred: (T, H, W) predicted masks of one object.
        gt: (T, H, W) annotated masks.
        void: (T, H, W) pixels that are background in both masks.
        bound_th: Tolerance as a share of the frame's diagonal, rounded up to whole pixels
            (8 px at 480x854); from 1 on it is the tolerance in pixels.

    Returns:
        (T,) values from 0 to 1.

    Raises:
        ValueError: The masks are not boolean or differ in shape.
    """
    check_masks(pred, gt, void)
    radius = tolerance(gt.shape[1:], bound_th)
    values = np.empty(len(gt))
    for t in range(len(gt)):
        pair = pred[t], gt[t]
        if void is not None:
            pair = pair[0] & ~void[t], pair[1] & ~void[t]
        values[t] = accuracy(*(Region(mask.view(np.uint8), radius) for mask in pair))
    return values


def tolerance(size: tuple[int, ...], bound_th: float = 0.008) -> int:
    """Return the tolerance in pixels for frames of a size (H, W), see `boundary_accuracy`."""
    return math.ceil(bound_th if bound_th >= 1 else bound_th * np.linalg.norm(size))


def accuracy(pred: Region, gt: Region) -> float:
    """Return F of one frame, see `boundary_accuracy`."""
    if not pred.length or not gt.length:
        return float(pred.length == gt.length)
    precision, recall = pred.near_to(gt) / pred.length, gt.near_to(pred) / gt.length
    total = precision + recall
    return 2 * precision * recall / total if total else 0.
