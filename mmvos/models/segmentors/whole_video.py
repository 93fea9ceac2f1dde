"""A whole video from its first frame to its last, and once more where there is a refiner."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from ...io import encode_mask
from ...structures import Backwards, LabelMaps, VideoSource
from ..refiners.base import OnProgress, no_progress
from .session import VOSSession, paste_given, split_ids

if TYPE_CHECKING:
    from .base import VideoSegmentor

Results = Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]


def segment_video(model: VideoSegmentor, video: VideoSource,
                  given: Callable[[int], np.ndarray | None], *, size: int | None = None,
                  keep_maps: bool = False, both_ways: bool = False,
                  report: OnProgress = no_progress) -> Results:
    """Segment every frame, and refine all of them if the model has a refiner.

    Args:
        model: In eval mode.
        video: The video.
        given: The mask (H,W) of ids that is given on a frame, or None.
        size: See `VOSSession`.
        keep_maps: See `VOSSession`.
        both_ways: Segment the frames before the first mask, too, backwards from it; they are
            background otherwise. They have no maps.
        report: Called while no result comes: in the first of two passes, and as the refiner says.

    Yields:
        (image (H,W,3), labels (H,W), maps) of each frame, in order.

    Raises:
        ValueError: Maps are asked for, and the model has none or a refiner.
    """
    session = VOSSession(model, video, size=size, keep_maps=keep_maps)
    if model.refiner is None:
        yield from _propagated(session, video, given, report, both_ways=both_ways)
        return
    pngs = []
    with closing(_propagated(session, video, given, report, both_ways=both_ways)) as first:
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


def _propagated(session: VOSSession, video: VideoSource, given: Callable[[int], np.ndarray | None],
                report: OnProgress, *, both_ways: bool) -> Results:
    start = 0
    if both_ways:
        start = next((t for t in range(len(video)) if given(t) is not None), 0)
    before = _backwards(session, video, given, start, report)
    with closing(video.frames()) as frames:
        for t, image in enumerate(frames):
            if t < start:
                yield image, before[start - t], {}
            else:
                yield image, session.step(image, given(t)), session.maps


def _backwards(session: VOSSession, video: VideoSource, given: Callable[[int], np.ndarray | None],
               start: int, report: OnProgress) -> LabelMaps:
    """Maps of frames start, start - 1, ..., 0; none if the video begins with its first mask."""
    pngs: list[bytes] = []
    if start:
        view = Backwards(video, start)
        back = VOSSession(session.segmentor, view, size=session.size)
        with closing(view.frames()) as frames:
            for t, image in enumerate(frames):
                pngs.append(encode_mask(back.step(image, given(start) if t == 0 else None)))
                report('backwards', len(pngs), start + 1)
    return LabelMaps(pngs)
