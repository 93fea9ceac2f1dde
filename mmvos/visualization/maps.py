"""Maps of what a model saw: vectors and values between 0 and 1, in colours that never rescale.

A colour means the same in every frame and every video, so that films do not flicker.
"""

from __future__ import annotations

import cv2
import numpy as np


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """Return vectors (H, W, 2), x first, on the colour wheel, (H, W, 3) RGB uint8.

    The hue is the direction: right red, down yellow-green, left cyan, up violet. White is no
    motion; the saturation is the root of the length, which shows small motion, full from 1 on.
    """
    length, angle = cv2.cartToPolar(
        np.ascontiguousarray(flow[..., 0], np.float32),
        np.ascontiguousarray(flow[..., 1], np.float32),
        angleInDegrees=True,
    )
    hsv = np.dstack([angle, np.sqrt(length).clip(0, 1), np.ones_like(length)])
    return np.rint(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).astype(np.uint8)


def grey_levels(values: np.ndarray) -> np.ndarray:
    """Return (H, W) values from 0 to 1 as uint8 from 0 to 255; what lies outside is clipped."""
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8)


def map_picture(values: np.ndarray) -> np.ndarray:
    """Return a map (H, W, 1) in grey, (H, W), or vectors (H, W, 2) on the wheel, (H, W, 3)."""
    return flow_colours(values) if _are_vectors(values) else grey_levels(values[..., 0])


def map_overlay(image: np.ndarray, values: np.ndarray, *, alpha: float = 0.6) -> np.ndarray:
    """Return a map drawn over its frame in grey, (H, W, 3) uint8.

    Args:
        image: (H, W, 3) RGB uint8; in grey, all colour is the map's.
        values: (H, W, 1) from 0, dark blue, to 1, yellow; or vectors (H, W, 2).
        alpha: Share of the map.

    Raises:
        ValueError: The two have different sizes.
    """
    if image.shape[:2] != values.shape[:2]:
        raise ValueError(
            f'expected a map of the size of its frame, {image.shape[:2]}, got {values.shape[:2]}'
        )
    colours = map_picture(values)
    if not _are_vectors(values):
        colours = cv2.applyColorMap(colours, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint((1 - alpha) * grey + alpha * colours.astype(np.float32)).astype(np.uint8)


def _are_vectors(values: np.ndarray) -> bool:
    if values.ndim != 3 or values.shape[2] not in (1, 2):
        raise ValueError(f'expected a map of shape (H, W, 1) or (H, W, 2), got {values.shape}')
    return bool(values.shape[2] == 2)
