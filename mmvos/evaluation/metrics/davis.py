"""DAVIS's semi-supervised measures as an MMEngine metric."""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray
from prettytable import PrettyTable

from mmvos.registry import METRICS

from ..functional import mean_recall_decay, score_video
from ..functional.video import Scores

COLUMNS = ('J&F', 'J', 'J-recall', 'J-decay', 'F', 'F-recall', 'F-decay')
Row = tuple[float, ...]


@METRICS.register_module()
class DAVISMetric(BaseMetric):
    """J&F with mean, recall and decay (0 to 1), averaged over all objects of all videos.

    `functional.score_video` says which frames and objects count. DAVIS-2016 has one object per
    video (its dataset merges the ids), so that its average is over videos. Videos are scored in
    worker processes while the next ones are being predicted.

    Args:
        num_workers: Worker processes; 0 scores in this process, before `process` returns.
        **kwargs: Of MMEngine's `BaseMetric`.
    """

    default_prefix = ''
    example: dict = dict(num_workers=0)
    results: list

    def __init__(self, num_workers: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_workers = num_workers
        self._pool: ProcessPoolExecutor | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Start scoring videos.

        Args:
            data_batch: Not used.
            data_samples: One dict per video with `video_name`, `pred_masks` (a PNG as bytes per
                frame) and `truth` (MaskSource).

        Raises:
            ValueError: A video has no annotation to compare with.
        """
        for sample in data_samples:
            name, truth = sample['video_name'], sample['truth']
            if truth is None:
                raise ValueError(f"video '{name}': expected annotations to compare with, got none; "
                                 'set val_evaluator/test_evaluator to None or use a labelled split')
            self.results.append((name, self._submit(name, sample['pred_masks'], truth)))

    def evaluate(self, size: int) -> dict:
        """Return the averages over the dataset of `size` videos, once all are scored."""
        try:
            self.results = [(name, future.result()) for name, future in self.results]
        except BaseException:
            self.results.clear()
            raise
        finally:
            self.close()
        return super().evaluate(size)

    def close(self) -> None:
        """Stop the worker processes; videos that wait are dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def compute_metrics(self, results: list[tuple[str, Scores]]) -> dict[str, float]:
        """Log a table of the videos and return the averages over all objects.

        Args:
            results: (video name, {object id: (J, F)}) of every video.

        Raises:
            ValueError: No video has an object in an evaluated frame.
        """
        rows = [(name, [_statistics(j, f) for j, f in scores.values() if j.size])
                for name, scores in results]
        objects = [row for _, video in rows for row in video]
        if not objects:
            raise ValueError('expected an annotated object in at least one evaluated frame, got '
                             f'{len(rows)} videos without; first and last frames do not count')
        print_log('\n' + _table(rows, objects), 'current')
        return dict(zip(COLUMNS, np.mean(objects, 0).tolist(), strict=True))

    def _submit(self, *arguments: Any) -> Future:
        if self.num_workers:
            if self._pool is None:
                # Spawned: a forked copy of a process with torch's threads can deadlock.
                self._pool = ProcessPoolExecutor(self.num_workers, get_context('spawn'),
                                                 partial(cv2.setNumThreads, 1))
            return self._pool.submit(score_video, *arguments)
        future: Future = Future()
        future.set_result(score_video(*arguments))
        return future


def _statistics(j: NDArray[np.float64], f: NDArray[np.float64]) -> Row:
    """Return one object's values in the order of `COLUMNS`."""
    regions, boundaries = mean_recall_decay(j), mean_recall_decay(f)
    return (regions[0] + boundaries[0]) / 2, *regions, *boundaries


def _table(rows: list[tuple[str, list[Row]]], objects: list[Row]) -> str:
    table = PrettyTable(['video', 'objects', *COLUMNS], align='r')
    table.align['video'] = 'l'
    for name, video in rows:
        values = [f'{value:.3f}' for value in np.mean(video, 0)] if video else ['-'] * len(COLUMNS)
        table.add_row([name, len(video), *values])
    table.add_divider()
    table.add_row(['all', len(objects), *(f'{value:.3f}' for value in np.mean(objects, 0))])
    return table.get_string()
