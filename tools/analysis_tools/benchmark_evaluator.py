"""Seconds and memory of evaluation, its peers beside it in the same run.

python tools/analysis_tools/benchmark_evaluator.py [RESULTS GROUND_TRUTH] [--workers 2] [--repeat 3]
    [--memory] [--loop CONFIG [--checkpoint NAME] [--cfg-options K=V ...]]

RESULTS GROUND_TRUTH: seconds of DAVIS's J and F, written plainly, of vos-benchmark and of mmvos, on
the same files and frames, those of protocol davis2016. --memory: peaks of long videos of many
objects. --loop: what evaluation adds to the test of a model.
"""
import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from PIL import Image
from prettytable import PrettyTable

from mmvos.evaluation import build_protocol, evaluate_pairs, find_ground_truth, pair_folders
from mmvos.evaluation.labels import LabelFiles, VideoPair
from mmvos.evaluation.protocols import DAVIS2016
from mmvos.evaluation.scoring import QUICK_START
from mmvos.io import InputError, encode_mask
from mmvos.io.command_line import exit_with_message

EVALUATE = Path(__file__).with_name('evaluate.py')
PLAIN, PEER, OURS, COMMAND = 'plain, 1 process', 'vos-benchmark', 'mmvos', 'mmvos, command line'
ALONE, SCORED = 'prediction alone', 'with evaluation'
SD, HD = (480, 854), (1080, 1920)
# protocol, size, objects, proposals, frames
CASES = [('folder', SD, 10, 10, 500), ('folder', SD, 10, 10, 5000), ('folder', HD, 10, 10, 500),
         ('davis2017-unsupervised', SD, 10, 20, 50), ('davis2017-unsupervised', SD, 10, 20, 500)]
DRAWN = 20  # different maps of a video


def plain_scores(pred: np.ndarray, gt: np.ndarray) -> tuple[float, float]:
    """J and F of a frame's (H, W) boolean masks, as the description of DAVIS reads."""
    union = np.logical_or(pred, gt).sum()
    return (np.logical_and(pred, gt).sum() / union if union else 1.), plain_f(pred, gt)


def plain_f(pred: np.ndarray, gt: np.ndarray) -> float:
    """Harmonic mean of the boundaries' precision and recall, within a disk."""
    from skimage.morphology import disk

    tolerance = disk(math.ceil(.008 * np.linalg.norm(gt.shape)))
    edges = [plain_boundary(mask) for mask in (pred, gt)]
    near = [cv2.dilate(edge.astype(np.uint8), tolerance) > 0 for edge in edges]
    lengths = [edge.sum() for edge in edges]
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    precision, recall = ((edge & other).sum() / length for edge, other, length
                         in zip(edges, near[::-1], lengths, strict=True))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels unlike their right, lower or diagonal neighbour, as far as they have these."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def run_plain(pairs: list[VideoPair]) -> dict[str, np.ndarray]:
    """{video: (T, 2) J and F}."""
    return {pair.name: np.array([
        plain_scores(*(np.array(Image.open(labels.paths[p])) > 0
                       for labels in (pair.pred, pair.truth)))
        for p in DAVIS2016().counted(pair.frames)]) for pair in pairs}


def load_peer() -> Callable[..., Any]:
    """vos-benchmark's function, its scikit-image loaded, too."""
    try:
        import skimage.morphology  # noqa: F401
        from vos_benchmark.benchmark import benchmark
    except ImportError as error:
        raise InputError(f'{error}; type: pip install vos-benchmark') from error
    return benchmark


def binary_copy(pairs: list[VideoPair], folder: Path) -> list[VideoPair]:
    """Link, or write, what davis2016 compares as 0 and 255: vos-benchmark merges no ids."""
    for pair in pairs:
        for kind, labels in (('results', pair.pred), ('truth', pair.truth)):
            out = folder / kind / pair.name.replace('/', '_')
            out.mkdir(parents=True)
            for position, path in labels.paths.items():
                ids, target = labels.read(position), out / f'{position:05d}.png'
                if set(np.unique(ids)) <= {0, 255}:
                    target.symlink_to(path.resolve())
                else:
                    target.write_bytes(encode_mask(np.where(ids, np.uint8(255), np.uint8(0))))
    return pair_folders(folder / 'results', find_ground_truth(folder / 'truth', DAVIS2016),
                        DAVIS2016())


