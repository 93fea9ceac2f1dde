"""What an evaluation found, before any averaging."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ObjectScores:
    """One object of one video, on the frames that count for it.

    Attributes:
        label: The object's id in the ground truth.
        frames: (T,) positions of these frames in `VideoScores.frames`, in order of time.
        j: (T,) region similarity.
        f: (T,) boundary accuracy.
        share: (T,) the annotated object's area as a share of the frame's.
        t: (T,) temporal stability of the predicted mask against the frame before, NaN where one
            of the two is empty; None where it was not asked for.
        group: What the object is averaged with: 'seen', 'unseen' or ''.
        ids: Annotated and predicted id that were compared, the latter 0 for none; both are
            `label` if None.
    """

    label: int
    frames: NDArray[np.int64]
    j: Values
    f: Values
    share: Values
    t: Values | None = None
    group: str = ''
    ids: tuple[int, int] | None = None


@dataclass(frozen=True)
class VideoScores:
    """One video.

    Attributes:
        name: As in the folders: 'dog', 'car/0003'.
        frames: Names of all annotated frames, in order of time.
        objects: In order of ids, those with a frame that counts.
        missing: Names of the frames without a prediction, scored as empty.
    """

    name: str
    frames: list[str]
    objects: list[ObjectScores] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
