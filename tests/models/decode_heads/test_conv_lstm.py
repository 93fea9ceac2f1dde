"""The recurrent decoder: gates written as loops, which state reaches what, pooled masks."""
import math

import pytest
import torch

from mmvos.models.decode_heads import ConvLSTMCell, RecurrentDecoder
from mmvos.models.decode_heads.conv_lstm import mask_pyramid

BOTH = ('spatial', 'temporal')


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_a_cell_is_the_equations():
    """Gates of every place by loops over the 3x3 window, in float64."""
    torch.manual_seed(0)
    cell = ConvLSTMCell(3, 2, states=2).double()
    x, spatial, temporal, before = (torch.randn(1, n, 3, 4, dtype=torch.float64)
                                    for n in (3, 2, 2, 2))
    hidden, after = cell(x, [spatial, temporal], before)
    read = torch.cat([x, spatial, temporal], 1)[0].tolist()
    weight, bias = cell.gates.weight.tolist(), cell.gates.bias.tolist()
    for row in range(3):
        for column in range(4):
            gates = [bias[n] + sum(
                weight[n][c][dy + 1][dx + 1] * read[c][row + dy][column + dx]
                for c in range(7) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
                if 0 <= row + dy < 3 and 0 <= column + dx < 4) for n in range(8)]
            for c in range(2):
                i, f, o, g = gates[c::2]
                kept = sigmoid(f) * before[0, c, row, column].item() + sigmoid(i) * math.tanh(g)
                assert after[0, c, row, column].item() == pytest.approx(kept, abs=1e-12)
                assert hidden[0, c, row, column].item() == pytest.approx(
                    sigmoid(o) * math.tanh(kept), abs=1e-12)


def setting(recurrence=BOTH, masked=False):
    """Decoder of two levels, skips, and a memory and hidden maps that are not zero."""
    torch.manual_seed(0)
    decoder = RecurrentDecoder((5, 4), (4, 3), recurrence=recurrence, masked=masked)
    skips = [torch.randn(2, 5, 3, 4), torch.randn(2, 4, 6, 7)]
    sizes = (2, 4, 3, 4), (2, 3, 6, 7)
    before = [(torch.randn(size), torch.randn(size)) for size in sizes]
    return decoder, skips, before, [torch.randn(size) for size in sizes]


@torch.no_grad()
@pytest.mark.parametrize(('recurrence', 'reads_object', 'reads_time'), [
    (('spatial',), True, False), (('temporal',), False, True), (BOTH, True, True)])
def test_what_a_variant_reads(recurrence, reads_object, reads_time):
    """S ignores the frame before; T ignores the object before, its cell too."""
    decoder, skips, before, temporal = setting(recurrence)
    plain, _ = decoder(skips, before, temporal)
    other, _ = decoder(skips, before, [x + 1 for x in temporal])
    assert torch.equal(plain, other) is not reads_time
    for part in (0, 1):  # hidden map, cell
        changed = [tuple(x + (n == part) for n, x in enumerate(pair)) for pair in before]
        other, _ = decoder(skips, changed, temporal)
        assert torch.equal(plain, other) is not reads_object


@torch.no_grad()
def test_one_recurrence_is_both_where_the_other_is_zero():
    """And has no weights for what it does not read."""
    both, skips, before, temporal = setting()
    zeros = both.nothing(skips)
    for name, start in (('spatial', 2), ('temporal', 1)):  # which of [x | spatial | temporal] goes
        one = RecurrentDecoder((5, 4), (4, 3), recurrence=(name,))
        weights = both.state_dict()
        for level, width in zip((0, 1), (4, 3), strict=True):
            gates = weights[f'levels.{level}.gates.weight']
            parts = list(gates.split([gates.shape[1] - 2 * width, width, width], 1))
            del parts[start]
            weights[f'levels.{level}.gates.weight'] = torch.cat(parts, 1)
        one.load_state_dict(weights)
        found, _ = one(skips, before, temporal)
        expected, _ = both(skips, before if name == 'spatial' else zeros,
                           temporal if name == 'temporal' else [x for x, _ in zeros])
        torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_every_level_reads_the_mask():
    decoder, skips, before, temporal = setting(masked=True)
    masks = [torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 6, 7)]
    plain, _ = decoder(skips, before, temporal, masks)
    assert plain.shape == (2, 1, 12, 14)
    for level in (0, 1):
        changed = [mask + (n == level) for n, mask in enumerate(masks)]
        assert not torch.equal(decoder(skips, before, temporal, changed)[0], plain)


@pytest.mark.parametrize('size', [(33, 47), (64, 96), (1, 1)])
def test_a_cell_of_the_pyramid_is_the_largest_of_its_pixels(size):
    masks = torch.rand(2, 3, *size)
    levels = mask_pyramid(masks, 4)
    for level, stride in zip(levels, (32, 16, 8, 4), strict=True):
        assert level.shape[-2:] == tuple(-(-side // stride) for side in size)
        for row in range(level.shape[2]):
            for column in range(level.shape[3]):
                window = masks[:, :, row * stride:(row + 1) * stride,
                               column * stride:(column + 1) * stride]
                assert torch.equal(level[:, :, row, column], window.amax((2, 3)))


@pytest.mark.parametrize('wrong', [(), ('time',), ('spatial', 'both')])
def test_unknown_recurrence(wrong):
    with pytest.raises(ValueError, match="'spatial', 'temporal' or both"):
        RecurrentDecoder((5, 4), (4, 3), recurrence=wrong)
    with pytest.raises(ValueError, match='for 2 maps'):
        RecurrentDecoder((5, 4), (4, 3, 2))
