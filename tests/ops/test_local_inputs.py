"""Layouts, types and numbers that are none, for both local ops."""
import pytest
import torch

from mmvos.ops import local_correlation, local_propagation

NAN, INF = float('nan'), float('inf')
TYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SIZE = (6, 11)
RULES = ['zero_logit', 'mask']


def channels_last(x):
    return x.to(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


def every_second(x):
    return torch.full((*x.shape[:-1], 2 * x.shape[-1]), NAN).to(x)[..., ::2].copy_(x)


def inside_of_more(x):
    return torch.full([n + 2 for n in x.shape], NAN).to(x)[(slice(1, -1),) * x.dim()].copy_(x)


LAYOUTS = {'channels last': channels_last, 'every second': every_second, 'crop': inside_of_more,
           'columns first': lambda x: x.mT.contiguous().mT,
           'batch last': lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0)}


@pytest.mark.parametrize('layout', LAYOUTS)
class TestLayouts:

    def test_correlation(self, run, randn, layout):
        args = randn(2, 5, *SIZE), randn(2, 5, *SIZE)
        strided = [LAYOUTS[layout](run.to(x)) for x in args]
        coords = 8 * randn(2, 2, *SIZE).abs()
        for where in (None, coords):
            out = local_correlation(*strided, 2, backend=run.backend, coords=(
                None if where is None else LAYOUTS[layout](run.to(where))))
            assert run.equal(out, run(local_correlation, *args, 2, coords=where))

    @pytest.mark.parametrize('topk', [None, 4])
    def test_propagation(self, run, randn, layout, topk):
        args = randn(2, 5, *SIZE), randn(2, 5, 3, *SIZE), randn(2, 2, 3, *SIZE)
        strided = [LAYOUTS[layout](run.to(x)) for x in args]
        for where in (None, randn(2, 3, 2, *SIZE)):
            out = local_propagation(*strided, 2, topk, backend=run.backend, offset=(
                None if where is None else LAYOUTS[layout](run.to(where))))
            assert run.equal(out, run(local_propagation, *args, 2, topk, offset=where))


@pytest.mark.parametrize('topk', [None, 4])
def test_expanded_inputs(run, randn, topk):
    """One tensor for every batch item, reference, object or cell: strides of 0."""
    query, key, value = run.to(randn(1, 5, *SIZE)), run.to(randn(1, 5, *SIZE)), run.to(randn(1))
    expanded = [query.expand(2, -1, -1, -1), key[:, :, None].expand(2, -1, 3, -1, -1),
                value.expand(2, 4, 3, *SIZE)]
    for offset in (None, run.to(torch.tensor([0.5, 1])).view(1, 1, 2, 1, 1).expand(2, 3, 2, *SIZE)):
        out = local_propagation(*expanded, 2, topk, offset=offset, backend=run.backend)
        plain = [x.contiguous() for x in expanded]
        expected = local_propagation(*plain, 2, topk, offset=offset, backend=run.backend)
        assert run.equal(out, expected.double().cpu())
    out = local_correlation(expanded[0], expanded[1][:, :, 0], 2, backend=run.backend)
    expected = local_correlation(plain[0], plain[1][:, :, 0], 2, backend=run.backend)
    assert run.equal(out, expected.double().cpu())


class TestTypes:

    @pytest.mark.parametrize('autocast', [False, True])
    @pytest.mark.parametrize('dtype', TYPES)
    def test_result_is_float32_or_float64_whatever_autocast_says(self, dtype, autocast):
        expected = torch.float64 if dtype == torch.float64 else torch.float32
        x, many = torch.ones(1, 4, 3, 5, dtype=dtype), torch.ones(1, 4, 2, 3, 5, dtype=dtype)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            assert local_correlation(x, x, 1).dtype == expected
            assert local_propagation(x, many, many, 1).dtype == expected
            assert local_propagation(x, many, many, 1, 3).dtype == expected

    @pytest.mark.parametrize('topk', [None, 4])
    def test_autocast_changes_no_bit_of_float32(self, run, randn, topk):
        args = randn(1, 8, *SIZE), randn(1, 8, 2, *SIZE), randn(1, 2, 2, *SIZE)
        args = [x.float().to(run.device) for x in args]

        def both():
            return (local_propagation(*args, 2, topk, backend=run.backend),
                    local_correlation(args[0], args[1][:, :, 0], 2, backend=run.backend))

        plain = both()
        with torch.autocast(run.device, torch.bfloat16):
            assert all(map(torch.equal, both(), plain))

    @pytest.mark.parametrize('dtype', TYPES)
    def test_values_of_any_type(self, run, randn, dtype):
        query, keys = randn(1, 5, *SIZE), randn(1, 5, 2, *SIZE)
        values = randn(1, 3, 2, *SIZE).to(dtype)
        out = local_propagation(run.to(query), run.to(keys), values.to(run.device), 2, 4,
                                backend=run.backend)
        assert run.equal(out, run(local_propagation, query, keys, values.double(), 2, 4))

    def test_float16_on_the_cpu_is_left_to_torch(self, randn):
        query, keys, values = (x.half() for x in (
            randn(1, 8, *SIZE), randn(1, 8, 2, *SIZE), randn(1, 2, 2, *SIZE)))
        out = local_propagation(query, keys, values, 2, 4)
        expected = local_propagation(query.double(), keys.double(), values, 2, 4, backend='torch')
        assert (out - expected).abs().max() < 1e-5
        out = local_correlation(query, keys[:, :, 0], 2)
        expected = local_correlation(query.double(), keys[:, :, 0].double(), 2, backend='torch')
        assert (out - expected).abs().max() < 1e-5


