"""Where a method fails: J and F over time, by object size and by number of objects."""
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from prettytable import PrettyTable

from .scores import ObjectScores, VideoScores

TIMES = tuple(f'{start} to {start + 10} %' for start in range(0, 100, 10))
# Below which share of the frame, and up to which number of objects.
SIZES = {'below 1 %': 0.01, '1 to 5 %': 0.05, '5 to 20 %': 0.2, '20 % and more': math.inf}
NUMBERS = {'1': 1, '2': 2, '3 or 4': 4, '5 and more': math.inf}

JF = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """Means over a part of the data.

    Attributes:
        label: Which part.
        j: Region similarity.
        f: Boundary accuracy.
        count: How many the means are over.
        unit: Of what: 'objects', or 'masks' (an object on a frame).
    """

    label: str
    j: float
    f: float
    count: int
    unit: str


def by_time(videos: Iterable[VideoScores]) -> list[Part]:
    """Return the means over objects in each tenth of an object's counted frames.

    An object of fewer than 10 frames is not in all of them. Values that fall are errors that
    accumulate.
    """
    values = np.stack(over_time(videos), -1)
    found = [(label, values[number, tenth].tolist()) for tenth, label in enumerate(TIMES)
             for number in np.flatnonzero(~np.isnan(values[:, tenth, 0]))]
    return _rows(found, TIMES, 'objects')


def over_time(videos: Iterable[VideoScores]) -> tuple[np.ndarray, np.ndarray]:
    """Return (objects, 10) mean J and F in the tenths of each object's counted frames.

    Frame k of T is in tenth ``floor(10 k / T)``; NaN where an object has no frame.
    """
    objects = [item for _, item in _objects(videos)]
    found = np.full((2, len(objects), len(TIMES)), np.nan)
    for number, item in enumerate(objects):
        tenths = np.arange(len(item.frames)) * len(TIMES) // len(item.frames)
        counts = np.bincount(tenths, minlength=len(TIMES))
        for row, values in zip(found[:, number], (item.j, item.f), strict=True):
            np.divide(np.bincount(tenths, values, len(TIMES)), counts, out=row, where=counts > 0)
    return found[0], found[1]


def by_size(videos: Iterable[VideoScores]) -> list[Part]:
    """Return the means over masks, by the annotated object's share of the frame.

    Frames on which the annotation does not show the object are left out.
    """
    found = []
    for _, item in _objects(videos):
        for share, *values in np.stack([item.share, item.j, item.f], 1).tolist():
            if share > 0:
                found.append((next(label for label, end in SIZES.items() if share < end), values))
    return _rows(found, SIZES, 'masks')


def by_number(videos: Iterable[VideoScores]) -> list[Part]:
    """Return the means over objects, by how many objects their video has."""
    found = []
    for video, item in _objects(videos):
        label = next(label for label, most in NUMBERS.items() if len(video.objects) <= most)
        found.append((label, _means(item.j, item.f)))
    return _rows(found, NUMBERS, 'objects')


# {name in JSON: (title, rows)}.
ATTRIBUTES = {
    'time': ('over time', by_time),
    'size': ('by object size', by_size),
    'number': ('by number of objects', by_number),
}


def attributes(videos: Sequence[VideoScores]) -> dict[str, list[Part]]:
    """Return the rows of every attribute: 'time', 'size' and 'number'.

    Parts without data have no row. The order of the videos does not matter, to the last bit, and
    `dataclasses.asdict` turns a row into JSON.
    """
    return {name: rows(videos) for name, (_, rows) in ATTRIBUTES.items()}


def attributes_table(found: dict[str, list[Part]]) -> str:
    """Return what `attributes` found as text."""
    table = PrettyTable(['', 'part', 'J', 'F', 'mean over'], align='r')
    table.align[''] = table.align['part'] = 'l'
    for name, rows in found.items():
        titles = [ATTRIBUTES[name][0], *[''] * len(rows)]
        for title, row in zip(titles, rows, strict=False):
            table.add_row([title, row.label, f'{row.j:.3f}', f'{row.f:.3f}',
                           f'{row.count} {row.unit}'], divider=row is rows[-1])
    return table.get_string()


def _objects(videos: Iterable[VideoScores]) -> Iterator[tuple[VideoScores, ObjectScores]]:
    return ((video, item) for video in videos for item in video.objects)


def _means(j: Iterable[float], f: Iterable[float]) -> JF:
    """Return the means of J and F, exactly summed: the same in any order."""
    regions, boundaries = list(j), list(f)
    return math.fsum(regions) / len(regions), math.fsum(boundaries) / len(boundaries)


def _rows(found: Iterable[tuple[str, Sequence[float]]], labels: Iterable[str],
          unit: str) -> list[Part]:
    """Return the means of (label, (J, F)) by label, in the order of `labels`."""
    parts: dict[str, list[Sequence[float]]] = defaultdict(list)
    for label, values in found:
        parts[label].append(values)
    return [Part(label, *_means(*zip(*parts[label], strict=True)), len(parts[label]), unit)
            for label in labels if label in parts]
