"""Seconds per frame by stage and peak memory of a model on rendered video.

python tools/analysis_tools/benchmark.py CONFIG [--checkpoint F] [--height 480 --width 854]
    [--frames N] [--objects K] [--dtype fp32|bf16] [--json F]
"""
import argparse
import json
import platform
import resource
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch

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

STAGES = ('decode', 'encode', 'flow', 'match', 'upsample', 'write', 'other')
# stage: attributes of the model and their methods
PARTS = {
    'encode': [('backbone', 'forward')],
    'flow': [('motion_estimator', 'forward'), ('motion_estimator', 'encode')],
    'match': [('matching_head', 'forward')],
    'upsample': [('upsample', None)],
}


class StageTimer:
    """Adds up the time spent in each stage; inner stages are taken off outer ones."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.stack: list[str] = []

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

    def wrap(self, model: VideoSegmentor) -> None:
        """Time the parts that this model has."""
        for name, parts in PARTS.items():
            for attribute, method in parts:
                part = getattr(model, attribute, None)
                if part is None:
                    continue
                owner, key = (model, attribute) if method is None else (part, method)
                setattr(owner, key, self._timed(name, getattr(owner, key)))

    def _timed(self, name: str, function):
        def call(*args, **kwargs):
            with self.stage(name):
                return function(*args, **kwargs)
        return call


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--checkpoint', help='a .pth file or a model name; random weights if none')
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--width', type=int, default=854)
    parser.add_argument('--frames', type=int, default=24)
    parser.add_argument('--objects', type=int, default=1)
    parser.add_argument('--dtype', choices=['fp32', 'bf16'], default='fp32')
    parser.add_argument('--warm-up', type=int, default=12,
                        help='frames that are not timed: until all references are there')
    parser.add_argument('--json', help='write the numbers to this file')
    return parser.parse_args()


def render(args: argparse.Namespace, folder: Path) -> tuple[FrameFolder, dict]:
    """A rendered video as JPEG files, 30 frames repeated there and back, and its first mask."""
    size, count = (args.height, args.width), min(30, args.frames)
    video = SyntheticVideo(0, 0, length=count, size=size, num_objects=args.objects)
    for index in range(count):
        cv2.imwrite(str(folder / f'{index:05d}.jpg'), video.read(index)[..., ::-1])
    cycle = [*range(count), *range(count - 2, 0, -1)] or [0]
    for index in range(count, args.frames):
        (folder / f'{index:05d}.jpg').symlink_to(folder / f'{cycle[index % len(cycle)]:05d}.jpg')
    return FrameFolder.from_dir(folder), video.labels(0)


@torch.no_grad()
def measure(args: argparse.Namespace, model: VideoSegmentor, folder: Path) -> dict[str, float]:
    """Seconds per frame of each stage after the warm-up."""
    device = model.data_preprocessor.device
    video, mask = render(args, folder)
    timer, session = StageTimer(device), model.session()
    timer.wrap(model)
    with closing(video.frames()) as images, ExitStack() as stack:
        later = stack.enter_context(InBackground())
        for index in range(args.frames):
            if index == min(args.warm_up, args.frames - 1):
                timer.seconds.clear()
                first = index
            with timer.stage('decode'):
                image = next(images)
            with timer.stage('other'):
                labels = session.step(image, mask if index == 0 else None)
            with timer.stage('write'):
                later(write, folder / 'masks' / f'{index:05d}.png', labels)
        with timer.stage('write'):
            stack.close()
    timed = args.frames - first
    return {name: timer.seconds[name] / timed for name in STAGES}


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
    """Largest resident size of this process and of its children."""
    return sum(resource.getrusage(who).ru_maxrss
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if min(args.frames, args.objects, args.height, args.width) < 1:
        raise ValueError('--frames, --objects, --height and --width should be 1 or more')
    setup()
    model = MODELS.build(load_config(args.config).model).eval()
    if args.checkpoint:
        load_weights(model, find_checkpoint(args.checkpoint))
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model.to(device)
    use_dtype(model, args.dtype)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(args, model, Path(folder))
    total = sum(seconds.values())
    for name, value in seconds.items():
        print(f'{name:>10}: {value:.4f} s/frame')
    print(f'total s/frame: {total:.4f}')
    if seconds['encode']:
        print(f'total / encode: {total / seconds["encode"]:.2f}')
    report = dict(
        config=args.config, height=args.height, width=args.width, frames=args.frames,
        objects=args.objects, dtype=args.dtype, device=device_name(device),
        threads=torch.get_num_threads(), peak_mib=round(peak_mib(), 1), total=total, **seconds)
    if device.type == 'cuda':
        report['peak_gpu_mib'] = torch.cuda.max_memory_allocated() / 2**20
    print(', '.join(f'{key}: {report[key]}' for key in ('device', 'threads', 'dtype', 'peak_mib')))
    if args.json:
        atomic_write(args.json, json.dumps(report, indent=2).encode())


if __name__ == '__main__':
    exit_with_message(main)
