"""J and F between the objects of two label maps."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmvos.io.colours import present_values

from .boundary import accuracy, tolerance
from .masks import Region, surroundings
from .region import similarity

LabelMap = NDArray[np.uint8]
VOID = 255
EMPTY = 0  # in the place of an id: the mask without pixels


@dataclass(frozen=True)
class FrameScore:
    """What a frame's two label maps have in common.

    Attributes:
        shares: {id: area as a share of the frame} of the annotated objects.
        predicted: Ids of the prediction.
        pairs: {(annotated id, predicted id): (J, F)} of the pairs that were compared, `EMPTY` for
            no mask; `of` looks them up.
        stability: {predicted id: T against the frame before}, if it was asked for.
    """

    shares: dict[int, float]
    predicted: tuple[int, ...]
    pairs: dict[tuple[int, int], tuple[float, float]]
    stability: dict[int, float] = field(default_factory=dict)

    def of(self, annotated: int, predicted: int) -> tuple[float, float]:
        """Return (J, F) of two ids; one that has no pixel here is the empty mask."""
        pair = (annotated if annotated in self.shares else EMPTY,
                predicted if predicted in self.predicted else EMPTY)
        return (1., 1.) if pair == (EMPTY, EMPTY) else self.pairs[pair]


def score_frame(gt: LabelMap, pred: LabelMap, *, void: bool = True,
                all_pairs: bool = False) -> FrameScore:
    """Compare two label maps of one frame.

    Args:
        gt: (H, W) annotated ids, 0 background.
        pred: (H, W) predicted ids.
        void: Where `gt` is 255 nothing counts; otherwise it is background.
        all_pairs: Compare every annotated object with every predicted one and each with the
            empty mask, not only equal ids.
    """
    radius = tolerance(gt.shape)
    if gt.max() == VOID:
        white = gt == VOID
        gt = np.where(white, np.uint8(0), gt)
        pred = np.where(white, np.uint8(0), pred) if void else pred
    truth, guess = regions(gt, radius), regions(pred, radius)
    empty = Region(np.zeros((1, 1), np.uint8), radius)
    if all_pairs:
        wanted = [(a, b) for a in (EMPTY, *truth) for b in (EMPTY, *guess)][1:]
    else:
        wanted = [(k if k in truth else EMPTY, k if k in guess else EMPTY)
                  for k in sorted(truth.keys() | guess.keys())]
    pairs = {}
    for a, b in wanted:
        pair = guess.get(b, empty), truth.get(a, empty)
        pairs[a, b] = similarity(*pair), accuracy(*pair)
    shares = {label: region.area / gt.size for label, region in truth.items()}
    return FrameScore(shares, tuple(guess), pairs)


def regions(labels: LabelMap, radius: int) -> dict[int, Region]:
    """Return the region of every id of a label map, in order of ids."""
    rows, columns = surroundings(labels)
    part, corner = np.ascontiguousarray(labels[rows, columns]), (rows.start, columns.start)
    if part.max() == 1:  # as present_values would find, in a third of the time
        return {1: Region(part, radius, corner)}
    return {int(label): Region((part == label).view(np.uint8), radius, corner)
            for label in present_values(part) if label}
