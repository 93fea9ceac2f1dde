"""What the C library does with blocks of memory that are given back to it."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep the blocks that maps lie in for the next frame.

    Otherwise it returns blocks of megabytes to the system at once, and getting them again, page by
    page, takes a tenth of a frame's time. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if os.name == 'posix' else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 2**25)  # the largest that it takes
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
