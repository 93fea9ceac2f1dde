"""Label maps drawn over frames."""

from __future__ import annotations

import cv2
import numpy as np

from mmvos.io import palette, voc_colour


def label_colours() -> np.ndarray:
    """Return one RGB colour per id, (256, 3) uint8.

    The DAVIS palette's coloured entries; where that is grey (from 22 on), PASCAL VOC's pattern,
    so that every object of a crowd can be told from the picture under it.
    """
    colours = np.frombuffer(palette(), np.uint8).reshape(256, 3).copy()
    colours[22:] = [voc_colour(index) for index in range(22, 256)]
    return colours


def overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a frame with its objects tinted and outlined, (H, W, 3) uint8.

    Args:
        image: (H, W, 3) RGB uint8.
        labels: (H, W) object ids, 0 background (left as it is).

    Raises:
        ValueError: The two have different sizes.
    """
    if image.shape != (*labels.shape, 3):
        raise ValueError(
            f'expected an image of shape {(*labels.shape, 3)} for these labels, got {image.shape}'
        )
    labels = labels.astype(np.uint8)
    drawn = image.copy()
    inside, edge = labels > 0, outline(labels)
    tint = label_colours()[labels[inside]].astype(np.float32)
    drawn[inside] = np.rint((image[inside] + tint) / 2)
    # Half way to white: the darkest colours keep a visible line.
    drawn[edge] = 128 + label_colours()[labels[edge]] // 2
    return drawn


def outline(labels: np.ndarray) -> np.ndarray:
    """Return the (H, W) bool pixels of objects that touch another label.

    The line is one pixel wide for pictures of up to 480 lines, two up to 960, and so on. The
    picture's border is no outline.
    """
    reach = 2 * -(-min(labels.shape) // 480) + 1
    square = np.ones((reach, reach), np.uint8)
    differs = cv2.dilate(labels, square) != cv2.erode(labels, square)
    return differs & (labels > 0)
