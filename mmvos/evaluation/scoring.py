"""Comparing videos with their ground truth, some frames at a time in any executor."""
from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np

from mmvos.io import InputError
from mmvos.io.colours import present_values
from mmvos.io.freed_memory import keep_freed_memory

from .functional.frame import FrameScore, score_frame
from .functional.stability import contour_descriptors, stability
from .labels import LabelMap, Labels, VideoPair

# Frames of one piece of work: few enough to keep every worker busy, whatever the videos' lengths.
PART = 48
# How a process in which nothing else runs makes its workers.
QUICK_START = 'fork' if sys.platform == 'linux' else 'spawn'
# More values than that are shades of grey.
MAX_IDS = 64


@dataclass(frozen=True)
class Rules:
    """How two label maps are compared.

    Attributes:
        merge: Every id is one object, 1.
        void: Where the ground truth is 255 nothing counts; otherwise it is background.
        all_pairs: Every annotated object with every predicted one.
        stability: Compute T.
    """

    merge: bool = False
    void: bool = True
    all_pairs: bool = False
    stability: bool = False


class InThisProcess(Executor):
    """Works when asked, without workers."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future:
        """Return the future of a call that is over."""
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def workers(count: int, start: str = 'spawn') -> Iterator[Executor]:
    """Yield an executor of `count` processes; 0 works in this one. What waits is dropped.

    `start` is how they are made, see `evaluate_pairs`.
    """
    if count < 0:
        raise InputError(f'expected 0 or more worker processes, got {count}; correct --workers')
    if not count:
        yield InThisProcess()
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # ends OpenCV's threads, of which a forked process would wait for ever
    try:
        with ProcessPoolExecutor(count, get_context(start), _begin) as pool:
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
    except BrokenExecutor as error:
        raise InputError(
            'a worker process ended by itself: take fewer workers if the memory was full, and '
            "begin a script of your own with if __name__ == '__main__':") from error
    finally:
        cv2.setNumThreads(threads)


def _begin() -> None:
    """Prepare a worker process: one thread, and the main process alone hears Ctrl-C."""
    cv2.setNumThreads(1)
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def submit(executor: Executor, pair: VideoPair, counted: Iterable[int],
           rules: Rules) -> list[Future]:
    """Start the comparison of a video, in parts of its frames.

    Args:
        executor: What works.
        pair: The video.
        counted: Positions of the frames that count, in order.
        rules: How frames are compared.

    Returns:
        Futures of {position: score}; besides the counted frames there is one for position 0, of
        its truth alone if it does not count.
    """
    positions = list(counted)
    before = [] if positions[:1] == [0] else [0]
    parts = [positions[start:start + PART] for start in range(0, len(positions), PART)] or [[]]
    futures = []
    for number, part in enumerate(parts):
        lead = (parts[number - 1][-1:] if number else before) if rules.stability else []
        needed = [*before, *lead, *part]
        futures.append(executor.submit(
            score_part, replace(pair, truth=pair.truth.part(needed), pred=pair.pred.part(needed)),
            before, lead, part, rules))
        before = []
    return futures


def score_part(pair: VideoPair, before: list[int], lead: list[int], part: list[int],
               rules: Rules) -> dict[int, FrameScore]:
    """Compare some frames of a video.

    Args:
        pair: The video.
        before: Frames of which only the truth is read: the given masks.
        lead: The frame before `part`, for T.
        part: Frames to compare, in order.
        rules: How.

    Raises:
        InputError: A file cannot be used, or the two maps of a frame differ in size.
    """
    scores, last = {}, {}
    for position in before:
        gt = _read(pair.truth, position, rules)
        scores[position] = score_frame(gt, np.zeros_like(gt), void=rules.void)
    for position in lead:
        last = _contours(read_pair(pair, position, rules)[1])
    for position in part:
        gt, pred = read_pair(pair, position, rules)
        score = score_frame(gt, pred, void=rules.void, all_pairs=rules.all_pairs)
        if rules.stability:
            now = _contours(pred)
            score = replace(score, stability={
                label: stability(last[label], now[label]) for label in now.keys() & last.keys()})
            last = now
        scores[position] = score
    return scores


def read_pair(pair: VideoPair, position: int, rules: Rules) -> tuple[LabelMap, LabelMap]:
    """Return the truth and the prediction of a frame, a missing prediction as an empty one.

    Raises:
        InputError: A file cannot be used, or the two differ in size.
    """
    gt = _read(pair.truth, position, rules)
    if not pair.pred.has(position):
        return gt, np.zeros_like(gt)
    pred = _read(pair.pred, position, rules)
    if pred.shape != gt.shape:
        raise InputError(
            f'{pair.pred.where(position)} is {pred.shape[1]}x{pred.shape[0]} (width x height), '
            f'but {pair.truth.where(position)} is {gt.shape[1]}x{gt.shape[0]}; predict at the '
            "annotation's size")
    return gt, pred


def _read(labels: Labels, position: int, rules: Rules) -> LabelMap:
    ids = labels.read(position)
    if not rules.merge:
        return ids
    _refuse_soft(ids, labels.where(position))
    return (ids > 0).view(np.uint8)


def _refuse_soft(ids: LabelMap, where: str) -> None:
    """Refuse a map of probabilities, or one with smooth edges, where all that is not 0 counts."""
    if ids.max() <= MAX_IDS or (ids + np.uint8(1)).max() <= 1:  # 255 + 1 is 0
        return
    shades = len(np.setdiff1d(present_values(ids), (0, 255)))
    if shades > MAX_IDS or (shades and ids.max() == 255):
        raise InputError(f'{where} has {shades} values between 0 and 255, as a map of '
                         'probabilities or with smooth edges; save a mask of 0 and 255')


def _contours(labels: LabelMap) -> dict[int, Any]:
    found = {int(label): contour_descriptors(labels == label)
             for label in present_values(labels) if label}
    return {label: value for label, value in found.items() if value is not None}
