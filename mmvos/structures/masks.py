"""Lazy label maps."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..io import as_labels, read_ids, read_mask


class MaskSource(ABC):
    """The label maps of one video, on some of its frames."""

    @property
    @abstractmethod
    def indices(self) -> list[int]:
        """The frames that have a label map, in order."""

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Return the label map of frame ``index`` as (H, W) uint8 ids, 0 background.

        Raises:
            KeyError: That frame has none.
        """

    def get(self, index: int) -> np.ndarray | None:
        """Return the label map of frame ``index``; None where it has none."""
        return self.read(index) if index in self.indices else None


class MaskFiles(MaskSource):
    """Label maps in files, read when asked for.

    Args:
        paths: {frame index: file}.
        size: (H, W) of the frames, see `read_mask`.
        merge: Make every object one object, id 1, as DAVIS-2016 asks.
        raw: As stored, for scoring: 255 stays 255, also beside 0 only, and no size is changed.
        palette: {(r, g, b): id} for masks that are colour images, see `parse_palette`.

    Raises:
        ValueError: `raw` and one of `size`, `merge` and `palette` are given.
    """

    def __init__(
        self,
        paths: Mapping[int, str | Path],
        size: tuple[int, int] | None = None,
        *,
        merge: bool = False,
        raw: bool = False,
        palette: dict[tuple[int, int, int], int] | None = None,
    ) -> None:
        if raw and (size or merge or palette):
            raise ValueError('raw is for masks as they are stored: leave out size, merge, palette')
        self.paths = {int(index): str(paths[index]) for index in sorted(paths)}
        self.size = size
        self.merge = merge
        self.raw = raw
        self.palette = palette

    @property
    def indices(self) -> list[int]:
        """The frames that have a label map, in order."""
        return list(self.paths)

    def read(self, index: int) -> np.ndarray:
        """Return the label map of frame ``index`` as (H, W) uint8 ids, 0 background."""
        path = self.paths[index]
        if self.raw:
            return read_ids(path, f'mask {path}')
        labels = read_mask(path, self.size, self.palette)
        return (labels > 0).astype(np.uint8) if self.merge else labels


class MaskArrays(MaskSource):
    """Label maps in memory.

    Args:
        arrays: {frame index: (H, W) ids}, checked as `mmvos.io.as_labels` does.
    """

    def __init__(self, arrays: Mapping[int, np.ndarray]) -> None:
        self.arrays = {
            int(index): as_labels(arrays[index], f'mask of frame {index}')
            for index in sorted(arrays)
        }

    @property
    def indices(self) -> list[int]:
        """The frames that have a label map, in order."""
        return list(self.arrays)

    def read(self, index: int) -> np.ndarray:
        """Return the label map of frame ``index`` as (H, W) uint8 ids, 0 background."""
        return self.arrays[index].copy()
