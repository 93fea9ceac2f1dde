"""What a protocol decides: frames, objects, averages."""
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from mmvos.io import InputError

from ..functional.frame import VOID, FrameScore
from ..functional.statistics import mean_recall_decay
from ..labels import VideoPair
from ..scores import ObjectScores, VideoScores
from ..scoring import Rules

Row = dict[str, float]
COLUMNS = ('J&F', 'J', 'J-recall', 'J-decay', 'F', 'F-recall', 'F-decay')


class Protocol:
    """Every annotated frame and every object by its id; the mean over all objects.

    Attributes:
        name: On the command line and in configs.
        title: In tables.
        counts: What is counted and averaged, in a sentence.
        verified: What that was checked against.
        layout: Under a dataset's root: folder of the annotations, and the file with the names of
            the videos or, where `takes` has 'meta', their meta.json; '' if there is none.
        takes: Options of its own, which the command line may give.
        merge: All ids are one object.
        all_pairs: Ids of truth and prediction are not the same ones.

    Args:
        official_compat: Repeat what the official tool gets wrong, where numbers would differ.
        stability: Add the column T, lower is better.
    """

    name = ''
    title = ''
    counts = ''
    verified = 'by the written rule, unverified'
    layout: tuple[str, str] | None = None
    takes: tuple[str, ...] = ()
    merge = False
    all_pairs = False

    def __init__(self, *, official_compat: bool = False, stability: bool = False) -> None:
        self.official_compat = official_compat
        self.stability = stability

    @property
    def columns(self) -> tuple[str, ...]:
        """Of `row` and, first, of `summary`; the first is the headline."""
        return (*COLUMNS, 'T') if self.stability else COLUMNS

    @property
    def rules(self) -> Rules:
        """How two label maps are compared."""
        return Rules(merge=self.merge, all_pairs=self.all_pairs, stability=self.stability)

    def counted(self, frames: Sequence[str]) -> Sequence[int]:
        """Return the positions of the frames that count, out of the annotated ones, in order."""
        return range(len(frames))

    def needed(self, name: str, frames: Sequence[str]) -> Sequence[int]:
        """Return the positions of the frames of a video that must have been predicted."""
        return self.counted(frames)

    def video(self, pair: VideoPair, scores: dict[int, FrameScore]) -> VideoScores:
        """Return the scores of a video's objects.

        Args:
            pair: The video.
            scores: {position: scores} of the frames that count and of the first annotated one.

        Raises:
            InputError: There is no object, or the prediction has an id that belongs to none.
        """
        first = first_frames(scores)
        if not first:
            other = '' if self.merge else (
                ', or take davis2016 or foreground if its masks are 0/255')
            raise InputError(
                f"{pair.truth.where(0)}: the ground truth of video '{pair.name}' shows no object "
                f'in any frame that protocol {self.name} reads; leave the video out{other}')
        frames = {p: scores[p] for p in self.counted(pair.frames)}
        if not self.merge:
            _refuse_white(pair, frames, self.name)
            self.check(pair, frames, set(first))
        found = [item for item in self.objects(pair, frames, self.labels(first))
                 if len(item.frames)]
        used = sorted({int(p) for item in found for p in item.frames})
        missing = [pair.frames[p] for p in used if not pair.pred.has(p)]
        return VideoScores(pair.name, pair.frames, found, missing)

    def check_names(self, names: Collection[str]) -> None:
        """Refuse names of videos that the protocol cannot work with, before any is scored."""

    def labels(self, first: dict[int, int]) -> dict[int, int]:
        """Return {id: position of its first frame} of the objects, from the ids that are shown."""
        return {1: 0} if self.merge else first

    def check(self, pair: VideoPair, frames: dict[int, FrameScore], known: set[int]) -> None:
        """Refuse ids that belong to no object."""
        for position, score in frames.items():
            if extra := sorted(set(score.predicted) - known):
                raise InputError(
                    f"{pair.pred.where(position)} has ids {extra}, its video's ground truth has "
                    f'{sorted(known)}; predict the annotated objects only')

    def objects(self, pair: VideoPair, frames: dict[int, FrameScore],
                first: dict[int, int]) -> list[ObjectScores]:
        """Return the scores of the objects.

        Args:
            pair: The video.
            frames: {position: scores} of the frames that count.
            first: {id: position of its first frame}.
        """
        return [collect(frames, label, label, self.stability) for label in sorted(first)]

    def units(self, video: VideoScores) -> list[tuple[str, Row]]:
        """Return what is averaged: (group, values by column), one for each object."""
        return [(item.group, self.object_row(item)) for item in video.objects]

    def object_row(self, item: ObjectScores) -> Row:
        """Return the values of one object."""
        j, f = (mean_recall_decay(values, official_compat=self.official_compat)
                for values in (item.j, item.f))
        row = dict(zip(COLUMNS, ((j[0] + f[0]) / 2, *j, *f), strict=True))
        if item.t is not None:
            row['T'] = mean(item.t)
        return row

    def row(self, video: VideoScores) -> Row:
        """Return the means over a video, NaN where there is nothing."""
        return self._means([row for _, row in self.units(video)])

    def summary(self, videos: Sequence[VideoScores]) -> Row:
        """Return the means over a dataset: over groups of the means over their units."""
        groups = self.groups(videos)
        return self._means([self._means(rows) for rows in groups.values()])

    def groups(self, videos: Sequence[VideoScores]) -> dict[str, list[Row]]:
        """Return the units of all videos by group, both sorted by name."""
        groups: dict[str, list[Row]] = defaultdict(list)
        for video in sorted(videos, key=lambda video: video.name):
            for group, row in self.units(video):
                groups[group].append(row)
        return dict(sorted(groups.items()))

    def headline_parts(self, video: VideoScores) -> dict[str, tuple[float, int]]:
        """Return {group: (sum, count)} of the headline; it is the mean of groups' sum / count."""
        parts: dict[str, list[float]] = defaultdict(list)
        for group, row in self.units(video):
            parts[group].append(row[self.columns[0]])
        return {group: (math.fsum(values), len(values)) for group, values in parts.items()}

    def notes(self, videos: Sequence[VideoScores]) -> list[str]:
        """Return what a reader of the table has to know."""
        notes = []
        if any(len(item.frames) > 255 for video in videos for item in video.objects):
            notes.append(
                'decay as the official tool computes it, wrong beyond 255 frames'
                if self.official_compat else 'decay is right beyond 255 frames, where the official '
                'tool is not (--official-compat)')
        return notes

    def _means(self, rows: list[Row]) -> Row:
        means = {column: mean(row[column] for row in rows if column in row)
                 for column in self.columns}
        if self.official_compat:  # its averages do not leave NaN out
            means |= {column: math.nan for column in self.columns if column.endswith('decay')
                      and any(math.isnan(row[column]) for row in rows)}
        return means


