"""Gradients of the local ops: numeric differences, the definition's own, and one another."""
import pytest
import torch

from mmvos.ops import local_correlation, local_propagation

RULES = ['zero_logit', 'mask']
SIZE = (5, 9)


def gradients(run, op, inputs, *args, grad=None, **options):
    """Gradients of sum(out * grad) with a backend, in float64."""
    inputs = [run.to(x).detach().requires_grad_() for x in inputs]
    options = {name: run.to(x) for name, x in options.items()}
    out = op(*inputs, *args, **options, backend=run.backend)
    grads = torch.autograd.grad(out, inputs, torch.ones_like(out) if grad is None else run.to(grad))
    assert [g.dtype for g in grads] == [x.dtype for x in inputs]
    return [g.double().cpu() for g in grads]


def expected_gradients(function, inputs, *args, grad, **options):
    inputs = [x.detach().requires_grad_() for x in inputs]
    return torch.autograd.grad(function(*inputs, *args, **options), inputs, grad)


def assert_equal(run, grads, expected):
    for name, one, other in zip(('query', 'key', 'value'), grads, expected, strict=False):
        assert run.equal(one, other), f'{name}: {(one - other).abs().max()}'


def gradcheck(run, function, *inputs):
    if run.dtype != torch.float64:
        pytest.skip('differences need float64')
    assert torch.autograd.gradcheck(function, [x.requires_grad_() for x in inputs])


class TestCorrelation:

    @pytest.mark.parametrize(('radius', 'dilation', 'key_size'), [
        (1, 1, (2, 3)), (1, 2, (2, 3)), (0, 1, (2, 3)), (1, 1, (3, 2))])
    @pytest.mark.parametrize('with_coords', [False, True])
    def test_gradcheck(self, run, randn, radius, dilation, key_size, with_coords):
        coords = 1 + randn(1, 2, 2, 3) if with_coords else None
        gradcheck(run, lambda q, k: local_correlation(q, k, radius, dilation, coords,
                                                      backend=run.backend),
                  randn(1, 2, 2, 3), randn(1, 2, *key_size))

    @pytest.mark.parametrize(('radius', 'dilation', 'key_size', 'channels'), [
        (2, 1, SIZE, 11), (1, 3, SIZE, 8), (4, 2, SIZE, 1), (2, 1, (4, 21), 5)])
    def test_equals_that_of_the_definition(self, run, randn, definition, radius, dilation,
                                           key_size, channels):
        inputs = randn(2, channels, *SIZE), randn(2, channels, *key_size)
        grad = randn(2, (2 * radius + 1)**2, *SIZE)
        assert_equal(run, gradients(run, local_correlation, inputs, radius, dilation, grad=grad),
                     expected_gradients(definition.correlation, inputs, radius, dilation,
                                        grad=grad))

    @pytest.mark.parametrize(('radius', 'dilation'), [(2, 1), (1, 3)])
    @pytest.mark.parametrize('channels', [1, 11, 40])
    def test_compiled_equals_torch_at_coords(self, compiled, randn, radius, dilation, channels):
        inputs = randn(2, channels, *SIZE), randn(2, channels, 6, 7)
        coords = 3 + 3 * randn(2, 2, *SIZE)
        coords[0, 0, 1, 1], coords[1, 1, 2, 3] = float('nan'), 1e30
        grad = randn(2, (2 * radius + 1)**2, *SIZE)
        assert_equal(compiled, *(gradients(x, local_correlation, inputs, radius, dilation,
                                           coords=coords, grad=grad)
                                 for x in (compiled, with_torch(compiled))))

    @pytest.mark.parametrize('with_coords', [False, True])
    def test_of_an_empty_map_is_0(self, run, with_coords):
        for query, key in ((0, 3, 4, 5), (0, 3, 4, 5)), ((2, 3, 0, 5), (2, 3, 4, 5)), (
                (2, 3, 4, 5), (2, 3, 4, 0)):
            coords = torch.zeros(query[0], 2, *query[2:]) if with_coords else None
            grads = gradients(run, local_correlation, [torch.ones(query), torch.ones(key)], 1,
                              coords=coords)
            assert [g.shape for g in grads] == [query, key]
            assert not any(g.any() for g in grads)


