"""What the commands that use the engine do first."""
from __future__ import annotations

import ctypes
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..compat import register_safe_loader
from ..plugins import load_plugins
from .model_zoo import data_root

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def setup() -> None:
    """Make mmvos the default scope, load plugins, read checkpoints safely. Idempotent."""
    init_default_scope('mmvos')
    keep_freed_memory()
    register_safe_loader()
    load_plugins()


def keep_freed_memory() -> None:
    """Let glibc keep the blocks that maps lie in for the next frame.

    Otherwise it returns blocks of megabytes to the system at once, and getting them again, page by
    page, takes a tenth of a frame's time. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if os.name == 'posix' else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 2**25)  # the largest that it takes
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config file, here or of mmvos itself, and apply `--cfg-options`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a Python config.
    """
    found = next((p for p in (Path(path), data_root() / path) if p.is_file()), None)
    if found is None:
        raise FileNotFoundError(f'config {path} does not exist here or in {data_root()}')
    if found.suffix != '.py':
        raise ValueError(f'config {path} should be a .py file')
    cfg = Config.fromfile(str(found))
    cfg.merge_from_dict(options or {})
    return cfg
