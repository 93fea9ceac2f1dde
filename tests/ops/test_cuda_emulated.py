"""The CUDA kernels' logic, on a CPU: g++ compiles the same sources with a stand-in for CUDA.

`cuda_emulation/` runs the threads of a block as fibers, so that indexing, barriers, votes, top-k
and arithmetic are those of the sources. It says nothing about a real GPU: not whether a driver
loads the library, not its rounding, its speed or its memory model. Inputs are CPU tensors, the
reference is brute force in float64.

Out-of-bounds reads and writes, of tensors and of shared memory, are found by running this file
with a sanitizer:

    MMVOS_EMULATION_FLAGS='-fsanitize=address,undefined -fno-sanitize-recover=undefined' \\
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \\
    ASAN_OPTIONS=detect_leaks=0 python -m pytest tests/ops/test_cuda_emulated.py

Races between threads are found by `cuda_emulation/races.sh`, which a slow test runs.
"""
import ctypes
import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from mmvos.ops import library

HERE = Path(__file__).parent / 'cuda_emulation'
SOURCES = Path(library.__file__).parent / 'csrc' / 'cuda'
FLAGS = ['-x', 'c++', '-std=c++17', '-O1', '-fPIC', '-shared', '-fvisibility=hidden',
         '-fno-strict-aliasing', '-Wno-unknown-pragmas']


def plain_environment():
    """Without the sanitizers' preload, which compilers do not survive."""
    return {k: v for k, v in os.environ.items() if k != 'LD_PRELOAD'}


@pytest.fixture(scope='module')
def library_folder(tmp_path_factory):
    compiler = shutil.which('g++')
    if not compiler:
        pytest.skip('no g++')
    folder = tmp_path_factory.mktemp('emulated')
    sources = [*SOURCES.glob('*.cu'), HERE / 'broken.cu', HERE / 'emulation.cpp']
    more = os.environ.get('MMVOS_EMULATION_FLAGS', '').split()
    subprocess.run([compiler, *FLAGS, *more, f'-I{HERE}', *map(str, sources),
                    '-o', str(folder / 'libmmvos_cuda.so')], check=True, env=plain_environment())
    return folder


@pytest.fixture(autouse=True)
def emulated(library_folder, monkeypatch):
    """Makes call(...) run the emulation."""
    monkeypatch.setenv('MMVOS_LIBRARY_DIR', str(library_folder))


# ---------------------------------------------------------------- brute force


def taps(x, y, h, w, between):
    """The cells around positions, four if these lie between cells, one if they are cells."""
    for i, j in itertools.product((0, 1), (0, 1)) if between else [(0, 0)]:
        row, column = y.floor() + i, x.floor() + j
        weight = (1 - (y - row).abs()) * (1 - (x - column).abs())
        inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
        yield weight, row.clamp(0, h - 1).long(), column.clamp(0, w - 1).long(), inside


def gather(image, row, column):
    """image (B,C,h,w) at row, column (B,h',w') -> (B,C,h',w')."""
    batch = torch.arange(len(image))[:, None, None]
    return image[batch, :, row, column].movedim(-1, 1)


def sample(image, x, y, between):
    """image at positions (B,h',w'), bilinear, 0 outside."""
    total = 0
    for weight, row, column, inside in taps(x, y, *image.shape[-2:], between):
        cell = torch.where(inside[:, None], gather(image, row, column), 0.)
        total = total + weight[:, None] * cell
    return total


def grid(batch, h, w):
    ys = torch.arange(h, dtype=torch.float64)[:, None].expand(batch, h, w)
    xs = torch.arange(w, dtype=torch.float64).expand(batch, h, w)
    return xs, ys


def window(radius):
    return list(itertools.product(range(-radius, radius + 1), repeat=2))


def brute_correlation(query, key, radius, dilation=1, coords=None):
    query, key = query.double(), key.double()
    xs, ys = grid(len(query), *query.shape[-2:])
    if coords is not None:
        xs, ys = coords.double().unbind(1)
    keys = [sample(key, xs + dx * dilation, ys + dy * dilation, coords is not None)
            for dy, dx in window(radius)]
    return torch.stack([(query * x).sum(1) for x in keys], 1)


