"""Joins the overlapping slots of a zero-shot method under the ids of known objects.

Source: the evaluation of RVOS (Ventura et al., CVPR 2019) as released. It needs the truth of the
frames in which objects begin, so that its result is no answer to an unsupervised benchmark; that of
DAVIS assigns proposals by itself.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .frame import LabelMap


def paint_slots(probs: NDArray, first: Mapping[int, LabelMap], threshold: float = 0.5) -> LabelMap:
    """Return maps of ids, where objects that their slots fit best lie over the others.

    The objects of each given frame are assigned to slots that are free yet, with the largest sum
    of IoUs there. From the next frame on, each is painted as its slot is, from the worst to the
    best IoU; on a frame where they are given they are painted as given.

    Args:
        probs: (P,T,H,W) probability of each slot, on its own: of the channels p of
            `VideoSegmentor.step`, p[k] / (p[k] + p[0]).
        first: {frame: (H,W) ids of the objects that begin there, 0 elsewhere}.
        threshold: A slot covers the pixels above it.

    Returns:
        (T,H,W) uint8 ids, 0 where nothing is painted. An object beyond the last slot is seen on
        its given frame only.

    Raises:
        ValueError: Shapes do not fit, or a frame is not there.
    """
    slots = np.asarray(probs) > threshold
    if slots.ndim != 4:
        raise ValueError(f'probs should be (P,T,H,W), got {slots.shape}')
    for frame, labels in first.items():
        if not 0 <= frame < slots.shape[1] or labels.shape != slots.shape[2:]:
            raise ValueError(f'expected ids of shape {slots.shape[2:]} for frames 0 to '
                             f'{slots.shape[1] - 1}, got {labels.shape} for frame {frame}')
    found = _assign(slots, first)
    painted = np.zeros(slots.shape[1:], np.uint8)
    for _, slot, key, start in sorted(found):
        later = painted[start + 1:]
        later[slots[slot, start + 1:]] = key
    for frame, labels in first.items():
        painted[frame][labels > 0] = labels[labels > 0]
    return painted


def _assign(slots: NDArray[np.bool_], first: Mapping[int, LabelMap]
            ) -> list[tuple[float, int, int, int]]:
    """(IoU, slot, id, frame) of every object that gets a slot."""
    from scipy.optimize import linear_sum_assignment  # takes longer to import than the rest

    free, found = list(range(len(slots))), []
    for frame in sorted(first):
        ids = [int(key) for key in np.unique(first[frame]) if key]
        ious = np.array([[_iou(slots[slot, frame], first[frame] == key) for key in ids]
                         for slot in free]).reshape(len(free), len(ids))
        rows, columns = linear_sum_assignment(ious, maximize=True)
        found += [(ious[row, column], free[row], ids[column], frame)
                  for row, column in zip(rows, columns, strict=True)]
        free = [slot for row, slot in enumerate(free) if row not in rows]
    return found


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of a mask and one that is not empty."""
    return (a & b).sum() / (a | b).sum()
