"""Seconds per frame by stage, counted operations and peak memory of a model on rendered video.

python tools/analysis_tools/benchmark.py CONFIG [--checkpoint F] [--height 480 --width 854]
    [--frames N] [--objects K ...] [--dtype fp32|bf16] [--cfg-options K=V ...] [--json F]

Several numbers of objects give a table: what more objects cost beside the operations they need.
Each is measured in a process of its own, whose peak no other run can hide; they take turns, and
the fastest of `--repeat` runs counts, because other work on the machine can only slow one down.
Beside the time stands the processors' time, of all threads: where it is less than the time with
OMP_NUM_THREADS=1, other work took the rest.

Operations are those of `torch.utils.flop_counter`, two for a multiplication and its addition, of
convolutions and matrix products in whatever form torch runs them, in `segment` and `memorize`.
Not counted: norms, activations, softmax, pooling, interpolation, anything else that works element
by element, and the ops of mmvos (local matching, warp) and OpenCV (DIS), of which torch knows
nothing. Attention counts as its two matrix products. They are counted on five more frames in the
middle of the timed ones, which are not timed: there a memory that grows with the video has the
mean size of that time. What is done once for the whole video (COSNet's references) is 'start',
its time shared by all frames; its operations are not counted.
"""
import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import DictAction
from prettytable import PrettyTable
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from mmvos.apis import (
    exit_with_message,
    find_checkpoint,
    load_config,
    load_weights,
    setup,
    use_dtype,
)
from mmvos.datasets.synthetic import SyntheticVideo
from mmvos.io import InBackground, atomic_write, encode_mask
from mmvos.models import VideoSegmentor
from mmvos.registry import MODELS
from mmvos.structures import FrameFolder

# the CPU's fused attention, of which torch's counter does not know; it does of CUDA's
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)}
COUNTED = 5  # frames: one period of a memory of every fifth frame
STAGES = ('start', 'decode', 'encode', 'flow', 'match', 'upsample', 'head', 'memorize', 'write',
          'other')
# stage: attributes of the model and their methods
PARTS = {
    'encode': [('backbone', 'embed'), ('backbone', 'forward'), ('backbone', 'skips'),
               ('features', 'forward'), ('query_encoder', 'forward'), ('query_kv', 'forward')],
    'flow': [('motion_estimator', 'forward'), ('motion_estimator', 'encode'), ('motion', None),
             ('motion_net', 'forward')],
    'match': [('matching_head', 'forward'), ('appearance', 'forward'), ('co_attention', 'forward')],
    'upsample': [('upsample', None)],
    'head': [('propagation', 'forward'), ('decoder', 'forward'), ('upsampling', 'forward')],
    'memorize': [('memory_encoder', 'forward'), ('memory_kv', 'forward'),
                 ('value_encoder', 'forward'), ('value', 'forward'),
                 ('appearance', 'update'), ('propagation', 'of_first')],
}


