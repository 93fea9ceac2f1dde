"""Finding files, and writing them so that a final name only ever holds a complete file."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

REMEDIES = {
    errno.ENOSPC: 'free some space or choose another output folder',
    errno.EDQUOT: 'free some space or choose another output folder',
    errno.EFBIG: 'free some space or choose another output folder',
    errno.ENOTDIR: 'one of its parents is a file, choose another output folder',
    errno.EEXIST: 'one of its parents is a file, choose another output folder',
    errno.EISDIR: 'a folder has this name, choose another one',
    errno.ENAMETOOLONG: 'choose a shorter name',
}


def write_error(path: str | Path, error: OSError) -> InputError:
    """Return the `InputError` that names ``path``, the system's reason and the remedy."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    remedy = REMEDIES.get(error.errno or 0, 'choose an output folder that you may write to')
    return InputError(f'cannot write {path}: {reason}; {remedy}')


def make_dir(path: str | Path) -> Path:
    """Create a folder with its parents, if it is not there yet, and return it.

    Raises:
        InputError: It cannot be created, or a file has its name.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that is renamed to it when the block succeeds.

    The sibling has the same suffix and is removed when the block fails, so an earlier file under
    ``path`` stays as it was. Missing parent folders are created. A device or a pipe cannot be
    replaced by a rename: it is yielded itself.

    Raises:
        InputError: The file cannot be created, written in full or renamed.
    """
    # A link keeps pointing where it did: what it points to is replaced.
    target = Path(os.path.realpath(path))
    make_dir(target.parent)
    if target.is_dir():
        raise write_error(path, IsADirectoryError(errno.EISDIR, ''))
    direct = target.exists() and not target.is_file()
    temporary = target
    if not direct:
        temporary = target.with_name(f'.tmp-{secrets.token_hex(6)}{target.suffix}')
    try:
        yield temporary
        if not direct:
            os.replace(temporary, target)
    except OSError as error:
        if not _about(error, temporary):
            raise
        raise write_error(path, error) from error
    finally:
        if not direct:
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def atomic_folders(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield hidden siblings of folders, renamed to them, if written, when the block succeeds.

    All of them or none; what the block wrote is removed when it fails.

    Raises:
        InputError: A folder cannot get its name.
    """
    mark = secrets.token_hex(4)
    hidden = [path.with_name(f'.unfinished-{path.name}-{mark}')
              for path in (Path(os.path.abspath(folder)) for folder in folders)]
    done: list[Path] = []
    try:
        yield hidden
        for now, folder in zip(hidden, folders, strict=True):
            if now.exists():
                now.rename(folder)
                done.append(folder)
    except BaseException as error:
        for folder in done:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.filename in map(str, hidden):
            raise write_error(folders[len(done)], error) from error
        raise
    finally:
        for now in hidden:
            shutil.rmtree(now, ignore_errors=True)


def _about(error: OSError, path: Path) -> bool:
    """Whether a system error concerns ``path``, and not another file the block reads."""
    if error.errno is None:
        return False
    return error.filename is None or os.fsdecode(error.filename) == str(path)


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path``; the file appears, or is replaced, only when complete.

    Raises:
        InputError: It cannot be written; what ``path`` held before is still there.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key for names in which runs of digits count as numbers."""
    parts = re.split(r'(\d+)', path.name)
    return [(0, int(part), '') if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def folders_below(root: Path) -> Iterator[Path]:
    """Yield a folder and all below it, through links too, but not in circles."""
    for folder, names, _ in os.walk(root, followlinks=True):
        here = Path(os.path.realpath(folder))
        names[:] = sorted(
            name for name in names
            if not here.is_relative_to(os.path.realpath(os.path.join(folder, name)))
        )
        yield Path(folder)


def read_names(path: str | Path) -> list[str]:
    """Return the names of videos in a text file, one per line, each once.

    A line may be the path of a frame, as in DAVIS-2016's lists: then it names the frame's folder.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no text, names nothing, or something outside of the dataset.
    """
    path = Path(path)
    try:
        lines = path.read_text('utf-8-sig').splitlines()
    except OSError as error:
        raise FileNotFoundError(f'list of videos {path} cannot be read: {error.strerror}; '
                                'check the path') from error
    except UnicodeDecodeError as error:
        raise InputError(f'list of videos {path} is no text; write one name per line') from error
    names = list(dict.fromkeys(_name(line.strip(), path) for line in lines if line.strip()))
    if not names:
        raise InputError(f'list of videos {path} is empty; write one name per line')
    return names


def _name(line: str, path: Path) -> str:
    """Return the video of a line: its name, or the path of a frame as in DAVIS-2016's lists."""
    frame = re.match(r'/\S*/([^/\s]+)/[^/\s]+\.jpg\b', line)
    name = frame[1] if frame else posixpath.normpath(line)
    if name.startswith(('/', '..')) or name == '.':
        raise InputError(f'list of videos {path}: expected names of folders in the ground truth, '
                         f"got '{line}'; write one name per line")
    return name