def compare(results: str, ground_truth: str, workers: int, repeat: int) -> None:
    """Print the seconds of all, and how far the scores are apart."""
    peer, protocol = load_peer(), DAVIS2016()
    originals = pair_folders(results, find_ground_truth(ground_truth, DAVIS2016), protocol)
    with tempfile.TemporaryDirectory() as folder:
        pairs = binary_copy(originals, Path(folder))
        masks, truth = f'{folder}/results', f'{folder}/truth'
        command = [sys.executable, EVALUATE, masks, truth, '--protocol', protocol.name,
                   '--workers', str(workers)]
        seconds, found = interleaved({
            PLAIN: lambda: run_plain(pairs),
            PEER: lambda: peer([truth], [masks], num_processes=workers, verbose=False),
            OURS: lambda: evaluate_pairs(pairs, protocol, num_workers=workers, start=QUICK_START),
            COMMAND: lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL),
        }, repeat)
    print(f'{workers} processes unless said otherwise')
    print_seconds(seconds, sum(len(protocol.counted(pair.frames)) for pair in pairs), OURS)
    apart = max(np.abs(found[PLAIN][video.name] - np.stack([item.j, item.f], 1)).max()
                for video in found[OURS].videos for item in video.objects)
    print(f'largest difference in J or F of a frame, plain and mmvos: {apart:.1e}\n'
          f"J&F: mmvos {found[OURS].summary['J&F']:.6f}, vos-benchmark {found[PEER][0][0]:.4f} %")
    assert apart < 1e-12, f'plain J and F are not ours: {apart} apart'


