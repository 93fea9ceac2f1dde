"""Writing while the next frame is computed."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_WAITING = 4


class InBackground:
    """Calls functions in order in one thread; use it as a context manager.

    At most four calls wait; a fifth waits for the first. An error of a call is raised by a later
    one or at the end of the block. A block that fails drops the calls that have not begun.

    Example:
        >>> done = []
        >>> with InBackground() as later:
        ...     for i in range(9):
        ...         later(done.append, i)
        >>> done
        [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix='mmvos-write')
        self._waiting: deque[Future] = deque()

    def __call__(self, function: Callable, *args: object) -> None:
        """Call the function with these arguments, soon."""
        while len(self._waiting) >= _WAITING or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(function, *args))

    def __enter__(self) -> InBackground:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while kind is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
