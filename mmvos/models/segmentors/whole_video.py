"""A whole video from its first frame to its last, and once more where there is a refiner."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from ...io import encode_mask
from ...structures import LabelMaps, VideoSource
from ..refiners.base import Report, no_report
from .session import VOSSession, paste_given, split_ids

if TYPE_CHECKING:
    from .base import VideoSegmentor

Results = Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]


def segment_video(model: VideoSegmentor, video: VideoSource,
                  given: Callable[[int], np.ndarray | None], *, size: int | None = None,
                  keep_maps: bool = False, report: Report = no_report) -> Results:
    """Segment every frame, and refine all of them if the model has a refiner.

    Args:
        model: In eval mode.
        video: The video.
        given: The mask (H,W) of ids that is given on a frame, or None.
        size: See `VOSSession`.
        keep_maps: See `VOSSession`.
        report: Called while no result comes: in the first of two passes, and as the refiner says.

    Yields:
        (image (H,W,3), labels (H,W), maps) of each frame, in order.

    Raises:
        ValueError: Maps are asked for, and the model has none or a refiner.
    """
    if model.refiner is None:
        yield from _propagated(model, video, given, size, keep_maps)
        return
    pngs = []
    with closing(_propagated(model, video, given, size, keep_maps)) as first:
        for _, labels, _ in first:
            pngs.append(encode_mask(labels))
            report('segment', len(pngs), len(video))
    masked = {t for t in range(len(pngs)) if given(t) is not None}
    refined = model.refiner(
        video, LabelMaps(pngs), masked, device=model.data_preprocessor.device,
        autocast=model.autocast, report=report)
    with closing(video.frames()) as frames:
        for t, (image, labels) in enumerate(zip(frames, refined, strict=True)):
            mask = given(t)
            yield image, labels if mask is None else paste_given(labels, split_ids(mask)), {}


def _propagated(model: VideoSegmentor, video: VideoSource,
                given: Callable[[int], np.ndarray | None], size: int | None,
                keep_maps: bool) -> Results:
    session = VOSSession(model, video, size=size, keep_maps=keep_maps)
    with closing(video.frames()) as frames:
        for t, image in enumerate(frames):
            yield image, session.step(image, given(t)), session.maps
