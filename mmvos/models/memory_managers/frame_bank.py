"""Memory of whole frames by their distance in time."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...registry import MODELS
from .frame_memory import FrameMemory


@MODELS.register_module()
class FrameBank(FrameMemory):
    """Anchor frames, annotated frames and a few recent ones with a gap.

    `anchors=(0, 5), recent=3, gap=2` is MAMP's rule on DAVIS: {0, 5, t-1, t-3, t-5}.
    `recent=4, gap=2, max_items=4` is its rule on YouTube-VOS, de-duplicated: every annotated
    frame and as many of t-1, t-3, ... as reach four, t-1 always
    (MAMP, section "Implementation Details"; the released code differs from the paper there).
    `every=5, recent=1` is STM's: {0, 5, 10, ..., t-1}.

    Args:
        anchors: Indices, counted from the first memorised frame, that are kept as long as
            `max_memory_mb` allows.
        every: Every n-th frame, counted from the first memorised one, is kept like an anchor; None:
            off.
        newest: Only so many of these n-th frames, the newest (STMA's FIFO); None: all.
        recent: Number of recent frames: t-1, t-1-gap, t-1-2*gap, ...
        gap: Distance of recent frames.
        annotated: Keep frames with first masks of objects for ever and read them always.
        max_items: Recent frames fill a read up to this number, t-1 even beyond it. None: off.
        max_memory_mb: See `FrameMemory`.
    """

    example = dict(anchors=(0, 5), recent=3, gap=2)

    def __init__(self, anchors: Sequence[int] = (), recent: int = 1, *, gap: int = 1,
                 annotated: bool = True, max_items: int | None = None, every: int | None = None,
                 newest: int | None = None, max_memory_mb: float = 1024) -> None:
        super().__init__(max_memory_mb)
        if recent < 0 or gap < 1 or not (recent or annotated or every or 0 in anchors):
            raise ValueError('FrameBank needs something to read on the second frame: recent >= 1, '
                             'annotated=True, every or anchor 0; and gap >= 1; got '
                             f'anchors={tuple(anchors)}, recent={recent}, gap={gap}')
        if every is not None and every < 1:
            raise ValueError(f'FrameBank: every should be 1 or more, or None, got {every}')
        if newest is not None and (newest < 1 or every is None):
            raise ValueError('FrameBank: newest should be 1 or more and needs every, or be None, '
                             f'got newest={newest}, every={every}')
        self.anchors = tuple(anchors)
        self.every = every
        self.newest = newest
        self.recent = recent
        self.gap = gap
        self.annotated = annotated
        self.max_items = max_items

    def add(self, index: int, *, permanent: bool | Tensor = False,
            **kwargs: Any) -> None:
        """See `MemoryManager.add`."""
        super().add(index, permanent=self.annotated and permanent, **kwargs)

    def _is_anchor(self, index: int, last: int) -> bool:
        """Whether a frame is read by distance from the first one; `last` is the newest there is."""
        assert self.start is not None, 'nothing was added'
        age = index - self.start
        return (self.items[index].permanent or age in self.anchors
                or (self.every is not None and age % self.every == 0
                    and (self.newest is None
                         or age // self.every > (last - self.start) // self.every - self.newest)))

    def indices(self, now: int) -> list[int]:
        """Sorted indices that frame `now` reads."""
        past = [index for index in self.items if index < now]
        seen = {index for index in past if self._is_anchor(index, now - 1)}
        room = self.recent if self.max_items is None else self.max_items - len(seen)
        for step in range(self.recent):
            index = now - 1 - step * self.gap
            if index in seen or index not in past:
                continue
            if self.max_items is not None and step > 0 and room <= 0:
                break
            seen.add(index)
            room -= 1
        return sorted(seen)

    def needed(self, index: int, now: int) -> bool:
        """Anchors always; a recent frame until it falls out of the last window."""
        oldest = now - (self.recent - 1) * self.gap
        return self._is_anchor(index, now) or (self.recent > 0 and index >= oldest)
