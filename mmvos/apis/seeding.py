"""A first mask that nobody drew: what a method finds by itself, where it is surest."""
from __future__ import annotations

from contextlib import closing

import numpy as np
from torch import Tensor

from ..io import InputError, encode_mask
from ..models.refiners.base import OnProgress, no_progress
from ..models.segmentors import VideoSegmentor, VOSSession
from ..structures import VideoSource

LEAST, MOST = 0.01, 0.6  # of a frame that an object may cover


def surest_mask(model: VideoSegmentor, video: VideoSource, *, size: int | None = None,
                report: OnProgress = no_progress) -> tuple[int, bytes]:
    """Frame and mask of which a zero-shot model is surest, among those of a sensible area.

    Args:
        model: One with `needs_mask = False`, in eval mode.
        video: The video.
        size: See `VOSSession`.
        report: Called with every frame.

    Returns:
        Index of the frame, its mask of ids as a palette PNG.

    Raises:
        InputError: Every mask covers less than 1 % or more than 60 % of its frame.
    """
    best: tuple[float, int, bytes] | None = None
    session = VOSSession(model, video, size=size)
    with closing(video.frames()) as frames:
        for index, image in enumerate(frames):
            labels = session.step(image)
            assert session.probs is not None, 'a step has probabilities'
            sure = confidence(session.probs)
            share = np.count_nonzero(labels) / labels.size
            if LEAST <= share <= MOST and (best is None or sure > best[0]):
                best = sure, index, encode_mask(labels)
            report('find objects', index + 1, len(video))
    if best is None:
        raise InputError(f"{type(model).__name__} finds no object in '{video.name}' that covers "
                         f'{LEAST:.0%} to {MOST:.0%} of a frame; give a mask')
    return best[1:]


def confidence(probs: Tensor) -> float:
    """Mean of |2p - 1| over the foreground, p the probability of any object; 0 without one.

    Args:
        probs: (1,K+1,H,W).
    """
    sure = (1 - 2 * probs[:, 0]).abs()[probs.argmax(1) > 0]
    return sure.mean().item() if sure.numel() else 0.