def interleaved(rows: dict[str, Callable[[], Any]],
                repeat: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of every run, taken in turns, and the last results."""
    seconds, results = {name: [] for name in rows}, {}
    for _ in range(repeat):
        for name, run in rows.items():
            began = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - began)
    return seconds, results


def print_seconds(seconds: dict[str, list[float]], frames: int, base: str) -> None:
    """A table of best and median; ratios are between best ones."""
    table = PrettyTable(['', 'best s', 'median s', 'ms / frame', f'/ {base}'], align='r')
    table.align[''] = 'l'
    for name, values in seconds.items():
        best = min(values)
        table.add_row([name, f'{best:.3f}', f'{median(values):.3f}', f'{1e3 * best / frames:.2f}',
                       f'{best / min(seconds[base]):.3f}'])
    print(f'{frames} frames, {len(seconds[base])} runs in turns, {os.cpu_count()} CPUs\n{table}')


def draw(folder: Path, size: tuple[int, int], count: int, seed: int) -> list[Path]:
    """Write maps of `count` ellipses each, if they are not there yet."""
    rng, folder = np.random.default_rng(seed), folder / f'{size[0]}_{count}_{seed}'
    if not folder.exists():
        folder.mkdir()
        for t in range(DRAWN):
            labels = np.zeros(size, np.uint8)
            for label in range(1, count + 1):
                centre = rng.integers(0, size[::-1]).tolist()
                axes = rng.integers(size[0] // 24, size[0] // 8, 2).tolist()
                cv2.ellipse(labels, centre, axes, int(rng.integers(180)), 0, 360, label, -1)
            (folder / f'{t:02d}.png').write_bytes(encode_mask(labels))
    return sorted(folder.iterdir())


def peak_mib(folder: Path, workers: int, protocol: str, size: tuple[int, int], objects: int,
             proposals: int, frames: int) -> tuple[float, float]:
    """Peak of this process, which should be a fresh one, and of its largest worker."""
    maps = draw(folder, size, objects, 0), draw(folder, size, proposals, 1)
    files = (LabelFiles({t: paths[t % DRAWN] for t in range(frames)}) for paths in maps)
    evaluate_pairs([VideoPair('video', [f'{t:05d}' for t in range(frames)], *files)],
                   build_protocol(protocol), num_workers=workers, start=QUICK_START)
    own, worker = (resource.getrusage(who).ru_maxrss / 1024
                   for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own, worker


def measure_memory(cases: list[tuple], workers: int) -> None:
    """Print the peaks, each case in a process of its own."""
    table = PrettyTable(['protocol', 'size', 'objects', 'proposals', 'frames', 'main process, MiB',
                         'largest worker, MiB'], align='r')
    with tempfile.TemporaryDirectory() as folder:
        for protocol, size, *counts in cases:
            with ProcessPoolExecutor(1, get_context('spawn')) as fresh:
                peaks = fresh.submit(peak_mib, Path(folder), workers, protocol, size,
                                     *counts).result()
            table.add_row([protocol, f'{size[1]}x{size[0]}', *counts,
                           *(f'{peak:.0f}' for peak in peaks)])
    print(f'{workers} workers\n{table}')


def measure_loop(config: str, checkpoint: str | None, options: dict | None,
                 repeat: int) -> None:
    """Print what evaluation adds to the seconds of a test."""
    from mmvos.apis import load_config, setup
    from mmvos.registry import DATASETS, METRICS

    setup()
    cfg = load_config(config, options)
    if not (cfg.get('test_dataloader') and cfg.get('test_evaluator')):
        raise InputError(f'expected test_dataloader and test_evaluator in {config}; give a config '
                         'that tools/test.py scores: configs/mamp/mamp_r18_synthetic.py, say')
    model, videos = load_model(cfg, checkpoint), DATASETS.build(cfg.test_dataloader.dataset)
    seconds, found = interleaved({
        ALONE: lambda: run_loop(model, videos, None),
        SCORED: lambda: run_loop(model, videos, METRICS.build(cfg.test_evaluator))}, repeat)
    metric, began = METRICS.build({**cfg.test_evaluator, 'num_workers': 0}), time.process_time()
    metric.process(None, found[ALONE])
    metric.evaluate(len(videos))
    spent, alone = time.process_time() - began, min(seconds[ALONE])
    print_seconds(seconds, sum(len(video) for video in videos.videos), ALONE)
    print(f'evaluation adds {min(seconds[SCORED]) / alone - 1:+.2%}; its own CPU time, '
          f'{spent:.3f} s, is {spent / alone:.2%} of the prediction')


def load_model(cfg: Any, checkpoint: str | None) -> Any:
    """A config's model, on a GPU if there is one."""
    import torch

    from mmvos.apis import find_checkpoint, load_weights
    from mmvos.registry import MODELS

    model = MODELS.build(cfg.model).eval()
    if checkpoint:
        load_weights(model, find_checkpoint(checkpoint))
    return model.to('cuda' if torch.cuda.is_available() else 'cpu')


def run_loop(model: Any, videos: Any, metric: Any) -> list[dict]:
    """Predict all videos and, if there is a metric, score them, as MMEngine's loop does."""
    samples = []
    for index in range(len(videos)):
        batch = {key: [value] for key, value in videos[index].items()}
        samples.append(model.test_step(batch)[0].to_dict())
        if metric is not None:
            metric.process(batch, samples[-1:])
    if metric is not None:
        metric.evaluate(len(videos))
    return samples


def parse_args() -> argparse.Namespace:
    """Command line."""
    from mmengine.config import DictAction  # not above: workers import this file as well

    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='?', help='folder of predicted masks')
    parser.add_argument('ground_truth', nargs='?', help='folder of annotations, or root of DAVIS')
    parser.add_argument('--workers', type=int, default=2, help='processes (default: 2)')
    parser.add_argument('--repeat', type=int, default=3, help='runs of each row (default: 3)')
    parser.add_argument('--memory', action='store_true', help='measure peak memory')
    parser.add_argument('--loop', metavar='CONFIG',
                        help="test this model without and with its config's metric")
    parser.add_argument('--checkpoint', metavar='NAME', help='weights of --loop')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='K=V',
                        help='change the config of --loop: test_dataloader.dataset.indices=1')
    return parser.parse_intermixed_args()


def main() -> None:
    """Measure what was asked for; memory first, since children begin with their parent's peak."""
    args = parse_args()
    if bool(args.results) != bool(args.ground_truth) or not (
            args.results or args.memory or args.loop):
        raise InputError('expected RESULTS GROUND_TRUTH, --memory or --loop CONFIG')
    if min(args.workers, args.repeat) < 1:
        raise InputError('--workers and --repeat should be 1 or more')
    if args.memory:
        measure_memory(CASES, args.workers)
    if args.results:
        compare(args.results, args.ground_truth, args.workers, args.repeat)
    if args.loop:
        measure_loop(args.loop, args.checkpoint, args.cfg_options, args.repeat)


if __name__ == '__main__':
    exit_with_message(main)
