"""A memory manager: which frames are remembered and read."""
from __future__ import annotations

from mmvos.models import FrameMemory

from .registry import MODELS


@MODELS.register_module()
class DoublingBank(FrameMemory):
    """Annotated frames and t-1, t-2, t-4, ...: dense in the near past, sparse in the far one.

    Args:
        levels: How many recent frames are read; the oldest is t - 2**(levels-1).
        max_memory_mb: See `FrameMemory`.
    """

    example = dict(levels=3)

    def __init__(self, levels: int = 3, *, max_memory_mb: float = 1024) -> None:
        super().__init__(max_memory_mb)
        if levels < 1:
            raise ValueError(f'levels of DoublingBank should be at least 1, got {levels}')
        self.levels = levels

    def indices(self, now: int) -> list[int]:
        """Sorted indices that frame `now` reads."""
        recent = {now - 2**level for level in range(self.levels)}
        return [index for index, item in sorted(self.items.items())
                if index < now and (item.permanent or index in recent)]

    def needed(self, index: int, now: int) -> bool:
        """Whether a frame after `now` can still read the item."""
        return index > now - 2**(self.levels - 1)