class StageTimer:
    """Adds up the time spent in each stage; inner stages are taken off outer ones."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_began = self.cpu_paused = 0.

    def _now(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def stage(self, name: str):
        began = self._now()
        inner_before = sum(self.seconds.values())
        yield
        inner = sum(self.seconds.values()) - inner_before
        self.seconds[name] += self._now() - began - inner

    def restart(self) -> None:
        """Begin anew."""
        self.seconds.clear()
        self.cpu_began, self.cpu_paused = time.process_time(), 0.

    @contextmanager
    def paused(self):
        """What happens inside takes no time."""
        before, cpu = dict(self.seconds), time.process_time()
        yield
        self.seconds = defaultdict(float, before)
        self.cpu_paused += time.process_time() - cpu

    def cpu(self) -> float:
        """Seconds of all threads of this process since `restart`."""
        return time.process_time() - self.cpu_began - self.cpu_paused

    def wrap(self, model: VideoSegmentor) -> None:
        """Time the parts that this model has."""
        for name, parts in PARTS.items():
            for attribute, method in parts:
                part = getattr(model, attribute, None)
                if part is None or method and not hasattr(part, method):
                    continue
                owner, key = (model, attribute) if method is None else (part, method)
                setattr(owner, key, self._timed(name, getattr(owner, key)))

    def _timed(self, name: str, function):
        def call(*args, **kwargs):
            with self.stage(name):
                return function(*args, **kwargs)
        return call


def parse_args() -> argparse.Namespace:
    """Command line.

    Raises:
        ValueError: A number is too small.
    """
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--checkpoint', help='a .pth file or a model name; random weights if none')
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--width', type=int, default=854)
    parser.add_argument('--frames', type=int, default=24)
    parser.add_argument('--objects', type=int, nargs='+', default=[1], metavar='K',
                        help='number of objects; several print a table: 1 5 10')
    parser.add_argument('--repeat', type=int, default=3, metavar='N',
                        help='runs of each of several numbers of objects; the fastest counts')
    parser.add_argument('--dtype', choices=['fp32', 'bf16'], default='fp32')
    parser.add_argument('--warm-up', type=int, default=12,
                        help='frames that are not timed: until all references are there')
    parser.add_argument('--json', help='write the numbers to this file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='K=V',
                        help='change entries of the config: model.memory.max_memory_mb=64')
    args = parser.parse_args()
    if min(args.frames, *args.objects, args.height, args.width, args.repeat) < 1:
        raise ValueError('--frames, --objects, --height, --width and --repeat should be 1 or more')
    if max(args.objects) > 255:
        raise ValueError(f'--objects should be at most 255, got {max(args.objects)}')
    return args


def render(args: argparse.Namespace, folder: Path) -> tuple[FrameFolder, dict]:
    """A rendered video as JPEG files, 30 frames repeated there and back, and its first mask."""
    size, total = (args.height, args.width), args.frames + COUNTED
    count = min(30, total)
    video = SyntheticVideo(0, 0, length=count, size=size, num_objects=args.objects[0])
    for index in range(count):
        cv2.imwrite(str(folder / f'{index:05d}.jpg'), video.read(index)[..., ::-1])
    cycle = [*range(count), *range(count - 2, 0, -1)] or [0]
    for index in range(count, total):
        (folder / f'{index:05d}.jpg').symlink_to(folder / f'{cycle[index % len(cycle)]:05d}.jpg')
    # by id, not as a map: an object without a pixel on the first frame is an object too
    labels = video.labels(0)
    return FrameFolder.from_dir(folder), {k: labels == k for k in range(1, args.objects[0] + 1)}


@torch.no_grad()
def measure(args: argparse.Namespace, model: VideoSegmentor, folder: Path) -> dict[str, Any]:
    """Per frame after the warm-up: seconds of each stage, CPU seconds, GFLOP; and the session."""
    video, mask = render(args, folder)
    timer = StageTimer(model.data_preprocessor.device)
    timer.restart()
    with timer.stage('start'):
        session = model.session(video)
    start, start_cpu = (x / args.frames for x in (timer.seconds['start'], timer.cpu()))
    timer.wrap(model)
    first = min(args.warm_up, args.frames - 1)
    middle = (first + args.frames + 1) // 2
    # one for each frame: a counter that is entered again begins anew
    counters = {index: FlopCounterMode(display=False, custom_mapping=ATTENTION)
                for index in range(middle, middle + COUNTED)}
    with closing(video.frames()) as images, ExitStack() as stack:
        later = stack.enter_context(InBackground())
        for index in range(args.frames + COUNTED):
            if index == first:
                timer.restart()
            with timer.paused() if index in counters else nullcontext():
                with timer.stage('decode'):
                    image = next(images)
                with timer.stage('other'), counters.get(index, nullcontext()):
                    labels = session.step(image, mask if index == 0 and model.needs_mask else None)
                with timer.stage('write'):
                    later(write, folder / 'masks' / f'{index:05d}.png', labels)
        with timer.stage('write'):
            stack.close()
    seconds = {name: timer.seconds[name] / (args.frames - first)
               for name in STAGES if name in timer.seconds}
    return dict(session=session, seconds=dict(start=start, **seconds),
                cpu=start_cpu + timer.cpu() / (args.frames - first),
                gflop=sum(each.get_total_flops() for each in counters.values()) / COUNTED / 1e9)


def write(path: Path, labels: np.ndarray) -> None:
    """One mask as a PNG."""
    atomic_write(path, encode_mask(labels))


def device_name(device: torch.device) -> str:
    """CPU or GPU in words."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def peak_mib() -> float:
    """Largest resident size of this process.

    Linux lends a new process the `ru_maxrss` of the one that started it; VmHWM is its own.
    """
    status = Path('/proc/self/status')
    lines = status.read_text().splitlines() if status.exists() else []
    own = [int(line.split()[1]) for line in lines if line.startswith('VmHWM:')]
    return (own[0] if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def run_one(args: argparse.Namespace) -> dict:
    """Measure one number of objects in this process."""
    setup()
    model = MODELS.build(load_config(args.config, args.cfg_options).model).eval()
    if args.checkpoint:
        load_weights(model, find_checkpoint(args.checkpoint))
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model.to(device)
    use_dtype(model, args.dtype)
    if not model.needs_mask and args.objects != [1]:
        raise ValueError(f'{type(model).__name__} finds objects by itself; leave --objects out (a '
                         'model of several takes --cfg-options model.num_slots=5)')
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, model, Path(folder))
    state, seconds = found['session'].state, found['seconds']
    banks = {name: dict(mib=bank.nbytes() / 2**20, limit_mib=bank.max_memory_mb)
             for name, bank in state.banks.items()}
    report = dict(
        config=args.config, height=args.height, width=args.width, frames=args.frames,
        objects=args.objects[0] if model.needs_mask else model.num_slots,
        dtype=args.dtype, device=device_name(device),
        threads=torch.get_num_threads(), peak_mib=round(peak_mib(), 1), cpu=found['cpu'],
        gflop=found['gflop'], state_mib=state.nbytes() / 2**20, banks=banks,
        total=sum(seconds.values()), **seconds)
    if device.type == 'cuda':
        report['peak_gpu_mib'] = torch.cuda.max_memory_allocated() / 2**20
    return report


