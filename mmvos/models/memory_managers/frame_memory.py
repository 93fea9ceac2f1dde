"""Memory of whole frames: a policy says which a read sees."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...structures.state import drop_objects, grow_objects
from .base import MemoryManager


@dataclass
class MemoryItem:
    """The tensors of one memorised frame, and whose first mask it has.

    Args:
        shared: Tensors without an object axis.
        objects: Tensors (B,K,...).
        introduced: (B,K) bool, on the CPU: objects for whom the frame is kept; or one bool.
    """

    shared: dict[str, Tensor]
    objects: dict[str, Tensor]
    introduced: Tensor

    def __post_init__(self) -> None:
        self.permanent = bool(self.introduced.any())  # asked for often, by every read

    def drop(self, objects: Sequence[int]) -> None:
        """Forget the objects at these channel positions."""
        self.objects = {k: drop_objects(v, objects) for k, v in self.objects.items()}
        if self.introduced.ndim:
            self.introduced = drop_objects(self.introduced, objects)
            self.permanent = bool(self.introduced.any())


class FrameMemory(MemoryManager):
    """Keeps frames as they were added; a policy writes `indices` and `needed`.

    `start` is the index of the first memorised frame.

    Args:
        max_memory_mb: Limit in MiB; the oldest item that is not permanent goes first.
    """

    def __init__(self, max_memory_mb: float = 1024) -> None:
        super().__init__(max_memory_mb)
        self.items: dict[int, MemoryItem] = {}
        self.start: int | None = None

    @abstractmethod
    def indices(self, now: int) -> list[int]:
        """Sorted indices of the items that frame `now` reads; all are in the bank."""

    def gaps(self, now: int) -> list[int]:
        """Frames between `now` and each item that it reads, in the order of `indices`."""
        return [now - index for index in self.indices(now)]

    @abstractmethod
    def needed(self, index: int, now: int) -> bool:
        """Whether a frame after `now` can still read the item `index`."""

    def add(self, index: int, *, shared: dict[str, Tensor] | None = None,
            objects: dict[str, Tensor] | None = None, permanent: bool | Tensor = False,
            given: Tensor | None = None) -> None:
        """Memorise a frame and evict what no later read can see; see `MemoryManager.add`."""
        if self.start is None:
            self.start = index
        introduced = torch.as_tensor(permanent, device='cpu')
        self.items[index] = MemoryItem(dict(shared or {}), dict(objects or {}), introduced)
        self._forget(index)
        self._enforce_limit(index)

    def _forget(self, now: int) -> None:
        self.items = {index: item for index, item in self.items.items()
                      if item.permanent or self.needed(index, now)}

    def _enforce_limit(self, newest: int) -> None:
        limit = self.max_memory_mb * 2**20
        for index in sorted(self.items):
            if self.nbytes() <= limit:
                return
            if not self.items[index].permanent and index != newest:
                del self.items[index]
        if self.nbytes() > limit:
            raise self.over_limit(self.nbytes(), f'{len(self.items)} frames')

    def read(self, name: str, now: int) -> Tensor:
        """Stack a tensor over the T items that frame `now` reads.

        Returns:
            (B,C,T,h,w) for a shared tensor, (B,K,C,T,h,w) for one per object.

        Raises:
            KeyError: No such tensor was memorised.
        """
        items = [self.items[index] for index in self.indices(now)]
        return torch.stack([{**item.shared, **item.objects}[name] for item in items], -3)

    def elements(self, now: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Every cell of the frames that `now` reads, see `MemoryManager.elements`."""
        keys, values = self.read('key', now), self.read('value', now)
        exists, valid = self.read('exists', now) > 0, None
        if not exists.all():
            valid = exists.expand(*keys.shape[:2], 1, *keys.shape[3:]).flatten(2)
        return keys.flatten(3), values.flatten(3), valid

    def count(self, mass: Tensor) -> None:
        """Nothing: frames go by their age."""

    def grow(self, num_objects: int) -> None:
        """Give every per-object tensor `num_objects` channels; new ones are zero."""
        for item in self.items.values():
            item.objects = {k: grow_objects(v, num_objects) for k, v in item.objects.items()}

    def drop(self, objects: Sequence[int]) -> None:
        """Forget the objects at these channel positions, and frames kept for them alone."""
        for item in self.items.values():
            item.drop(objects)
        if self.items:
            self._forget(max(self.items))

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of every item, by '<index>/<kind>/<name>'."""
        return {f'{index}/{kind}/{name}': tensor for index, item in self.items.items()
                for kind in ('shared', 'objects') for name, tensor in getattr(item, kind).items()}

    def facts(self) -> dict[str, Any]:
        """Return what is no tensor, as JSON can hold it."""
        return dict(start=self.start, items=[[index, item.introduced.tolist()]
                                             for index, item in self.items.items()])

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` and `facts` were taken from."""
        self.start = facts['start']
        self.items = {index: MemoryItem({}, {}, torch.tensor(introduced, dtype=torch.bool))
                      for index, introduced in facts['items']}
        for key, tensor in tensors.items():
            index, kind, name = key.split('/', 2)
            item = self.items[int(index)]
            {'shared': item.shared, 'objects': item.objects}[kind][name] = tensor
