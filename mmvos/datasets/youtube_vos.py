"""YouTube-VOS, semi-supervised."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..io import InputError, read_names
from ..io.doctor import refuse_broken_start
from ..io.youtube_vos import ObjectMeta, read_meta
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
    frame). `truth` holds the masks of these frames where all of them are there, as in train; of
    valid and test only the first masks are public, and `truth` is None.

    Args:
        data_root: Folder of the data.
        split: 'valid', 'test' or 'train'.
        use_all_frames: Take every raw frame (30 a second), which are in
            <data_root>/<split>_all_frames/JPEGImages/<video>; masks stay on the listed ones.
        videos: Names of the videos to take, or a text file with one per line (the part of train
            that a method holds out, say). All if None.
        indices: See `VideoDataset`.
    """

    def __init__(self, data_root: str, split: str = 'valid', *, use_all_frames: bool = False,
                 videos: Sequence[str] | str | None = None,
                 indices: int | list[int] | None = None) -> None:
        self.split = split
        self.use_all_frames = use_all_frames
        self.chosen = videos
        super().__init__(data_root, indices=indices)

    def load_data_list(self) -> list[dict]:
        """Videos of meta.json, those that `videos` names, sorted.

        Raises:
            FileNotFoundError: meta.json, the raw frames or the file of names are not where they
                should be.
            InputError: meta.json does not list videos, their objects and the frames of these, or
                not a video that `videos` names.
        """
        meta = Path(self.data_root) / self.split / 'meta.json'
        if not meta.is_file():
            raise FileNotFoundError(
                f'YouTube-VOS is not at {Path(self.data_root).resolve()}: no '
                f'{self.split}/meta.json. '
                'Get it from https://youtube-vos.org and set test_dataloader.dataset.data_root to '
                f'the folder that holds {self.split}/')
        if not self._images.is_dir():
            raise FileNotFoundError(
                f'{self._images.resolve()} does not exist; get the archive '
                f'{self._images.parent.name} from https://youtube-vos.org'
                + (', or set use_all_frames=False' if self.use_all_frames else ''))
        listed = read_meta(meta)
        names = listed if self.chosen is None else _chosen(self.chosen, listed, meta)
        return [dict(video_name=name, objects=listed[name]) for name in sorted(names)
                if listed[name]]

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """Frames, first masks and, where they are all there, all masks."""
        name, objects = info['video_name'], info['objects']
        listed = sorted({frame for entry in objects.values() for frame in entry.frames})
        video = self._video(name, listed)
        index = {frame: position for position, frame in enumerate(video.frame_names)}
        folder = Path(self.data_root) / self.split / 'Annotations' / name
        masks = {index[frame]: folder / f'{frame}.png' for frame in listed}
        starts = _starts(objects, index)
        absent = [position for position, path in masks.items() if not path.is_file()]
        lost = [masks[position] for position in absent if position in starts]
        if lost:
            raise InputError(f'meta.json says that objects of {name} begin on frames without a '
                             f'mask: {lost[0]} does not exist; unpack YouTube-VOS again')
        refuse_broken_start(self._images / name, folder, video.frame_names[min(starts)])
        given = MaskFiles({position: masks[position] for position in starts}, video.size)
        complete = not absent and len(masks) > len(starts)
        return (video, FirstMasks(given, starts),
                MaskFiles(masks, raw=True) if complete else None)

    @property
    def _images(self) -> Path:
        split = f'{self.split}_all_frames' if self.use_all_frames else self.split
        return Path(self.data_root) / split / 'JPEGImages'

    def _video(self, name: str, listed: list[str]) -> FrameFolder:
        """The listed frames of a video, or all of them."""
        folder = self._images / name
        if not self.use_all_frames:
            return FrameFolder([folder / f'{frame}.jpg' for frame in listed], name)
        video = FrameFolder.from_dir(folder)
        absent = sorted(set(listed) - set(video.frame_names))
        if absent:
            raise InputError(f'meta.json lists frame {absent[0]} of {name}, but {folder} has no '
                             f'{absent[0]}.jpg; unpack {self._images.parent.name} again')
        return video


def _starts(objects: dict[int, ObjectMeta], index: dict[str, int]) -> dict[int, list[int]]:
    """{frame index: ids that begin there}."""
    starts = defaultdict(list)
    for key, entry in objects.items():
        starts[index[entry.frames[0]]].append(key)
    return dict(starts)


def _chosen(videos: Sequence[str] | str, listed: dict, meta: Path) -> set[str]:
    """Names of a list or of a text file, all of them known."""
    where = 'videos'
    if isinstance(videos, str):
        where, videos = videos, read_names(videos)
    if not videos:
        raise InputError(f'{where} names no video; name at least one of {meta}, or set '
                         'videos=None for all')
    unknown = [name for name in videos if name not in listed]
    if unknown:
        more = f' (and {len(unknown) - 1} more)' if len(unknown) > 1 else ''
        raise InputError(f"{where} names '{unknown[0]}'{more}, which {meta} does not list; take "
                         'it out or choose another split')
    return set(videos)
