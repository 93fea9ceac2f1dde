"""The compiled ops as torch sees them: opcheck, compile, fake and meta tensors."""
import pytest
import torch
from torch._subclasses import FakeTensorMode

from mmvos.ops import local_correlation, local_propagation

OPS = torch.ops.mmvos


@pytest.fixture
def inputs(device, randn):
    def make(dtype=torch.float32, grad=True):
        sizes = (2, 4, 5, 6), (2, 4, 3, 5, 6), (2, 2, 3, 5, 6)
        made = [randn(*size).to(device, dtype) for size in sizes]
        wide = made[2].float()  # values always come in the accumulator's type
        return [x.requires_grad_(grad) for x in (*made[:2], wide)]

    return make


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
class TestOpcheck:

    def test_correlation(self, inputs, dtype):
        query, keys, _ = inputs(dtype)
        coords = 5 * torch.rand(2, 2, 5, 6, device=query.device)
        for where in (None, coords):
            for args in ((query, keys[:, :, 0], where, 2, 1), (query, keys[:, :, 0], where, 1, 2)):
                torch.library.opcheck(OPS.local_correlation.default, args)

    def test_propagation(self, inputs, dtype):
        for mask in (False, True):
            torch.library.opcheck(OPS.local_propagation.default,
                                  (*inputs(dtype), None, 2, 0, 0.5, mask))
            offset = torch.ones(2, 3, 2, 5, 6, device=inputs()[0].device)
            for where in (None, offset):
                torch.library.opcheck(OPS.local_propagation.default,
                                      (*inputs(dtype, grad=False), where, 2, 5, 0.5, mask))

    def test_backward(self, inputs, dtype):
        query, keys, values = inputs(dtype, grad=False)
        grad = torch.ones(2, 25, 5, 6, device=query.device)
        torch.library.opcheck(OPS.local_correlation_backward.default,
                              (grad, query, keys[:, :, 0], None, 2, 1))
        torch.library.opcheck(OPS.local_correlation_backward.default,
                              (grad, query, keys[:, :, 0], torch.ones_like(grad[:, :2]), 2, 1))
        out, lse = OPS.local_propagation(query, keys, values, None, 2, 0, 0.5, False)
        torch.library.opcheck(
            OPS.local_propagation_backward.default,
            (torch.ones_like(out), query, keys, values, out, lse, 2, 0.5))


@pytest.mark.parametrize('mask', [False, True])
@pytest.mark.parametrize('topk', [0, 7])
def test_lse_is_the_logarithm_of_the_sum_in_the_softmax(compiled, randn, topk, mask):
    query, keys = randn(1, 4, 5, 6), randn(1, 4, 2, 5, 6)
    for objects in (1, 0):  # without objects too: the backward pass reads it
        values = torch.ones(1, objects, 2, 5, 6)
        lse = OPS.local_propagation(*map(compiled.to, (query, keys, values)), None, 2, topk, 0.5,
                                    mask)[1].double().cpu()
        logits = torch.cat([local_correlation(query, keys[:, :, t], 2, backend='torch')
                            for t in range(2)], 1) / 2
        if mask:
            ones = torch.ones_like(query[:, :1])
            inside = local_correlation(ones, ones, 2, backend='torch').repeat(1, 2, 1, 1) > 0
            logits = logits.masked_fill(~inside, -torch.inf)
        logits = logits.topk(topk, 1).values if topk else logits
        assert compiled.equal(lse, logits.logsumexp(1))


@pytest.mark.parametrize('backend', [None, 'torch'])
def test_compiles_to_one_graph_with_the_same_result_and_gradients(inputs, backend):
    def both(query, keys, values):
        near = local_propagation(query, keys, values, 2, scale=0.5, backend=backend)
        far = local_correlation(query, keys[:, :, 0], 1, backend=backend)
        return near.sum() + far.square().sum()

    torch.compiler.reset()
    args = inputs()
    expected = both(*args)
    out = torch.compile(both, fullgraph=True, backend='aot_eager')(*args)
    assert torch.allclose(out, expected)
    grads, others = torch.autograd.grad(out, args), torch.autograd.grad(expected, args)
    for grad, other in zip(grads, others, strict=True):
        assert torch.allclose(grad, other, atol=1e-5)


def test_compiles_for_inference_and_for_any_size(inputs):
    torch.compiler.reset()

    @torch.compile(fullgraph=True, backend='aot_eager', dynamic=True)
    def read(query, keys, values):
        return local_propagation(query, keys, values, 2, 5, 0.5, 'mask')

    for crop in (..., (..., slice(4)), (..., slice(3), slice(None))):
        args = [x[crop] for x in inputs(grad=False)]
        assert torch.equal(read(*args), local_propagation(*args, 2, 5, 0.5, 'mask'))


@pytest.mark.parametrize('topk', [None, 5])
def test_fake_and_meta_tensors_have_the_shape_of_the_result(topk):
    def shapes(device):
        keys = torch.ones(2, 4, 3, 5, 6, device=device)
        query = keys[:, :, 1]
        outs = (local_propagation(query.bfloat16(), keys.bfloat16(), keys[:, :1], 2, topk),
                local_correlation(query, keys[:, :, 0], 2),
                local_correlation(query, keys[:, :, 0], 2, coords=query[:, :2]))
        assert {x.dtype for x in outs} == {torch.float32}
        return [x.shape for x in outs]

    expected = [(2, 1, 5, 6), (2, 25, 5, 6), (2, 25, 5, 6)]
    assert shapes('cpu') == shapes('meta') == expected
    with FakeTensorMode():
        assert shapes('cpu') == expected
