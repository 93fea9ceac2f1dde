"""Datasets of which some frames are annotated, and any pair of folders."""
from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from mmvos.io import InputError

from ..scores import VideoScores
from .base import Protocol, Row, mean


class Folder(Protocol):
    """Any two folders of label maps: objects by id, on every annotated frame.

    An object counts on all annotated frames, also where it is not there.
    """

    name = 'folder'
    title = 'label maps'
    counts = 'objects by id on all annotated frames; mean over all objects of all videos'
    verified = 'per-frame J and F and averages: vos-benchmark'


class Foreground(Protocol):
    """Any two folders of masks: one foreground (0/255 or any ids), on every annotated frame."""

    name = 'foreground'
    title = 'foreground masks'
    counts = 'one foreground (all ids merged) on all annotated frames; mean over videos'
    verified = 'per-frame J and F: the official values of 10 DAVIS-2016 sequences'
    merge = True


class FBMS(Foreground):
    """FBMS-59 (30 test sequences), unsupervised: mean J of the merged foreground.

    Only annotated frames count. The headline averages over sequences; papers that average over
    frames report what is `J-frames` here.
    """

    name = 'fbms'
    title = 'FBMS-59'
    counts = ('one foreground (all ids merged) on the annotated frames; mean over sequences, '
              'J-frames over frames')
    verified = 'by the written rule, unverified'

    @property
    def columns(self) -> tuple[str, ...]:
        """J first: the benchmark knows no F."""
        return ('J', *(column for column in super().columns if column != 'J'))

    def summary(self, videos: Sequence[VideoScores]) -> Row:
        """Adds the mean over frames."""
        frames = mean(value for video in sorted(videos, key=lambda video: video.name)
                      for item in video.objects for value in item.j)
        return {**super().summary(videos), 'J-frames': frames}


class YouTubeObjects(FBMS):
    """YouTube-Objects (126 shots of 10 categories): mean J of the merged foreground.

    Only annotated frames count. The headline is the mean over categories of the means over their
    shots, as most published tables; `J-shots` is the mean over all shots. A shot's category is
    the folder it lies in ('car/0003') or what its name begins with ('car_0003').
    """

    name = 'youtube-objects'
    title = 'YouTube-Objects'
    counts = ('one foreground (all ids merged) on the annotated frames; mean over categories of '
              'the means over their shots, J-shots over all shots')

    def check_names(self, names: Collection[str]) -> None:
        """Each has a category."""
        for name in names:
            category(name)

    def units(self, video: VideoScores) -> list[tuple[str, Row]]:
        """One for each shot, grouped by category."""
        return [(category(video.name), row) for _, row in super().units(video)]

    def summary(self, videos: Sequence[VideoScores]) -> Row:
        """Adds the mean over shots."""
        row = super().summary(videos)
        row['J-shots'] = mean(self.row(video)['J'] for video in
                              sorted(videos, key=lambda video: video.name))
        groups = {f'J {group}': mean(unit['J'] for unit in units)
                  for group, units in self.groups(videos).items()}
        return {**row, **groups}


def category(name: str) -> str:
    """Return the category of a shot.

    Raises:
        InputError: Its name has none.
    """
    folder, slash, _ = name.partition('/')
    match = re.match(r'(\D+?)[_-]?\d', name)
    if not slash and not match:
        raise InputError(f"shot '{name}' has no category; name it like 'car/0003' or 'car_0003'")
    return folder if slash or not match else match[1]