class TestNoNumbers:
    """What NaN and Inf reach, and that nothing else changes by one bit."""

    @staticmethod
    def within(radius, y, x):
        """(h,w) bool: cells with (y, x) in their window."""
        out = torch.zeros(SIZE, dtype=torch.bool)
        out[max(0, y - radius):y + radius + 1, max(0, x - radius):x + radius + 1] = True
        return out

    def check(self, run, args, spoilt, reached, **options):
        before = run(local_propagation, *args, 2, **options)
        after = run(local_propagation, *spoilt, 2, **options)
        assert after[..., reached].isnan().all()
        assert torch.equal(after[..., ~reached], before[..., ~reached])

    @pytest.fixture
    def args(self, randn):
        return randn(1, 5, *SIZE).abs(), randn(1, 5, 2, *SIZE).abs(), randn(1, 3, 2, *SIZE)

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 1, 4])
    @pytest.mark.parametrize('bad', [NAN, INF])
    @pytest.mark.parametrize('cell', [(0, 0), (3, 4), (5, 10)])
    def test_logit_of_nan_or_infinity(self, run, args, bad, topk, rule, cell):
        options = dict(topk=topk, out_of_range=rule)
        query, keys, values = (x.clone() for x in args)
        query[0, 2, cell[0], cell[1]] = bad
        self.check(run, args, (query, *args[1:]), self.within(0, *cell), **options)
        keys[0, 2, 1, cell[0], cell[1]] = bad
        self.check(run, args, (args[0], keys, values), self.within(2, *cell), **options)

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 1, 4])
    def test_nan_between_which_windows_move(self, run, args, topk, rule):
        query, keys, values = args
        spoilt = keys.clone()
        spoilt[0, 0, 1, 2, 6] = NAN
        offset = torch.tensor([3.25, 0.25]).view(1, 1, 2, 1, 1).expand(1, 2, 2, *SIZE)
        reached = torch.zeros(SIZE, dtype=torch.bool)
        reached[:5, :6] = True  # their windows mix it with its neighbours
        self.check(run, args, (query, spoilt, values), reached, topk=topk, out_of_range=rule,
                   offset=offset)

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 4, 20])
    def test_minus_infinity_has_no_weight(self, run, args, definition, topk, rule):
        query, keys, values = args
        keys[0, 2, 1, 3, 4] = -INF  # the queries are positive
        out = run(local_propagation, *args, 2, topk, out_of_range=rule)
        keys[0, 2, 1, 3, 4] = -1e4
        assert run.equal(out, definition.propagation(*args, 2, topk, out_of_range=rule))

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 4])
    def test_nothing_but_minus_infinity_is_nan(self, run, args, topk, rule):
        query, keys, values = args
        keys[0, 2] = -INF
        out = run(local_propagation, query, keys, values, 2, topk, out_of_range=rule)
        assert out[..., 2:-2, 2:-2].isnan().all()
        assert out.isnan().all() == (rule == 'mask')  # outside there are logits of 0

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 4])
    @pytest.mark.parametrize('bad', [NAN, INF])
    def test_value_reaches_its_object_where_it_is_read(self, run, args, bad, topk, rule):
        query, keys, values = args
        before = run(local_propagation, *args, 2, topk, out_of_range=rule)
        spoilt = values.clone()
        spoilt[0, 1, 0, 3, 4] = bad
        out = run(local_propagation, query, keys, spoilt, 2, topk, out_of_range=rule)
        assert torch.equal(out[:, ::2], before[:, ::2])
        hit = ~out[0, 1].isfinite()
        assert torch.equal(out[0, 1, ~hit], before[0, 1, ~hit])
        picked = torch.zeros_like(values)
        picked[0, 1, 0, 3, 4] = 1
        weight = run(local_propagation, query, keys, picked, 2, topk, out_of_range=rule)[0, 1]
        assert torch.equal(hit, weight > 0)

    @pytest.mark.parametrize('bad', [NAN, INF, -INF])
    def test_correlation(self, run, randn, bad):
        query, key = randn(1, 5, *SIZE), randn(1, 5, *SIZE)
        before = run(local_correlation, query, key, 1)
        for spoilt in (0, 1):
            args = [query.clone(), key.clone()]
            args[spoilt][0, 2, 3, 4] = bad
            hit = torch.zeros(3, 3, *SIZE, dtype=torch.bool)
            if spoilt:
                for i in range(9):
                    hit[i // 3, i % 3, 3 - (i // 3 - 1), 4 - (i % 3 - 1)] = True
            else:
                hit[:, :, 3, 4] = True
            out, hit = run(local_correlation, *args, 1), hit.view(1, 9, *SIZE)
            assert not out[hit].isfinite().any()
            assert torch.equal(out[~hit], before[~hit])
