"""The protocols of the field, by name."""
from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from mmvos.io import InputError
from mmvos.plugins import load_plugins

from .base import Protocol
from .davis import DAVIS2016, DAVIS2017, DAVIS2016Unsupervised, DAVIS2017Unsupervised
from .mamp import MAMPInLoop
from .seen_unseen import LVOS, YouTubeVOS
from .sparse import FBMS, Folder, Foreground, YouTubeObjects

PROTOCOLS: dict[str, type[Protocol]] = {cls.name: cls for cls in (
    DAVIS2016, DAVIS2016Unsupervised, DAVIS2017, DAVIS2017Unsupervised, YouTubeVOS, LVOS, FBMS,
    YouTubeObjects, Folder, Foreground, MAMPInLoop)}


def find_protocol(name: str) -> type[Protocol]:
    """Return a protocol's class.

    Args:
        name: A key of `PROTOCOLS`, to which a plugin may add its own.

    Raises:
        InputError: There is no such protocol.
    """
    if name not in PROTOCOLS:
        load_plugins()  # one of them may have it
    if name not in PROTOCOLS:
        near = get_close_matches(name, PROTOCOLS, 1)
        hint = f'did you mean {near[0]}? ' if near else ''
        raise InputError(f"protocol '{name}' is unknown; {hint}there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def build_protocol(name: str, /, **options: Any) -> Protocol:
    """Return a protocol by its name.

    Args:
        name: See `find_protocol`.
        **options: Of its constructor.

    Raises:
        InputError: There is no such protocol, or it does not take an option.
    """
    cls = find_protocol(name)
    try:
        return cls(**options)
    except TypeError as error:
        known = ', '.join((*cls.takes, 'official_compat', 'stability'))
        raise InputError(f'protocol {name}: {error}; its options are {known}') from error


__all__ = [
    'DAVIS2016', 'DAVIS2016Unsupervised', 'DAVIS2017', 'DAVIS2017Unsupervised', 'FBMS', 'Folder',
    'Foreground', 'LVOS', 'MAMPInLoop', 'PROTOCOLS', 'Protocol', 'YouTubeObjects', 'YouTubeVOS',
    'build_protocol', 'find_protocol',
]
