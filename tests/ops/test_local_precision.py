"""How often float32, bfloat16 and float16 agree with float64, for features of unit length.

960 cells look at 507 candidates each with logits of scale 8. With the same (rounded) inputs every
backend sums in float32, so that nothing but a gap below 1e-6 at rank k can turn out otherwise. The
rounding of the inputs itself moves logits by 1 % of their spread in bfloat16, which swaps a pick
in one cell of 18; a swap changes the result by the pick's weight, about 1/36.
"""
import pytest
import torch
import torch.nn.functional as F

from mmvos.ops import local_correlation, local_propagation

TYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
# what rounding to the type changes, relative
ROUNDING = {'float32': 2**-24, 'bfloat16': 2**-9, 'float16': 2**-12}


@pytest.fixture
def maps(randn):
    query, keys = F.normalize(randn(1, 64, 24, 40), dim=1), randn(1, 64, 3, 24, 40)
    labels = (randn(3, 24, 40) * 1e3).long() % 3
    return query, F.normalize(keys, dim=1), F.one_hot(labels, 3).movedim(-1, 0)[None].double()


@pytest.fixture(params=TYPES)
def low(request, run):
    """Takes inputs of low precision with the backend."""
    if request.param == 'float16' and run.backend == 'cpu':
        pytest.skip('the CPU library has no float16')
    low = type(run)(run.backend, run.device, TYPES[request.param])
    low.rounding = ROUNDING[request.param]
    return low


def propagate(run, query, keys, values, topk):
    return local_propagation(run.to(query), run.to(keys), values.to(run.device), 6, topk, 8.,
                             backend=run.backend).double().cpu()


def double(run, query, keys, values, topk):
    return local_propagation(query.to(run.dtype).double(), keys.to(run.dtype).double(), values, 6,
                             topk, 8., backend='torch')


def share_of_cells(difference, limit):
    return (difference.abs().amax(1) > limit).double().mean().item()


@pytest.mark.parametrize('topk', [None, 36])
class TestPropagation:

    def test_same_inputs_give_the_same_result(self, low, maps, topk):
        difference = propagate(low, *maps, topk) - double(low, *maps, topk)
        # measured: 0 cells, 3.3e-7
        assert share_of_cells(difference, 1e-3) <= 1 / 960
        assert difference.abs().median() < 1e-6
        assert topk or difference.abs().max() < 2e-6

    def test_rounded_inputs_swap_few_picks(self, low, maps, topk):
        exact = double(type(low)('torch'), *maps, topk)
        out = propagate(low, *maps, topk)
        # measured with k = 36: 5.6 % of cells in bfloat16, 0.9 % in float16, none in float32
        assert share_of_cells(out - exact, 1e-3) <= (50 * low.rounding if topk else 0)
        assert (out - exact).abs().max() < 2 / 36  # two picks
        labels = (out.argmax(1) != exact.argmax(1)).double().mean()
        assert labels <= 10 * low.rounding  # measured: 0.5 %, 0 and 0


def test_correlation_is_off_by_the_rounding_of_its_inputs(low, maps):
    query, key = maps[0], maps[1][:, :, 0]
    out = low(local_correlation, query, key, 6)
    exact = local_correlation(query, key, 6, backend='torch')
    # |<q, k> - <q', k'>| <= |q - q'| |k| + |q'| |k - k'|, and sums in float32
    assert (out - exact).abs().max() < 2.01 * low.rounding + 1e-6
    same = [x.to(low.dtype).double() for x in (query, key)]
    assert (out - local_correlation(*same, 6, backend='torch')).abs().max() < 1e-6
