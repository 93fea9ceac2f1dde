"""Videos as sources that hold paths and read frames when asked."""

from __future__ import annotations

import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import numpy as np

from mmvos.io import (
    IMAGE_SUFFIXES,
    InputError,
    VideoReader,
    image_files,
    image_size,
    read_image,
)

_READ_AHEAD = 4
_GROUP = 16  # frames of `Backwards` in memory
_INHERITED: list[VideoReader] = []  # of the parent process, never closed here


class VideoSource(ABC):
    """The frames of one video, decoded when asked for and not kept.

    It is no ``Sequence`` on purpose: MMEngine's collate would decode the whole video.

    Attributes:
        name: The video's name, used for output folders.
        frame_names: One name per frame, used for output files ('00000', ...).
        fps: Frames per second.
    """

    name: str
    frame_names: list[str]
    fps: float = 24.

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame."""

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Return frame ``index`` as (H, W, 3) RGB uint8."""

    def __len__(self) -> int:
        return len(self.frame_names)

    def frames(self, start: int = 0) -> Generator[np.ndarray]:
        """Yield the frames from ``start`` on, in order, read ahead by a thread.

        At most 4 frames wait. An error of the reading comes where its frame would have come. The
        thread ends with the iterator, also when that is dropped half-way.
        """
        return read_ahead(self._in_order(start), _READ_AHEAD)

    def _in_order(self, start: int) -> Iterator[np.ndarray]:
        return (self.read(index) for index in range(start, len(self)))


class FrameFolder(VideoSource):
    """A video stored as one image per frame.

    Args:
        paths: The images, in order. They all have the first one's size: `read` raises an
            `InputError` that names the one that does not.
        name: Defaults to the name of the first image's folder.

    Raises:
        InputError: There are no paths, or two frames have the same name.
    """

    def __init__(self, paths: Iterable[str | Path], name: str | None = None) -> None:
        self.paths = [str(path) for path in paths]
        if not self.paths:
            raise InputError(f'video {name or ""} has zero frames; give at least one image')
        self.name = Path(self.paths[0]).absolute().parent.name if name is None else name
        self.frame_names = [Path(path).stem for path in self.paths]
        self._size: tuple[int, int] | None = None
        seen: dict[str, str] = {}
        for stem, path in zip(self.frame_names, self.paths, strict=True):
            if stem in seen:
                raise InputError(
                    f'frames {seen[stem]} and {path} have the same name; rename or remove one'
                )
            seen[stem] = path

    @classmethod
    def from_dir(cls, folder: str | Path) -> FrameFolder:
        """Return the video of a folder's images, 'frame2' before 'frame10'.

        Raises:
            FileNotFoundError: There is no such folder.
            InputError: It holds no images.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f'folder {folder} does not exist; check the path')
        paths = image_files(folder)
        if not paths:
            kinds = ', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)
            raise InputError(
                f'folder {folder} has zero frames; expected images ({kinds}) directly in it'
            )
        return cls(paths, folder.absolute().name)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame."""
        if self._size is None:
            self._size = image_size(self.paths[0])
        return self._size

    def read(self, index: int) -> np.ndarray:
        """Return frame ``index`` as (H, W, 3) RGB uint8."""
        image = read_image(self.paths[index])
        height, width = self.size
        if image.shape[:2] != (height, width):
            raise InputError(
                f'frame {self.paths[index]} is {image.shape[1]}x{image.shape[0]} (width x height) '
                f'but the first frame is {width}x{height}; give frames of one size'
            )
        return image


class VideoFile(VideoSource):
    """A video file, opened on first use; a pickled copy and a forked process open it anew.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.name = Path(path).stem
        self._reader: VideoReader | None = None
        self._process = os.getpid()

    @property
    def frame_names(self) -> list[str]:  # type: ignore[override]
        """'00000', '00001', ..."""
        return [f'{index:05d}' for index in range(len(self))]

    @property
    def fps(self) -> float:  # type: ignore[override]
        """Frames per second."""
        return self._opened().fps

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame."""
        return self._opened().size

    def __len__(self) -> int:
        return len(self._opened())

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_reader': None}

    def read(self, index: int) -> np.ndarray:
        """Return frame ``index`` as (H, W, 3) RGB uint8."""
        return self._opened().read(index)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _opened(self) -> VideoReader:
        if self._process != os.getpid():
            # a decoder's threads do not live on in a forked process, and closing it waits for them
            if self._reader is not None:
                _INHERITED.append(self._reader)
            self._reader, self._process = None, os.getpid()
        if self._reader is None:
            self._reader = VideoReader(self.path)
        return self._reader

    def _in_order(self, start: int) -> Iterator[np.ndarray]:
        # A reader of its own: it runs in another thread than `read`.
        with VideoReader(self.path) as reader:
            for index in range(start, len(reader)):
                yield reader.read(index)


class Backwards(VideoSource):
    """The frames of a video from one of them back to its first.

    Decoded in order, a group at a time: reading a compressed video backwards frame by frame would
    decode from a key frame to each.

    Args:
        video: The video.
        start: Index of the frame that comes first here.
    """

    def __init__(self, video: VideoSource, start: int) -> None:
        self.video = video
        self.start = start
        self.name = video.name
        self.fps = video.fps
        self.frame_names = video.frame_names[start::-1]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame."""
        return self.video.size

    def read(self, index: int) -> np.ndarray:
        """Return frame ``index``, counted backwards, as (H, W, 3) RGB uint8."""
        return self.video.read(self.start - index)

    def _in_order(self, start: int) -> Iterator[np.ndarray]:
        end = self.start - start + 1  # behind the last frame of the next group
        while end > 0:
            begin = max(0, end - _GROUP)
            with closing(self.video.frames(begin)) as frames:
                group = list(islice(frames, end - begin))
            while group:
                yield group.pop()
            end = begin


def open_video(path: str | Path) -> VideoSource:
    """Return the video of a file or of a folder of images, checked to have a first frame.

    Raises:
        FileNotFoundError: There is no such file or folder.
        InputError: It is a single image, no video, empty, or its first frame is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'video {path} does not exist; check the path')
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        raise InputError(f'{path} is a single image; give a video file or a folder of frames')
    video: VideoSource = FrameFolder.from_dir(path) if path.is_dir() else VideoFile(path)
    # Opening reads a video file's first frame; here a folder's is read too.
    _ = video.size if isinstance(video, VideoFile) else video.read(0)
    return video


def read_ahead(items: Iterator[np.ndarray], depth: int) -> Generator[np.ndarray]:
    """Yield what ``items`` yields, computed by a daemon thread at most ``depth`` items ahead.

    An exception of ``items`` is raised where its item would have come. When this iterator is
    closed or dropped, the thread closes ``items`` and ends.
    """
    waiting: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: object) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                waiting.put((kind, value), timeout=0.1)
                return

    def work() -> None:
        try:
            with closing(items):  # type: ignore[type-var]
                for item in items:
                    put('item', item)
                    if stop.is_set():
                        return
        except BaseException as error:  # raised again in the consumer
            put('error', error)
        else:
            put('end', None)

    thread = threading.Thread(target=work, daemon=True, name='mmvos-read-ahead')
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == 'end':
                return
            if kind == 'error':
                raise value
            yield value
    finally:
        stop.set()
        thread.join(timeout=5)
