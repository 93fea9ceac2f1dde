"""Where a dataset keeps its frames and masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..files import natural_order
from ..images import image_files
from ..video import VIDEO_SUFFIXES
from .findings import Finding

_LOOKED_FOR = (
    'JPEGImages/ and Annotations/ (here or one folder below), frames/ and masks/ (likewise), '
    'videos/*.mp4 and masks/<video>/, and PNG masks (likewise)'
)


@dataclass(frozen=True)
class VideoFiles:
    """Where one video is.

    Attributes:
        name: As it is reported: 'dog', '480p/dog', 'train/ab12'.
        frames: Folder of images or video file; None where there is none.
        masks: Folder of images; None where there is none.
        masks_only: The layout has no frames: what concerns them is not checked.
        frames_only: The layout has no masks: what concerns them is not checked.
    """

    name: str
    frames: Path | None
    masks: Path | None
    masks_only: bool = False
    frames_only: bool = False


@dataclass
class Layout:
    """The videos of a root.

    Attributes:
        kind: In words.
        videos: In natural order of their names.
        findings: What is wrong with the folders themselves.
    """

    kind: str
    videos: list[VideoFiles] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def find_layout(root: str | Path) -> Layout:
    """Return the videos under a folder, whichever of the known layouts it has.

    They are DAVIS, YouTube-VOS (also one level below), frames/ with masks/ (also one level
    below), videos/ with masks/, a folder of masks and a folder of such folders.

    Raises:
        FileNotFoundError: There is no such folder.
        InputError: It has none of the layouts.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f'{root} is not a folder; check the path')
    for find in (_splits, _frames_and_masks, _videos_and_masks, _masks_only):
        layout = find(root)
        if layout is not None and (layout.videos or layout.findings):
            layout.videos.sort(key=lambda video: natural_order(Path(video.name)))
            return layout
    raise InputError(
        f'{root} has no layout that is known, or holds no video; looked for {_LOOKED_FOR}; '
        'give the folder that holds one of these'
    )


def folders(root: Path) -> list[Path]:
    """Return the folders right in a folder, hidden ones left out; none where it is no folder."""
    if not root.is_dir():
        return []
    return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith('.')]


def _splits(root: Path) -> Layout | None:
    """Return the videos of JPEGImages/ and Annotations/, here or one folder below."""
    if _has_either(root, 'JPEGImages', 'Annotations'):
        found = [('', root)]
    else:
        below = [path for path in folders(root) if _has_either(path, 'JPEGImages', 'Annotations')]
        found = [(f'{path.name}/', path) for path in below]
    layout = Layout('JPEGImages and Annotations')
    for prefix, split in found:
        _add_split(layout, prefix, split / 'JPEGImages', split / 'Annotations')
    return layout


def _add_split(layout: Layout, prefix: str, images: Path, masks: Path) -> None:
    """Add the videos of one JPEGImages/ and Annotations/; one of them may be missing."""
    names = _names(images) | _names(masks)
    masks_only, frames_only = not images.is_dir(), not masks.is_dir()
    if masks_only or frames_only:
        folder, checked = (images, 'masks') if masks_only else (masks, 'frames')
        layout.findings.append(Finding(
            'half-a-dataset', folder, 'does not exist', f'only the {checked} are checked',
            'warning'))
    else:
        absent = _absent_resolutions(images, masks)
        layout.findings += absent
        levels = {finding.path.name for finding in absent}
        names = {name for name in names if name.split('/')[0] not in levels}
    layout.videos += [
        VideoFiles(prefix + name, _existing(images / name), _existing(masks / name),
                   masks_only=masks_only, frames_only=frames_only) for name in names]


def _absent_resolutions(images: Path, masks: Path) -> list[Finding]:
    """Return one finding for each resolution (480p, ...) that only one of two folders has."""
    def levels(base: Path) -> set[str]:
        return {name.split('/')[0] for name in _names(base) if '/' in name}

    return [
        Finding('resolution-missing', other / level, 'does not exist',
                f'put it there, or remove {one / level}', 'error')
        for one, other in ((images, masks), (masks, images))
        for level in sorted(levels(one) - levels(other))]


def _names(base: Path) -> set[str]:
    """Return '<video>', or '<resolution>/<video>' where a folder holds folders and no images."""
    names = set()
    for path in folders(base):
        inner = folders(path)
        deep = bool(inner) and not image_files(path)
        names |= {f'{path.name}/{video.name}' for video in inner} if deep else {path.name}
    return names


def _frames_and_masks(root: Path) -> Layout | None:
    """Return the videos of folders that hold frames/ and masks/."""
    found = [root] if (root / 'frames').is_dir() else [
        path for path in folders(root) if _has_either(path, 'frames', 'masks')]
    if not any((path / 'frames').is_dir() for path in found):
        return None
    return Layout('frames and masks', [
        VideoFiles(path.resolve().name, _existing(path / 'frames'), _existing(path / 'masks'))
        for path in found])


def _videos_and_masks(root: Path) -> Layout | None:
    """Return the videos of videos/ and masks/<video>/."""
    if not (root / 'videos').is_dir():
        return None
    files = {
        path.stem: path
        for path in sorted((root / 'videos').iterdir())
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith('.')
    }
    if not files:
        return None
    only = not (root / 'masks').is_dir()
    masks = {path.name: path for path in folders(root / 'masks')}
    return Layout('videos and masks', [
        VideoFiles(name, files.get(name), masks.get(name), frames_only=only)
        for name in files.keys() | masks.keys()])


def _masks_only(root: Path) -> Layout | None:
    """Return a folder of PNGs, or every folder of PNGs right in it."""
    def holds_png(folder: Path) -> bool:
        return bool(image_files(folder, ['.png']))

    found = [root] if holds_png(root) else [path for path in folders(root) if holds_png(path)]
    return Layout('masks only', [
        VideoFiles(path.resolve().name, None, path, masks_only=True) for path in found])


def _has_either(root: Path, *names: str) -> bool:
    return any((root / name).is_dir() for name in names)


def _existing(path: Path) -> Path | None:
    return path if path.is_dir() else None
