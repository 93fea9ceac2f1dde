"""Oracles: closed forms, brute force over pixel pairs, and vos-benchmark (another evaluator)."""
import itertools
import math

import cv2
import numpy as np
import pytest
from vos_benchmark.evaluator import Evaluator

from mmvos.evaluation import boundary_accuracy, mean_recall_decay, region_similarity

# Touching each border and corner, so that crops are cut off on every side.
BOXES = [(0, 0, 9, 7), (20, 0, 31, 11), (0, 30, 12, 41), (22, 33, 31, 41), (8, 9, 20, 25),
         (0, 0, 31, 41), (15, 16, 16, 17), (30, 40, 31, 41), (0, 40, 1, 41), (30, 0, 31, 1)]


def box(top, left, bottom, right):
    mask = np.zeros((31, 41), bool)
    mask[top:bottom, left:right] = True
    return mask


def blobs(seed, count=12, size=(31, 41), sigma=3.0):
    """Pairs of similar smooth random masks, different in area from empty to full."""
    rng = np.random.default_rng(seed)
    noise = [[cv2.GaussianBlur(rng.normal(size=size), None, sigma) for _ in range(2)]
             for _ in range(count)]
    levels = np.linspace(-2.5, 2.5, count)
    gt = [a > level * a.std() for (a, _), level in zip(noise, levels, strict=True)]
    pred = [a + 0.4 * b > level * a.std() for (a, b), level in zip(noise, levels, strict=True)]
    return np.stack(pred), np.stack(gt)


def brute_boundary(mask):
    height, width = mask.shape
    return [(y, x) for y in range(height) for x in range(width)
            if any(mask[min(y + dy, height - 1), min(x + dx, width - 1)] != mask[y, x]
                   for dy, dx in ((0, 1), (1, 0), (1, 1)))]


def brute_accuracy(pred, gt, radius):
    pred, gt = brute_boundary(pred), brute_boundary(gt)
    if not pred or not gt:
        return float(len(pred) == len(gt))
    near = [[(a - c) ** 2 + (b - d) ** 2 <= radius ** 2 for c, d in gt] for a, b in pred]
    precision = sum(map(any, near)) / len(pred)
    recall = sum(map(any, zip(*near, strict=True))) / len(gt)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_region_similarity_closed_form():
    gt = np.stack([box(0, 0, 10, 10)] * 3 + [box(0, 0, 0, 0)] * 2)
    pred = np.stack([box(0, 0, 10, 10), box(5, 0, 15, 10), box(20, 20, 25, 25),
                     box(0, 0, 0, 0), box(1, 1, 2, 2)])
    np.testing.assert_array_equal(region_similarity(pred, gt), [1, 50 / 150, 0, 1, 0])


def test_region_similarity_void_pixels_do_not_count():
    gt, pred, void = box(0, 0, 10, 10)[None], box(5, 0, 15, 10)[None], box(10, 0, 31, 41)[None]
    np.testing.assert_array_equal(region_similarity(pred, gt, void), [0.5])
    np.testing.assert_array_equal(region_similarity(pred, gt, np.ones_like(void)), [1])


@pytest.mark.parametrize('radius', [1, 3])
def test_boundary_accuracy_equals_brute_force(radius):
    pairs = [(box(*a), box(*b)) for a, b in itertools.product(BOXES, BOXES[::3])]
    pairs += zip(*blobs(0), strict=True)
    expected = [brute_accuracy(pred, gt, radius) for pred, gt in pairs]
    pred, gt = map(np.stack, zip(*pairs, strict=True))
    np.testing.assert_array_equal(boundary_accuracy(pred, gt, bound_th=radius), expected)
    assert len(set(expected)) > 10


def test_boundary_tolerance_is_a_share_of_the_diagonal_rounded_up():
    diagonal = math.hypot(31, 41)
    pred, gt = blobs(1)
    for share, radius in ((1 / diagonal, 1), (1.01 / diagonal, 2), (0.008, 1)):
        np.testing.assert_array_equal(boundary_accuracy(pred, gt, bound_th=share),
                                      boundary_accuracy(pred, gt, bound_th=radius))


def test_boundary_accuracy_limits():
    empty, full, square = box(0, 0, 0, 0), box(0, 0, 31, 41), box(5, 5, 15, 15)
    gt = np.stack([empty, empty, square, square, full])
    pred = np.stack([empty, square, empty, square, empty])
    # The frame's edge is no boundary: a full mask has none, as an empty one.
    np.testing.assert_array_equal(boundary_accuracy(pred, gt), [1, 0, 0, 1, 1])


def test_boundary_accuracy_void_is_background():
    pred, gt = blobs(2)
    void = blobs(3)[0]
    np.testing.assert_array_equal(boundary_accuracy(pred, gt, void),
                                  boundary_accuracy(pred & ~void, gt & ~void))


@pytest.mark.parametrize('seed', [4, 5])
def test_equals_vos_benchmark(seed):
    pred, gt = blobs(seed, size=(120, 214), sigma=9.0)
    peer = Evaluator()
    for frame in zip(pred.astype(np.uint8), gt.astype(np.uint8), strict=True):
        peer.feed_frame(*frame)
    # vos-benchmark counts an object from the first frame that shows it.
    seen = slice(-len(peer.object_iou[1]), None)
    np.testing.assert_array_equal(region_similarity(pred, gt)[seen], peer.object_iou[1])
    np.testing.assert_array_equal(boundary_accuracy(pred, gt)[seen], peer.boundary_f[1])


def test_no_frames():
    none = np.zeros((0, 5, 6), bool)
    assert region_similarity(none, none).shape == boundary_accuracy(none, none).shape == (0,)


@pytest.mark.parametrize('measure', [region_similarity, boundary_accuracy])
def test_wrong_masks(measure):
    masks = np.zeros((2, 5, 6), bool)
    with pytest.raises(ValueError, match='labels == id'):
        measure(masks.astype(np.uint8), masks)
    with pytest.raises(ValueError, match=r'pred \(2, 5, 5\)'):
        measure(masks[..., 1:], masks)
    with pytest.raises(ValueError, match=r'void \(1, 5, 6\)'):
        measure(masks, masks, masks[:1])
    with pytest.raises(ValueError, match=r'masks\[None\]'):
        measure(masks[0], masks[0])


def test_mean_recall_decay_published_example():
    values = np.array([.9, .8, .7, .6, .5, .4, .3, .2])
    np.testing.assert_allclose(mean_recall_decay(values), (0.55, 0.5, 0.5), rtol=0, atol=1e-15)


@pytest.mark.parametrize('length', [1, 2, 3, 4, 78, 255, 256, 257, 300, 1000])
def test_decay_of_a_ramp(length):
    """A falling ramp's quarter means are the middles of the quarters, whatever the length."""
    limits = [math.floor(1 + (length - 1) * quarter / 4 + 0.5) - 1 for quarter in range(5)]
    first, last = (limits[0] + limits[1]) / 2, (limits[3] + limits[4]) / 2
    mean, recall, decay = mean_recall_decay(1 - np.arange(length) / 1000)
    assert decay == pytest.approx((last - first) / 1000, abs=1e-12)
    assert mean == pytest.approx(1 - (length - 1) / 2000, abs=1e-12)
    assert recall == pytest.approx(min(length, 500) / length, abs=1e-12)


def test_mean_recall_decay_needs_values():
    with pytest.raises(ValueError, match='at least one value'):
        mean_recall_decay(np.zeros(0))
