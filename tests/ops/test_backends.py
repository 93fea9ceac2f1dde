"""Which backend runs, and what the ops refuse."""
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

from mmvos.ops import backends, library, local_correlation, local_propagation
from mmvos.ops.backends import choose, flushed_softmax
from mmvos.ops.local_propagation import MAX_RADIUS

X, MANY = torch.ones(2, 3, 4, 5), torch.ones(2, 3, 2, 4, 5)
CUDA = SimpleNamespace(device=SimpleNamespace(type='cuda'), dtype=torch.float32)


@pytest.fixture
def no_library(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVOS_LIBRARY_DIR', str(tmp_path))
    backends._warn.cache_clear()
    return tmp_path


@pytest.fixture
def all_there(monkeypatch):
    monkeypatch.setattr(library, 'why_not', lambda name: None)
    return monkeypatch


class TestChoice:

    def test_the_library_of_the_device(self, all_there):
        assert choose('op', None, X) == 'cpu'
        assert choose('op', 'cpu', X) == 'cpu'
        assert choose('op', 'torch', X) == 'torch'

    def test_cuda_has_to_be_forced_until_its_tests_have_passed(self, all_there):
        all_there.setattr(backends, 'CUDA_VERIFIED', None)
        assert choose('op', None, CUDA) == 'torch'
        assert choose('op', 'cuda', CUDA) == 'cuda'
        all_there.setattr(backends, 'CUDA_VERIFIED', 'some GPU, some day')
        assert choose('op', None, CUDA) == 'cuda'

    def test_torch_for_what_no_library_can(self, all_there):
        assert choose('op', None, X.half()) == 'torch'
        assert choose('op', None, X.to('meta')) == 'torch'
        assert choose('op', None, X, cannot='a reason') == 'torch'
        all_there.setattr(backends, 'CUDA_VERIFIED', 'some GPU, some day')
        wide = SimpleNamespace(device=CUDA.device, dtype=torch.float64)
        assert choose('op', None, wide) == 'torch'

    @pytest.mark.parametrize(('backend', 'x', 'text'), [
        ('cuda', X, "op: backend='cuda' can't be used: the tensors are on 'cpu'; leave backend=No"),
        ('cpu', CUDA, "backend='cpu' can't be used: the tensors are on 'cuda'"),
        ('cpu', X.half(), 'it takes float32, float64, bfloat16, got float16'),
        ('fast', X, "op: backend should be None or one of torch, cpu, cuda, got 'fast'"),
        ('mmcv', X, "one of torch, cpu, cuda, got 'mmcv'")])
    def test_forced_but_impossible(self, all_there, backend, x, text):
        with pytest.raises(ValueError, match='^op: backend') as error:
            choose('op', backend, x)
        assert text in str(error.value)

    def test_reason_of_the_op(self, all_there):
        with pytest.raises(ValueError, match="='cpu' can't be used: too wide; leave backend=None"):
            choose('op', 'cpu', X, cannot='too wide')


class TestWithoutLibrary:

    def test_one_warning_and_the_result_of_torch(self, no_library):
        with pytest.warns(UserWarning, match='exist; `python -m mmvos.ops` tells more') as found:
            out = local_correlation(X, X, 1)
        assert torch.equal(out, local_correlation(X, X, 1, backend='torch'))
        assert [warning.filename for warning in found] == [__file__]  # the caller
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            local_correlation(X, X, 1)
            local_propagation(X, MANY, MANY, 1)

    def test_forced_is_an_error_that_says_what_to_do(self, no_library):
        for call in (lambda: local_correlation(X, X, 1, backend='cpu'),
                     lambda: local_propagation(X, MANY, MANY, 1, backend='cpu')):
            with pytest.raises(ValueError, match='see `python -m mmvos.ops`') as error:
                call()
            assert f"backend='cpu' can't be used: {no_library}" in str(error.value)

    def test_gradients_work(self, no_library):
        x = X.clone().requires_grad_()
        with pytest.warns(UserWarning, match='without its compiled ops'):
            local_correlation(x, X, 1).sum().backward()
        assert x.grad is not None

    def test_import_loads_nothing(self):
        code = 'import sys, mmvos.ops as ops; print(ops.library._load.cache_info(), *sys.modules)'
        done = subprocess.run([sys.executable, '-c', code], text=True, capture_output=True)
        assert done.stdout.startswith('CacheInfo(hits=0, misses=0,'), done.stderr
        assert 'mmcv' not in done.stdout.split()


class TestMMCV:

    def test_absent(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'mmcv.ops', None)
        with pytest.raises(ValueError, match="backend='mmcv' needs an mmcv with compiled ops: .*; "
                                             'leave backend=None'):
            local_correlation(X, X, 1, backend='mmcv')

    def test_takes_what_it_can(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'mmcv.ops', SimpleNamespace(Correlation=None))
        with pytest.raises(ValueError, match='takes CUDA tensors of one shape and no coords, got'):
            local_correlation(X, X, 1, backend='mmcv')

    def test_only_for_correlation(self):
        with pytest.raises(ValueError, match="local_propagation: backend .* got 'mmcv'"):
            local_propagation(X, MANY, MANY, 1, backend='mmcv')


@pytest.mark.parametrize(('change', 'text'), [
    (dict(query=X[0]), r'expected query (B,C,h,w) and key (B,C,h2,w2), got (3, 4, 5) and (2, 3, 4'),
    (dict(key=MANY), 'got (2, 3, 4, 5) and (2, 3, 2, 4, 5)'),
    (dict(key=X[:1]), 'got (2, 3, 4, 5) and (1, 3, 4, 5)'),
    (dict(key=X[:, :2]), 'got (2, 3, 4, 5) and (2, 2, 4, 5)'),
    (dict(key=X.double()), 'should have one floating type, got torch.float32 and torch.float64'),
    (dict(query=X.int(), key=X.int()), 'floating type, got torch.int32 and torch.int32'),
    (dict(radius=-1), 'below 32768, got -1 and 1'),
    (dict(dilation=0), 'below 32768, got 1 and 0'),
    (dict(coords=X), 'coords should be (2, 2, 4, 5), got (2, 3, 4, 5)')])
@pytest.mark.parametrize('backend', [None, 'torch', 'cpu'])
def test_correlation_refuses(change, text, backend):
    with pytest.raises(ValueError, match='^local_correlation: ') as error:
        local_correlation(**dict(query=X, key=X, radius=1, backend=backend) | change)
    assert text in str(error.value)


@pytest.mark.parametrize(('change', 'text'), [
    (dict(query=X[0]), 'expected query (B,C,h,w) and keys (B,C,T,h,w), got (3, 4, 5) and (2, 3,'),
    (dict(keys=X), 'got (2, 3, 4, 5) and (2, 3, 4, 5)'),
    (dict(keys=MANY[..., :4]), 'got (2, 3, 4, 5) and (2, 3, 2, 4, 4)'),
    (dict(values=X), 'expected values (B,K,T,h,w) beside keys (2, 3, 2, 4, 5), got (2, 3, 4, 5)'),
    (dict(values=MANY[:, :, :1]), 'beside keys (2, 3, 2, 4, 5), got (2, 3, 1, 4, 5)'),
    (dict(values=MANY[:1]), 'beside keys (2, 3, 2, 4, 5), got (1, 3, 2, 4, 5)'),
    (dict(keys=MANY[:, :, :0], values=MANY[:, :, :0]), 'one reference or more, got keys (2, 3, 0,'),
    (dict(query=X.double()), 'should have one floating type, got torch.float64 and torch.float32'),
    (dict(query=X.int(), keys=MANY.int()), 'floating type, got torch.int32 and torch.int32'),
    (dict(radius=-1), 'topk >= 1 or None and scale > 0, got -1, None and 1.0'),
    (dict(topk=0), 'expected radius >= 0, topk >= 1 or None and scale > 0, got 1, 0 and 1.0'),
    (dict(scale=0.), 'got 1, None and 0.0'), (dict(scale=-1.), 'got 1, None and -1.0'),
    (dict(scale=float('nan')), 'got 1, None and nan'),
    (dict(out_of_range='clamp'), "should be one of ('zero_logit', 'mask'), got 'clamp'"),
    (dict(offset=MANY), 'offset should be (2, 2, 2, 4, 5), got (2, 3, 2, 4, 5)')])
@pytest.mark.parametrize('backend', [None, 'torch', 'cpu'])
def test_propagation_refuses(change, text, backend):
    with pytest.raises(ValueError, match='^local_propagation: ') as error:
        local_propagation(
            **dict(query=X, keys=MANY, values=MANY, radius=1, backend=backend) | change)
    assert text in str(error.value)


@pytest.mark.parametrize('options', [dict(topk=3), dict(offset=MANY[:, :2]),
                                     dict(topk=3, offset=MANY[:, :2])])
def test_gradients_that_the_libraries_do_not_have(all_there, options):
    for number in range(3):
        args = [x.clone().requires_grad_(i == number) for i, x in enumerate((X, MANY, MANY))]
        with pytest.raises(ValueError, match="local_propagation: backend='cpu' can't be used: "
                                             "gradients with topk or offset need backend='torch'"):
            local_propagation(*args, 1, **options, backend='cpu')
        assert local_propagation(*args, 1, **options).requires_grad


def test_without_gradients_they_are_not_missed(device):
    x = X.clone().to(device).requires_grad_()
    many = MANY.to(device)
    with torch.no_grad():
        out = local_propagation(x, many, many, 1, 3, backend=device)
    assert not out.requires_grad
    assert local_propagation(x, many, many, 1, 18, backend=device).requires_grad  # all candidates


def test_a_radius_beyond_the_library_goes_to_torch():
    query, keys, values = torch.ones(1, 1, 2, 2), *torch.ones(2, 1, 1, 1, 2, 2)
    expected = 4 / (2 * MAX_RADIUS + 3)**2  # four ones; every logit is 0
    out = local_propagation(0 * query, keys, values, MAX_RADIUS + 1)
    torch.testing.assert_close(out, torch.full_like(out, expected))
    with pytest.raises(ValueError, match="radius above 60 needs backend='torch'"):
        local_propagation(query, keys, values, MAX_RADIUS + 1, backend='cpu')


def test_refuses_tensors_on_two_devices():
    with pytest.raises(ValueError, match='one device, got cpu and meta'):
        local_correlation(X, X.to('meta'), 1)
    with pytest.raises(ValueError, match='one device, got cpu, cpu and meta'):
        local_propagation(X, MANY, MANY.to('meta'), 1)


def test_a_type_that_the_library_lacks_is_refused_behind_the_front_too():
    half = X.half()
    with pytest.raises(library.LibraryError, match='float32, float64 and bfloat16'):
        torch.ops.mmvos.local_correlation(half, half, None, 0, 1)


def test_flushed_softmax():
    """Shares are those of float64, but 0 where float32 has only subnormal numbers."""
    torch.manual_seed(0)
    logits = (40 * torch.randn(500, 7)).requires_grad_()
    shares = flushed_softmax(logits, 0)
    tiny = torch.finfo(torch.float32).tiny
    exact = logits.detach().double().softmax(0)
    assert ((exact > 0) & (exact < tiny)).any()
    # beside the border: the two softmaxes round differently
    clear = (exact < 0.99 * tiny) | (exact > 1.01 * tiny)
    torch.testing.assert_close(shares[clear].double(), exact.where(exact >= tiny, 0)[clear],
                               rtol=1e-4, atol=0)
    assert not ((shares > 0) & (shares < tiny)).any()
    weights = torch.randn(500, 7)
    found, = torch.autograd.grad((shares * weights).sum(), logits)
    plain, = torch.autograd.grad((logits.softmax(0) * weights).sum(), logits)
    # what was flushed had less than tiny times a difference of two weights
    torch.testing.assert_close(found, plain, rtol=1e-6, atol=10 * tiny)
    logits.data[3, 2] = torch.nan
    assert flushed_softmax(logits, 0)[:, 2].isnan().all()
