"""python -m mmvos.ops: which backends run here, why not, and whether they are right."""
from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import torch
from prettytable import PrettyTable
from torch import Tensor

from . import backends, library
from .local_correlation import local_correlation
from .local_propagation import local_propagation

OPS = {'torch': 'every op', 'cpu': 'local_*, warp', 'cuda': 'local_*', 'mmcv': 'local_correlation'}
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}  # of numbers near 1


def main() -> int:
    """Print both tables; 1 if a backend that runs here is wrong."""
    reasons = {name: why_not(name) for name in OPS}
    print(_table(['backend', 'ops', 'here', 'note'], [
        [name, ops, 'no' if reasons[name] else 'yes', reasons[name] or _note(name)]
        for name, ops in OPS.items()]))
    rows = [row for name in OPS if not reasons[name] for row in check(name)]
    print('\nself-check against torch in float64')
    print(_table(['backend', 'op', 'inputs', 'max difference', 'result'], rows))
    return int(any(row[-1] != 'ok' for row in rows))


def why_not(name: str) -> str | None:
    """Why a backend does not run here, in one line; None if it does."""
    if name in ('cpu', 'cuda'):
        return library.why_not(name)
    if name == 'mmcv' and find_spec('mmcv._ext') is None:
        return 'no compiled mmcv: it needs mmcv with its CUDA ops'
    if name == 'mmcv' and not torch.cuda.is_available():
        return 'mmcv.ops.Correlation runs on a GPU only'
    return None


def check(name: str) -> list[list[str]]:
    """Rows of backend, op, dtype, largest difference from the reference, ok or what failed."""
    device = 'cuda' if name in ('cuda', 'mmcv') else 'cpu'
    dtypes = list(TOLERANCE) if name in ('cpu', 'cuda') else [torch.float32]
    return [_check_one(name, op, dtype, device) for dtype in dtypes
            for op in ('local_correlation', 'local_propagation')
            if name != 'mmcv' or op == 'local_correlation']


def _check_one(name: str, op: str, dtype: torch.dtype, device: str) -> list[str]:
    row = [name, op, str(dtype).removeprefix('torch.')]
    try:
        difference = max(_differences(name, op, dtype, device))
    except (RuntimeError, ValueError) as error:  # one broken backend must not hide the others
        return [*row, '', f'FAILED: {" ".join(str(error).split())}']
    good = difference <= TOLERANCE[dtype]  # not if it is NaN
    return [*row, f'{difference:.1e}', 'ok' if good else 'FAILED']


def _differences(name: str, op: str, dtype: torch.dtype, device: str) -> list[float]:
    generator = torch.Generator().manual_seed(0)

    def random(*size: int) -> Tensor:  # the reference gets what the backend gets, rounded
        return torch.randn(*size, generator=generator).div(4).to(device, dtype)

    query, key = random(2, 16, 9, 13), random(2, 16, 9, 13)
    if op == 'local_correlation':
        coords = random(2, 2, 9, 13).float() * 40
        cases: list[dict[str, Any]] = [{'radius': 3}, {'radius': 2, 'dilation': 2}]
        cases += [{'radius': 3, 'coords': coords}] if name != 'mmcv' else []
        return [_difference(local_correlation, name, query, key, **case) for case in cases]
    keys, values = random(2, 16, 3, 9, 13), random(2, 2, 3, 9, 13).float()
    return [_difference(local_propagation, name, query, keys, values, radius=3, topk=topk,
                        out_of_range=rule)
            for topk in (None, 36) for rule in ('zero_logit', 'mask')]


def _difference(function: Any, name: str, *args: Any, **options: Any) -> float:
    def exact(x: Any) -> Any:
        return x.double().cpu() if isinstance(x, Tensor) else x

    out = function(*args, **options, backend=name)
    reference = function(*map(exact, args), backend='torch',
                         **{key: exact(x) for key, x in options.items()})
    return float((exact(out) - reference).abs().max())


def _note(name: str) -> str:
    path = library.library_path(name)
    if name == 'cuda':
        verified = backends.CUDA_VERIFIED
        return f'{path}, ' + (f'verified on {verified}' if verified else "only with "
                              "backend='cuda': its tests have not passed on a GPU yet")
    try:
        return f'{library.instruction_set()}, {path}' if name == 'cpu' else ''
    except library.LibraryError as error:  # of MMVOS_CPU_ISA
        return f'{error}, {path}'


def _table(names: list[str], rows: list[list[str]]) -> PrettyTable:
    table = PrettyTable(names, align='l')
    table.add_rows(rows)
    return table


if __name__ == '__main__':
    sys.exit(main())
