"""Memory of single elements that forgets the least frequently used."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...registry import MODELS
from ...structures.state import grow_objects
from .element_bank import ElementBank


@MODELS.register_module()
class UsageBank(ElementBank):
    """STMA's temporal memory: every n-th frame, and the least frequently used elements go (LFU).

    Usage is that of XMem's long-term memory (Cheng, Schwing, ECCV 2022, section 3.3), on which STMA
    builds: the weights that an element was read with, summed, over the number of times that it
    could be read. There a threshold forgets all equal ones, and several groups of objects are
    not possible; here no more go than have to, and every object has elements of its own.

    Args:
        budget: Elements of one object; by default eleven frames of 480x864.
        every: Every n-th frame, counted from the first memorised one, is stored; of other frames
            the objects whose masks were given, first masks and corrections.
        max_memory_mb: See `ElementBank`.
    """

    example = dict(budget=150, every=1)
    own = ('reads',)

    def __init__(self, budget: int = 17_820, *, every: int = 3,
                 max_memory_mb: float = 1024) -> None:
        super().__init__(budget, max_memory_mb=max_memory_mb)
        if every < 1:
            raise ValueError(f'UsageBank: every should be 1 or more, got {every}')
        self.every = every
        self.start: int | None = None  # index of the first memorised frame

    def count(self, mass: Tensor) -> None:
        """The weights that each element was read with; objects that came since then have none."""
        usage = self.objects['usage']
        assert mass.shape[-1] == usage.shape[-1], 'the mass is that of the elements stored now'
        self.objects['usage'] = usage + grow_objects(mass.detach(), usage.shape[1])[:, :, None]
        self.objects['reads'] = self.objects['reads'] + 1

    def add(self, index: int, *, shared: dict[str, Tensor] | None = None,
            objects: dict[str, Tensor] | None = None, permanent: bool | Tensor = False,
            given: Tensor | None = None) -> None:
        """Append the cells of a frame, if it is its turn, then forget; see `MemoryManager.add`.

        Raises:
            ValueError: See `ElementBank.new_elements` and `ElementBank.forget`.
        """
        if self.start is None:
            self.start = index
        if not self.wants(index, permanent=permanent, given=given):
            return
        new = self.new_elements(index, shared, objects, permanent)
        if (index - self.start) % self.every:
            drawn = new['permanent'] if given is None else new['permanent'] | given[..., None, None]
            new['exists'] &= drawn
        self.keep(self.append(new), index)

    def wants(self, index: int, *, permanent: bool | Tensor = False,
              given: Tensor | None = None) -> bool:
        """Every n-th frame and those with masks that were given, see `MemoryManager.wants`."""
        turn = self.start is None or (index - self.start) % self.every == 0
        return turn or bool(torch.as_tensor(permanent).any()) or (
            given is not None and bool(given.any()))

    def score(self, bank: dict[str, Tensor], now: int) -> Tensor:
        """Mean weight of the times that an element could be read."""
        score = bank['usage'] / bank['reads'].clamp_min(1)
        return score.masked_fill(bank['reads'] == 0, torch.finfo(score.dtype).max)

    def facts(self) -> dict[str, Any]:
        """Return what is no tensor, as JSON can hold it."""
        return dict(start=self.start)

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` and `facts` were taken from.

        Raises:
            ValueError: They are of another memory.
        """
        if set(facts) != {'start'}:
            raise ValueError(f'expected the facts of a UsageBank, got {sorted(facts)}')
        super().restore(tensors, {})
        self.start = facts['start']
