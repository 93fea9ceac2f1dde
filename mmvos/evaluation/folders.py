"""Folders of PNGs as pairs of ground truth and prediction."""
from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mmvos.io import InputError, folders_below, image_files, read_names
from mmvos.io.youtube_vos import read_meta

from .labels import LabelFiles, VideoPair
from .protocols import Protocol


@dataclass(frozen=True)
class GroundTruth:
    """A folder of annotations.

    Attributes:
        folder: Holds one folder of PNGs per video.
        names: Of the videos to take; all if None.
        meta: Its meta.json, if it has one.
    """

    folder: Path
    names: list[str] | None = None
    meta: Path | None = None

    @property
    def frames(self) -> Path | None:
        """Folder of the videos' frames, where the dataset keeps it beside the annotations."""
        parts = self.folder.parts
        for number in reversed(range(len(parts))):
            if parts[number].startswith('Annotations'):
                beside = Path(*parts[:number], 'JPEGImages', *parts[number + 1:])
                return beside if beside.is_dir() else None
        return None


def find_ground_truth(path: str | Path, protocol: type[Protocol],
                      list_file: str | Path | None = None) -> GroundTruth:
    """Return the annotations in a folder, or under the root of a dataset that holds them.

    Args:
        path: The annotations' folder, or a dataset's root with the protocol's `layout`.
        protocol: Knows the layout.
        list_file: Text file with the names of the videos; the layout's own one by default.

    Raises:
        FileNotFoundError: There is no such folder or file.
        InputError: The list names no video.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f'ground truth {root} is not a folder; check the path')
    folder, meta = root, None
    if (root / 'JPEGImages').is_dir() and not (
            protocol.layout and (root / protocol.layout[0]).is_dir()):
        raise FileNotFoundError(f'ground truth {root} is the root of a dataset with another layout '
                                f'than that of protocol {protocol.name}; give the folder of its '
                                'annotations')
    if protocol.layout and (root / protocol.layout[0]).is_dir():
        folder, beside = root / protocol.layout[0], root / protocol.layout[1]
        if 'meta' in protocol.takes:
            meta = beside if beside.is_file() else None
        elif list_file is None and beside.is_file():
            list_file = beside
        elif list_file is None and (root / 'ImageSets').is_dir() and protocol.layout[1]:
            raise FileNotFoundError(f'{beside} does not exist, which should name the videos of '
                                    f'protocol {protocol.name}; give --list')
    names = None if list_file is None else read_names(list_file)
    if meta and names is None:
        names = list(read_meta(meta))
    return GroundTruth(folder, names, meta)


def pair_folders(results: str | Path, truth: GroundTruth, protocol: Protocol, *,
                 allow_missing: bool = False) -> list[VideoPair]:
    """Return the videos of the ground truth with the predictions of the same names.

    Args:
        results: Holds `<video>/<frame>.png`; other videos and frames in it are left alone.
        truth: The annotations.
        protocol: Knows which frames count; of the others no prediction is needed.
        allow_missing: Frames without a prediction are empty, not an error.

    Raises:
        FileNotFoundError: There is no such folder, or a video or frame is missing.
        InputError: A folder holds no PNG.
    """
    results = Path(results)
    if not results.is_dir():
        raise FileNotFoundError(f'results {results} is not a folder; check the path')
    videos = find_videos(truth.folder, truth.names)
    protocol.check_names(videos)
    if not any(map(_pngs, folders_below(results))):
        raise InputError(f'results {results} holds no PNG; expected {results}/{min(videos)}/'
                         '<frame>.png, as tools/test.py --out writes them')
    there = {name: {path.stem: path for path in _pngs(results / name)} for name in videos}
    if not any(there.values()):
        raise FileNotFoundError(
            f'results {results} and ground truth {truth.folder} have no video in common, expected '
            f'{results / min(videos)}/*.png for example; give the folders that hold the videos')
    return [_pair(name, files, there[name], results, protocol, allow_missing)
            for name, files in sorted(videos.items())]


def find_videos(folder: Path, names: Collection[str] | None = None) -> dict[str, list[Path]]:
    """Return {video: its PNGs in order} of a folder.

    Args:
        folder: Holds a folder of PNGs per video, at any depth, or PNGs itself.
        names: Of the videos to take; all if None.

    Raises:
        FileNotFoundError: There is no video of that name.
        InputError: There is no PNG.
    """
    if names is None:
        found = {path.relative_to(folder).as_posix(): _pngs(path)
                 for path in folders_below(folder)}
        found = {name: files for name, files in found.items() if files}
    else:
        found = {name: _pngs(folder / name) for name in names}
        absent = [name for name, files in found.items() if not files]
        if absent:
            raise FileNotFoundError(f'ground truth {folder / absent[0]} holds no PNG, but its list '
                                    f'of videos or meta.json names {absent[0]}; add it, or give '
                                    'another --list')
    if not found:
        raise InputError(f'ground truth {folder} holds no PNG; expected <video>/<frame>.png in it')
    return found


def _pair(name: str, files: list[Path], there: dict[str, Path], results: Path, protocol: Protocol,
          allow_missing: bool) -> VideoPair:
    frames = [path.stem for path in files]
    if not there and not allow_missing:
        raise FileNotFoundError(
            f"results of video '{name}' are missing: expected {results / name}/*.png; predict it, "
            'leave it out with --list, or score it as empty with --allow-missing')
    needed = [frames[position] for position in protocol.needed(name, frames)]
    absent = [frame for frame in needed if frame not in there]
    if absent and not allow_missing:
        raise FileNotFoundError(
            f'{results / name / absent[0]}.png is missing ({len(absent)} of {len(needed)} frames '
            'of this video that count are); predict every frame, or score them as empty with '
            '--allow-missing')
    pred = {position: there[frame] for position, frame in enumerate(frames) if frame in there}
    return VideoPair(name, frames, LabelFiles(dict(enumerate(files))), LabelFiles(pred))


def _pngs(folder: Path) -> list[Path]:
    return image_files(folder, ['.png'])
