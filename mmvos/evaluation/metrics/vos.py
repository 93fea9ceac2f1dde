"""Protocols as an MMEngine metric."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvos.io import InputError
from mmvos.registry import METRICS

from ..labels import LabelPNGs, SourceLabels, VideoPair
from ..offline import finish
from ..protocols import build_protocol
from ..report import Report
from ..scores import VideoScores
from ..scoring import InThisProcess, submit


@METRICS.register_module()
class VOSMetric(BaseMetric):
    """The measures of a benchmark, over the videos of a test.

    `mmvos.evaluation.protocols` says what each protocol counts; the table is bitwise the one that
    tools/analysis_tools/evaluate.py prints for the same masks in folders. Videos are compared in
    threads while the next ones are being predicted: nearly all of the work is done by Pillow and
    OpenCV, which let other threads run.

    Args:
        protocol: A name, or a dict with it as 'type' and options of its class:
            dict(type='davis2017', official_compat=True).
        num_workers: Threads; 0 compares before `process` returns.
        **kwargs: Of MMEngine's `BaseMetric`.
    """

    default_prefix = ''
    example: dict = dict(protocol='davis2017', num_workers=0)
    results: list  # of videos that were started; of their scores once they are all there

    def __init__(self, protocol: str | dict, num_workers: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        options = {'type': protocol} if isinstance(protocol, str) else dict(protocol or {})
        if 'type' not in options:
            raise InputError(f'expected a name or dict(type=name, ...) as protocol, got {protocol}')
        self.protocol = build_protocol(options.pop('type'), **options)
        self.num_workers = num_workers
        self._pool: ThreadPoolExecutor | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Start scoring videos.

        Args:
            data_batch: Not used.
            data_samples: One dict per video with `video_name`, `frame_names`, `pred_masks` (a PNG
                as bytes per frame) and `truth` (MaskSource).

        Raises:
            ValueError: A video has no annotation to compare with, or of frames it does not have,
                or an earlier one could not be scored.
        """
        with self._nothing_left_on_errors():
            for _, futures in self.results:
                for future in futures:
                    if future.done():
                        future.result()  # a mistake is told now, not after the last video
            for sample in data_samples:
                pair = as_pair(sample)
                futures = submit(self._executor(), pair, self.protocol.counted(pair.frames),
                                 self.protocol.rules)
                # without the masks: they go when they have been scored
                self.results.append((replace(pair, pred=pair.pred.part([])), futures))

    def evaluate(self, size: int) -> dict:
        """Return the averages over the dataset of `size` videos, once all are scored."""
        with self._nothing_left_on_errors():
            self.results = [finish(pair, futures, self.protocol) for pair, futures in self.results]
            self.close()
            return super().evaluate(size)

    def compute_metrics(self, results: list[VideoScores]) -> dict[str, float]:
        """Log the table and return the averages."""
        report = Report(self.protocol, results)
        print_log('\n' + report.table(), 'current')
        return report.summary

    def close(self) -> None:
        """Stop the threads; videos that wait are dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    @contextmanager
    def _nothing_left_on_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.results.clear()
            self.close()
            raise

    def _executor(self) -> ThreadPoolExecutor | InThisProcess:
        if not self.num_workers:
            return InThisProcess()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.num_workers, 'mmvos-evaluation')
        return self._pool


def as_pair(sample: dict) -> VideoPair:
    """Return the annotated frames of a video and their predictions.

    Raises:
        ValueError: There is no annotation, or of frames that the video does not have.
    """
    name, truth, pngs = sample['video_name'], sample['truth'], sample['pred_masks']
    if truth is None or not truth.indices:
        raise ValueError(f"video '{name}': expected annotations to compare with, got none; "
                         'set test_evaluator=[] (val_evaluator=[]) or use a labelled split')
    indices = truth.indices
    if indices[-1] >= len(pngs):
        raise ValueError(f"video '{name}': expected a predicted mask for every frame, got "
                         f'{len(pngs)} masks and an annotation of frame {indices[-1]}; '
                         'check that frames and annotations belong to one video')
    frames = [sample['frame_names'][index] for index in indices]
    pred = LabelPNGs({p: pngs[index] for p, index in enumerate(indices)}, name, frames)
    return VideoPair(name, frames, SourceLabels(truth, name, frames), pred)
