"""A progress bar that counts frames."""
from __future__ import annotations

import atexit
import time

import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ...registry import HOOKS
from ...structures import VOSDataSample


def frame_progress() -> Progress:
    """Bar of frames with s/frame and the time left, shared by test and demo."""
    return Progress(
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[unit]}'), TextColumn('{task.fields[pace]}'), TimeElapsedColumn(),
        TextColumn('ETA'), TimeRemainingColumn(), refresh_per_second=2)


@HOOKS.register_module()
class FrameProgressHook(Hook):
    """Count frames while testing, show the time left and log s/frame."""

    example: dict = {}

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.frames = 0
        self.seconds = 0.
        self._began = 0.

    def before_test(self, runner: Runner) -> None:
        """Start the bar and listen to the model."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.listeners = [listener for listener in model.listeners if listener != self.on_frame]
        model.listeners.append(self.on_frame)
        model.report = self.on_report
        self.frames, self.seconds = 0, 0.
        videos = getattr(runner.test_dataloader.dataset, 'videos', None)
        total = None if videos is None else sum(len(video) for video in videos)
        self.progress = frame_progress()
        self.task = self.progress.add_task('test', total=total, unit='frames', pace='')
        self.progress.start()
        atexit.register(self.progress.stop)  # a test that fails must give the cursor back

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None
                         ) -> None:
        """Time starts when the model gets the video."""
        self._began = time.perf_counter()

    def on_frame(self, sample: VOSDataSample, index: int, labels: np.ndarray) -> None:
        """One more frame."""
        now = time.perf_counter()
        self.frames += 1
        self.seconds += now - self._began
        self._began = now
        self.progress.update(self.task, advance=1, description=sample.video_name,
                             pace=f'{self.seconds / self.frames:.3f} s/frame')

    def on_report(self, what: str, done: int, total: int) -> None:
        """A refiner goes on; its frames come later."""
        self.progress.update(self.task, pace=f'{what} {done}/{total}')

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Stop the bar and log the pace."""
        self.progress.stop()
        if self.frames:
            runner.logger.info(f'{self.frames} frames, {self.seconds / self.frames:.3f} s/frame '
                               '(decode, segment, compress)')
