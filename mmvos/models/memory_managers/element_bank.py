"""Memory of single elements: of each object so many, and those that are hardly read make room."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...structures.state import drop_objects, grow_objects
from .base import MemoryManager


class ElementBank(MemoryManager):
    """Elements of each object in tensors padded to the most of any.

    A class says how usage is counted, what is added, in `score` which elements go first, and in
    `share` how many an object may have.
    Elements of first masks are permanent: they are never forgotten. No more is forgotten than has
    to be.

    Args:
        budget: Elements of one object.
        max_memory_mb: Limit in MiB; the elements of the lowest score go first.
    """

    own: tuple[str, ...] = ()  # further tensors (B,K,1,N)

    def __init__(self, budget: int, *, max_memory_mb: float = 1024) -> None:
        super().__init__(max_memory_mb)
        if budget < 1:
            raise ValueError(f'{type(self).__name__}: expected budget >= 1, got {budget}')
        self.budget = budget
        # key (B,K,Ck,N), value (B,K,Cv,N); (B,K,1,N): usage, created, permanent, exists, `own`
        self.objects: dict[str, Tensor] = {}

    @abstractmethod
    def score(self, bank: dict[str, Tensor], now: int) -> Tensor:
        """(B,K,1,N): the lowest are forgotten first; the largest number for what is new."""

    def elements(self, now: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """All that is stored, see `MemoryManager.elements`."""
        exists = self.objects['exists'][:, :, 0]
        return self.objects['key'], self.objects['value'], None if exists.all() else exists

    def new_elements(self, index: int, shared: dict[str, Tensor] | None,
                     objects: dict[str, Tensor] | None, permanent: bool | Tensor
                     ) -> dict[str, Tensor]:
        """The cells of a frame as elements that nobody has read.

        Raises:
            ValueError: The frame has other tensors than 'key', 'value' and 'exists'.
        """
        if shared or set(objects or {}) != {'key', 'value', 'exists'}:
            raise ValueError(f"{type(self).__name__} holds 'key', 'value' and 'exists' of objects, "
                             f'got {sorted({**(shared or {}), **(objects or {})})}; use a '
                             'FrameBank')
        assert objects is not None
        key, value = objects['key'].flatten(3), objects['value'].flatten(3)
        one = key[:, :, :1].detach()
        exists = (objects['exists'] > 0).expand(*objects['key'].shape[:2], 1,
                                                *objects['key'].shape[3:])
        kept = torch.as_tensor(permanent, device=key.device)[..., None, None].expand(one.shape)
        return dict(
            key=key, value=value, usage=torch.zeros_like(one, dtype=torch.float32),
            created=torch.full_like(one, index, dtype=torch.int32), permanent=kept.clone(),
            exists=exists.flatten(3).clone(),
            **{name: torch.zeros_like(one, dtype=torch.float32) for name in self.own})

    def append(self, new: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is stored, and behind it new elements."""
        if not self.objects:
            return new
        return {name: torch.cat([tensor, new[name]], -1) for name, tensor in self.objects.items()}

    def keep(self, bank: dict[str, Tensor], now: int) -> None:
        """Store elements without those that there is no room for."""
        self.objects = _compact(self.forget(bank, now))

    def forget(self, bank: dict[str, Tensor], now: int) -> dict[str, Tensor]:
        """Mark the elements that go: those of the lowest score.

        Raises:
            ValueError: What is permanent alone exceeds `budget` or `max_memory_mb`.
        """
        room, kept = self.room(bank), bank['exists'] & bank['permanent']
        most = max(1, int(kept.sum(-1).amax()))
        if most > room[1]:
            raise self.over_limit(most * _column(bank), f'{most} elements of an object')
        if (kept.sum(-1) > room[0]).any():
            raise ValueError(f'annotated frames hold {most} elements of an object, but budget='
                             f'{self.budget} leaves {int(room[0].amin())} to each; raise budget of '
                             'the memory, or work at a smaller size')
        excess = bank['exists'].sum(-1, keepdim=True) - room[0].clamp(max=room[1])[..., None]
        if (excess > 0).any():
            score = self.score(bank, now).masked_fill(~bank['exists'] | kept, torch.inf)
            bank['exists'] = bank['exists'] & ~lowest(score, excess)
        return bank

    def room(self, bank: dict[str, Tensor]) -> tuple[Tensor, int]:
        """Elements of an object that fit in the budget (B,1,1), and in memory."""
        objects = bank['exists'].any(-1).sum(1, keepdim=True).clamp_min(1)
        return self.share(objects), int(self.max_memory_mb * 2**20 // max(1, _column(bank)))

    def share(self, objects: Tensor) -> Tensor:
        """Elements that each of so many objects of a video may have, (B,1,1) of (B,1,1)."""
        return torch.full_like(objects, self.budget)

    def grow(self, num_objects: int) -> None:
        """Make room for objects, without elements."""
        self.objects = {k: grow_objects(v, num_objects) for k, v in self.objects.items()}

    def drop(self, objects: Sequence[int]) -> None:
        """Forget the objects at these channel positions."""
        self.objects = {k: drop_objects(v, objects) for k, v in self.objects.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of all elements."""
        return {f'elements/objects/{name}': tensor for name, tensor in self.objects.items()}

    def facts(self) -> dict[str, Any]:
        """Return nothing: all is in the tensors."""
        return {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` were taken from.

        Raises:
            ValueError: They are of another memory.
        """
        found = {name.removeprefix('elements/objects/'): t for name, t in tensors.items()}
        names = {'key', 'value', 'usage', 'created', 'permanent', 'exists', *self.own}
        if facts or (found and set(found) != names):
            raise ValueError(f'expected the elements of {type(self).__name__}, got '
                             f'{sorted(tensors)}')
        self.objects = found


def lowest(index: Tensor, count: Tensor) -> Tensor:
    """Mark the `count` (...,1) lowest finite of (...,N), the first of equal ones."""
    rank = index.argsort(dim=-1, stable=True).argsort(-1)
    return (rank < count) & index.isfinite()


def _compact(bank: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut to the most elements that any object has; their order stays."""
    size = max(1, int(bank['exists'].sum(-1).amax()))
    if size == bank['exists'].shape[-1]:
        return bank
    order = bank['exists'].byte().argsort(dim=-1, descending=True, stable=True)[..., :size]
    return {name: tensor.gather(-1, order.expand(*tensor.shape[:3], size))
            for name, tensor in bank.items()}


def _column(bank: dict[str, Tensor]) -> int:
    """Bytes that one more element of every object takes."""
    return sum(tensor.nbytes // tensor.shape[-1] for tensor in bank.values())
