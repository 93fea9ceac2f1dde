"""J and F of every object of one video, under the rules of DAVIS's semi-supervised track."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmvos.io import decode_mask

from .boundary import boundary_accuracy
from .region import region_similarity

if TYPE_CHECKING:
    from mmvos.structures import MaskSource

VOID = 255
# Frames decoded at a time: bounds memory whatever the video's length.
CHUNK = 8

Labels = NDArray[np.uint8]
Scores = dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]


def score_video(name: str, pred_masks: Sequence[bytes], truth: MaskSource) -> Scores:
    """Return {object id: (J, F)}, each (T,) over the object's evaluated frames.

    Evaluated are the annotated frames except the video's first and last one, and of an object
    only those after the first that shows it (there its mask is given; in DAVIS this is always
    the first frame). An object the prediction never names counts as empty. Where the truth is
    255 (void) nothing counts.

    Args:
        name: The video's name, for messages.
        pred_masks: One label map per frame of the video, as PNG bytes.
        truth: Annotated label maps, of all frames or of some.

    Raises:
        ValueError: The prediction has an id that the truth lacks, its maps have another size, or
            the truth's frames exceed the video.
    """
    indices = list(truth.indices)
    if indices and indices[-1] >= len(pred_masks):
        raise ValueError(f"video '{name}': expected a predicted mask for every frame, got "
                         f'{len(pred_masks)} masks and an annotation of frame {indices[-1]}; '
                         'check that frames and annotations belong to one video')
    found: dict[int, list[tuple[NDArray, NDArray]]] = {}
    predicted: set[int] = set()
    for start in range(0, len(indices), CHUNK):
        chunk = indices[start:start + CHUNK]
        gt, pred = _read(name, chunk, pred_masks, truth)
        counted = np.array([0 < index < len(pred_masks) - 1 for index in chunk])
        predicted |= _ids(pred[counted])
        _score_objects(pred, gt, counted, found)
    extra = sorted(predicted - set(found))
    if extra:
        raise ValueError(f"video '{name}': expected objects {sorted(found)}, got the prediction of "
                         f'{extra} too; give the model masks of the annotated objects only')
    return {label: (np.concatenate([j for j, _ in parts]), np.concatenate([f for _, f in parts]))
            for label, parts in sorted(found.items())}


def _score_objects(pred: Labels, gt: Labels, counted: NDArray[np.bool_],
                   found: dict[int, list[tuple[NDArray, NDArray]]]) -> None:
    """Append the chunk's (J, F) to every object in `found`, and add the objects that appear."""
    void = gt == VOID if (gt == VOID).any() else None
    for label in sorted(found.keys() | _ids(gt) - {VOID}):
        shown, frames = gt == label, counted.copy()
        if label not in found:
            found[label] = []
            frames[:int(shown.any((1, 2)).argmax()) + 1] = False
        masks = (pred == label)[frames], shown[frames], None if void is None else void[frames]
        found[label].append((region_similarity(*masks), boundary_accuracy(*masks)))


def _read(name: str, chunk: list[int], pred_masks: Sequence[bytes],
          truth: MaskSource) -> tuple[Labels, Labels]:
    """Return the truth and the prediction of some frames, both (T, H, W)."""
    pairs = [(truth.read(index), decode_mask(pred_masks[index])) for index in chunk]
    for index, (gt, pred) in zip(chunk, pairs, strict=True):
        if gt.shape != pairs[0][0].shape or pred.shape != gt.shape:
            raise ValueError(f"video '{name}', frame {index}: expected a prediction of the "
                             f'annotation\'s size {gt.shape} (H, W), got {pred.shape}; '
                             'predict at native size')
    return np.stack([gt for gt, _ in pairs]), np.stack([pred for _, pred in pairs])


def _ids(labels: Labels) -> set[int]:
    """Return the ids in label maps, background left out."""
    present = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256))
    return {int(label) for label in present if label}
