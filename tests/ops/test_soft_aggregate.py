"""Soft aggregation against the numbers of the papers and closed forms."""
import pytest
import torch

from mmvos.ops import soft_aggregate

MODES = ['product', 'min', 'object']


def cells(*probs):
    """(1,K,1,1) float64."""
    return torch.tensor(probs, dtype=torch.float64).view(1, -1, 1, 1)


def numbers(x):
    return x.flatten().tolist()


@pytest.fixture
def probs(randn):
    return randn(2, 4, 3, 5).sigmoid()


@pytest.mark.parametrize(('probs', 'mode', 'expected'), [
    ((.9, .8), 'product', [.001567, .691223, .307210]),
    ((.6, .3, .1), 'product', [.141758, .631159, .180331, .046753]),
    ((.9, .8), 'min', [.008475, .686441, .305085]),
    ((.9,), 'product', [.012195, .987805]),
    ((.9,), 'min', [.012195, .987805]),
    # odds of .2, .9, .8: 1/4, 9, 4
    ((.2, .9, .8), 'object', [1 / 53, 36 / 53, 16 / 53])])
def test_published_numbers(probs, mode, expected):
    assert numbers(soft_aggregate(cells(*probs), mode)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('mode', MODES)
def test_equals_odds_over_the_sum_of_odds(probs, mode):
    background = {'product': (1 - probs).prod(1, keepdim=True),
                  'min': (1 - probs).amin(1, keepdim=True), 'object': probs[:, :1]}[mode]
    both = torch.cat([background, probs[:, mode == 'object':]], 1)
    odds = both / (1 - both)
    out = soft_aggregate(probs, mode)
    assert torch.allclose(out, odds / odds.sum(1, keepdim=True), rtol=0, atol=1e-12)
    assert torch.allclose(out.sum(1), torch.ones(2, 3, 5).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize('mode', MODES)
def test_permuted_objects_give_permuted_probabilities(probs, mode):
    first = int(mode == 'object')
    order = [*range(first), *(first + i for i in ((2, 0, 1) if first else (2, 0, 3, 1)))]
    out = soft_aggregate(probs, mode)
    expected = torch.cat([out[:, :1], out[:, 1:][:, [i - first for i in order[first:]]]], 1)
    assert torch.allclose(soft_aggregate(probs[:, order], mode), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('mode', MODES)
class TestValid:

    def test_batch_with_different_numbers_of_objects(self, probs, mode):
        first = int(mode == 'object')
        valid = torch.ones(2, 4 - first, dtype=torch.bool)
        valid[1, 1] = valid[1, 2] = False
        out = soft_aggregate(probs, mode, valid)
        assert torch.equal(out[:1], soft_aggregate(probs[:1], mode))
        kept = [c for c in range(4) if c not in (1 + first, 2 + first)]
        alone = soft_aggregate(probs[1:, kept], mode)
        assert torch.allclose(out[1:, [0, *(c + 1 - first for c in kept[first:])]], alone, rtol=0,
                              atol=1e-15)
        assert (out[1, 2:4] == 0).all()

    @pytest.mark.parametrize('bad', [0., 1., 0.5, float('nan'), float('inf')])
    def test_what_is_not_valid_is_not_read(self, probs, mode, bad):
        first = int(mode == 'object')
        valid = torch.tensor([[True, False, True, True][first:]]).expand(2, -1)
        expected = soft_aggregate(probs, mode, valid)
        probs[:, 1] = bad
        assert torch.equal(soft_aggregate(probs, mode, valid), expected)

    def test_without_any_object_all_is_background(self, probs, mode):
        valid = torch.zeros(2, 4 - (mode == 'object'), dtype=torch.bool)
        out = soft_aggregate(probs, mode, valid)
        assert (out[:, 0] == 1).all()
        assert (out[:, 1:] == 0).all()

    @pytest.mark.parametrize('edge', [0., 1.])
    def test_gradient_is_finite_and_0_for_what_is_not_valid(self, probs, mode, edge):
        first = int(mode == 'object')
        probs[:, :, 0], probs[0, :, 1, 1] = edge, 1 - edge  # whole rows, several at once
        probs.requires_grad_()
        valid = torch.ones(2, 4 - first, dtype=torch.bool)
        valid[1, -1] = False
        out = soft_aggregate(probs, mode, valid)
        out.square().sum().backward()
        assert probs.grad.isfinite().all()
        assert (probs.grad[1, 3] == 0).all()
        assert probs.grad.count_nonzero() > 10


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_certainty_of_any_type_stays_finite(mode, dtype):
    out = soft_aggregate(cells(1, 0, 1).to(dtype), mode)
    assert out.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert out.isfinite().all()
    assert out.sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize('mode', MODES)
def test_gradcheck(randn, mode):
    probs = randn(1, 3, 2, 2).sigmoid().requires_grad_()
    valid = torch.tensor([[True, False, True][mode == 'object':]])
    assert torch.autograd.gradcheck(lambda x: soft_aggregate(x, mode, valid), probs)


def test_no_objects_and_empty_batch():
    assert torch.equal(soft_aggregate(torch.zeros(2, 0, 3, 4)), torch.ones(2, 1, 3, 4))
    assert torch.equal(soft_aggregate(torch.rand(2, 1, 3, 4), 'object'), torch.ones(2, 1, 3, 4))
    assert soft_aggregate(torch.zeros(0, 2, 3, 4)).shape == (0, 3, 3, 4)


@pytest.mark.parametrize(('args', 'text'), [
    ((torch.zeros(1, 2, 3),), r'expected probs \(B,K,H,W\), got \(1, 2, 3\)'),
    ((torch.zeros(1, 0, 3, 3), 'object'), r'with a background channel, got \(1, 0, 3, 3\)'),
    ((torch.zeros(1, 2, 3, 3), 'max'), r"bg_mode should be one of \('product', .* got 'max'"),
    ((torch.zeros(1, 2, 3, 3), 'min', torch.ones(1, 3).bool()),
     r'valid should be \(1, 2\) beside probs \(1, 2, 3, 3\), got \(1, 3\)'),
    ((torch.zeros(1, 3, 3, 3), 'object', torch.ones(1, 3).bool()), r'valid should be \(1, 2\)')])
def test_refuses(args, text):
    with pytest.raises(ValueError, match='^soft_aggregate: .*' + text):
        soft_aggregate(*args)


def test_has_no_other_backend():
    with pytest.raises(ValueError, match="soft_aggregate: .* only backend='torch', got 'cpu'"):
        soft_aggregate(torch.zeros(1, 2, 3, 3), backend='cpu')
    assert soft_aggregate(torch.zeros(1, 2, 3, 3), backend='torch').shape == (1, 3, 3, 3)
