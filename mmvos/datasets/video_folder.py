"""Unlabelled videos, decoded once into a memory-mapped cache."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..io import InputError, atomic_path
from ..registry import DATASETS
from ..structures import MaskArrays, MaskSource, VideoSource, open_video
from .base import VideoDataset

VIDEO_SUFFIXES = ('.mp4', '.mov', '.avi', '.mkv', '.webm', '.m4v')


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
        self.fps = 24.
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


def cache_video(video: VideoSource, path: Path, short_side: int) -> None:
    """Decode a video to a raw file of frames with this shorter side (never enlarged)."""
    height, width = video.size
    scale = min(1., short_side / min(height, width))
    size = (round(width * scale), round(height * scale))
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part, open(part, 'wb') as file:
        for frame in video.frames():
            file.write(cv2.resize(frame, size, interpolation=cv2.INTER_AREA).tobytes())
            count += 1
    # the JSON appears last: it says that the raw file is complete
    with atomic_path(path.with_suffix('.json')) as part:
        Path(part).write_text(json.dumps(dict(shape=(count, size[1], size[0], 3))))


@DATASETS.register_module()
class VideoFolder(VideoDataset):
    """Video files and folders of frames, without masks.

    Args:
        roots: Folders that hold video files or one folder of frames per video.
        cache_dir: Where decoded videos are kept; each is decoded once.
        short_side: Shorter side of the cached frames in pixels.
        exclude: Names of videos to leave out (near-static ones, say).
    """

    def __init__(self, roots: Sequence[str], cache_dir: str, *, short_side: int = 256,
                 exclude: Sequence[str] = ()) -> None:
        self.roots = tuple(roots)
        self.cache_dir = Path(cache_dir)
        self.short_side = short_side
        self.exclude = tuple(exclude)
        super().__init__()

    def load_data_list(self) -> list[dict]:
        """Every video of the roots but the excluded ones."""
        paths = [path for root in self.roots for path in find_videos(root)]
        infos = [dict(video_name=path.stem, path=str(path)) for path in paths
                 if path.stem not in self.exclude]
        if not infos:
            raise FileNotFoundError(
                f'no videos left in {list(self.roots)} after exclude={list(self.exclude)}')
        return infos

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """The cached video, decoded now if it was not, and no masks."""
        path = Path(info['path'])
        stat = path.stat()
        key = f'{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{self.short_side}'
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        cached = self.cache_dir / f'{path.stem}-{digest}.u8'
        if not cached.with_suffix('.json').exists():
            cache_video(open_video(path), cached, self.short_side)
        return CachedVideo(cached, path.stem), MaskArrays({}), None


def find_videos(root: str | Path) -> list[Path]:
    """Video files and folders of frames right under `root`, sorted.

    Raises:
        FileNotFoundError: No such folder.
        InputError: Nothing in it is a video.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f'{root.resolve()} is not a folder; expected one that holds videos (*.mp4, ...) or '
            'one folder of frames per video; set `roots` of VideoFolder')
    found = [path for path in sorted(root.iterdir())
             if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]
    if not found:
        raise InputError(f'{root} holds neither videos ({", ".join(VIDEO_SUFFIXES)}) nor folders')
    return found
