"""Oracles: closed forms, and brute force for the descriptor, its distance and the alignment."""
import functools
import math

import cv2
import numpy as np
import pytest

from mmvos.evaluation.functional import stability as module
from mmvos.evaluation.functional.stability import (
    contour_descriptors,
    stability,
    temporal_stability,
)

SIZE = (120, 160)


def blob(waves=0.0, radius=30.0):
    """A disk with five bumps of the given height, as a share of its radius."""
    turn = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    length = radius * (1 + waves * np.cos(5 * turn))
    points = np.stack([80 + length * np.cos(turn), 60 + length * np.sin(turn)], 1)
    mask = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask.astype(bool)


def of(*masks):
    return temporal_stability(np.stack(masks))


def empty():
    return np.zeros(SIZE, bool)


def dots(*points):
    mask = empty()
    mask[tuple(np.transpose(points))] = True
    return mask


def test_first_frame_and_empty_masks_are_nan():
    values = of(blob(), blob(), empty(), empty(), blob(), blob())
    np.testing.assert_array_equal(values, [math.nan, 0, math.nan, math.nan, math.nan, 0])
    assert values.dtype == np.float64
    assert contour_descriptors(empty()) is None
    assert temporal_stability(np.zeros((0, *SIZE), bool)).shape == (0,)


@pytest.mark.parametrize('waves', [0, 0.3, 0.6])
def test_identical_and_moved_masks_cost_exactly_nothing(waves):
    mask = blob(waves)
    moved = [np.roll(mask, by, (0, 1)) for by in ((-5, -10), (10, 20), (1, 1))]
    np.testing.assert_array_equal(of(mask, mask, *moved)[1:], 0)


def test_larger_deformations_cost_more():
    values = [of(blob(), blob(waves))[1] for waves in (0, 0.1, 0.2, 0.35, 0.5)]
    assert values == sorted(values)
    assert values[1] > 0.05
    assert values[-1] < 5


def test_a_change_costs_more_than_a_change_of_size():
    # Distances are relative to their mean, so that size alone hardly matters.
    assert of(blob(0.3, radius=25), blob(0.3, radius=36))[1] < of(blob(0.3), blob(0.2))[1]


def test_nearly_symmetric():
    for waves in (0.1, 0.3):
        there, back = of(blob(), blob(waves))[1], of(blob(waves), blob())[1]
        assert back == pytest.approx(there, rel=0.05)


def test_start_of_the_contour_does_not_matter():
    before, now = contour_descriptors(blob(0.3)), contour_descriptors(blob(0.25))
    # A contour's first point is its top; elsewhere it has to be found by the second pass.
    shifted = [stability(before, np.roll(now, shift, 0)) for shift in (0, 3, 10)]
    np.testing.assert_allclose(shifted, shifted[0], rtol=0.15)
    assert stability(before, np.roll(before, 3, 0)) < 0.1 * shifted[0]


def test_only_the_longest_contour_counts():
    speck = blob() | dots((5, 5), (5, 6), (6, 5))
    ring = blob() & ~blob(radius=15)
    np.testing.assert_array_equal(of(blob(), speck, ring)[1:], 0)


def test_streaming_equals_stacked():
    masks = [blob(waves) for waves in (0, 0.1, 0.3)]
    descriptors = [contour_descriptors(mask) for mask in masks]
    pairs = zip([None, *descriptors], descriptors)  # noqa: B905 (the first has one more)
    np.testing.assert_array_equal(of(*masks), [stability(*pair) for pair in pairs])


@pytest.mark.parametrize('mask', [
    dots((5, 5)), dots((0, 0)), dots((119, 159)), dots((5, 5), (5, 6)), dots((5, 5), (6, 6)),
    dots(*((7, x) for x in range(160))), dots(*((y, 3) for y in range(120))),
    dots((4, 5), (5, 4), (5, 6), (6, 5)), ~empty(), ~dots((60, 80)),
], ids=['dot', 'corner', 'last corner', 'two', 'diagonal', 'row', 'column', 'diamond', 'full',
        'hole'])
def test_degenerate_masks(mask):
    values = of(mask, mask, blob(), mask)
    assert values[1] == 0
    assert (values[2:] >= 0).all()
    assert (values[2:] <= 5).all()


