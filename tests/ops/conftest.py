"""Definitions of the correlation ops as loops over cells, and every implementation of them.

On a machine with a GPU, `pytest tests/ops/test_local_*.py -k cuda` is all that concerns CUDA.
"""
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mmvos.ops import library

# numbers of MMVOS_CPU_ISA
INSTRUCTION_SETS = {'baseline': 1, 'avx2': 2, 'avx512': 3, 'avx512_bf16': 4}


class Runner:
    """Calls ops with one backend; numbers go to its device and type and come back as float64."""

    def __init__(self, backend, device='cpu', dtype=torch.float64, atol=1e-12):
        self.backend, self.device, self.dtype, self.atol = backend, device, dtype, atol

    def to(self, x):
        return x.to(self.device, self.dtype) if isinstance(x, Tensor) else x

    def __call__(self, op, *args, **options):
        options = {name: self.to(x) for name, x in options.items()}
        return op(*map(self.to, args), **options, backend=self.backend).double().cpu()

    def equal(self, out, expected):
        """Whether two results agree as far as sums in this type can, and are nowhere NaN."""
        return torch.allclose(out.double().cpu(), expected, rtol=0, atol=self.atol)


def require(name):
    """Skip the test where the library 'cpu' or 'cuda' can't be used."""
    reason = library.why_not(name)
    if name == 'cuda' and not torch.cuda.is_available():
        reason = 'no CUDA device'
    if reason:
        pytest.skip(reason)


def make_runner(name, monkeypatch):
    if name == 'torch':
        return Runner('torch')
    if name == 'cuda':
        require('cuda')
        return Runner('cuda', 'cuda', torch.float32, atol=1e-4)
    monkeypatch.setenv('MMVOS_CPU_ISA', str(INSTRUCTION_SETS[name]))
    require('cpu')
    try:
        library.instruction_set()
    except library.LibraryError as error:
        pytest.skip(str(error))
    return Runner('cpu')


@pytest.fixture(params=[*INSTRUCTION_SETS, 'cuda'])
def compiled(request, monkeypatch):
    """Each compiled implementation in turn."""
    return make_runner(request.param, monkeypatch)


@pytest.fixture(params=['torch', *INSTRUCTION_SETS, 'cuda'])
def run(request, monkeypatch):
    """Each implementation in turn, PyTorch's too."""
    return make_runner(request.param, monkeypatch)


@pytest.fixture(params=['cpu', 'cuda'])
def device(request):
    """Each kind of device with a library, on the CPU with its best instruction set."""
    require(request.param)
    return request.param


@pytest.fixture
def randn():
    """Normal numbers in float64: other ones with every call, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)


@pytest.fixture
def definition():
    return SimpleNamespace(correlation=correlation, propagation=propagation)


def correlation(query, key, radius, dilation=1):
    """Product of each cell with each position of its window, 0 outside the map."""
    (batch, _, height, width), (key_height, key_width) = query.shape, key.shape[2:]
    side = 2 * radius + 1
    out = torch.zeros(batch, side, side, height, width, dtype=torch.float64)
    for y, x, i, j in product(*map(range, (height, width, side, side))):
        ky, kx = y + (i - radius) * dilation, x + (j - radius) * dilation
        if 0 <= ky < key_height and 0 <= kx < key_width:
            out[:, i, j, y, x] = (query[:, :, y, x] * key[:, :, ky, kx]).sum(1)
    return out.flatten(1, 2)


def propagation(query, keys, values, radius, topk=None, scale=1., out_of_range='zero_logit',
                offset=None):
    """Every cell's candidates from every reference one after another: sort, cut, softmax, sum."""
    logits, read = [], []
    for t in range(keys.shape[2]):
        places = positions(*query.shape[2:], radius)
        if offset is not None:
            places = places + offset[:, t].movedim(1, -1)[:, :, :, None]
        logit = scale * (query[..., None] * look_up(keys[:, :, t], places)).sum(1)
        last = torch.tensor(keys.shape[:2:-1]) - 1
        inside = ((places >= 0) & (places <= last)).all(-1) | (out_of_range != 'mask')
        logits.append(logit.masked_fill(~inside, -torch.inf))
        read.append(look_up(values[:, :, t], places))
    logits, order = torch.cat(logits, -1).sort(-1, descending=True)
    weights = logits[..., :topk].softmax(-1).where(logits[..., :topk] > -torch.inf, 0)
    picked = torch.cat(read, -1).take_along_dim(order[:, None], -1)
    return (picked[..., :topk] * weights[:, None]).sum(-1)


def positions(height, width, radius):
    """(1,h,w,P*P,2): where the window of each cell lies, x first."""
    steps = torch.arange(-radius, radius + 1.)
    cells = torch.cartesian_prod(torch.arange(height * 1.), torch.arange(width * 1.))
    cells = cells.view(1, height, width, 1, 2)
    return (cells + torch.cartesian_prod(steps, steps).view(-1, 2)).flip(-1).double()


def look_up(x, places):
    """(B,N,h,w,n): maps (B,N,h,w) at places (B or 1,h,w,n,2), bilinear between cells, 0 outside."""
    places = torch.where(places.abs() < 1e6, places, -9).expand(len(x), -1, -1, -1, -1)
    last, corner, out = torch.tensor(x.shape[:1:-1]) - 1, places.floor(), 0
    for step in ([0, 0], [1, 0], [0, 1], [1, 1]):
        cell = corner + torch.tensor(step)
        weight = (1 - (places - cell).abs()).prod(-1) * ((cell >= 0) & (cell <= last)).all(-1)
        column, row = torch.minimum(cell, last).clamp(min=0).long().unbind(-1)
        picked = torch.stack([one[:, ys, xs] for one, ys, xs in zip(x, row, column, strict=True)])
        out = out + picked * weight[:, None]
    return out
