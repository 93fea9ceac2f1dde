"""The label maps of a video's annotated frames, wherever they are, read one by one."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmvos.io import read_ids

from .functional.frame import LabelMap

if TYPE_CHECKING:
    from mmvos.structures import MaskSource

class Labels(ABC):
    """Label maps by position: 0 is the first annotated frame."""

    @abstractmethod
    def read(self, position: int) -> LabelMap:
        """Return (H, W) ids as they are stored: 255 stays 255."""

    @abstractmethod
    def where(self, position: int) -> str:
        """Return what the user can look for: a file, or a frame's name."""

    def has(self, position: int) -> bool:
        """Whether there is a map."""
        return True

    def part(self, positions: Sequence[int]) -> Labels:
        """Return what `read` needs for these positions, small enough for another process."""
        return self


class LabelFiles(Labels):
    """PNG files.

    Args:
        paths: {position: file}.
    """

    def __init__(self, paths: dict[int, Path]) -> None:
        self.paths = paths

    def read(self, position: int) -> LabelMap:
        """Return (H, W) ids as they are stored."""
        return read_ids(self.paths[position], self.where(position))

    def where(self, position: int) -> str:
        """Return the file."""
        return f'mask {self.paths[position]}'

    def has(self, position: int) -> bool:
        """Whether there is a file."""
        return position in self.paths

    def part(self, positions: Sequence[int]) -> LabelFiles:
        """Return the files of these positions."""
        return LabelFiles({p: self.paths[p] for p in positions if p in self.paths})


class LabelPNGs(Labels):
    """PNGs in memory.

    Args:
        pngs: {position: PNG}.
        name: Of the video.
        frames: Names of the annotated frames.
    """

    def __init__(self, pngs: dict[int, bytes], name: str, frames: Sequence[str]) -> None:
        self.pngs = pngs
        self.name = name
        self.frames = frames

    def read(self, position: int) -> LabelMap:
        """Return (H, W) ids."""
        return read_ids(self.pngs[position], self.where(position))

    def where(self, position: int) -> str:
        """Return video and frame."""
        return f"prediction of video '{self.name}', frame {self.frames[position]}"

    def part(self, positions: Sequence[int]) -> LabelPNGs:
        """Return the PNGs of these positions."""
        return LabelPNGs({p: self.pngs[p] for p in positions}, self.name, self.frames)


class SourceLabels(Labels):
    """A dataset's masks.

    Args:
        source: Masks by frame index.
        name: Of the video.
        frames: Names of the annotated frames.
    """

    def __init__(self, source: MaskSource, name: str, frames: Sequence[str]) -> None:
        self.source = source
        self.name = name
        self.frames = frames
        self.indices = source.indices

    def read(self, position: int) -> LabelMap:
        """Return (H, W) ids."""
        return self.source.read(self.indices[position])

    def where(self, position: int) -> str:
        """Return video and frame."""
        return f"annotation of video '{self.name}', frame {self.frames[position]}"


@dataclass(frozen=True)
class VideoPair:
    """One video's ground truth and prediction.

    Attributes:
        name: As in the folders: 'dog', 'car/0003'.
        frames: Names of the annotated frames, in order of time.
        truth: Their label maps.
        pred: The predicted ones.
    """

    name: str
    frames: list[str]
    truth: Labels
    pred: Labels
