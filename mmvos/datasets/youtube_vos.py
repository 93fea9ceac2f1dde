"""YouTube-VOS, semi-supervised validation."""
from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from ..io import InputError
from ..registry import DATASETS
from ..structures import FrameFolder, MaskFiles, MaskSource, VideoSource
from .base import VideoDataset


class FirstMasks(MaskSource):
    """Masks of the frames in which objects begin, holding only the objects that begin there.

    Args:
        files: Masks on these frames.
        objects: {frame index: ids that begin there}.
    """

    def __init__(self, files: MaskFiles, objects: dict[int, list[int]]) -> None:
        self.files = files
        self.objects = objects

    @property
    def indices(self) -> list[int]:
        """Frames in which objects begin, in order."""
        return sorted(self.objects)

    def read(self, index: int) -> np.ndarray:
        """(H,W) uint8 ids."""
        labels = self.files.read(index)
        return np.where(np.isin(labels, self.objects[index]), labels, 0).astype(np.uint8)


@DATASETS.register_module()
class YouTubeVOS(VideoDataset):
    """Videos of a split; objects are given in the first frame that they appear in.

    Layout: <data_root>/<split>/{meta.json, JPEGImages/<video>/*.jpg, Annotations/<video>/*.png}.
    The frames of a video are those that meta.json lists for any of its objects (every fifth raw
    frame). The masks to compare with are not public, so `truth` is None.

    Args:
        data_root: Folder of the data.
        split: 'valid' or 'test'.
        indices: See `VideoDataset`.
    """

    def __init__(self, data_root: str, split: str = 'valid', *,
                 indices: int | list[int] | None = None) -> None:
        self.split = split
        super().__init__(data_root, indices=indices)

    def load_data_list(self) -> list[dict]:
        """Videos of meta.json.

        Raises:
            FileNotFoundError: meta.json is not where it should be.
            InputError: It does not list videos, their objects and the frames of these.
        """
        meta = Path(self.data_root) / self.split / 'meta.json'
        if not meta.is_file():
            raise FileNotFoundError(
                f'YouTube-VOS is not at {Path(self.data_root).resolve()}: no '
                f'{self.split}/meta.json. '
                'Get it from https://youtube-vos.org and set test_dataloader.dataset.data_root to '
                f'the folder that holds {self.split}/')
        return [dict(video_name=name, objects=objects)
                for name, objects in sorted(_read_meta(meta).items())]

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """Frames, first masks and None."""
        folder, name = Path(self.data_root) / self.split, info['video_name']
        frames = sorted({frame for listed in info['objects'].values() for frame in listed})
        images = folder / 'JPEGImages' / name
        video = FrameFolder([images / f'{frame}.jpg' for frame in frames], name)
        starts = defaultdict(list)
        for key, listed in info['objects'].items():
            starts[frames.index(listed[0])].append(key)
        masks = {index: folder / 'Annotations' / name / f'{frames[index]}.png' for index in starts}
        absent = [str(path) for path in masks.values() if not path.is_file()]
        if absent:
            raise InputError(f'meta.json says that objects of {name} begin on frames without a '
                             f'mask: {absent[0]} does not exist; unpack YouTube-VOS again')
        return video, FirstMasks(MaskFiles(masks, video.size), dict(starts)), None


def _read_meta(path: Path) -> dict[str, dict[int, list[str]]]:
    """{video: {object: frames}} of a meta.json."""
    try:
        videos = json.loads(path.read_bytes())['videos']
        return {name: {int(key): sorted(entry['frames'])
                       for key, entry in video['objects'].items() if entry['frames']}
                for name, video in videos.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f'it has no {error}' if isinstance(error, KeyError) else str(error)
        raise InputError(
            f'{path} is not a meta.json of YouTube-VOS ({reason}); expected {{"videos": {{name: '
            '{"objects": {id: {"frames": [...]}}}}}; unpack YouTube-VOS again') from error
