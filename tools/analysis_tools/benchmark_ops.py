"""Seconds and memory of local propagation, each row beside a floor measured in the same run.

python tools/analysis_tools/benchmark_ops.py [--threads N] [--json F] [--plot F.png]

The work is that of MAMP on a 480x854 frame: 120x214 cells, 64 channels, radius 12, five references,
two values, top-36. The floor is one matrix product of the same 10.3 GFLOP; on a GPU, where the
product is short, a copy of the inputs if that takes longer. Other rows are MAST's moved windows and
a step of training.
"""
import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from prettytable import PrettyTable
from torch import Tensor

from mmvos.apis import exit_with_message
from mmvos.io import atomic_path, atomic_write
from mmvos.ops import library, local_propagation

CELLS, CHANNELS, RADIUS, REFS, OBJECTS, TOPK = (120, 214), 64, 12, 5, 2, 36
MOVED = 30, 54  # cells: PyTorch takes a minute and more for a whole frame
TRAINING = dict(batch=24, cells=(64, 64), radius=6, refs=1, objects=1)
REPEATS = 5
SPREAD = 6  # trained features: most shares of their softmax are subnormal numbers, or 0


def make_inputs(cells: tuple[int, int], refs: int, objects: int, *, batch: int = 1,
                device: str = 'cpu', dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Query, keys and values; references are the query, moved and changed a little."""
    torch.manual_seed(0)
    coarse = torch.randn(batch, CHANNELS, *(-(-n // 8) for n in cells))
    query = F.interpolate(coarse, cells, mode='bicubic') + .3 * torch.randn(batch, CHANNELS, *cells)
    keys = torch.stack([query.roll((t, -t), (2, 3)) + .1 * torch.randn_like(query)
                        for t in range(refs)], 2)
    values = torch.rand(batch, objects, refs, *cells)
    return [query.to(device, dtype), keys.to(device, dtype), values.to(device)]


def seconds(function: Callable[[], object], device: str = 'cpu', repeats: int = REPEATS) -> float:
    """The shortest of a few runs, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function()
        if device == 'cuda':
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def extra_mib(function: Callable[[], object]) -> float | None:
    """How far one call raises the peak of this process's memory; Linux only."""
    status, reset = Path('/proc/self/status'), Path('/proc/self/clear_refs')
    if not reset.exists():
        return None

    def read(key: str) -> float:
        return int(re.search(rf'^{key}:\s+(\d+) kB', status.read_text(), re.M)[1]) / 1024
    function()  # what is loaded at the first call stays
    reset.write_text('5')  # the peak begins again at what is in use
    before = read('VmRSS')
    function()
    return read('VmHWM') - before


def product_floor(dtype: torch.dtype, device: str = 'cpu') -> float:
    """Seconds of a square matrix product with as many operations as the logits."""
    operations = 2 * CELLS[0] * CELLS[1] * CHANNELS * REFS * (2 * RADIUS + 1)**2
    side = round((operations / 2)**(1 / 3))
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return seconds(lambda: a @ b, device)


def unfolded(query: Tensor, keys: Tensor, values: Tensor, radius: int,
             topk: int | None) -> Tensor:
    """What one would write first: all windows copied out."""
    side, (height, width) = 2 * radius + 1, query.shape[2:]

    def windows(x: Tensor) -> Tensor:  # (B,N,T,h,w) to (B,N,T*P*P,h*w)
        maps = F.unfold(x.transpose(1, 2).flatten(0, 1), side, padding=radius)
        maps = maps.unflatten(0, x.shape[:3:2]).unflatten(2, (x.shape[1], -1))
        return maps.transpose(1, 2).flatten(2, 3)

    logits = (query.flatten(2)[:, :, None] * windows(keys)).sum(1) * CHANNELS**-.5
    read = windows(values.to(logits.dtype))
    if topk is not None:
        logits, index = logits.topk(topk, 1)
        read = read.gather(2, index[:, None].expand(-1, values.shape[1], -1, -1))
    return (logits.softmax(1)[:, None] * read).sum(2).unflatten(2, (height, width))


def forward(inputs: list[Tensor], backend: str | None) -> Callable[[], Tensor]:
    """The op at the benchmark's radius, k and scale."""
    return lambda: local_propagation(*inputs, RADIUS, TOPK, CHANNELS**-.5, backend=backend)


def moved(inputs: list[Tensor], backend: str) -> Callable[[], Tensor]:
    """The op as MAST calls it: windows that follow a smooth offset, all candidates."""
    query, keys = inputs[:2]
    offset = 4 * torch.randn(keys.shape[2], 2, *(-(-n // 8) for n in query.shape[-2:]))
    offset = F.interpolate(offset, query.shape[-2:], mode='bicubic')[None]
    return lambda: local_propagation(*inputs, RADIUS, None, CHANNELS**-.5, offset=offset,
                                     backend=backend)


def training(function: Callable[..., Tensor], inputs: list[Tensor],
             spread: float = 1.) -> Callable[[], object]:
    """Forward and backward over all candidates, of features `spread` times as large."""
    inputs = [x * spread if i < 2 else x for i, x in enumerate(inputs)]
    inputs = [x.detach().requires_grad_(i < 2) for i, x in enumerate(inputs)]

    def run() -> object:
        return torch.autograd.grad(function(*inputs).square().sum(), inputs[:2])
    return run


def training_form(backend: str | None) -> Callable[..., Tensor]:
    """The op as training calls it."""
    return lambda q, k, v: local_propagation(q, k, v, TRAINING['radius'], None, CHANNELS**-.5,
                                             backend=backend)


def cpu_rows() -> list[dict]:
    """The benchmark on the CPU."""
    rows = []
    names = {torch.float32: 'fp32', torch.bfloat16: 'bf16'}
    for dtype, name in names.items():
        floor, inputs = product_floor(dtype), make_inputs(CELLS, REFS, OBJECTS, dtype=dtype)
        for backend in ('cpu', 'torch'):
            if backend == 'cpu' and library.why_not('cpu'):
                continue
            form = forward(inputs, backend)
            rows.append(dict(what=f'forward, top-{TOPK}, {name}', backend=backend, floor=floor,
                             extra_mib=extra_mib(form),
                             seconds=seconds(form, repeats=REPEATS if backend == 'cpu' else 2)))
            form = moved(make_inputs(MOVED, REFS, OBJECTS, dtype=dtype), backend)
            rows.append(dict(what=f'forward, moved windows, {MOVED[0]}x{MOVED[1]}, all, {name}',
                             backend=backend,
                             seconds=seconds(form, repeats=REPEATS if backend == 'cpu' else 1)))
    inputs = make_inputs(TRAINING['cells'], 1, 1, batch=4)
    for backend, function in dict(
            cpu=training_form('cpu'), torch=training_form('torch'),
            unfold=lambda *x: unfolded(*x, TRAINING['radius'], None)).items():
        if backend == 'cpu' and library.why_not('cpu'):
            continue
        rows.append(dict(what='forward + backward, 4 x 64x64, R=6, fp32', backend=backend,
                         seconds=seconds(training(function, inputs), repeats=3)))
        rows.append(dict(what=rows[-1]['what'] + f', features x {SPREAD}', backend=backend,
                         seconds=seconds(training(function, inputs, SPREAD), repeats=3)))
    return rows


def gpu_rows() -> list[dict]:
    """The benchmark on the GPU, in bfloat16."""
    inputs = make_inputs(CELLS, REFS, OBJECTS, device='cuda', dtype=torch.bfloat16)
    floor = max(product_floor(torch.bfloat16, 'cuda'),
                seconds(lambda: [x.clone() for x in inputs], 'cuda'))
    training_inputs = make_inputs(TRAINING['cells'], 1, 1, batch=TRAINING['batch'], device='cuda')

    def unfold_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return unfolded(q, k, v, RADIUS, TOPK)
    forms = {'cuda': forward(inputs, 'cuda'), 'torch': forward(inputs, 'torch'),
             'unfold': lambda: unfold_rows(*inputs)}
    compiled = torch.compile(unfold_rows)
    forms['unfold, torch.compile'] = lambda: compiled(*inputs)
    rows = [_gpu_row(f'forward, top-{TOPK}, bf16', name, form, floor)
            for name, form in forms.items()]
    for name, function in dict(
            cuda=training_form('cuda'), torch=training_form('torch'),
            unfold=lambda *x: unfolded(*x, TRAINING['radius'], None)).items():
        rows.append(_gpu_row('forward + backward, 24 x 64x64, R=6, fp32', name,
                             training(function, training_inputs), None))
    return rows


def _gpu_row(what: str, name: str, form: Callable, floor: float | None) -> dict:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    row = dict(what=what, backend=name)
    try:
        row |= dict(seconds=seconds(form, 'cuda'), floor=floor,
                    extra_mib=(torch.cuda.max_memory_allocated() - before) / 2**20)
    except (torch.OutOfMemoryError, RuntimeError, ValueError) as error:
        row['error'] = str(error).splitlines()[0][:60]
    return row


def growth_rows(device: str) -> list[dict]:
    """Seconds against the number of references and of cells."""
    rows = []
    for refs in (1, 2, 3, 5, 8, 12):
        form = forward(make_inputs(CELLS, refs, OBJECTS, device=device), device)
        rows.append(dict(refs=refs, cells=CELLS[0] * CELLS[1], seconds=seconds(form, device)))
    for scale in (.25, .5, .75, 1.25):
        cells = CELLS[0], round(CELLS[1] * scale)
        form = forward(make_inputs(cells, REFS, OBJECTS, device=device), device)
        rows.append(dict(refs=REFS, cells=cells[0] * cells[1], seconds=seconds(form, device)))
    return rows


def show(rows: list[dict]) -> None:
    """Print rows as a table; ratios are to the floor and to the compiled backend."""
    table = PrettyTable(['what', 'backend', 'seconds', '/ floor', '/ compiled', 'extra MiB'])
    table.align = 'r'
    table.align['what'] = table.align['backend'] = 'l'
    compiled = {row['what']: row['seconds'] for row in rows
                if row['backend'] in ('cpu', 'cuda') and 'seconds' in row}
    for row in rows:
        if 'error' in row:
            table.add_row([row['what'], row['backend'], row['error'], '', '', ''])
            continue
        ratio = f"{row['seconds'] / row['floor']:.2f}" if row.get('floor') else ''
        against = f"{row['seconds'] / compiled[row['what']]:.2f}" if row['what'] in compiled else ''
        extra = '' if row.get('extra_mib') is None else f"{row['extra_mib']:.0f}"
        table.add_row([row['what'], row['backend'], f"{row['seconds']:.5f}", ratio, against, extra])
    print(table)


def show_growth(rows: list[dict]) -> None:
    """Print seconds per reference and million cells: flat when cost grows linearly."""
    table = PrettyTable(['references', 'cells', 'seconds', 'seconds / (reference x 1M cells)'])
    for row in rows:
        each = row['seconds'] / (row['refs'] * row['cells'] / 1e6)
        table.add_row([row['refs'], row['cells'], f"{row['seconds']:.4f}", f'{each:.3f}'])
    print(table)


def draw(rows: list[dict], path: str) -> None:
    """Seconds against references times cells."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    figure, axis = plt.subplots(figsize=(6, 4), dpi=100)
    groups = {'number of references': [r for r in rows if r['cells'] == CELLS[0] * CELLS[1]],
              'number of cells': [r for r in rows if r['cells'] != CELLS[0] * CELLS[1]]}
    for label, group in groups.items():
        axis.plot([r['refs'] * r['cells'] / 1e3 for r in group], [r['seconds'] for r in group],
                  'o', label=f'other {label}')
    axis.set(xlabel='thousand reference cells', ylabel='seconds', xlim=0, ylim=0,
             title=f'local_propagation, {CHANNELS} channels, R = {RADIUS}, top-{TOPK}')
    axis.legend()
    figure.tight_layout()
    with atomic_path(path) as part:
        figure.savefig(part)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, help="PyTorch's number by default")
    parser.add_argument('--json', help='write the numbers to this file')
    parser.add_argument('--plot', help='draw the growth to this PNG')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    reason = library.why_not(device)
    if reason:
        print(f'no compiled {device} ops: {reason}')
    rows = gpu_rows() if device == 'cuda' else cpu_rows()
    show(rows)
    growth = [] if reason else growth_rows(device)
    if growth:
        show_growth(growth)
    if args.plot and growth:
        draw(growth, args.plot)
    if args.json:
        atomic_write(args.json, json.dumps(dict(
            device=torch.cuda.get_device_name() if device == 'cuda' else 'cpu',
            threads=torch.get_num_threads(), rows=rows, growth=growth), indent=2).encode())


if __name__ == '__main__':
    exit_with_message(main)
