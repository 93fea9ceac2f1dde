"""DAVIS-2016 and DAVIS-2017."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmvos.io import InputError

from ..functional.frame import EMPTY, FrameScore
from ..labels import VideoPair
from ..scores import ObjectScores, VideoScores
from ..scoring import Rules
from .base import Protocol, collect, mean

MAX_PROPOSALS = 20


class DAVIS(Protocol):
    """Common to all: which ids are objects.

    Here it is those that the ground truth shows; for the official tool it is 1 to the largest one
    of the first frame, also one that is not there (it scores 1), but none that appears later.
    """

    def labels(self, first: dict[int, int]) -> dict[int, int]:
        """The objects, the official tool's if asked for."""
        if self.merge or not self.official_compat:
            return super().labels(first)
        largest = max((label for label, position in first.items() if position == 0), default=0)
        return dict.fromkeys(range(1, largest + 1), 0)

    def notes(self, videos: Sequence[VideoScores]) -> list[str]:
        """Adds the objects, where the official tool has others."""
        notes = super().notes(videos)
        if self.official_compat and not self.merge:
            notes.append('objects are 1 to the largest id of the first frame, as for the official '
                         'tool')
        elif any(_numbered_otherwise(video) for video in videos):
            notes.append('some ids are not there or not there from the start: the official tool '
                         'takes 1 to the largest of the first frame (--official-compat)')
        return notes


class DAVIS2017(DAVIS):
    """DAVIS-2017, semi-supervised.

    The first and the last annotated frame do not count, nor does an object before and in the
    first frame that shows it, where its mask is given. Ids that the ground truth lacks are an
    error, ids that the prediction lacks are empty. Pixels of 255 in the ground truth are void.
    """

    name = 'davis2017'
    title = 'DAVIS-2017, semi-supervised'
    counts = ('objects by id, after the frame that gives them, first and last frame left out; '
              'mean over all objects of all videos')
    verified = ('per-frame J and F: values of the official toolkit (DAVIS-2016) and vos-benchmark; '
                'averages: vos-benchmark')
    layout = ('Annotations/480p', 'ImageSets/2017/val.txt')

    @property
    def rules(self) -> Rules:
        """The official tool knows void in the unsupervised task only."""
        return replace(super().rules, void=not self.official_compat)

    def counted(self, frames: Sequence[str]) -> range:
        """All but the first and the last."""
        return range(1, len(frames) - 1)

    def objects(self, pair: VideoPair, frames: dict[int, FrameScore],
                first: dict[int, int]) -> list[ObjectScores]:
        """Each object, after its first frame."""
        return [collect({p: score for p, score in frames.items() if p > begin}, label, label,
                        self.stability)
                for label, begin in sorted(first.items())]


class DAVIS2016(DAVIS2017):
    """DAVIS-2016, semi-supervised: one foreground, all ids merged, 0/255 or any ids.

    The first and the last annotated frame do not count.
    """

    name = 'davis2016'
    title = 'DAVIS-2016, semi-supervised'
    counts = 'one foreground (all ids merged), first and last frame left out; mean over videos'
    verified = 'per-frame J and F: the official values of 10 of the 20 sequences'
    layout = ('Annotations/480p', 'ImageSets/2016/val.txt')
    merge = True


class DAVIS2016Unsupervised(DAVIS2016):
    """DAVIS-2016, unsupervised: the same measure, of masks found without any annotation."""

    name = 'davis2016-unsupervised'
    title = 'DAVIS-2016, unsupervised'


class DAVIS2017Unsupervised(DAVIS):
    """DAVIS-2017, unsupervised: up to 20 proposals, assigned to the objects.

    All annotated frames count. Proposals are the ids that the prediction shows anywhere; they are
    assigned one to one (Hungarian method) so that the mean over time of (J + F) / 2 is largest in
    sum. An object without a proposal is compared with the empty mask; proposals that are left
    over cost nothing. Pixels of 255 in the ground truth are void. Objects are listed in the
    order of the ground truth.
    """

    name = 'davis2017-unsupervised'
    title = 'DAVIS-2017, unsupervised'
    counts = ('all annotated frames, 255 is void, at most 20 proposals assigned to the objects by '
              'mean J&F; mean over all objects of all videos')
    verified = ('by the written rule of Caelles et al. 2019, assignment checked against brute '
                'force; unverified against the official tool')
    layout = ('Annotations_unsupervised/480p', 'ImageSets/2017/val.txt')
    all_pairs = True

    def check(self, pair: VideoPair, frames: dict[int, FrameScore], known: set[int]) -> None:
        """Refuse too many proposals."""
        found = self._proposals(frames)
        if len(found) > MAX_PROPOSALS:
            raise InputError(f"prediction of video '{pair.name}' has {len(found)} proposals, at "
                             f'most {MAX_PROPOSALS} are allowed; keep the most confident ones')

    def objects(self, pair: VideoPair, frames: dict[int, FrameScore],
                first: dict[int, int]) -> list[ObjectScores]:
        """The objects, each with its proposal's scores."""
        labels, proposals = sorted(first), self._proposals(frames)
        proposals += [EMPTY] * (len(labels) - len(proposals))
        matches = self._assign(frames, labels, proposals)
        found = {label: collect(frames, label, matches[label], self.stability) for label in labels}
        if not self.official_compat:
            return list(found.values())
        # The official tool's rows come in the order of the proposals, under the objects' names.
        order = sorted(labels, key=lambda label: proposals.index(matches[label]))
        return [replace(found[label], label=name)
                for label, name in zip(order, labels, strict=True)]

    def notes(self, videos: Sequence[VideoScores]) -> list[str]:
        """Adds the order of the objects."""
        order = ('in the order of the proposals, as the official tool lists them'
                 if self.official_compat else 'in the order of the ground truth; the official '
                 'tool lists them in the order of the proposals (--official-compat)')
        return [*super().notes(videos), f"a video's objects are {order}"]

    def _proposals(self, frames: dict[int, FrameScore]) -> list[int]:
        shown = sorted({label for score in frames.values() for label in score.predicted})
        return list(range(1, shown[-1] + 1)) if self.official_compat and shown else shown

    @staticmethod
    def _assign(frames: dict[int, FrameScore], labels: list[int],
                proposals: list[int]) -> dict[int, int]:
        """Return {object: proposal} with the largest sum of mean (J + F) / 2."""
        from scipy.optimize import linear_sum_assignment  # takes longer to import than the rest

        gains = np.array([[mean(sum(score.of(label, proposal)) / 2 for score in frames.values())
                           for proposal in proposals] for label in labels])
        if not gains.size:
            return {}
        rows, columns = linear_sum_assignment(gains, maximize=True)
        return {labels[row]: proposals[column]
                for row, column in zip(rows.tolist(), columns.tolist(), strict=True)}


def _numbered_otherwise(video: VideoScores) -> bool:
    """Whether a video's objects are not 1, 2, ..., all there from the first annotated frame on."""
    labels = [item.label for item in video.objects]
    starts = {int(item.frames[0]) for item in video.objects}
    late = any(item.frames[0] == 0 and item.share[0] == 0 for item in video.objects)
    return late or len(starts) > 1 or labels != list(range(1, len(labels) + 1))
