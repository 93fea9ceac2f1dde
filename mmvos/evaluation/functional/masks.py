"""Masks cut down to their surroundings, with what J and F need of them."""
from __future__ import annotations

from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
Pixels = NDArray[np.uint8]


def check_masks(pred: Masks, gt: Masks, void: Masks | None) -> None:
    """Raise ValueError unless all masks are boolean and of one shape (T, H, W)."""
    given = {'pred': pred, 'gt': gt} | ({} if void is None else {'void': void})
    for name, masks in given.items():
        if masks.dtype != bool:
            raise ValueError(f'expected boolean masks, got {name} of type {masks.dtype}; '
                             'compare a label map with one id first: labels == id')
        if masks.ndim != 3 or masks.shape != gt.shape:
            shapes = ', '.join(f'{key} {value.shape}' for key, value in given.items())
            raise ValueError(f'expected masks of one shape (T, H, W), got {shapes}; '
                             'a single frame is masks[None]')


class Region:
    """One mask cut down to its surroundings, for comparison with others of the same frame.

    Args:
        mask: (H, W) 0 or 1, or a part of the frame that holds the mask and, where the frame goes
            on, one pixel more.
        radius: Tolerance for boundaries in pixels, for `near`.
        corner: (y, x) of the part in the frame.
    """

    def __init__(self, mask: Pixels, radius: int = 0, corner: tuple[int, int] = (0, 0)) -> None:
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