def print_one(report: dict) -> None:
    """Stages, operations and memory."""
    for name in STAGES:
        if name in report:
            print(f'{name:>10}: {report[name]:.4f} s/frame')
    print(f'total s/frame: {report["total"]:.4f}')
    if report.get('encode'):
        print(f'total / encode: {report["total"] / report["encode"]:.2f}')
    print(f'counted GFLOP/frame: {report["gflop"]:.2f}')
    print(f'state: {report["state_mib"]:.1f} MiB', *(
        f'bank {name}: {bank["mib"]:.1f} of {bank["limit_mib"]:g} MiB'
        for name, bank in report['banks'].items()), sep=', ')
    print(', '.join(f'{key}: {report[key]}' for key in ('device', 'threads', 'dtype', 'peak_mib')))


def run_several(args: argparse.Namespace) -> list[dict]:
    """Measure each number of objects in child processes, in turns; the fastest run of each.

    Raises:
        SystemExit: A child ended with an error, which it printed itself.
    """
    best: dict[int, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'report.json'
        for _ in range(args.repeat):
            for objects in args.objects:
                # of two arguments of one name the last counts
                command = [sys.executable, __file__, *sys.argv[1:], '--objects', str(objects),
                           '--json', str(path)]
                child = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
                if child.returncode:
                    sys.exit(child.returncode)
                report = json.loads(path.read_text())
                best[objects] = min(best.get(objects, report), report,
                                    key=lambda each: each['total'])
    return list(best.values())


def print_several(reports: list[dict]) -> None:
    """A table; ratios are to the first row."""
    table = PrettyTable(['objects', 's/frame', 'encode s/frame', 'CPU s/frame', 'ratio',
                         'GFLOP/frame', 'counted ratio', 'ratio / counted', 'peak MiB'], align='r')
    first = reports[0]
    for report in reports:
        # a method without convolutions and matrix products has nothing that could be counted
        ratio, counted = report['total'] / first['total'], report['gflop'] / (first['gflop'] or 1)
        table.add_row([report['objects'], f'{report["total"]:.3f}',
                       f'{report.get("encode", 0):.3f}', f'{report["cpu"]:.3f}',
                       f'{ratio:.2f}', f'{report["gflop"]:.2f}', f'{counted:.2f}',
                       f'{ratio / counted:.2f}' if counted else '', f'{report["peak_mib"]:.0f}'])
    print(table)
    print(', '.join(f'{key}: {first[key]}' for key in ('device', 'threads', 'dtype')))


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if len(args.objects) > 1:
        report = run_several(args)
        print_several(report)
    else:
        report = run_one(args)
        print_one(report)
    if args.json:
        atomic_write(args.json, json.dumps(report, indent=2).encode())


if __name__ == '__main__':
    exit_with_message(main)
