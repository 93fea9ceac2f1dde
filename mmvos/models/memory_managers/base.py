"""What is remembered, what a read sees and what is evicted."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...structures.state import grow_objects


@dataclass
class MemoryItem:
    """The tensors of one memorised frame."""

    shared: dict[str, Tensor]
    objects: dict[str, Tensor]
    permanent: bool

    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.nbytes for t in [*self.shared.values(), *self.objects.values()])


class MemoryManager(ABC):
    """Keeps tensors of past frames in bounded memory; a policy says which a read sees.

    One manager serves one batch of videos. `start` is the index of the first memorised frame.

    Args:
        max_memory_mb: Limit in MiB; the oldest item that is not permanent goes first.
    """

    def __init__(self, max_memory_mb: float = 1024) -> None:
        self.max_memory_mb = max_memory_mb
        self.items: dict[int, MemoryItem] = {}
        self.start: int | None = None

    @abstractmethod
    def indices(self, now: int) -> list[int]:
        """Sorted indices of the items that frame `now` reads; all are in the bank."""

    @abstractmethod
    def needed(self, index: int, now: int) -> bool:
        """Whether a frame after `now` can still read the item `index`."""

    def add(self, index: int, *, shared: dict[str, Tensor] | None = None,
            objects: dict[str, Tensor] | None = None, permanent: bool = False) -> None:
        """Memorise a frame and evict what no later read can see.

        Args:
            index: Frame index, larger than all before.
            shared: Tensors (B,C,h,w) without an object axis.
            objects: Tensors (B,K,C,h,w).
            permanent: Never evicted (annotated frames).

        Raises:
            ValueError: The permanent items alone exceed `max_memory_mb`.
        """
        if self.start is None:
            self.start = index
        self.items[index] = MemoryItem(dict(shared or {}), dict(objects or {}), permanent)
        self.items = {i: item for i, item in self.items.items()
                      if item.permanent or self.needed(i, index)}
        self._enforce_limit(index)

    def _enforce_limit(self, newest: int) -> None:
        limit = self.max_memory_mb * 2**20
        for index in sorted(self.items):
            if self.nbytes() <= limit:
                return
            if not self.items[index].permanent and index != newest:
                del self.items[index]
        if self.nbytes() > limit:
            raise ValueError(
                f'memory needs {self.nbytes() / 2**20:.0f} MiB for {len(self.items)} frames that '
                f'cannot be forgotten, but max_memory_mb={self.max_memory_mb:g}; raise '
                'max_memory_mb of the memory, or work at a smaller size')

    def read(self, name: str, now: int) -> Tensor:
        """Stack a tensor over the T items that frame `now` reads.

        Returns:
            (B,C,T,h,w) for a shared tensor, (B,K,C,T,h,w) for one per object.

        Raises:
            KeyError: No such tensor was memorised.
        """
        items = [self.items[index] for index in self.indices(now)]
        return torch.stack([{**item.shared, **item.objects}[name] for item in items], -3)

    def grow(self, num_objects: int) -> None:
        """Give every per-object tensor `num_objects` channels; new ones are zero."""
        for item in self.items.values():
            item.objects = {k: grow_objects(v, num_objects) for k, v in item.objects.items()}

    def drop(self, objects: Sequence[int]) -> None:
        """Forget the objects at these channel positions."""
        gone = set(objects)
        for item in self.items.values():
            item.objects = {name: tensor[:, [k for k in range(tensor.shape[1]) if k not in gone]]
                            for name, tensor in item.objects.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of every item, by '<index>/<kind>/<name>'."""
        return {f'{index}/{kind}/{name}': tensor for index, item in self.items.items()
                for kind in ('shared', 'objects') for name, tensor in getattr(item, kind).items()}

    def facts(self) -> dict[str, Any]:
        """Return what is no tensor, as JSON can hold it."""
        return dict(start=self.start, items=[[index, item.permanent]
                                             for index, item in self.items.items()])

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` and `facts` were taken from."""
        self.start = facts['start']
        self.items = {index: MemoryItem({}, {}, permanent) for index, permanent in facts['items']}
        for key, tensor in tensors.items():
            index, kind, name = key.split('/', 2)
            item = self.items[int(index)]
            {'shared': item.shared, 'objects': item.objects}[kind][name] = tensor

    def nbytes(self) -> int:
        """Bytes of all items."""
        return sum(item.nbytes() for item in self.items.values())
