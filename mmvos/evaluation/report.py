"""The result of an evaluation: averages, a table, files."""
from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from prettytable import PrettyTable

from mmvos.io import InputError, atomic_path, make_dir

from .attributes import attributes
from .protocols import Protocol
from .scores import ObjectScores, VideoScores


class Report:
    """Scores of a set of videos under a protocol; the same whatever the order they came in.

    Attributes:
        protocol: What was counted.
        videos: Sorted by name.
        summary: {column: value} over all videos; the first is the headline.
        rows: {video: {column: value}}, NaN where nothing counts.

    Raises:
        InputError: Nothing counts in any video, or two have one name.
    """

    def __init__(self, protocol: Protocol, videos: Iterable[VideoScores]) -> None:
        self.protocol = protocol
        self.videos = sorted(videos, key=lambda video: video.name)
        names = [video.name for video in self.videos]
        if twice := [a for a, b in pairwise(names) if a == b]:
            raise InputError(f"two videos are called '{twice[0]}'; give each a name of its own")
        protocol.check_names(names)
        if not any(video.objects for video in self.videos):
            raise InputError(
                'expected an annotated object in at least one frame that counts, got '
                f'{len(self.videos)} videos without; protocol {protocol.name} counts: '
                f'{protocol.counts}')
        self.summary = protocol.summary(self.videos)
        self.rows = {video.name: protocol.row(video) for video in self.videos}

    @property
    def notes(self) -> list[str]:
        """What a reader of the table has to know."""
        notes = self.protocol.notes(self.videos)
        if missing := sum(len(video.missing) for video in self.videos):
            notes.append(f'frames without a prediction, scored as empty: {missing}')
        if left := sum(not video.objects for video in self.videos):
            notes.append(f'videos without a frame that counts, left out of all means: {left}')
        return notes

    def table(self) -> str:
        """Return the averages per video and over all, with what they count."""
        columns = self.protocol.columns
        table = PrettyTable(['video', 'objects', *columns], align='r')
        table.align['video'] = 'l'
        for video in self.videos:
            table.add_row([video.name, len(video.objects),
                           *_texts(self.rows[video.name], columns)],
                          divider=video is self.videos[-1])
        table.add_row(['all', sum(len(video.objects) for video in self.videos),
                       *_texts(self.summary, columns)])
        more = {key: value for key, value in self.summary.items() if key not in columns}
        lines = [f'{self.protocol.title}: {self.protocol.counts}',
                 f'verified: {self.protocol.verified}', table.get_string()]
        if more:
            texts = zip(more, _texts(more, [*more]), strict=True)
            lines.append(', '.join(' '.join(pair) for pair in texts))
        return '\n'.join([*lines, *(f'note: {note}' for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Return everything, down to each object's values on each frame; NaN becomes None."""
        protocol = self.protocol
        return _plain({
            'protocol': protocol.name, 'counts': protocol.counts, 'verified': protocol.verified,
            'official_compat': protocol.official_compat, 'notes': self.notes,
            'summary': self.summary,
            'attributes': {name: [asdict(row) for row in rows]
                           for name, rows in attributes(self.videos).items()},
            'videos': [{
                'name': video.name, 'missing': video.missing, 'summary': self.rows[video.name],
                'objects': [self._object(video, item) for item in video.objects]}
                for video in self.videos]})

    def write_csv(self, folder: str | Path) -> None:
        """Write summary.csv, videos.csv, objects.csv and frames.csv, values in full precision."""
        folder, columns = make_dir(folder), self.protocol.columns
        _write(folder / 'summary.csv', list(self.summary), [list(self.summary.values())])
        _write(folder / 'videos.csv', ['video', 'objects', *columns],
               [[video.name, len(video.objects), *self.rows[video.name].values()]
                for video in self.videos])
        objects = [(video, item, self.protocol.object_row(item))
                   for video in self.videos for item in video.objects]
        _write(folder / 'objects.csv', ['video', 'object', 'group', *objects[0][2]],
               [[video.name, item.label, item.group, *row.values()]
                for video, item, row in objects])
        _write(folder / 'frames.csv', ['video', 'object', 'frame', 'J', 'F', 'T'],
               [[video.name, item.label, video.frames[p], item.j[i], item.f[i],
                 '' if item.t is None else item.t[i]]
                for video, item, _ in objects for i, p in enumerate(item.frames)])

    def _object(self, video: VideoScores, item: ObjectScores) -> dict[str, Any]:
        values = {'id': item.label, 'group': item.group,
                  'summary': self.protocol.object_row(item),
                  'frames': [video.frames[p] for p in item.frames], 'J': item.j.tolist(),
                  'F': item.f.tolist(), 'share': item.share.tolist()}
        return values if item.t is None else {**values, 'T': item.t.tolist()}


def write_json(content: dict[str, Any], path: str | Path) -> None:
    """Write what an `as_dict` returned."""
    with atomic_path(path) as part:
        part.write_text(json.dumps(content, indent=1, allow_nan=False))


def _texts(row: dict[str, float], columns: Sequence[str]) -> list[str]:
    return ['-' if math.isnan(row[column]) else f'{round(row[column], 3) + 0.:.3f}'
            for column in columns]


def _write(path: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    with atomic_path(path) as part, open(
            part, 'w', newline='', encoding='utf-8', errors='backslashreplace') as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _plain(value: Any) -> Any:
    """Return what JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
