"""Label maps that wait as PNGs."""
from __future__ import annotations

import numpy as np

from ..io import decode_mask


class LabelMaps:
    """The label maps of a video, kept as PNGs and decoded on access.

    Args:
        pngs: One palette PNG per frame.

    Example:
        >>> from mmvos.io import encode_mask
        >>> maps = LabelMaps([encode_mask(np.zeros((2, 3), np.uint8))])
        >>> len(maps), maps[0].shape
        (1, (2, 3))
    """

    def __init__(self, pngs: list[bytes]) -> None:
        self.pngs = pngs

    def __len__(self) -> int:
        return len(self.pngs)

    def __getitem__(self, index: int) -> np.ndarray:
        """(H,W) uint8 ids of a frame."""
        return decode_mask(self.pngs[index])