def brute_propagation(query, keys, values, offset, radius, topk, scale, mask):
    """Output and lse."""
    query, keys, values = query.double(), keys.double(), values.double()
    h, w = query.shape[-2:]
    xs, ys = grid(len(query), h, w)
    logits, samples, found = [], [], []
    for t in range(keys.shape[2]):
        dx, dy = offset[:, t].double().unbind(1) if offset is not None else (0 * xs, 0 * ys)
        for down, right in window(radius):
            x, y = xs + dx + right, ys + dy + down
            logit = (query * sample(keys[:, :, t], x, y, offset is not None)).sum(1) * scale
            found.append((x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1) | (not mask))
            logits.append(logit.masked_fill(~found[-1], -torch.inf))
            samples.append(sample(values[:, :, t], x, y, offset is not None))
    logits, samples, found = torch.stack(logits, 1), torch.stack(samples, 2), torch.stack(found, 1)
    if 0 < topk < logits.shape[1]:
        # NaN counts as the largest
        order = logits.nan_to_num(torch.inf, posinf=torch.inf, neginf=-torch.inf)
        chosen = order.topk(topk, 1).indices
        logits = logits.gather(1, chosen)
        samples = samples.gather(2, chosen[:, None].expand(-1, samples.shape[1], -1, -1, -1))
    weights = logits.softmax(1)
    weights = torch.where(found.any(1, keepdim=True), weights, 0.)
    lse = logits.logsumexp(1)
    return (weights[:, None] * samples).sum(2), torch.where(lse == torch.inf, torch.nan, lse)


# ---------------------------------------------------------------- the library


def call(function, *args):
    library._call('cuda', function, *args, context=library._Context(0, 0, None))


def correlate(query, key, radius, dilation=1, coords=None):
    out = torch.full((len(query), (2 * radius + 1)**2, *query.shape[-2:]), torch.nan)
    call('mmvos_local_correlation', query, key, coords, out, radius, dilation)
    return out


def propagate(query, keys, values, offset, radius, topk, scale, mask):
    out = torch.full((len(query), values.shape[1], *query.shape[-2:]), torch.nan)
    lse = torch.full((len(query), *query.shape[-2:]), torch.nan)
    call('mmvos_local_propagation', query, keys, values, offset, out, lse, radius,
                 topk, float(scale), int(mask))
    return out, lse


def inputs(size, classes=2, dtype=torch.float32, layout='plain', seed=0):
    """Query, keys and values of size (B, C, T, h, w)."""
    torch.manual_seed(seed)
    b, c, t, h, w = size
    tensors = [torch.randn(b, c, h, w), torch.randn(b, c, t, h, w),
               torch.randn(b, classes, t, h, w)]
    if layout == 'channels_last':
        tensors = [x.movedim(1, -1).contiguous().movedim(-1, 1) for x in tensors]
    if layout == 'sliced':
        tensors = [x.repeat_interleave(2, -1).transpose(0, 1).contiguous().transpose(0, 1)[..., ::2]
                   for x in tensors]
    return tensors[0].to(dtype), tensors[1].to(dtype), tensors[2]


def close(actual, expected, tolerance=2e-5):
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance,
                               equal_nan=True)


def check_propagation(query, keys, values, offset=None, radius=2, topk=5, scale=0.5, mask=False):
    arguments = query, keys, values, offset, radius, topk, scale, mask
    for actual, expected in zip(propagate(*arguments), brute_propagation(*arguments), strict=True):
        close(actual, expected)


