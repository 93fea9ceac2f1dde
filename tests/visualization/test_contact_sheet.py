"""Oracles: flat frames found again in their cells, the layout's arithmetic."""

import numpy as np
import pytest

from mmvos.visualization import contact_sheet, evenly_spaced

PAGE = [24, 24, 24]


def flat(value, height=30, width=40):
    return np.full((height, width, 3), value, np.uint8)


def test_cells_in_reading_order():
    sheet = contact_sheet([flat(value) for value in (50, 100, 150, 200, 250)], 3, width=324)
    # Three cells of 100 with gaps of 6, two rows of 75.
    assert sheet.shape == (6 + 2 * 81, 324, 3)
    middles = sheet[[43, 124]][:, [56, 162, 268], 0]
    assert middles.tolist() == [[50, 100, 150], [200, 250, 24]]


def test_other_shapes_are_fitted_whole():
    sheet = contact_sheet([flat(200), flat(90, 40, 20)], 2, width=218)
    cell = sheet[6:81, 112:212, 0]
    assert (cell == 90).sum() == pytest.approx(75 * 38, rel=0.05)
    assert sheet[43, 115].tolist() == PAGE


def test_captions_add_legible_strips():
    images = [flat(200, 60, 80)] * 2
    plain = contact_sheet(images, 2)
    sheet = contact_sheet(images, 2, captions=['frame 00000', 'x' * 500])
    strip = sheet[-1 - (sheet.shape[0] - plain.shape[0]) :]
    assert strip.shape[0] > 20
    assert strip.max() > 200  # light ink on the dark page
    # A long caption stays inside its cell, clear of the gaps at both sides.
    assert (strip[:, -6:] == PAGE).all()
    assert (strip[:, 638:642] == PAGE).all()


def test_fewer_images_than_columns_fill_the_width():
    assert contact_sheet([flat(7)], 4, width=412).shape == (312, 412, 3)


def test_bad_calls():
    with pytest.raises(ValueError, match='at least one image'):
        contact_sheet([])
    with pytest.raises(ValueError, match='expected 1 captions'):
        contact_sheet([flat(0)], captions=['a', 'b'])


def test_evenly_spaced():
    assert evenly_spaced(10, 4) == [0, 3, 6, 9]
    assert evenly_spaced(3, 8) == [0, 1, 2]
    assert evenly_spaced(5, 1) == [0]
    assert evenly_spaced(0, 4) == []
