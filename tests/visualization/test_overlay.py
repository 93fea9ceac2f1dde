"""Oracles: the mixing formula by hand, brute force over neighbours."""

import numpy as np
import pytest

from mmvos.io import palette
from mmvos.visualization import label_colours, overlay
from mmvos.visualization.overlay import outline


def square(size=20, value=1):
    labels = np.zeros((size, size), np.uint8)
    labels[5:15, 5:15] = value
    return labels


def test_inside_outline_and_background():
    image = np.full((20, 20, 3), 100, np.uint8)
    drawn = overlay(image, square())
    assert drawn.dtype == np.uint8
    assert drawn[10, 10].tolist() == [114, 50, 50]  # half of (100, 100, 100), half of (128, 0, 0)
    assert drawn[5, 10].tolist() == [192, 128, 128]  # half-way from (128, 0, 0) to white
    assert np.array_equal(drawn[square() == 0], image[square() == 0])
    assert (image == 100).all()


def test_no_object_leaves_the_frame():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    assert np.array_equal(overlay(image, np.zeros((8, 9), np.int64)), image)


def test_outline_against_brute_force():
    labels = np.random.default_rng(0).integers(0, 3, (9, 8), np.uint8).repeat(3, 0).repeat(3, 1)
    padded = np.pad(labels, 1, mode='edge')
    for row, column in np.ndindex(labels.shape):
        block = padded[row : row + 3, column : column + 3]
        expected = labels[row, column] > 0 and len(np.unique(block)) > 1
        assert outline(labels)[row, column] == expected


def test_the_frame_border_is_no_outline():
    assert not outline(np.ones((6, 6), np.uint8)).any()


def test_colours_are_distinct():
    colours = label_colours()
    assert len(np.unique(colours, axis=0)) == 256
    assert colours[:22].tobytes() == palette()[:66]


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r'\(4, 5, 3\)'):
        overlay(np.zeros((5, 4, 3), np.uint8), np.zeros((4, 5), np.uint8))
