"""The measure that MAMP and MAST print while testing."""
from __future__ import annotations

from collections.abc import Sequence

from mmvos.io import InputError

from ..functional.frame import FrameScore
from ..labels import VideoPair
from ..scores import ObjectScores, VideoScores
from .base import Protocol, Row, collect


class MAMPInLoop(Protocol):
    """Pooled mean over all (frame, object) pairs, as MAMP's and MAST's code computes it.

    The last frame counts, the first does not. A frame has as many objects as its largest
    annotated id: an object below that which is not there is right when nothing is predicted, one
    above it is not counted. So long videos and videos of many objects weigh more than under
    DAVIS's own rule; the released MAMP reads 70.4 here and 69.7 there.
    """

    name = 'mamp-inloop'
    title = 'pooled measure of MAMP and MAST'
    counts = ('ids 1 to the largest of each frame, first frame left out, last frame counted; mean '
              'over all (frame, object) pairs')
    layout = ('Annotations/480p', 'ImageSets/2017/val.txt')

    def __init__(self, **kwargs: bool) -> None:
        super().__init__(**kwargs)
        if self.stability:
            raise InputError('protocol mamp-inloop has no T; leave out --stability')

    @property
    def columns(self) -> tuple[str, ...]:
        """Recall and decay are no part of it."""
        return ('J&F', 'J', 'F')

    def counted(self, frames: Sequence[str]) -> range:
        """All but the first."""
        return range(1, len(frames))

    def objects(self, pair: VideoPair, frames: dict[int, FrameScore],
                first: dict[int, int]) -> list[ObjectScores]:
        """Each id, on the frames whose largest one is not below it."""
        return [collect({p: score for p, score in frames.items()
                         if max(score.shares, default=0) >= label}, label, label, False)
                for label in range(1, max(first, default=0) + 1)]

    def units(self, video: VideoScores) -> list[tuple[str, Row]]:
        """One for each frame of each object."""
        return [('', {'J&F': (j + f) / 2, 'J': j, 'F': f}) for item in video.objects
                for j, f in zip(item.j.tolist(), item.f.tolist(), strict=True)]
