"""The CUDA library at the sizes it is made for: types, streams, devices, memory.

On a machine with a GPU `pytest tests/ops/test_local_*.py -k cuda` runs this file and the CUDA part
of the others; when it has passed, note device and date in docs/ops.md and `CUDA_VERIFIED`.
"""
import pytest
import torch
import torch.nn.functional as F

from mmvos.ops import backends, library, local_correlation, local_propagation

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
# Sums are in float32 whatever the type of the features, so that one tolerance serves all.
TYPES = [torch.float32, torch.bfloat16, torch.float16]
RULES = ['zero_logit', 'mask']


@pytest.fixture(autouse=True)
def usable():
    reason = library.why_not('cuda')
    if reason:
        pytest.skip(reason)


def features(randn, *size, dtype):
    """Rounded to the type, so that nothing but the op makes a difference; logits are of size 3."""
    return (3**0.5 * F.normalize(randn(*size), dim=1)).to(dtype)


def on_gpu(op, *args, **options):
    options = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    return op(*(x.cuda() for x in args), **options, backend='cuda').cpu()


def exact(op, *args, **options):
    return op(*(x.double() for x in args), **options, backend='torch')


def disagreement(out, expected, limit):
    """Share of cells that are off by more than the limit; near ties at rank k may be."""
    return ((out - expected).abs().amax(1) > limit).double().mean().item()


@pytest.mark.parametrize('dtype', TYPES)
class TestAgainstFloat64:

    @pytest.mark.parametrize(('size', 'refs', 'radius', 'objects'), [
        ((60, 107), 5, 12, 2), ((33, 65), 2, 6, 45), ((1, 1), 1, 0, 1), ((17, 3), 3, 12, 1)])
    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 36])
    def test_propagation(self, randn, dtype, size, refs, radius, objects, rule, topk):
        args = (features(randn, 2, 64, *size, dtype=dtype),
                features(randn, 2, 64, refs, *size, dtype=dtype),
                randn(2, objects, refs, *size).float())
        options = dict(radius=radius, topk=topk, out_of_range=rule)
        out, expected = (f(local_propagation, *args, **options) for f in (on_gpu, exact))
        assert disagreement(out, expected, 2e-5) <= (1e-3 if topk else 0)

    @pytest.mark.parametrize('rule', RULES)
    @pytest.mark.parametrize('topk', [None, 36])
    def test_windows_that_move(self, randn, dtype, rule, topk):
        args = (features(randn, 1, 64, 30, 41, dtype=dtype),
                features(randn, 1, 64, 3, 30, 41, dtype=dtype), randn(1, 2, 3, 30, 41).float())
        options = dict(radius=6, topk=topk, out_of_range=rule,
                       offset=4 * randn(1, 3, 2, 30, 41).float())
        out, expected = (f(local_propagation, *args, **options) for f in (on_gpu, exact))
        # a position within 1e-6 of the border may count or not
        assert disagreement(out, expected, 2e-5) <= 2e-3

    @pytest.mark.parametrize('dilation', [1, 2])
    @pytest.mark.parametrize('with_coords', [False, True])
    def test_correlation(self, randn, dtype, dilation, with_coords):
        query = features(randn, 2, 96, 55, 64, dtype=dtype)
        key = features(randn, 2, 96, 28, 33, dtype=dtype)
        coords = 30 * randn(2, 2, 55, 64).float().abs() if with_coords else None
        options = dict(radius=4, dilation=dilation, coords=coords)
        out, expected = (f(local_correlation, query, key, **options) for f in (on_gpu, exact))
        assert (out - expected).abs().max() < 2e-5

    @pytest.mark.parametrize('rule', RULES)
    def test_gradients_of_training(self, randn, dtype, rule):
        inputs = (features(randn, 2, 64, 64, 64, dtype=dtype),
                  features(randn, 2, 64, 1, 64, 64, dtype=dtype), randn(2, 3, 1, 64, 64).float())
        grad = randn(2, 3, 64, 64).float()
        self.compare(local_propagation, inputs, grad, dtype, out_of_range=rule)

    @pytest.mark.parametrize('with_coords', [False, True])
    def test_gradients_of_correlation(self, randn, dtype, with_coords):
        inputs = [features(randn, 2, 64, 40, 52, dtype=dtype) for _ in range(2)]
        coords = 40 * randn(2, 2, 40, 52).float().abs() if with_coords else None
        self.compare(local_correlation, inputs, randn(2, 169, 40, 52).float(), dtype, coords=coords)

    def compare(self, op, inputs, grad, dtype, **options):
        leaves = [x.cuda().requires_grad_() for x in inputs]
        places = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
        grads = torch.autograd.grad(op(*leaves, 6, **places, backend='cuda'), leaves, grad.cuda())
        wide = [x.double().requires_grad_() for x in inputs]
        expected = torch.autograd.grad(op(*wide, 6, **options, backend='torch'), wide,
                                       grad.double())
        for one, other, x in zip(grads, expected, inputs, strict=True):
            assert one.dtype == x.dtype
            rounding = torch.finfo(x.dtype).eps if x.dtype != torch.float32 else 2e-5
            assert (one.cpu() - other).abs().max() <= rounding * max(1, other.abs().max())


