"""Video files in and out, through PyAV."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .errors import InputError
from .files import atomic_path

#: Suffixes of the files that count as videos.
VIDEO_SUFFIXES = ('.mp4', '.mov', '.avi', '.mkv', '.webm', '.m4v')
_DEFAULT_FPS = 24.0
# FFmpeg draws text files as video.
_NO_VIDEO_FORMATS = {'tty'}
# Formats whose packets say which frames there are and when each is shown.
_INDEXED_FORMATS = ('mp4', 'matroska')
_REENCODE = 'copy it again, or re-encode it: ffmpeg -i IN -c:v libx264 OUT.mp4'


class VideoReader:
    """The frames of a video file as (H, W, 3) RGB uint8 arrays, turned as its metadata says.

    Iterating decodes in order; `read` decodes any frame, going back to a key frame where it must.
    One reader serves one thread.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is not a video, has no frames, or is shorter than its header says.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f'video {path} does not exist; check the path')
        if self.path.is_dir():
            raise InputError(f'{path} is a folder, expected a video file')
        self._container: av.container.InputContainer | None = None
        self._times: list[int | None] = []
        self._keys = [0]
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = 0
        try:
            self._scan()
            self._seek(0)
            self.size: tuple[int, int] = self.read(0).shape[:2]
        except av.FFmpegError as error:
            raise InputError(
                f'{path} cannot be read as a video ({error.strerror}); {_REENCODE}'
            ) from error

    def __len__(self) -> int:
        return len(self._times)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.read(index) for index in range(len(self)))

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the reader cannot be used any more."""
        self._frames = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def read(self, index: int) -> np.ndarray:
        """Return frame ``index`` as (H, W, 3) RGB uint8.

        Raises:
            IndexError: There is no such frame.
            InputError: The video is damaged there.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'frame {index} of {self.path}: there are frames 0 to {len(self) - 1}')
        key = self._keys[bisect_right(self._keys, index) - 1]
        if index < self._next or key > self._next:
            self._seek(key)
        while self._next < index:
            self._decode()
        image = self._decode().to_ndarray(format='rgb24')
        if self._turns:
            image = np.ascontiguousarray(np.rot90(image, self._turns))
        return image

    def _open(self) -> av.container.InputContainer:
        """Return the file, opened anew at its start."""
        self.close()
        # An absolute path: 'a:b.mp4' would be taken for a protocol.
        self._container = container = av.open(os.path.abspath(self.path))
        if not container.streams.video or container.format.name in _NO_VIDEO_FORMATS:
            raise InputError(
                f'{self.path} holds no video (zero frames); give a video file or a folder of frames'
            )
        container.streams.video[0].thread_type = 'AUTO'
        return container

    def _scan(self) -> None:
        """Find the frames' times and key frames without decoding, where the format tells them."""
        container = self._open()
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else _DEFAULT_FPS
        packets = [
            (packet.pts, packet.is_keyframe, packet.is_discard)
            for packet in container.demux(stream)
            if packet.size
        ]
        names = container.format.name
        if 'mp4' in names and len(packets) < stream.frames:
            raise InputError(
                f'video {self.path} ends at frame {len(packets)} of {stream.frames}; '
                'copy or download it again'
            )
        times = [time for time, _, _ in packets]
        keys = {time for time, key, _ in packets if key}
        shown = [time for time, _, discard in packets if not discard]
        first = self._first()
        # Elsewhere (AVI, MPEG-TS, GIF) packets and frames need not match.
        exact = any(name in names for name in _INDEXED_FORMATS)
        if exact and None not in times and len(set(times)) == len(times) and first in shown:
            # What is shown before the first frame that decodes belongs to a part that was cut off.
            self._times = sorted(time for time in shown if time >= first)
            self._keys = [0] + [n for n, time in enumerate(self._times) if n and time in keys]
        else:
            self._times = [None] * self._count()
            self._keys = [0]

    def _first(self) -> int | None:
        """Return the time of the first frame that decodes, and note how it is turned."""
        container = self._open()
        frame = next(container.decode(container.streams.video[0]), None)
        if frame is None:
            raise InputError(f'video {self.path} has zero frames; give one with at least one frame')
        self._shape = (frame.height, frame.width)
        self._turns = round(frame.rotation / 90) % 4
        return frame.pts

    def _count(self) -> int:
        """Return the number of frames, found by decoding them all."""
        container = self._open()
        count = 0
        try:
            for _ in container.decode(container.streams.video[0]):
                count += 1
        except av.FFmpegError as error:
            raise self._damaged(count) from error
        return count

    def _seek(self, key: int) -> None:
        """Go to a key frame, so that the next frame decoded is that one."""
        container = self._open()
        stream = container.streams.video[0]
        if key:
            container.seek(self._times[key], stream=stream)
        self._frames, self._next = self._packets(container, stream), key

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                # Frames before the damage are still to come; the gap it leaves is noticed there.
                if self._times[0] is None:
                    raise

    def _decode(self) -> av.VideoFrame:
        """Return the next frame."""
        index = self._next
        time = self._times[index]
        try:
            frame = next(self._frames, None)
            while frame is not None and time is not None and frame.pts < time:
                frame = next(self._frames, None)
        except av.FFmpegError as error:
            raise self._damaged(index) from error
        if frame is None or frame.is_corrupt or frame.pts != time and time is not None:
            raise self._damaged(index)
        if (frame.height, frame.width) != self._shape:
            raise InputError(
                f'video {self.path} changes its size at frame {index}; cut or re-encode it there'
            )
        self._next += 1
        return frame

    def _damaged(self, index: int) -> InputError:
        return InputError(f'video {self.path} is damaged at frame {index}; {_REENCODE}')


