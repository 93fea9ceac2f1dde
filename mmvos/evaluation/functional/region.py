"""Region similarity J.

Source: Perazzi et al., "A benchmark dataset and evaluation methodology for video object
segmentation", CVPR 2016, section 4.1.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]


def check_masks(pred: Masks, gt: Masks, void: Masks | None) -> None:
    """Raise ValueError unless all masks are boolean and of one shape (T, H, W)."""
    given = {'pred': pred, 'gt': gt} | ({} if void is None else {'void': void})
    for name, masks in given.items():
        if masks.dtype != bool:
            raise ValueError(f'expected boolean masks, got {name} of type {masks.dtype}; '
                             'compare a label map with one id first: labels == id')
        if masks.ndim != 3 or masks.shape != gt.shape:
            shapes = ', '.join(f'{key} {value.shape}' for key, value in given.items())
            raise ValueError(f'expected masks of one shape (T, H, W), got {shapes}; '
                             'a single frame is masks[None]')


def region_similarity(pred: Masks, gt: Masks, void: Masks | None = None) -> NDArray[np.float64]:
    """Return J of every frame: intersection over union, 1 where both masks are empty.

    Args:
        pred: (T, H, W) predicted masks of one object.
        gt: (T, H, W) annotated masks.
        void: (T, H, W) pixels that do not count.

    Returns:
        (T,) values from 0 to 1.

    Raises:
        ValueError: The masks are not boolean or differ in shape.
    """
    check_masks(pred, gt, void)
    values = np.ones(len(gt))
    for t in range(len(gt)):
        union = pred[t] | gt[t]
        intersection = pred[t] & gt[t]
        if void is not None:
            union &= ~void[t]
            intersection &= ~void[t]
        area = np.count_nonzero(union)
        if area:
            values[t] = np.count_nonzero(intersection) / area
    return values