class TestPropagation:

    @pytest.mark.parametrize('mask', [False, True])
    @pytest.mark.parametrize('topk', [0, 1, 5, 1000])
    @pytest.mark.parametrize('radius', [0, 1, 3])
    def test_against_brute_force(self, radius, topk, mask):
        check_propagation(*inputs((2, 5, 2, 6, 11)), radius=radius, topk=topk, mask=mask)

    @pytest.mark.parametrize(('size', 'radius'), [
        ((1, 3, 1, 1, 1), 2), ((1, 3, 2, 5, 7), 4), ((1, 70, 1, 4, 8), 1), ((1, 4, 3, 9, 13), 2),
        pytest.param((1, 3, 1, 2, 40), 14, marks=pytest.mark.slow)])
    @pytest.mark.parametrize('topk', [0, 4])
    def test_sizes(self, size, radius, topk):
        check_propagation(*inputs(size), radius=radius, topk=topk)

    @pytest.mark.slow
    @pytest.mark.parametrize('topk', [0, 36])
    def test_the_size_it_was_made_for(self, topk):
        check_propagation(*inputs((1, 64, 3, 9, 13)), radius=12, topk=topk, scale=1 / 8)

    @pytest.mark.parametrize('topk', [
        40, 200, pytest.param(330, marks=pytest.mark.slow)])
    def test_buffers_of_many_steps(self, topk):
        check_propagation(*inputs((1, 4, 1, 3, 9)), radius=9, topk=topk)

    @pytest.mark.parametrize('topk', [0, 5])
    @pytest.mark.parametrize('classes', [1, 45])
    def test_classes(self, classes, topk):
        check_propagation(*inputs((1, 4, 2, 5, 9), classes), topk=topk)

    @pytest.mark.parametrize('layout', ['plain', 'channels_last', 'sliced'])
    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize('topk', [0, 5])
    def test_types_and_layouts(self, layout, dtype, topk):
        check_propagation(*inputs((2, 6, 2, 5, 9), dtype=dtype, layout=layout), topk=topk)

    @pytest.mark.parametrize('mask', [False, True])
    @pytest.mark.parametrize('topk', [0, 1, 7, 1000])
    @pytest.mark.parametrize('kind', ['zero', 'whole', 'fraction', 'far'])
    def test_offset(self, kind, topk, mask):
        query, keys, values = inputs((2, 4, 2, 5, 7))
        offset = 2 * torch.randn(2, 2, 2, 5, 7)
        if kind == 'zero':
            offset = 0 * offset
        elif kind == 'whole':
            offset = offset.round()
        elif kind == 'far':
            offset[:, :, :, ::2] *= 100
            offset[:, 0, 0, 1] = torch.tensor([1e30, -1e30, torch.inf, -torch.inf, 9e8, 1e5, 3])
        finite = offset.nan_to_num().clamp(-1e6, 1e6)
        arguments = radius, topk, scale, _ = 1, topk, 0.7, mask
        actual = propagate(query, keys, values, offset, *arguments)
        expected = brute_propagation(query, keys, values, finite, radius, topk, scale, mask)
        close(actual[0], expected[0])
        close(actual[1], expected[1])

    @pytest.mark.parametrize('topk', [0, 5, 60])
    @pytest.mark.parametrize('bytes_', [8000, 100])
    def test_little_shared_memory(self, topk, bytes_, monkeypatch):
        tensors = inputs((1, 4, 2, 5, 9), classes=3)
        monkeypatch.setenv('MMVOS_EMULATION_SHARED', str(bytes_))
        check_propagation(*tensors, topk=topk)

    @pytest.mark.parametrize('offset', [None, torch.zeros(1, 2, 2, 6, 9)])
    @pytest.mark.parametrize('topk', [0, 1, 5])
    @pytest.mark.parametrize('strange', [torch.nan, -torch.nan, torch.inf, -torch.inf])
    def test_a_strange_number_stays_in_its_windows(self, strange, topk, offset):
        query, keys, values = inputs((1, 3, 2, 6, 9))
        query, keys = query.abs(), keys.abs()
        keys[0, 1, 1, 2, 3] = strange
        out, _ = propagate(query, keys, values, offset, 1, topk, 0.5, False)
        check_propagation(query, keys, values, offset, 1, topk)
        first = 1 if offset is None else 0  # between cells neighbours of weight 0 count
        met = torch.zeros(6, 9, dtype=torch.bool)
        met[first:4, 1 + first:5] = True
        assert out[0, 0][~met].isfinite().all()
        if strange != -torch.inf:
            assert out[0, 0][met].isnan().all()
        elif offset is None:
            assert out.isfinite().all()

    @pytest.mark.parametrize('topk', [0, 5])
    def test_all_minus_infinity(self, topk):
        query, keys, values = inputs((1, 1, 1, 5, 9))
        keys[:] = -torch.inf
        out, lse = propagate(query.abs(), keys, values, None, 1, topk, 1., False)
        assert out[0, 0, 1:-1, 1:-1].isnan().all()
        assert (lse[0, 1:-1, 1:-1] == -torch.inf).all()
        assert (out[0, 0, 0] == 0).all()  # candidates outside have the logit 0
        query[:] = torch.nan
        assert propagate(query, keys, values, None, 1, topk, 1., True)[0].isnan().all()

    @pytest.mark.parametrize('topk', [0, 5])
    def test_equal_logits(self, topk):
        query, keys, values = inputs((1, 4, 2, 6, 9))
        keys[:] = keys[:, :, :1, :1, :1]
        out, _ = propagate(query, keys, torch.ones_like(values), None, 2, topk, 1., True)
        close(out, torch.ones_like(out).double())

    @pytest.mark.parametrize('offset', [None, torch.full((1, 2, 2, 6, 9), 0.3)])
    @pytest.mark.parametrize('topk', [0, 5, 40])
    def test_the_order_of_threads_does_not_matter(self, topk, offset, monkeypatch):
        tensors = inputs((1, 5, 2, 6, 9))
        results = []
        for order in range(3):
            monkeypatch.setenv('MMVOS_EMULATION_ORDER', str(order))
            results.append(propagate(*tensors, offset, 2, topk, 0.5, False))
        assert all(torch.equal(a, b) for result in results
                   for a, b in zip(result, results[0], strict=True))

    def test_empty_batch(self):
        assert propagate(*inputs((0, 4, 2, 5, 9)), None, 1, 0, 1., False)[0].numel() == 0

    def test_float64_is_refused(self):
        query, keys, values = inputs((1, 3, 1, 4, 4), dtype=torch.float64)
        with pytest.raises(library.LibraryError, match='float64.*torch'):
            propagate(query, keys, values, None, 1, 0, 1., False)


