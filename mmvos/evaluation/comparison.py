"""Two results on the same videos: what differs, and whether it could be chance.

The interval is a percentile bootstrap (Efron and Tibshirani, "An introduction to the bootstrap",
1993, chapter 13) over videos: objects of one video succeed and fail together, so that they are
drawn together.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prettytable import PrettyTable

from mmvos.io import InputError

from .report import Report

RESAMPLES = 10_000
LEVEL = 95  # percent
SEED = 0
CHUNK = 500  # resamples at a time: bounds memory

Parts = dict[str, dict[str, tuple[float, int]]]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One video's values, NaN where nothing counts; `difference` is b - a."""

    video: str
    a: float
    b: float
    difference: float


@dataclass(frozen=True)
class Comparison:
    """Result B beside result A.

    Attributes:
        title: Of the protocol.
        headline: Column that is compared over all videos.
        column: The one that is compared for each video.
        names: What A and B are.
        a: The headline of A.
        b: The headline of B.
        difference: b - a.
        interval: Lower and upper end of the difference's 95 % interval.
        videos: Number of videos that were resampled.
        rows: Each video, the largest loss first, those where nothing counts last.
    """

    title: str
    headline: str
    column: str
    names: tuple[str, str]
    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    videos: int
    rows: list[Difference]

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return not self.interval[0] <= 0 <= self.interval[1]

    def table(self) -> str:
        """Return the differences of all videos and what can be said over all."""
        table = PrettyTable([f'{self.column} of video', 'A', 'B', 'B - A'], align='r')
        table.align[table.field_names[0]] = 'l'
        for row in self.rows:
            table.add_row([row.video, *_texts(row.a, row.b, row.difference)],
                          divider=row is self.rows[-1])
        table.add_row([f'all: {self.headline}', *_texts(self.a, self.b, self.difference)])
        low, high = self.interval
        verdict = 'excludes 0' if self.excludes_zero else 'includes 0: it may be chance'
        return '\n'.join([
            f'{self.title}: A is {self.names[0]}, B is {self.names[1]}', table.get_string(),
            f'{self.headline} of B - A: {self.difference:+.3f}, {LEVEL} % interval {low:+.3f} to '
            f'{high:+.3f}, which {verdict}',
            f'(paired bootstrap over {self.videos} videos, each with all its objects, '
            f'{RESAMPLES} resamples)'])

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON; NaN becomes None."""
        rows = [{key: None if value != value else value for key, value in vars(row).items()}
                for row in self.rows]
        return {**vars(self), 'names': list(self.names), 'interval': list(self.interval),
                'level': LEVEL / 100, 'excludes_zero': self.excludes_zero,
                'resamples': RESAMPLES, 'rows': rows}


def compare(a: Report, b: Report, names: tuple[str, str] = ('A', 'B')) -> Comparison:
    """Return how B differs from A.

    The interval says how much the headline's difference would vary with other videos of the same
    kind: videos are drawn with replacement, as many as there are, and the protocol's own headline
    is computed anew; a group (of categories, say) that got no video is left out of that resample's
    mean. With few videos it is too narrow.

    Args:
        a: The result to compare with.
        b: The other.
        names: What they are called in the text and in messages.

    Raises:
        InputError: They are of different protocols, of different videos or ground truth, or have
            fewer than two videos with an object.
        ValueError: The protocol's `headline_parts` do not give its headline.
    """
    _check(a, b, names)
    parts_a, parts_b = _parts(a), _parts(b)
    differing = [video for video, parts in parts_a.items()
                 if _counts(parts) != _counts(parts_b[video])]
    if differing:
        raise InputError(f"video '{differing[0]}' counts other objects or frames in {names[0]} "
                         f'than in {names[1]}; score both against the same ground truth')
    videos = [video for video, parts in parts_a.items() if parts]
    if len(videos) < 2:
        raise InputError('expected at least 2 videos with an object to resample, got '
                         f'{len(videos)}; compare results on more videos')
    headline, column = next(iter(a.summary)), next(iter(a.rows[videos[0]]))
    gains, counts = _matrices(parts_a, parts_b, videos)
    rows = [Difference(video, row[column], b.rows[video][column],
                       b.rows[video][column] - row[column]) for video, row in a.rows.items()]
    return Comparison(
        a.protocol.title, headline, column, names, a.summary[headline], b.summary[headline],
        b.summary[headline] - a.summary[headline], _interval(gains, counts), len(videos),
        sorted(rows, key=lambda row: (math.isnan(row.difference), row.difference, row.video)))


def _check(a: Report, b: Report, names: tuple[str, str]) -> None:
    """Refuse results that are no pair."""
    rules = [(report.protocol.name, report.protocol.official_compat) for report in (a, b)]
    if rules[0] != rules[1]:
        texts = [name + ' (official_compat)' * compat for name, compat in rules]
        raise InputError(f'expected two results under one protocol, got {" and ".join(texts)}; '
                         'evaluate both with the same options')
    alone = sorted(a.rows.keys() ^ b.rows.keys())
    if alone:
        present, absent = names if alone[0] in a.rows else names[::-1]
        raise InputError(f"video '{alone[0]}' is in {present} but not in {absent}, the first of "
                         f'{len(alone)} that differ; compare results on the same videos')


def _parts(report: Report) -> Parts:
    """Return {video: {group: (sum, count)}} of the headline, in order of names."""
    videos = sorted(report.videos, key=lambda video: video.name)
    parts = {video.name: report.protocol.headline_parts(video) for video in videos}
    groups = sorted({group for groups in parts.values() for group in groups})
    means = []
    for group in groups:
        sums, counts = zip(*(found[group] for found in parts.values() if group in found),
                           strict=True)
        means.append(math.fsum(sums) / sum(counts))
    headline, value = next(iter(report.summary.items()))
    if means and not math.isclose(math.fsum(means) / len(means), value, abs_tol=1e-9):
        raise ValueError(f'protocol {report.protocol.name}: expected headline_parts that average '
                         f'to {headline} {value}, got {math.fsum(means) / len(means)}; override '
                         'headline_parts where summary is')
    return parts


def _counts(parts: dict[str, tuple[float, int]]) -> dict[str, int]:
    return {group: count for group, (_, count) in parts.items()}


def _matrices(a: Parts, b: Parts, videos: list[str]) -> tuple[Matrix, Matrix]:
    """Return (V, G) differences of sums and counts."""
    groups = sorted({group for video in videos for group in a[video]})
    none = (0., 0)
    gains = [[b[video].get(group, none)[0] - a[video].get(group, none)[0] for group in groups]
             for video in videos]
    counts = [[a[video].get(group, none)[1] for group in groups] for video in videos]
    return np.array(gains, np.float64), np.array(counts, np.float64)


def _interval(gains: Matrix, counts: Matrix) -> tuple[float, float]:
    """Return the interval of the difference, given (V, G) differences of sums and counts."""
    rng = np.random.default_rng(SEED)
    values = [_differences(_draw(rng, len(gains), CHUNK), gains, counts)
              for _ in range(0, RESAMPLES, CHUNK)]
    low, high = np.percentile(np.concatenate(values), [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def _draw(rng: np.random.Generator, videos: int, resamples: int) -> Matrix:
    """Return (resamples, V): how often each video was drawn."""
    drawn = rng.integers(videos, size=(resamples, videos))
    drawn += np.arange(resamples)[:, None] * videos
    times = np.bincount(drawn.reshape(-1), minlength=resamples * videos)
    return times.reshape(resamples, videos).astype(np.float64)


def _differences(times: Matrix, gains: Matrix, counts: Matrix) -> Matrix:
    """Return (R,) differences of the headline when video v counts `times[r, v]` times."""
    # Not `@`: BLAS rounds differently with another number of threads.
    total, gain = (np.einsum('rv,vg->rg', times, values) for values in (counts, gains))
    means = np.divide(gain, total, out=np.zeros_like(total), where=total > 0)
    return means.sum(1) / (total > 0).sum(1)


def _texts(a: float, b: float, difference: float) -> list[str]:
    texts = f'{a:.3f}', f'{b:.3f}', f'{difference:+.3f}'
    return ['-' if text.endswith('nan') else text for text in texts]
