"""A second pass over a whole video."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator

import numpy as np
import torch
from mmengine.model import BaseModule

from ...structures import LabelMaps, VideoSource

OnProgress = Callable[[str, int, int], None]  # (what is done, steps done, steps in all)


def no_progress(what: str, done: int, total: int) -> None:
    """Show nothing."""


class Refiner(BaseModule):
    """Makes better masks of a video from those that a segmentor found, whichever it was.

    It runs after the segmentor has seen the last frame, so there is none in a session.
    """

    @abstractmethod
    def forward(self, video: VideoSource, masks: LabelMaps, given: Collection[int], *,
                device: torch.device, autocast: torch.dtype | None = None,
                report: OnProgress = no_progress) -> Iterator[np.ndarray]:
        """Refine the masks of a video.

        Args:
            video: T frames.
            masks: T maps (H,W) of ids; they stay as they are.
            given: Indices of frames with a mask from outside: there `masks` is right, or right for
                some of the objects. Whoever calls puts what was given back into the result.
            device: Where to compute.
            autocast: The type of convolutions, None for float32.
            report: Called as it goes on.

        Yields:
            T maps (H,W) uint8 of the same ids.
        """