class VideoWriter:
    """Writes an H.264 file that browsers play; it appears under its name when complete.

    Used as a context manager: left by an exception it writes nothing.

    Args:
        path: The file, ending in '.mp4'.
        fps: Frames per second.
        size: (H, W) of the frames. Odd sides are made even by repeating the last row or column,
            as the format asks.

    Raises:
        InputError: The file cannot be written, or no frame came.
    """

    def __init__(self, path: str | Path, fps: float, size: tuple[int, int]) -> None:
        if not 0 < fps <= 1000:
            raise ValueError(f'fps must be above 0 and at most 1000, got {fps}')
        self.path = Path(path)
        self.fps = fps
        self.size = tuple(size)
        self._count = 0
        self._stack = ExitStack()

    def __enter__(self) -> VideoWriter:
        with self._stack as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            stack.enter_context(_as_os_error())
            self._container = stack.enter_context(
                av.open(str(temporary), 'w', format='mp4', options={'movflags': '+faststart'})
            )
            self._stream = self._add_stream()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> bool | None:
        if kind is not None:
            return self._stack.__exit__(kind, *error)
        with self._stack:
            if not self._count:
                raise InputError(f'video {self.path} would have zero frames; nothing was written')
            self._container.mux(self._stream.encode())
        return None

    def write(self, image: np.ndarray) -> None:
        """Append one (H, W, 3) RGB uint8 frame.

        Raises:
            ValueError: It has another shape or type.
        """
        height, width = self.size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f'expected a frame of shape {(height, width, 3)} uint8, '
                f'got {image.shape} {image.dtype}'
            )
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
        frame = av.VideoFrame.from_ndarray(image, format='rgb24')
        frame.pts = self._count
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def _add_stream(self) -> av.VideoStream:
        rate = Fraction(self.fps).limit_denominator(1001)
        stream = self._container.add_stream('libx264', rate=rate)
        stream.height, stream.width = (side + side % 2 for side in self.size)
        stream.pix_fmt = 'yuv420p'
        stream.options = {'crf': '18', 'preset': 'veryfast'}
        stream.codec_context.time_base = 1 / rate
        return stream


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn the library's own errors into the system's, which say what failed on the disk."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(error.errno, error.strerror) from error
