"""Unlabelled videos, decoded once into a memory-mapped cache."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from ..io import VIDEO_SUFFIXES, InputError, atomic_path, shrunk_size
from ..registry import DATASETS
from ..structures import MaskArrays, MaskSource, VideoSource, open_video
from .base import VideoDataset

SHORT_SIDE = 256  # px, when nothing is asked for


class CachedVideo(VideoSource):
    """Frames in a raw uint8 file, read through a memory map.

    Args:
        path: The raw file; its shape (T,H,W,3) stands in a JSON file beside it.
        name: Name of the video.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = Path(path)
        self.name = name
        self.shape = tuple(json.loads(self.path.with_suffix('.json').read_text())['shape'])
        self.frame_names = [f'{index:05d}' for index in range(self.shape[0])]
        self._map: np.memmap | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_map': None}

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.shape[1], self.shape[2]

    def read(self, index: int) -> np.ndarray:
        """(H,W,3) RGB uint8, a view into the map: copy before writing."""
        if self._map is None:
            self._map = np.memmap(self.path, np.uint8, 'r', shape=self.shape)
        return self._map[index]


def cache_video(video: VideoSource, path: Path, size: tuple[int, int], interpolation: int) -> None:
    """Decode a video to a raw file of frames resized to `size` (H, W) with OpenCV."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part, open(part, 'wb') as file:
        for frame in video.frames():
            file.write(cv2.resize(frame, size[::-1], interpolation=interpolation).tobytes())
            count += 1
    # the JSON appears last: it says that the raw file is complete
    with atomic_path(path.with_suffix('.json')) as part:
        Path(part).write_text(json.dumps(dict(shape=(count, *size, 3))))


@DATASETS.register_module()
class VideoFolder(VideoDataset):
    """Video files and folders of frames, without masks.

    A video is decoded again when its file, or a file in its folder of frames, changes.

    Args:
        roots: Folders that hold video files or one folder of frames per video.
        cache_dir: Where decoded videos are kept; each is decoded once.
        short_side: Shorter side of the cached frames in pixels, averaged over areas and never
            enlarged; 256 when neither this nor `size` is given.
        size: (H, W) of the cached frames instead: one bilinear resize that does not keep their
            proportions, as MAST and MAMP prepare their training frames.
        exclude: Names of videos to leave out (near-static ones, say).
        indices: See `VideoDataset`; videos are in order of roots and names.

    Raises:
        ValueError: Both `short_side` and `size` are given, or a side is below 1.
    """

    def __init__(self, roots: Sequence[str], cache_dir: str, *, short_side: int | None = None,
                 size: tuple[int, int] | None = None, exclude: Sequence[str] = (),
                 indices: int | list[int] | None = None) -> None:
        if short_side is not None and size is not None:
            raise ValueError(f'give short_side or size, got short_side={short_side} and '
                             f'size={tuple(size)}; set one of them to None')
        if isinstance(roots, str):
            raise ValueError(f'roots should be a list of folders, got {roots!r}; give '
                             f'roots="[\'{roots}\']"')
        self.roots = tuple(roots)
        self.cache_dir = Path(cache_dir)
        self.short_side = SHORT_SIDE if short_side is None else short_side
        self.size = None if size is None else tuple(size)
        sides = (self.short_side,) * 2 if self.size is None else self.size
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError('expected short_side or size=(H, W) in pixels, 1 or more, got '
                             f'short_side={short_side}, size={size}')
        self.exclude = tuple(exclude)
        super().__init__(indices=indices)

    def load_data_list(self) -> list[dict]:
        """Every video of the roots but the excluded ones."""
        paths = [path for root in self.roots for path in find_videos(root)]
        infos = [dict(video_name=video_name(path), path=str(path)) for path in paths
                 if video_name(path) not in self.exclude]
        if not infos:
            raise FileNotFoundError(
                f'no videos left in {list(self.roots)} after exclude={list(self.exclude)}')
        return infos

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """The cached video, decoded now if it was not, and no masks."""
        cached = self._cache_path(info)
        if not _is_complete(cached):
            self._decode(info, cached)
        return CachedVideo(cached, info['video_name']), MaskArrays({}), None

    def all_sources(self) -> list[tuple[VideoSource, MaskSource, MaskSource | None]]:
        """`sources` of every video, in order; a bar counts those that are decoded now."""
        infos = [self.get_data_info(index) for index in range(len(self))]
        absent = [info for info in infos if not _is_complete(self._cache_path(info))]
        if absent:
            for info in track(absent, 'decoding videos'):
                self._decode(info, self._cache_path(info))
        return super().all_sources()

    def _cache_path(self, info: dict) -> Path:
        """Where a video is kept: another place when it or the size asked for changes."""
        path = Path(info['path'])
        asked = self.short_side if self.size is None else 'x'.join(map(str, self.size))
        key = f'{path.resolve()}|{_stamp(path)}|{asked}'
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return self.cache_dir / f'{info["video_name"]}-{digest}.u8'

    def _decode(self, info: dict, cached: Path) -> None:
        video = open_video(info['path'])
        if self.size is not None:
            cache_video(video, cached, self.size, cv2.INTER_LINEAR)
            return
        cache_video(video, cached, shrunk_size(video.size, self.short_side), cv2.INTER_AREA)


def video_name(path: Path) -> str:
    """Name of a folder, or of a file without its suffix."""
    return path.name if path.is_dir() else path.stem


def find_videos(root: str | Path) -> list[Path]:
    """Video files and folders of frames right under `root`, sorted, hidden ones left out.

    Raises:
        FileNotFoundError: No such folder.
        InputError: Nothing in it is a video.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f'{root.resolve()} is not a folder; expected one that holds videos (*.mp4, ...) or '
            'one folder of frames per video; set `roots` of VideoFolder')
    found = [path for path in sorted(root.iterdir()) if not path.name.startswith('.')
             and (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES)]
    if not found:
        raise InputError(f'{root} holds neither videos ({", ".join(VIDEO_SUFFIXES)}) nor folders')
    return found


def _is_complete(cached: Path) -> bool:
    return cached.is_file() and cached.with_suffix('.json').is_file()


def _stamp(path: Path) -> str:
    """Size and time of a file; names, sizes and times of what a folder of frames holds."""
    if path.is_dir():
        return '/'.join(f'{entry.name}|{_stamp(entry)}' for entry in sorted(path.iterdir())
                        if entry.is_file() and not entry.name.startswith('.'))
    stat = path.stat()
    return f'{stat.st_size}|{stat.st_mtime_ns}'
