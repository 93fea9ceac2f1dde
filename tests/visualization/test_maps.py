"""Oracles: the colour wheel by hand, colorsys, and that no colour depends on other pixels."""

import colorsys

import cv2
import numpy as np
import pytest

from mmvos.visualization import flow_colours, grey_levels, map_overlay, map_picture


def vectors(*pairs):
    return np.array(pairs, np.float32)[None]


def test_directions_and_no_motion():
    found = flow_colours(vectors((1, 0), (0, 1), (-1, 0), (0, -1), (0, 0)))
    expected = [[255, 0, 0], [128, 255, 0], [0, 255, 255], [128, 0, 255], [255, 255, 255]]
    assert np.abs(found[0].astype(int) - expected).max() <= 1


def test_against_colorsys():
    flow = np.random.default_rng(0).normal(0, 0.5, (9, 8, 2)).astype(np.float32)
    for (x, y), found in zip(flow.reshape(-1, 2), flow_colours(flow).reshape(-1, 3), strict=True):
        hue = np.arctan2(y, x) / (2 * np.pi) % 1
        rgb = colorsys.hsv_to_rgb(hue, min(1, np.hypot(x, y) ** 0.5), 1)
        assert np.abs(found - np.array(rgb) * 255).max() < 2


def test_a_colour_does_not_depend_on_the_rest_of_the_frame():
    """Scaling by the longest vector of a frame, as mmcv.flow2rgb does, would let films flicker."""
    small, with_large = vectors((0.1, 0.1), (0, 0)), vectors((0.1, 0.1), (9, 9))
    assert np.array_equal(flow_colours(small)[0, 0], flow_colours(with_large)[0, 0])
    assert flow_colours(with_large)[0, 1].min() == 0  # as long as 1


def test_grey():
    assert grey_levels(np.array([[0, 0.5, 1], [-1, 2, 0.2]])).tolist() == [
        [0, 128, 255], [0, 255, 51]]
    assert map_picture(np.full((2, 3, 1), 0.2)).tolist() == [[51] * 3] * 2


def test_overlay_of_vectors():
    image = np.full((1, 2, 3), 100, np.uint8)
    drawn = map_overlay(image, vectors((1, 0), (0, 0)), alpha=0.5)
    assert drawn.tolist() == [[[178, 50, 50], [178, 178, 178]]]


def test_overlay_of_values_is_viridis_over_grey():
    image = np.zeros((1, 2, 3), np.uint8)
    image[..., 0] = 200  # red: 0.299 * 200 = 60 in grey
    drawn = map_overlay(image, np.array([[[0.], [1.]]]), alpha=0.5)
    ends = np.array([[68, 1, 84], [253, 231, 37]])  # of matplotlib's viridis
    assert np.abs(drawn[0].astype(int) - (60 + ends) / 2).max() <= 2
    assert image[0, 0].tolist() == [200, 0, 0]


def test_brightness_grows_with_the_value():
    drawn = map_overlay(np.zeros((1, 11, 3), np.uint8), np.linspace(0, 1, 11)[None, :, None])
    light = cv2.cvtColor(drawn, cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(light) > 0).all()


@pytest.mark.parametrize('shape', [(4, 5), (4, 5, 3), (4, 6, 1)])
def test_wrong_shapes(shape):
    with pytest.raises(ValueError, match='expected a map of'):
        map_overlay(np.zeros((4, 5, 3), np.uint8), np.zeros(shape))
