"""Writing a repaired copy of a dataset beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import InputError
from ..files import atomic_folders, atomic_write, folders_below, make_dir, write_error
from ..masks import encode_mask
from .check import VideoReport
from .repair import repaired_labels


def check_output(out: Path, root: Path) -> None:
    """Refuse a folder that a copy of ``root`` cannot be written to.

    Raises:
        InputError: It is a file, lies in ``root``, or holds something.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(f'{out} is inside {root}; give --fix a folder outside of it')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f'{out} exists already; give --fix a new or an empty folder')


def write_repaired_copy(root: Path, out: Path, reports: Sequence[VideoReport]) -> tuple[int, int]:
    """Write a copy of a dataset whose masks are palette PNGs; whole, or not at all.

    Masks whose ids are certain are written with the DAVIS palette, at the size of their frame
    where at most two pixels are missing or too many. Every other file is copied, or linked where
    the file system can: change no file of the copy in place.

    Args:
        root: The dataset.
        out: See `check_output`.
        reports: Of all its videos.

    Returns:
        How many masks were written anew and how many files copied.

    Raises:
        InputError: ``out`` cannot be used or written.
    """
    check_output(out, root)
    written = {path: (mask, report) for report in reports for mask in report.masks
               if (path := mask.path) in report.certain}
    copied = 0
    with atomic_folders([out]) as (folder,):
        make_dir(folder)
        for path in _files(root):
            target = folder / path.relative_to(root)
            if path.is_dir():
                make_dir(target)
                continue
            if path not in written:
                _copy(path, target)
                copied += 1
                continue
            mask, report = written[path]
            labels = repaired_labels(mask, report.plan, report.sizes.get(mask.stem))
            atomic_write(target.with_suffix('.png'), encode_mask(labels))
    return len(written), copied


def _files(root: Path) -> Iterator[Path]:
    """Yield every file and folder below one, links that lead nowhere left out."""
    for folder in folders_below(root):
        yield folder
        yield from (path for path in folder.iterdir() if path.is_file())


def _copy(path: Path, target: Path) -> None:
    """Link a file, or copy it where that cannot be done (another disk, no permission)."""
    make_dir(target.parent)
    source = os.path.realpath(path)
    try:
        os.link(source, target)
        return
    except OSError:
        pass
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        if error.filename == source:
            raise InputError(
                f'cannot read {path}: {error.strerror}; check its permissions') from error
        raise write_error(target, error) from error
