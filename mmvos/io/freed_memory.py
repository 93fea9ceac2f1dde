"""What the C library does with blocks of memory that are given back to it."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep the blocks that maps lie in for the next frame.

    Otherwise it returns blocks of megabytes to the system at once, and getting them again, page by
    page, takes a tenth of a frame's time, a third with maps of ten objects at 480x854. They are
    kept only where no block is mapped by itself: the threshold of that ends at 32 MiB, a map of
    ten objects has 265. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if os.name == 'posix' else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
