"""The frames where results are worst, and pictures of what is wrong in them."""
from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmvos.io import IMAGE_SUFFIXES, read_image
from mmvos.visualization.overlay import outline

from .functional.frame import EMPTY, VOID
from .labels import VideoPair
from .protocols import Protocol
from .scores import ObjectScores, VideoScores
from .scoring import read_pair

WIDTH = 320
# What pixels are tinted with, and how much of it: RGB, share.
CORRECT = ((40, 170, 80), 0.45)
MISSED = ((40, 90, 255), 0.7)
ADDED = ((235, 40, 40), 0.7)

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class WorstFrame:
    """One object on one frame.

    Attributes:
        video: The video's scores.
        item: The object's scores.
        index: Of the frame in `item.frames`.
    """

    video: VideoScores
    item: ObjectScores
    index: int

    @property
    def position(self) -> int:
        """Of the frame in the video's annotated ones."""
        return int(self.item.frames[self.index])

    @property
    def values(self) -> tuple[float, float]:
        """J and F."""
        return float(self.item.j[self.index]), float(self.item.f[self.index])


def worst_frames(videos: Iterable[VideoScores], count: int = 12, *, per_object: int = 3,
                 apart: int = 5) -> list[WorstFrame]:
    """Return the frames of the lowest J, the worst first; F decides where J is equal.

    Args:
        videos: Scores.
        count: How many at most; frames without any error are left out.
        per_object: How many of one object at most.
        apart: Positions between two frames of one object at least.
    """
    found = [WorstFrame(video, item, index) for video in videos for item in video.objects
             for index in _worst_of(item, per_object, apart)]
    return sorted(found, key=lambda frame: frame.values)[:count]


def error_picture(frame: WorstFrame, pair: VideoPair, protocol: Protocol,
                  frames: Path | None = None) -> bytes:
    """Return the picture of an object's errors on a frame as JPEG, `WIDTH` pixels wide.

    Where object and errors are small it shows the part of the frame around them.

    Args:
        frame: Which.
        pair: Its video; a missing prediction is empty.
        protocol: What the frame was scored under.
        frames: Holds the images `<video>/<frame>.jpg` or .png; grey where there is none.

    Raises:
        InputError: A file cannot be read.
    """
    truth, pred = _masks(frame, pair, protocol)
    part = around(truth | pred)
    drawn = error_map(_image(frame, frames, truth.shape)[part], truth[part], pred[part])
    buffer = io.BytesIO()
    # Full chroma: colours are what the picture is about.
    Image.fromarray(drawn).save(buffer, 'JPEG', quality=80, subsampling=0, optimize=True)
    return buffer.getvalue()


def error_map(image: Picture, truth: Mask, pred: Mask, width: int = WIDTH) -> Picture:
    """Return a frame with correct, missed and wrongly added pixels tinted, the object outlined.

    Args:
        image: (H, W, 3) RGB.
        truth: (H, W) annotated object.
        pred: (H, W) predicted object.
        width: Of the picture; its height is in proportion.

    Returns:
        (width * H / W, width, 3) uint8.
    """
    drawn = image.astype(np.float32)
    for inside, (colour, share) in ((truth & pred, CORRECT), (truth & ~pred, MISSED),
                                    (pred & ~truth, ADDED)):
        drawn[inside] += share * (np.array(colour, np.float32) - drawn[inside])
    height = max(1, round(truth.shape[0] * width / truth.shape[1]))
    how = cv2.INTER_AREA if width < truth.shape[1] else cv2.INTER_NEAREST
    small = np.rint(cv2.resize(drawn, (width, height), interpolation=how)).astype(np.uint8)
    # Any share of a pixel is outlined: an object of a few pixels stays visible.
    shown = cv2.resize(truth.astype(np.float32), (width, height), interpolation=how) > 0
    small[outline(shown.astype(np.uint8))] = 255
    return small


def around(mask: Mask, width: int = WIDTH) -> tuple[slice, slice]:
    """Return the part of a frame, rows and columns, in which a mask is the middle half.

    Args:
        mask: (H, W).
        width: The part is at least so wide, so that pixels are never enlarged; its sides are in
            the proportion of the frame's.
    """
    size = np.array(mask.shape)
    x, y, *sides = cv2.boundingRect(mask.astype(np.uint8))
    share = min(1, max(width / size[1], 2 * sides[1] / size[0], 2 * sides[0] / size[1]))
    shape = np.maximum(1, np.rint(share * size)).astype(int)
    middle = np.array([y + sides[1] / 2, x + sides[0] / 2])
    top, left = np.clip(np.rint(middle - shape / 2).astype(int), 0, size - shape)
    return slice(top, top + shape[0]), slice(left, left + shape[1])


def _worst_of(item: ObjectScores, count: int, apart: int) -> list[int]:
    """Return the indices of an object's worst frames."""
    kept: list[int] = []
    for index in np.lexsort((item.f, item.j)).tolist():
        if len(kept) == count or min(item.j[index], item.f[index]) == 1:
            break
        if all(abs(item.frames[index] - item.frames[other]) >= apart for other in kept):
            kept.append(index)
    return kept


def _masks(frame: WorstFrame, pair: VideoPair, protocol: Protocol) -> tuple[Mask, Mask]:
    """Return (H, W) of the object, annotated and predicted, void left out."""
    annotated, predicted = frame.item.ids or (frame.item.label,) * 2
    gt, pred = read_pair(pair, frame.position, protocol.rules)
    void = (gt == VOID) & protocol.rules.void
    return gt == annotated, (pred == predicted) & ~void & (predicted != EMPTY)


def _image(frame: WorstFrame, frames: Path | None, size: tuple[int, ...]) -> Picture:
    """Return the (H, W, 3) image of a frame in the size of its masks, grey if there is none."""
    name = frame.video.frames[frame.position]
    files = [] if frames is None else [frames / frame.video.name / f'{name}{suffix}'
                                       for suffix in IMAGE_SUFFIXES]
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        return np.full((*size, 3), 128, np.uint8)
    image = read_image(found)
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)