class TestPropagation:

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('radius', [0, 1, 3])
    def test_gradcheck(self, run, randn, rule, radius):
        gradcheck(run, lambda q, k, v: local_propagation(q, k, v, radius, None, 0.7, rule,
                                                         backend=run.backend),
                  randn(1, 2, 2, 3), randn(1, 2, 2, 2, 3), randn(1, 2, 2, 2, 3))

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize(('size', 'radius', 'refs', 'objects', 'channels'), [
        (SIZE, 2, 2, 3, 5), (SIZE, 12, 1, 1, 1), ((9, 37), 3, 1, 2, 17), ((4, 5), 1, 3, 45, 4)])
    def test_equals_that_of_the_definition(self, run, randn, definition, rule, size, radius, refs,
                                           objects, channels):
        inputs = (randn(2, channels, *size), randn(2, channels, refs, *size),
                  randn(2, objects, refs, *size))
        args, grad = (radius, None, 0.3, rule), randn(2, objects, *size)
        assert_equal(run, gradients(run, local_propagation, inputs, *args, grad=grad),
                     expected_gradients(definition.propagation, inputs, *args, grad=grad))

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 1, 5])
    @pytest.mark.parametrize('with_offset', [False, True])
    def test_topk_and_offset_are_left_to_torch(self, randn, definition, topk, rule, with_offset):
        inputs = randn(2, 4, *SIZE), randn(2, 4, 2, *SIZE), randn(2, 3, 2, *SIZE)
        offset, grad = randn(2, 2, 2, *SIZE) if with_offset else None, randn(2, 3, *SIZE)
        for backend in (None, 'torch'):
            leaves = [x.clone().requires_grad_() for x in inputs]
            out = local_propagation(*leaves, 2, topk, 0.7, rule, offset, backend=backend)
            expected = expected_gradients(definition.propagation, inputs, 2, topk, 0.7, rule,
                                          offset, grad=grad)
            for one, other in zip(torch.autograd.grad(out, leaves, grad), expected, strict=True):
                assert (one - other).abs().max() < 1e-12

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('size', [-60, -3000])  # sums of 60 e^0 beside e^-3000
    def test_very_small_softmax_at_the_border(self, run, randn, definition, rule, size):
        query, keys, values = (randn(1, 1, *SIZE).abs() + 1, randn(1, 1, 2, *SIZE).abs() + 1,
                               randn(1, 2, 2, *SIZE))
        inputs, grad = (query, size * keys, values), randn(1, 2, *SIZE)
        grads = gradients(run, local_propagation, inputs, 2, None, 1., rule, grad=grad)
        expected = expected_gradients(definition.propagation, inputs, 2, None, 1., rule, grad=grad)
        for one, other in zip(grads, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-9 if run.dtype == torch.float64 else 1e-2,
                                  atol=1e-9 if run.dtype == torch.float64 else 1e-2)

    def test_of_an_empty_batch_and_of_no_objects_is_0(self, run):
        for batch, objects, *size in (0, 2, 4, 5), (2, 0, 4, 5), (1, 2, 0, 5):
            grads = gradients(run, local_propagation, [
                torch.ones(batch, 3, *size), torch.ones(batch, 3, 2, *size),
                torch.ones(batch, objects, 2, *size)], 1)
            assert not any(g.any() for g in grads)


def with_torch(run):
    """The same device and type in PyTorch."""
    return type(run)('torch', run.device, run.dtype, run.atol)


def test_of_an_expanded_gradient(compiled, randn):
    """The gradient of a sum has strides of 0."""
    query, keys, values = randn(1, 4, *SIZE), randn(1, 4, 2, *SIZE), randn(1, 3, 2, *SIZE)
    for op, inputs in ((local_propagation, (query, keys, values)),
                       (local_correlation, (query, keys[:, :, 0]))):
        found, expected = [], []
        for grads, runner in ((found, compiled), (expected, with_torch(compiled))):
            leaves = [runner.to(x).detach().requires_grad_() for x in inputs]
            op(*leaves, 2, backend=runner.backend).sum().backward()
            grads.extend(x.grad.double().cpu() for x in leaves)
        assert_equal(compiled, found, expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_in_low_precision_has_the_type_of_the_input(compiled, randn, dtype):
    inputs = [x.to(compiled.device, dtype) for x in (
        randn(1, 16, *SIZE) / 4, randn(1, 16, 2, *SIZE) / 4, randn(1, 3, 2, *SIZE))]
    grad = randn(1, 3, *SIZE).to(compiled.device)
    leaves = [x.requires_grad_() for x in inputs]
    grads = torch.autograd.grad(local_propagation(*leaves, 2, backend=compiled.backend), leaves,
                                grad.float())
    exact = [x.detach().double().requires_grad_() for x in inputs]
    expected = torch.autograd.grad(local_propagation(*exact, 2, backend='torch'), exact, grad)
    for one, other in zip(grads, expected, strict=True):
        assert one.dtype == dtype
        # sums in float32, rounded once at the end
        assert (one - other).abs().max() < (1e-5 if dtype == torch.float32 else 2**-8) * max(
            1, other.abs().max())


def test_places_get_no_gradient(run, randn):
    query, keys = run.to(randn(1, 4, *SIZE)), run.to(randn(1, 4, 2, *SIZE))
    offset = run.to(randn(1, 2, 2, *SIZE)).requires_grad_()
    out = local_propagation(query, keys, keys, 1, 3, offset=offset, backend=run.backend)
    assert not out.requires_grad
    coords = offset[:, 0]
    out = local_correlation(query, keys[:, :, 0], 1, coords=coords, backend=run.backend)
    assert not out.requires_grad


def test_only_what_asks_for_a_gradient_gets_one(run, randn):
    query, keys = run.to(randn(1, 4, *SIZE)), run.to(randn(1, 4, 2, *SIZE)).requires_grad_()
    local_propagation(query, keys, keys.detach(), 1, backend=run.backend).sum().backward()
    assert query.grad is None
    assert keys.grad.shape == keys.shape


def test_a_second_derivative_is_refused(compiled, randn):
    query = compiled.to(randn(1, 2, 3, 4)).requires_grad_()
    out = local_correlation(query, query, 1, backend=compiled.backend)
    grad, = torch.autograd.grad(out.sum(), query, create_graph=True)
    with pytest.raises(RuntimeError, match='no autograd formula'):
        grad.sum().backward()
