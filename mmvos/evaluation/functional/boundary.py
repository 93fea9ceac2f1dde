"""Boundary accuracy F (Perazzi et al., CVPR 2016, section 4.1), as DAVIS's toolkit computes it."""
from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from .region import Masks, check_masks


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
    radius = math.ceil(bound_th if bound_th >= 1 else bound_th * np.linalg.norm(gt.shape[1:]))
    disk = _disk(radius)
    values = np.empty(len(gt))
    for t in range(len(gt)):
        pair = pred[t], gt[t]
        if void is not None:
            pair = pair[0] & ~void[t], pair[1] & ~void[t]
        values[t] = _frame_accuracy(*pair, disk)
    return values


def _frame_accuracy(pred: Masks, gt: Masks, disk: NDArray[np.uint8]) -> float:
    rows, columns = _surroundings(pred | gt)
    pred_edge, gt_edge = boundary(pred[rows, columns]), boundary(gt[rows, columns])
    pred_count, gt_count = np.count_nonzero(pred_edge), np.count_nonzero(gt_edge)
    if not pred_count or not gt_count:
        return float(pred_count == gt_count)
    # Both boundaries lie inside the crop, so dilation loses nothing by being confined to it.
    precision = cv2.countNonZero(cv2.bitwise_and(cv2.dilate(gt_edge, disk), pred_edge)) / pred_count
    recall = cv2.countNonZero(cv2.bitwise_and(cv2.dilate(pred_edge, disk), gt_edge)) / gt_count
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def boundary(mask: Masks) -> NDArray[np.uint8]:
    """Return the (H, W) map of pixels that differ from their right, lower or diagonal neighbour.

    Beyond the last row and column the mask is continued, so the frame's edge is no boundary.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
    edge = padded[:-1, 1:] ^ mask
    edge |= padded[1:, :-1] ^ mask
    edge |= padded[1:, 1:] ^ mask
    return edge.view(np.uint8)


def _surroundings(mask: Masks) -> tuple[slice, slice]:
    """Return the slices of the mask's bounding box, one pixel wider where the frame allows."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)


def _disk(radius: int) -> NDArray[np.uint8]:
    square = np.arange(-radius, radius + 1) ** 2
    return (square[:, None] + square <= radius ** 2).astype(np.uint8)
