"""YouTube-VOS and LVOS: objects of categories seen in training and of others."""
from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from mmvos.io import InputError
from mmvos.io.youtube_vos import ObjectMeta, read_meta

from ..functional.frame import FrameScore
from ..labels import VideoPair
from ..scores import ObjectScores, VideoScores
from .base import Protocol, Row, collect, mean

SEEN, UNSEEN = 'seen', 'unseen'


class SeenUnseen(Protocol):
    """Common to both: G, the mean of J and F over seen and over unseen objects."""

    def summary(self, videos: Sequence[VideoScores]) -> Row:
        """G, its parts, the gap between seen and unseen, then the usual columns."""
        found = {group: self._means(rows) for group, rows in self.groups(videos).items()}
        parts = {f'{column}-{group}': found[group][column] if group in found else math.nan
                 for group in (SEEN, UNSEEN) for column in ('J', 'F')}
        gap = found[SEEN]['J&F'] - found[UNSEEN]['J&F'] if len(found) == 2 else math.nan
        return {'G': mean(parts.values()), **parts, 'gap': gap, **super().summary(videos)}

    def notes(self, videos: Sequence[VideoScores]) -> list[str]:
        """Adds that there is one group only."""
        found = {item.group for video in videos for item in video.objects}
        only = [f'every object is {group}, G is its J&F (--unseen names the others)'
                for group in found if len(found) == 1]
        return super().notes(videos) + only


class YouTubeVOS(SeenUnseen):
    """YouTube-VOS on a split with ground truth, held out of train for instance.

    An object counts on the frames that meta.json lists for it (without meta.json: on the annotated
    frames), except the first, where its mask is given. G is the mean of J and F over the seen and
    over the unseen categories, each a mean over objects; the generalisation gap is J&F of the seen
    minus J&F of the unseen ones. The server's own rule for frames is not public.

    Args:
        meta: meta.json of the split: {"videos": {name: {"objects": {id: {"category", "frames"}}}}}.
        unseen: Categories that training did not see; without them every object is 'seen', and G
            has no unseen part.
        **kwargs: Of `Protocol`.
    """

    takes = ('meta', 'unseen')
    name = 'youtube-vos'
    title = 'YouTube-VOS, local split'
    counts = ("objects by id, on meta.json's frames after their first; mean over objects, then "
              'over seen and unseen categories')
    verified = ('by the written rule, unverified: the ground truth of the official splits and the '
                "server's choice of frames are not public")
    layout = ('Annotations', 'meta.json')

    def __init__(self, *, meta: str | Path | None = None, unseen: Collection[str] = (),
                 **kwargs: bool) -> None:
        super().__init__(**kwargs)
        self.unseen = _set(unseen)
        if unseen and meta is None:
            raise InputError('unseen categories need a meta.json that says which object has which '
                             'category; give the folder of the split, or --meta')
        self.meta = None if meta is None else read_meta(meta)
        known = {item.category for video in (self.meta or {}).values() for item in video.values()}
        if self.unseen - known:
            raise InputError(f'{meta} has no object of the unseen categories '
                             f'{sorted(self.unseen - known)}; it has {sorted(known)}')

    def needed(self, name: str, frames: Sequence[str]) -> Sequence[int]:
        """Those on which an object counts."""
        if self.meta is None:
            return range(1, len(frames))
        listed = {frame for entry in self.meta.get(name, {}).values() for frame in entry.frames[1:]}
        return [position for position, frame in enumerate(frames) if frame in listed]

    def objects(self, pair: VideoPair, frames: dict[int, FrameScore],
                first: dict[int, int]) -> list[ObjectScores]:
        """Each object on its frames."""
        self._refuse_incomplete(pair, first)
        found = []
        for label, begin in sorted(first.items()):
            entry = self.about(pair, label)
            listed = set(pair.frames if entry is None else entry.frames[1:])
            kept = {p: score for p, score in frames.items()
                    if p > begin and pair.frames[p] in listed}
            group = UNSEEN if entry is not None and entry.category in self.unseen else SEEN
            found.append(collect(kept, label, label, self.stability, group))
        return found

    def _refuse_incomplete(self, pair: VideoPair, first: dict[int, int]) -> None:
        """Refuse ground truth without a frame or an object that meta.json lists."""
        for label, entry in (self.meta or {}).get(pair.name, {}).items():
            lost = [frame for frame in entry.frames if frame not in pair.frames]
            lack = f'frame {lost[0]}' if lost else f'object {label}' if label not in first else ''
            if lack:
                raise InputError(
                    f"the ground truth of video '{pair.name}' lacks {lack}, which meta.json lists; "
                    'the masks of valid and test are not public: take a split held out of train')

    def about(self, pair: VideoPair, label: int) -> ObjectMeta | None:
        """Return an object's entry in meta.json, None without a meta.json.

        Raises:
            InputError: meta.json lacks it.
        """
        if self.meta is None:
            return None
        try:
            return self.meta[pair.name][label]
        except KeyError:
            raise InputError(f"object {label} of video '{pair.name}' is not in meta.json; give the "
                             'meta.json of this split') from None


