"""Oracles: the published palette's entries, brute force over 3x3 blocks."""

import numpy as np
import pytest

from mmvos.io import InputError, palette, parse_palette
from mmvos.io.colours import filled_values


def test_davis_palette():
    table = np.frombuffer(palette(), np.uint8).reshape(256, 3)
    assert table[:10].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128],
        [128, 0, 128], [0, 128, 128], [128, 128, 128], [64, 0, 0], [191, 0, 0]]
    assert table[21].tolist() == [128, 64, 128]
    assert np.array_equal(table[22:], np.arange(22, 256)[:, None].repeat(3, 1))


def test_parse_palette():
    assert parse_palette('#ff0000=1, 00FF00 = 20,') == {(255, 0, 0): 1, (0, 255, 0): 20}


@pytest.mark.parametrize('text', ['', ' , ', 'red=1', '#ff0000', '#ff0000=256', '#ff00=1',
                                  '#ff0000=1,#FF0000=2', '#ff0000=-1'])
def test_bad_palettes(text):
    with pytest.raises(InputError, match='--mask-palette') as caught:
        parse_palette(text)
    assert '#ff0000=1' in str(caught.value).lower() or 'twice' in str(caught.value)


def test_filled_values_against_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.integers(0, 4, (6, 7)).repeat(2, 0).repeat(2, 1)[1:, 1:] * 5000000
        found = {int(block[0, 0]) for row in range(9) for column in range(11)
                 if len(np.unique(block := values[row : row + 3, column : column + 3])) == 1}
        assert set(filled_values(values).tolist()) == found


def test_filled_values_of_a_map_too_small_for_a_block():
    assert filled_values(np.zeros((2, 5), np.uint8)).size == 0