def test_points_are_at_most_three_pixels_apart():
    points = module._contour(blob(0.3))
    gaps = np.hypot(*(np.roll(points, -1, 0) - points).T)
    assert gaps.max() <= 3
    assert len(points) == len(contour_descriptors(blob(0.3)))


def test_number_of_points_is_bounded():
    comb = np.zeros((400, 400), bool)
    comb[:20] = comb[:, ::40] = comb[:, 1::40] = comb[:, 2::40] = True
    points = module._contour(comb)
    assert len(points) == module.MAX_POINTS == len(np.unique(points, axis=0))
    assert contour_descriptors(comb).shape == (640, 60)


def test_points_of_a_square():
    mask = empty()
    mask[10:20, 30:40] = True
    # Corners are pixel centres 9 px apart, counterclockwise from the top left.
    steps = [0, 3, 6]
    expected = ([(0, y) for y in steps] + [(x, 9) for x in steps]
                + [(9, 9 - y) for y in steps] + [(9 - x, 0) for x in steps])
    np.testing.assert_allclose(module._contour(mask), expected)


def test_shape_contexts_equal_loops():
    points = module._contour(blob(0.5, radius=11))
    mean = np.mean([math.dist(p, q) for p in points for q in points])
    expected = np.zeros((len(points), 60))
    for p, histogram in zip(points, expected, strict=True):
        for q in points:
            distance = math.dist(p, q) / mean
            ring = sum(distance >= limit for limit in (1 / 8, 1 / 4, 1 / 2, 1, 2))
            degrees = math.degrees(math.atan2(q[1] - p[1], q[0] - p[0])) % 360
            if ring < 5:
                histogram[ring * 12 + int(degrees // 30)] += 1
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(module._shape_contexts(points), expected, rtol=1e-6)
    assert (expected > 0).sum(1).min() > 5


def test_chi_square_equals_loops():
    rng = np.random.default_rng(0)
    a, b = (rng.random((count, 60)) * (rng.random((count, 60)) > 0.5) for count in (70, 5))
    a, b = (x / x.sum(1, keepdims=True) for x in (a, b))
    expected = [[0.5 * sum((u - v) ** 2 / (u + v) for u, v in zip(p, q, strict=True) if u + v)
                 for q in b] for p in a]
    found = module._chi_square(a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def brute_total(costs):
    @functools.cache
    def total(i, j):
        if i < 0 or j < 0:
            return math.inf
        if i == j == 0:
            return float(costs[0, 0])
        return float(costs[i, j]) + min(total(i - 1, j), total(i, j - 1), total(i - 1, j - 1))
    return total(costs.shape[0] - 1, costs.shape[1] - 1)


@pytest.mark.parametrize('shape', [(1, 1), (1, 5), (6, 1), (2, 2), (7, 4), (5, 9), (12, 12)])
def test_align_equals_recursion(shape):
    for seed in range(5):
        costs = np.random.default_rng(seed).random(shape).astype(np.float32)
        path = module._align(costs)
        assert path[0].tolist() == [shape[0] - 1, shape[1] - 1]
        assert path[-1].tolist() == [0, 0]
        steps = path[:-1] - path[1:]
        assert ((steps >= 0) & (steps <= 1) & steps.any(1, keepdims=True)).all()
        assert sum(costs[i, j] for i, j in path) == pytest.approx(brute_total(costs), rel=1e-6)


def test_each_point_keeps_its_cheapest_pair():
    costs = np.array([[.1, .2, .9], [.5, .3, .4], [.9, .9, .6]], np.float32)
    path = np.array([(2, 2), (1, 2), (1, 1), (0, 1), (0, 0)])
    # 0 keeps 0 and not 1, 1 keeps 1 and not 2, 2 has only 2.
    np.testing.assert_allclose(sorted(module._one_to_one(costs, path)), [.1, .3, .6])
    fan = np.array([(2, 0), (1, 0), (0, 0)])
    np.testing.assert_allclose(module._one_to_one(costs, fan), [.1])


def test_wrong_masks():
    with pytest.raises(ValueError, match='labels == id'):
        temporal_stability(np.zeros((2, 5, 6), np.uint8))
    with pytest.raises(ValueError, match='a single frame'):
        temporal_stability(np.zeros((5, 6), bool))