def propagation_gradients(query, keys, values, grad, radius, scale, mask):
    """From the library, with all that it needs from its own forward."""
    out, lse = propagate(query, keys, values, None, radius, 0, scale, mask)
    gradients = [torch.full(x.shape, torch.nan) for x in (query, keys, values)]
    call('mmvos_local_propagation_backward', grad, query, keys, values, out, lse,
                 *gradients, radius, float(scale))
    return gradients


class TestPropagationBackward:

    @pytest.mark.parametrize('mask', [False, True])
    @pytest.mark.parametrize(('size', 'classes', 'radius', 'dtype', 'layout'), [
        ((2, 5, 2, 6, 11), 2, 2, torch.float32, 'plain'),
        ((1, 4, 1, 5, 7), 45, 1, torch.float32, 'sliced'),
        ((1, 70, 2, 5, 9), 1, 1, torch.bfloat16, 'channels_last'),
        ((1, 130, 1, 3, 3), 33, 3, torch.float16, 'plain'),
        pytest.param((1, 3, 1, 2, 40), 70, 14, torch.float32, 'plain', marks=pytest.mark.slow),
        ((1, 3, 1, 2, 9), 70, 1, torch.float32, 'plain'),
        ((2, 3, 2, 5, 9), 2, 0, torch.float32, 'channels_last')])
    def test_against_autograd(self, size, classes, radius, dtype, layout, mask):
        tensors = inputs(size, classes, dtype, layout)
        grad = torch.randn(size[0], classes, *size[-2:])
        wide = [x.double().requires_grad_() for x in tensors]
        brute_propagation(*wide, None, radius, 0, 0.4, mask)[0].backward(grad.double())
        for actual, x in zip(propagation_gradients(*tensors, grad, radius, 0.4, mask), wide,
                             strict=True):
            close(actual, x.grad)

    def test_nan_stays_in_its_windows(self):
        query, keys, values = inputs((1, 3, 1, 7, 18))
        keys[0, 1, 0, 3, 9] = torch.nan
        grad = torch.randn(1, 2, 7, 18)
        gradients = propagation_gradients(query, keys, values, grad, 1, 0.4, False)
        for gradient, reach in zip(gradients, (1, 2, 2), strict=True):
            clean = torch.ones(7, 18, dtype=torch.bool)
            clean[3 - reach:4 + reach, 9 - reach:10 + reach] = False
            assert torch.equal(gradient[0, 0].view(7, 18).isfinite(), clean)

    def test_the_order_of_threads_does_not_matter(self, monkeypatch):
        tensors, grad = inputs((1, 40, 2, 6, 9)), torch.randn(1, 2, 6, 9)
        results = []
        for order in range(3):
            monkeypatch.setenv('MMVOS_EMULATION_ORDER', str(order))
            results.append(propagation_gradients(*tensors, grad, 2, 0.5, False))
        assert all(torch.equal(a, b) for result in results
                   for a, b in zip(result, results[0], strict=True))


