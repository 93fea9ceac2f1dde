"""The meta.json of YouTube-VOS: which objects a video has, and on which frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError


@dataclass(frozen=True)
class ObjectMeta:
    """One object of one video.

    Attributes:
        frames: Names of the annotated frames that it is evaluated on, sorted, one or more; it is
            given on the first of them.
        category: 'person', ...; '' where meta.json has none.
    """

    frames: list[str]
    category: str = ''


def read_meta(path: str | Path) -> dict[str, dict[int, ObjectMeta]]:
    """Return {video: {object id: what is said of it}}; objects without frames are left out.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It does not list videos, their objects and the frames of these.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} is no file; expected the meta.json of a split of YouTube-VOS, '
            'valid/meta.json for example'
        )
    try:
        videos = json.loads(path.read_bytes())['videos']
        found = {name: _objects(video['objects']) for name, video in videos.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f'it has no {error}' if isinstance(error, KeyError) else str(error)
        raise InputError(
            f'{path} is not a meta.json of YouTube-VOS ({reason}); expected {{"videos": {{name: '
            '{"objects": {id: {"frames": [...]}}}}}; unpack YouTube-VOS again'
        ) from error
    if not found:
        raise InputError(f'{path} names no video; take the meta.json of the split')
    return found


def _objects(entries: dict[str, Any]) -> dict[int, ObjectMeta]:
    """Return the objects of one video, in the order of the file."""
    return {
        int(key): ObjectMeta(_names(entry['frames']), str(entry.get('category') or ''))
        for key, entry in entries.items()
        if entry['frames']
    }


def _names(frames: Any) -> list[str]:
    """Return a list of frame names, sorted."""
    if isinstance(frames, str) or any(not isinstance(frame, str) for frame in frames):
        raise TypeError(f'frames should be a list of names, got {str(frames)[:40]}')
    return sorted(frames)
