"""Boundary accuracy F (Perazzi et al., CVPR 2016, section 4.1), as DAVIS's toolkit computes it."""
from __future__ import annotations

import math
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .region import Masks, check_masks

Pixels = NDArray[np.uint8]


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


class Region:
    """One mask cut down to its surroundings, for comparison with others of the same frame.

    Args:
        mask: (H, W) 0 or 1, or a part of the frame that holds the mask and, where the frame goes
            on, one pixel more.
        radius: Tolerance for boundaries in pixels.
        corner: (y, x) of the part in the frame.
    """

    def __init__(self, mask: Pixels, radius: int, corner: tuple[int, int] = (0, 0)) -> None:
        self.radius = radius
        rows, columns = surroundings(mask)
        self.mask = mask[rows, columns]
        self.top, self.left = corner[0] + rows.start, corner[1] + columns.start
        self.area = cv2.countNonZero(self.mask)

    @cached_property
    def edge(self) -> Pixels:
        """The mask's boundary."""
        return boundary(self.mask)

    @cached_property
    def length(self) -> int:
        """Pixels of the boundary."""
        return cv2.countNonZero(self.edge)

    @cached_property
    def near(self) -> Pixels:
        """Pixels within the tolerance of the boundary, `radius` wider than the mask all round."""
        r = self.radius
        wider = cv2.copyMakeBorder(self.edge, r, r, r, r, cv2.BORDER_CONSTANT, value=[0])
        return np.asarray(cv2.dilate(wider, _disk(r)), np.uint8)

    def overlap(self, other: Region) -> int:
        """Pixels of both masks."""
        return _common(self.mask, self.top, self.left, other.mask, other.top, other.left)

    def near_to(self, other: Region) -> int:
        """Pixels of this boundary within the tolerance of the other one."""
        return _common(self.edge, self.top, self.left, other.near,
                       other.top - other.radius, other.left - other.radius)


def similarity(pred: Region, gt: Region) -> float:
    """Return J of one frame: intersection over union, 1 where both masks are empty."""
    inside = pred.overlap(gt) if pred.area and gt.area else 0
    union = pred.area + gt.area - inside
    return inside / union if union else 1.


def accuracy(pred: Region, gt: Region) -> float:
    """Return F of one frame, see `boundary_accuracy`."""
    if not pred.length or not gt.length:
        return float(pred.length == gt.length)
    precision, recall = pred.near_to(gt) / pred.length, gt.near_to(pred) / gt.length
    total = precision + recall
    return 2 * precision * recall / total if total else 0.


def boundary(mask: Pixels) -> Pixels:
    """Return the (H, W) map of pixels that differ from their right, lower or diagonal neighbour.

    Beyond the last row and column the mask is continued, so the frame's edge is no boundary.
    """
    padded = np.asarray(cv2.copyMakeBorder(mask, 0, 1, 0, 1, cv2.BORDER_REPLICATE), np.uint8)
    edge = padded[:-1, 1:] ^ mask
    edge |= padded[1:, :-1] ^ mask
    edge |= padded[1:, 1:] ^ mask
    return edge


def surroundings(labels: Pixels) -> tuple[slice, slice]:
    """Return the slices of what is not 0, one pixel wider where the frame allows."""
    x, y, width, height = cv2.boundingRect(labels)
    return slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)


def _common(a: Pixels, top_a: int, left_a: int, b: Pixels, top_b: int, left_b: int) -> int:
    """Pixels that are not 0 in both of two parts of a frame."""
    top, bottom = max(top_a, top_b), min(top_a + a.shape[0], top_b + b.shape[0])
    left, right = max(left_a, left_b), min(left_a + a.shape[1], left_b + b.shape[1])
    if top >= bottom or left >= right:
        return 0
    return cv2.countNonZero(cv2.bitwise_and(
        a[top - top_a:bottom - top_a, left - left_a:right - left_a],
        b[top - top_b:bottom - top_b, left - left_b:right - left_b]))


@lru_cache
def _disk(radius: int) -> Pixels:
    square = np.arange(-radius, radius + 1) ** 2
    return (square[:, None] + square <= radius ** 2).astype(np.uint8)