class TestDevice:

    @pytest.fixture
    def args(self, randn):
        return [x.float().cuda() for x in (randn(1, 64, 60, 107) / 8, randn(1, 64, 5, 60, 107) / 8,
                                           randn(1, 2, 5, 60, 107))]

    def test_runs_on_the_current_stream(self, args):
        expected = local_propagation(*args, 12, 36, backend='cuda')
        torch.cuda.synchronize()
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(50_000_000)  # some 30 ms, in which the inputs are not there yet
            late = [x.clone() for x in args]
            out = local_propagation(*late, 12, 36, backend='cuda')
        stream.synchronize()
        assert torch.equal(out, expected)

    @pytest.mark.skipif(torch.cuda.device_count() < 2, reason='one GPU')
    def test_another_gpu_than_the_current(self, args):
        expected = local_propagation(*args, 12, 36, backend='cuda')
        out = local_propagation(*(x.to('cuda:1') for x in args), 12, 36, backend='cuda')
        assert out.device.index == 1
        assert torch.equal(out.to(expected.device), expected)
        assert torch.cuda.current_device() == 0

    @pytest.mark.parametrize('topk', [None, 36])
    def test_extra_memory_is_below_64_mb(self, args, topk):
        local_propagation(*(x[..., :8, :9] for x in args), 2, topk, backend='cuda')
        torch.cuda.synchronize()
        free, held = torch.cuda.mem_get_info()[0], torch.cuda.memory_reserved()
        torch.cuda.reset_peak_memory_stats()
        local_propagation(*args, 12, topk, backend='cuda')
        torch.cuda.synchronize()
        outside = free - torch.cuda.mem_get_info()[0] - (torch.cuda.memory_reserved() - held)
        inside = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
        assert outside + inside < 64 * 2**20

    def test_is_what_backend_none_takes_once_verified(self, args, monkeypatch):
        for verified, same_as in ((None, 'torch'), ('this GPU', 'cuda')):
            monkeypatch.setattr(backends, 'CUDA_VERIFIED', verified)
            expected = local_propagation(*args, 2, backend=same_as)
            assert torch.equal(local_propagation(*args, 2), expected)

    def test_refuses_float64_and_tensors_of_the_cpu(self, args):
        with pytest.raises(ValueError, match='it takes float32, bfloat16, float16, got float64'):
            local_correlation(args[0].double(), args[0].double(), 1, backend='cuda')
        with pytest.raises(ValueError, match="the tensors are on 'cpu'"):
            local_correlation(args[0].cpu(), args[0].cpu(), 1, backend='cuda')
        with pytest.raises(library.LibraryError, match='all tensors on one cuda device expected'):
            local_propagation(args[0], args[1].cpu(), args[2], 1, backend='cuda')