class LVOS(SeenUnseen):
    """LVOS: long videos, every fifth frame.

    Of the annotated frames those count whose number is a multiple of five after the first one's
    (LVOS names its frames 00000001, 00000006, ...: all of them); of these an object loses those
    before it appears, the one where it appears and the last. V is the standard deviation over
    time of (J + F) / 2, lower is better. Version 2 averages over objects of seen and of unseen
    videos; version 1 has no such distinction.

    Args:
        unseen: Names of the videos whose categories training did not see.
        **kwargs: Of `Protocol`.
    """

    takes = ('unseen',)
    name = 'lvos'
    title = 'LVOS'
    counts = ("objects by id, on every fifth frame, each object's first and last of these left "
              'out; V: standard deviation of J&F over time; mean over objects, then over seen and '
              'unseen videos')
    layout = ('Annotations', '')

    def __init__(self, *, unseen: Collection[str] = (), **kwargs: bool) -> None:
        super().__init__(**kwargs)
        self.unseen = _set(unseen)

    @property
    def columns(self) -> tuple[str, ...]:
        """Adds V."""
        return (*super().columns, 'V')

    def check_names(self, names: Collection[str]) -> None:
        """Those that `unseen` names are there."""
        absent = self.unseen.difference(names)
        if absent:
            raise InputError(f"there is no video '{min(absent)}', which --unseen names; take it "
                             'out')

    def counted(self, frames: Sequence[str]) -> list[int]:
        """Every fifth, by the numbers that are the frames' names."""
        numbers = [int(name) if name.isdecimal() else position
                   for position, name in enumerate(frames)]
        return [position for position, number in enumerate(numbers)
                if (number - numbers[0]) % 5 == 0]

    def check(self, pair: VideoPair, frames: dict[int, FrameScore], known: set[int]) -> None:
        """Where frames are left out, an id may be that of an object they alone show."""
        if len(frames) == len(pair.frames):
            super().check(pair, frames, known)

    def objects(self, pair: VideoPair, frames: dict[int, FrameScore],
                first: dict[int, int]) -> list[ObjectScores]:
        """Each object between the first and the last sampled frame from its appearance on."""
        group = UNSEEN if pair.name in self.unseen else SEEN
        return [collect({p: frames[p] for p in [p for p in frames if p >= begin][1:-1]}, label,
                        label, self.stability, group) for label, begin in sorted(first.items())]

    def object_row(self, item: ObjectScores) -> Row:
        """Adds V."""
        return {**super().object_row(item), 'V': float(np.std((item.j + item.f) / 2))}


def _set(names: Collection[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise InputError(f"unseen should be a list of names, got '{names}'; write ['{names}']")
    return frozenset(names)
