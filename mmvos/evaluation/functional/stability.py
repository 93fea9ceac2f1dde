"""Temporal stability T, by the written rule, unverified: there are no official values to compare.

Sources: Perazzi et al., "A benchmark dataset and evaluation methodology for video object
segmentation", CVPR 2016, section 4.1, with the constants of DAVIS's code; shape contexts:
Belongie et al., "Shape matching and object recognition using shape contexts", PAMI 2002. Other
than there, holes are no contours, the polygons are OpenCV's, and their points are bounded.
"""
from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from .masks import Masks, check_masks

TOLERANCE = 3  # px between contour and polygon
SPACING = 3  # px between the polygon's points
MAX_POINTS = 640  # every point up to a perimeter of 1920 px; beyond it evenly spread ones
RADII = np.logspace(np.log10(1 / 8), np.log10(2), 5)  # outer radii of the rings, in mean distances
ANGLES = 12
BINS = len(RADII) * ANGLES
FACTOR = 5  # DAVIS's, which makes T similar in size to J and F
BLOCK = 64  # rows of a cost matrix at a time: they stay in the cache

Points = NDArray[np.float64]
Histograms = NDArray[np.float32]


def temporal_stability(pred: Masks) -> NDArray[np.float64]:
    """Return T of every frame: how much the mask's outline differs from the frame before.

    The lower the better: 0 for a mask that does not change its shape, wherever it moves, 5 at
    most. Pixels are neither compared nor is there a ground truth.

    Args:
        pred: (T, H, W) predicted masks of one object.

    Returns:
        (T,) values, NaN for the first frame and where this mask or the one before is empty.

    Raises:
        ValueError: The masks are not boolean or not (T, H, W).
    """
    check_masks(pred, pred, None)
    values = np.full(len(pred), math.nan)
    before = None
    for t, mask in enumerate(pred):
        now = contour_descriptors(mask)
        values[t] = stability(before, now)
        before = now
    return values


def contour_descriptors(mask: Masks) -> Histograms | None:
    """Return the shape contexts along the mask's longest outer contour, None if it is empty.

    The contour becomes a polygon with points at most 3 px apart, of which at most 640 are kept.
    Each sees the others, and itself, in 5 rings of doubling radius (the innermost to 1/8, the
    outermost to 2 mean distances between points) of 12 sectors.

    Args:
        mask: (H, W) boolean.

    Returns:
        (N, 60) share of the points in each bin, in the order of the contour.
    """
    points = _contour(mask)
    return None if points is None else _shape_contexts(points)


def stability(before: Histograms | None, now: Histograms | None) -> float:
    """Return T from the `contour_descriptors` of two frames, NaN if one is None.

    The contours' points are aligned in order, by dynamic time warping over the chi-square
    distances of their descriptors: first between the starts of the contours, then between the
    points after the best matching pair. Each point keeps the cheapest of its pairs, and T is 5
    times the mean of these. Exchanging the frames may change T a little: ties break differently.
    """
    if before is None or now is None:
        return math.nan
    costs = _chi_square(before, now)
    pairs = _align(costs)
    best = pairs[costs[tuple(pairs.T)].argmin()]
    costs = np.roll(costs, -(best + 1), (0, 1))
    kept = _one_to_one(costs, _align(costs))
    return FACTOR * float(kept.mean(dtype=np.float64))


def _contour(mask: Masks) -> Points | None:
    """Return (N, 2) points, relative to the first: a moved mask has exactly the same."""
    found, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_EXTERNAL,
                                cv2.CHAIN_APPROX_NONE)
    if not found:
        return None
    longest = max(found, key=lambda contour: cv2.arcLength(contour, True))
    corners = cv2.approxPolyDP(longest, TOLERANCE, True)[:, 0].astype(np.float64)
    corners -= corners[0]
    edges = np.roll(corners, -1, 0) - corners
    counts = np.maximum(np.ceil(np.hypot(*edges.T) / SPACING), 1).astype(np.int64)
    # The k-th of an edge's n points lies k / n along it.
    step = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    along = step / np.repeat(counts, counts)
    points = np.repeat(corners, counts, 0) + along[:, None] * np.repeat(edges, counts, 0)
    kept = min(len(points), MAX_POINTS)
    return points[np.arange(kept) * len(points) // kept]


def _shape_contexts(points: Points) -> Histograms:
    """Return (N, 60) shares, rings of 12 sectors from the innermost out."""
    dx, dy = points.T[:, None, :] - points.T[:, :, None]
    distances = np.hypot(dx, dy)
    ring = np.searchsorted(RADII, distances / (distances.mean() or 1), side='right')
    # The remainder of a tiny negative angle can round up to a full turn.
    turn = np.arctan2(dy, dx) / (2 * np.pi) % 1
    sector = (turn * ANGLES).astype(np.int64) % ANGLES
    bins = np.arange(len(points))[:, None] * BINS + ring * ANGLES + sector
    counts = np.bincount(bins[ring < len(RADII)], minlength=len(points) * BINS)
    histograms = counts.reshape(-1, BINS).astype(np.float32)
    return histograms / histograms.sum(1, keepdims=True)


def _chi_square(a: Histograms, b: Histograms) -> NDArray[np.float32]:
    """Return (N, M) sums of (a - b)^2 / (a + b) over the bins, halved: 0 to 1."""
    costs = np.zeros((len(a), len(b)), np.float32)
    columns = np.ascontiguousarray(b.T)
    # Where both are 0 nothing is added, instead of 0 / 0.
    safe = columns + np.float32(1e-30)
    for start in range(0, len(a), BLOCK):
        out, rows = costs[start:start + BLOCK], a[start:start + BLOCK].T[:, :, None]
        for row, column, divisor in zip(rows, columns, safe, strict=True):
            term = row - column
            term *= term
            term /= row + divisor
            out += term
    costs *= np.float32(0.5)
    return costs


def _align(costs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the cheapest path from the last pair to (0, 0), as (P, 2), in steps of at most 1."""
    n, m = costs.shape
    # Row d of `diagonals` holds the pairs (i, d - i), so that a whole row follows from two others.
    padded = np.full((n, n + m), np.inf)
    padded[:, :m] = costs
    diagonals = np.ascontiguousarray(padded.reshape(-1)[:-n].reshape(n, -1).T)
    totals = np.full((n + m, n + 1), np.inf)  # of (i, d - i) at [d + 1, i + 1]
    totals[1, 1] = diagonals[0, 0]
    for d in range(1, n + m - 1):
        row = np.minimum(totals[d, 1:], totals[d, :-1], out=totals[d + 1, 1:])
        np.minimum(row, totals[d - 1, :-1], out=row)
        row += diagonals[d]
    i, j = n - 1, m - 1
    path = [(i, j)]
    while i or j:
        d = i + j
        both, first, second = totals[d - 1, i], totals[d, i], totals[d, i + 1]
        if both <= first and both <= second:
            i, j = i - 1, j - 1
        elif first <= second:
            i -= 1
        else:
            j -= 1
        path.append((i, j))
    return np.array(path)


def _one_to_one(costs: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the costs of the pairs that stay when each point keeps its cheapest one."""
    for side in (0, 1):
        order = np.lexsort((costs[tuple(pairs.T)], pairs[:, side]))
        pairs = pairs[order]
        pairs = pairs[np.unique(pairs[:, side], return_index=True)[1]]
    return costs[tuple(pairs.T)]
