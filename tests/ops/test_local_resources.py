"""Threads and memory of the local ops."""
import os
import subprocess
import sys

import pytest
import torch

from mmvos.ops import library, local_correlation, local_propagation

SIZE = (19, 23)
# Highest memory use in a call, in MB above what is in use before; peaks of before are forgotten.
PEAK = r"""
import torch
from mmvos.ops import local_propagation

def status(name):
    with open('/proc/self/status') as file:
        return int(next(line.split()[1] for line in file if line.startswith(name))) / 1024

def inputs(h, w, refs):
    return torch.randn(1, 64, h, w), torch.randn(1, 64, refs, h, w), torch.randn(1, 2, refs, h, w)

torch.set_num_threads(2)
for topk in (36, None):
    local_propagation(*inputs(8, 9, 1), 2, topk, backend={backend!r})
    args = inputs({height}, {width}, 5)
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')
    before = status('VmRSS')
    out = local_propagation(*args, 12, topk, 1 / 8, backend={backend!r})
    print(status('VmHWM') - before)
"""


@pytest.fixture
def threads():
    """Function that sets the number of threads, for the length of a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


class TestThreads:
    """The same bits for any number of threads and in every run."""

    @pytest.fixture
    def same(self, compiled, threads):
        def check(op, *inputs, grad=True, **options):
            results = []
            for number in (1, 2, 3, 1):
                threads(number)
                leaves = [compiled.to(x).detach().requires_grad_(grad) for x in inputs]
                places = {name: compiled.to(x) for name, x in options.items()}
                out = op(*leaves, **places, backend=compiled.backend)
                grads = torch.autograd.grad(out, leaves, out) if grad else ()
                results.append([out, *grads])
            for other in results[1:]:
                assert all(map(torch.equal, results[0], other))

        return check

    @pytest.mark.parametrize('with_coords', [False, True])
    def test_correlation(self, same, randn, with_coords):
        coords = 25 * randn(2, 2, *SIZE).abs() if with_coords else None
        same(local_correlation, randn(2, 9, *SIZE), randn(2, 9, *SIZE), radius=3, coords=coords)

    @pytest.mark.parametrize('rule', ['zero_logit', 'mask'])
    def test_propagation(self, same, randn, rule):
        same(local_propagation, randn(2, 9, *SIZE), randn(2, 9, 2, *SIZE), randn(2, 3, 2, *SIZE),
             radius=3, out_of_range=rule)

    @pytest.mark.parametrize('ties', [False, True])
    def test_topk_and_offset(self, same, randn, ties):
        query, keys = randn(2, 9, *SIZE), randn(2, 9, 2, *SIZE)
        query, keys = (x.sign() * (0 if ties else x.abs()) for x in (query, keys))
        for offset in (None, 3 * randn(2, 2, 2, *SIZE)):
            same(local_propagation, query, keys, randn(2, 3, 2, *SIZE), grad=False, radius=3,
                 topk=20, offset=offset)


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize(('backend', 'height', 'width', 'limit'), [
    # the keys are 31 MB, packed 37; the volume would be 321; measured 43
    ('cpu', 120, 214, 64),
    # the volume would be 80; measured 60
    pytest.param('torch', 60, 107, 75, marks=pytest.mark.slow)])
def test_peak_of_memory(backend, height, width, limit):
    reason = library.why_not('cpu') if backend == 'cpu' else None
    if reason:
        pytest.skip(reason)
    code = PEAK.format(backend=backend, height=height, width=width)
    # freed memory goes back at once: what malloc keeps for later is not what the op needs
    env = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '1000000'}
    done = subprocess.run([sys.executable, '-c', code], env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    for peak in map(float, done.stdout.split()):
        assert 0 < peak <= limit


def test_flushing_subnormal_numbers_ends_with_the_call(compiled, randn, threads):
    query, keys = (compiled.to(30 * randn(*size)) for size in ((1, 8, *SIZE), (1, 8, 2, *SIZE)))
    query.requires_grad_()
    for count in (1, 2):
        threads(count)
        compiled(local_propagation, query, keys, randn(1, 1, 2, *SIZE), 2).sum().backward()
        assert torch.tensor(1e-40).mul(.5) > 0