def correlation_inputs(kind, channels=5, dtype=torch.float32):
    torch.manual_seed(1)
    query, key = torch.randn(2, channels, 5, 9), torch.randn(2, channels, 7, 6)
    if kind == 'grid':
        return query.to(dtype), key.to(dtype), None
    coords = torch.rand(2, 2, 5, 9) * 10 - 2
    if kind == 'whole':
        coords = coords.round()
    coords[0, :, 0] = torch.tensor([1e30, -1e30, torch.inf, -torch.inf, 1e9, 1e5, -1, 0, 5])
    return query.to(dtype), key.to(dtype), coords


class TestCorrelation:

    @pytest.mark.parametrize('kind', ['grid', 'whole', 'coords'])
    @pytest.mark.parametrize('dilation', [1, 2])
    @pytest.mark.parametrize('radius', [0, 1, 4])
    def test_against_brute_force(self, radius, dilation, kind):
        query, key, coords = correlation_inputs(kind)
        finite = coords if coords is None else coords.nan_to_num().clamp(-1e6, 1e6)
        close(correlate(query, key, radius, dilation, coords),
              brute_correlation(query, key, radius, dilation, finite))

    @pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
    @pytest.mark.parametrize('kind', ['grid', 'coords'])
    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_types_and_layouts(self, dtype, kind, layout):
        query, key, coords = correlation_inputs(kind, dtype=dtype)
        finite = coords if coords is None else coords.nan_to_num().clamp(-1e6, 1e6)
        close(correlate(query.contiguous(memory_format=layout), key[:, :, ::2, :5], 2, 1, coords),
              brute_correlation(query, key[:, :, ::2, :5], 2, 1, finite))

    @pytest.mark.parametrize('channels', [3, 13])
    @pytest.mark.parametrize('kind', ['grid', 'whole', 'coords'])
    @pytest.mark.parametrize(('radius', 'dilation'), [(0, 1), (2, 1), (2, 3), (1, 2)])
    def test_gradients(self, radius, dilation, kind, channels):
        query, key, coords = correlation_inputs(kind, channels)
        finite = coords if coords is None else coords.nan_to_num().clamp(-1e6, 1e6)
        grad = torch.randn(2, (2 * radius + 1)**2, 5, 9)
        wide = [query.double().requires_grad_(), key.double().requires_grad_()]
        brute_correlation(*wide, radius, dilation, finite).backward(grad.double())
        actual = [torch.full(x.shape, torch.nan) for x in wide]
        call('mmvos_local_correlation_backward', grad, query, key, coords, *actual,
                     radius, dilation)
        for x, y in zip(actual, wide, strict=True):
            close(x, y.grad)


class TestEmulation:
    """It finds what it is there to find."""

    @pytest.fixture
    def broken(self, library_folder):
        dll = ctypes.CDLL(str(library_folder / 'libmmvos_cuda.so'))
        out = torch.zeros(64)
        return lambda which: (dll.emulation_broken(which, ctypes.c_void_p(out.data_ptr())), out)

    def test_threads_that_never_meet(self, broken):
        assert broken(0)[0] != 0

    def test_a_forgotten_barrier(self, broken, monkeypatch):
        results = []
        for order in range(2):
            monkeypatch.setenv('MMVOS_EMULATION_ORDER', str(order))
            results.append(broken(1)[1].clone())
        assert not torch.equal(*results)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++') or not shutil.which('setarch'),
                    reason='no g++ or no setarch')
def test_no_races():
    run = subprocess.run(['sh', str(HERE / 'races.sh')], capture_output=True, text=True,
                         check=False, env=plain_environment())
    # where memory lies, a container's rights, no libtsan
    for reason in ('FATAL: ThreadSanitizer', 'setarch:', 'cannot find'):
        if reason in run.stderr:
            pytest.skip(f'ThreadSanitizer does not work here: {run.stderr[-300:]}')
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('nvcc'), reason='no nvcc')
def test_nvcc_keeps_everything_in_registers(tmp_path):
    for source in SOURCES.glob('*.cu'):
        run = subprocess.run(
            ['nvcc', '-std=c++17', '-O3', '-arch=sm_90', '-Xptxas', '-v', '-Werror', 'all-warnings',
             '-Xcompiler', '-Wall,-Wextra', '-c', str(source), '-o', str(tmp_path / 'object.o')],
            capture_output=True, text=True, check=False, env=plain_environment())
        assert run.returncode == 0, run.stderr
        assert set(re.findall(r'(\d+) bytes spill', run.stderr)) <= {'0'}, run.stderr
