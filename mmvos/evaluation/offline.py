"""Evaluation of videos that are there: folders of results."""
from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from .labels import VideoPair
from .protocols import Protocol
from .report import Report
from .scores import VideoScores
from .scoring import submit, workers

Started = tuple[VideoPair, list[Future]]


def evaluate_pairs(pairs: Iterable[VideoPair], protocol: Protocol, *,
                   num_workers: int = 0, start: str = 'spawn') -> Report:
    """Score videos and return their report.

    Args:
        pairs: The videos.
        protocol: What counts.
        num_workers: Processes; 0 works in this one. The report is bitwise the same.
        start: How processes are made, see `multiprocessing.get_context`: 'fork' saves their
            imports, but is only safe where no other thread runs.

    Raises:
        InputError: A file cannot be used under the protocol.
    """
    with workers(num_workers, start) as executor:
        started: Iterable[Started] = (
            (pair, submit(executor, pair, protocol.counted(pair.frames), protocol.rules))
            for pair in pairs)
        # processes get all of their work at once; without them it is done video by video
        if num_workers:
            started = list(started)
        return Report(protocol, [finish(*video, protocol) for video in _progress(started)])


def finish(pair: VideoPair, futures: Iterable[Future], protocol: Protocol) -> VideoScores:
    """Return a video's scores, once all its parts are done."""
    scores = {}
    for future in futures:
        scores.update(future.result())
    return protocol.video(pair, scores)


def _progress(started: Iterable[Started]) -> Iterator[Started]:
    """Yield the videos, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from started
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(started, 'videos', console=Console(stderr=True), transient=True)
