"""Draw the loss of a training run: python tools/analysis_tools/plot_loss.py WORK_DIR OUT.png."""
import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np

from mmvos.apis import exit_with_message
from mmvos.io import atomic_path


def read_scalars(work_dir: str) -> list[dict]:
    """Iterations logged by all runs of a work directory, resumed ones included, in order."""
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'no */vis_data/scalars.json in {work_dir}; give the --work-dir '
                                'of a tools/train.py that has logged a loss (every 50 iterations, '
                                'or default_hooks.logger.interval)')
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return sorted({row['step']: row for row in rows if 'loss' in row}.values(),
                  key=lambda row: row['step'])


def draw(rows: list[dict], out: str, window: int = 10) -> None:
    """Loss, its running mean and the learning rate over iterations."""
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    steps, losses = ([row[key] for row in rows] for key in ('step', 'loss'))
    figure, axis = plt.subplots(figsize=(8, 4), dpi=100)
    axis.plot(steps, losses, alpha=.35, label='loss')
    if len(rows) > window:
        mean = np.convolve(losses, np.full(window, 1 / window), 'valid')
        axis.plot(steps[window - 1:], mean, label=f'mean of {window} values')
    axis.set(xlabel='iteration', ylabel='loss', yscale='log')
    rate = axis.twinx()
    rate.plot(steps, [row['lr'] for row in rows], 'k:', label='learning rate')
    rate.set(ylabel='learning rate', yscale='log')
    axis.legend(loc='upper right')
    figure.tight_layout()
    with atomic_path(out) as part:
        figure.savefig(part)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir')
    parser.add_argument('out')
    args = parser.parse_args()
    draw(read_scalars(args.work_dir), args.out)


if __name__ == '__main__':
    exit_with_message(main)