def mean(values: Iterable[float]) -> float:
    """Return the mean, exactly summed, of what is not NaN; NaN if nothing is left."""
    kept = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(kept) / len(kept) if kept else math.nan


def _refuse_white(pair: VideoPair, frames: dict[int, FrameScore], name: str) -> None:
    """Refuse 255 in a prediction of ids."""
    for position, score in frames.items():
        if VOID in score.predicted:
            raise InputError(
                f'{pair.pred.where(position)} has the value 255, object ids 1, 2, ... are expected '
                f'by protocol {name}; for 0/255 masks take davis2016 or foreground, or convert '
                'them: tools/analysis_tools/check_dataset.py --fix')


def first_frames(scores: dict[int, FrameScore]) -> dict[int, int]:
    """Return {id: position of the first frame that shows it} of the annotated objects."""
    first: dict[int, int] = {}
    for position, score in scores.items():
        for label in score.shares:
            first.setdefault(label, position)
    return first


def collect(frames: dict[int, FrameScore], annotated: int, predicted: int, stability: bool,
            group: str = '') -> ObjectScores:
    """Return an object's scores on some frames, given the predicted id that it is matched with."""
    values = np.array([score.of(annotated, predicted) for score in frames.values()])
    values = values.reshape(-1, 2)
    t = [score.stability.get(predicted, math.nan) for score in frames.values()]
    return ObjectScores(
        annotated, np.array(list(frames), np.int64), values[:, 0], values[:, 1],
        np.array([score.shares.get(annotated, 0.) for score in frames.values()]),
        np.array(t) if stability else None, group, (annotated, predicted))
