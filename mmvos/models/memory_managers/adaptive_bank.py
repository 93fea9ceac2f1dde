"""Memory of single elements: what is alike is merged, what is hardly read is forgotten.

Liang, Li, Jafari, Chen, "Video object segmentation with adaptive feature bank and uncertain-region
refinement" (AFB-URR), NeurIPS 2020: the adaptive feature bank. Numbers are those of the released
code. What differs from it:

- Elements of first masks are permanent: never merged, never forgotten. There they could go.
- Elements of a correction overwrite those that they are merged into; there are none there.
- The background has no elements: STM and MUNet derive it from the objects (a product). There it
  is an object too and takes its share of the budget, and for one object beside it the budget is
  0.8 as large: 120,000 elements for the single object of a video, 300,000 here.
- STM has separate heads for the keys of the memory and of the query, AFB-URR one. Merging compares
  memory keys with memory keys and needs no common space; but 0.95 was chosen for AFB-URR's keys.
- A merged key or value keeps its length exactly; there, the mean of directions shortens it.
- No more is forgotten than has to be, the lowest first; there, a threshold in whole steps may
  empty much of the bank.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from ...structures.state import drop_objects, grow_objects
from .base import MemoryManager

NAMES = {'key', 'value', 'usage', 'created', 'permanent', 'exists'}
TILE_BYTES = 2**26  # of cosines at a time


@MODELS.register_module()
class AdaptiveBank(MemoryManager):
    """Elements of each object, at most `budget` / objects, in tensors padded to the most of any.

    The call graph::

        count(mass)  usage += log(1 + mass), when a frame has read the bank
        add          > closest > blend   new elements like a stored one are merged into it,
                     > forget            the others appended, and those hardly read make room

    A merged element keeps its age and usage. What is like a permanent element alone is stored
    beside it, and that copy follows the video. A new frame is kept before older ones, so the
    budget should hold several frames of each object. A gradient flows through stored and merged
    elements; which are merged or forgotten is a choice without gradient.

    `mass` is the number of queries that read an element: the matching head needs
    GlobalMatching(count_above=1e-3). Sums of weights serve too, but are not the paper's.

    Args:
        budget: Elements of one video, shared equally by its objects.
        similarity: A new key with a larger cosine to a stored one is merged into it.
        rate: Share of the new direction in a merged element.
        max_memory_mb: Limit in MiB; the elements read least go first.
    """

    example = dict(budget=150)

    def __init__(self, budget: int = 300_000, *, similarity: float = 0.95, rate: float = 0.1,
                 max_memory_mb: float = 1024) -> None:
        super().__init__(max_memory_mb)
        if budget < 1 or similarity < 0 or not 0 <= rate <= 1:
            raise ValueError('AdaptiveBank: expected budget >= 1, similarity >= 0 and 0 <= rate <= '
                             f'1, got {budget}, {similarity} and {rate}')
        self.budget = budget
        self.similarity = similarity
        self.rate = rate
        # key (B,K,Ck,N), value (B,K,Cv,N); (B,K,1,N): usage, created, permanent, exists
        self.objects: dict[str, Tensor] = {}

    def elements(self, now: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """All that is stored, see `MemoryManager.elements`."""
        exists = self.objects['exists'][:, :, 0]
        return self.objects['key'], self.objects['value'], None if exists.all() else exists

    def count(self, mass: Tensor) -> None:
        """Usage grows by log(1 + mass); objects that came since then have none."""
        usage = self.objects['usage']
        assert mass.shape[-1] == usage.shape[-1], 'the mass is that of the elements stored now'
        mass = grow_objects(mass.detach(), usage.shape[1])
        self.objects['usage'] = usage + mass.log1p()[:, :, None]

    def add(self, index: int, *, shared: dict[str, Tensor] | None = None,
            objects: dict[str, Tensor] | None = None, permanent: bool | Tensor = False,
            given: Tensor | None = None) -> None:
        """Merge or append the cells of a frame, then forget; see `MemoryManager.add`.

        Raises:
            ValueError: What is permanent alone exceeds `budget` or `max_memory_mb`, or the frame
                has other tensors than 'key', 'value' and 'exists'.
        """
        if shared or set(objects or {}) != {'key', 'value', 'exists'}:
            raise ValueError("AdaptiveBank holds 'key', 'value' and 'exists' of objects, got "
                             f'{sorted({**(shared or {}), **(objects or {})})}; use a FrameBank')
        assert objects is not None
        new = _elements(objects, index, permanent)
        bank = new
        rate = torch.full(new['key'].shape[:2], self.rate, device=new['key'].device)
        if given is not None:
            rate = rate.masked_fill(given, 1)
        if self.objects:
            target, close = self.closest(new)
            bank = {name: torch.cat([tensor, new[name]], -1)
                    for name, tensor in self.objects.items()}
            for name in ('key', 'value'):
                _blend(bank[name], new[name], target, close, rate)
            bank['exists'][..., -close.shape[-1]:] &= ~close[:, :, None]
        self.objects = _compact(self.forget(bank, index))

    @torch.no_grad()
    def closest(self, new: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the most similar stored element that may change, and whether to merge, (B,K,M)."""
        free = self.objects['exists'] & ~self.objects['permanent']
        # autocast would compare in bfloat16
        with torch.autocast(free.device.type, enabled=False):
            stored = F.normalize(self.objects['key'].float(), dim=2) * free  # others: cosine 0
            keys = F.normalize(new['key'].float(), dim=2).mT
            best = [(part @ stored).max(-1)
                    for part in keys.split(max(1, TILE_BYTES // (4 * free.numel())), 2)]
        cosine, target = (torch.cat(parts, -1) for parts in zip(*best, strict=True))
        return target, (cosine > self.similarity) & (new['exists'] & ~new['permanent'])[:, :, 0]

    def forget(self, bank: dict[str, Tensor], now: int) -> dict[str, Tensor]:
        """Mark the elements that go: of the lowest usage per frame since they were created."""
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
            age = now - bank['created']
            index = bank['usage'] / age.clamp_min(1)
            # nobody could read what is new: it goes last
            index = index.masked_fill(age == 0, torch.finfo(index.dtype).max)
            gone = lowest(index.masked_fill(~bank['exists'] | kept, torch.inf), excess)
            bank['exists'] = bank['exists'] & ~gone
        return bank

    def room(self, bank: dict[str, Tensor]) -> tuple[Tensor, int]:
        """Elements of an object that fit in the budget of its video (B,1,1), and in memory."""
        objects = bank['exists'].any(-1).sum(1, keepdim=True).clamp_min(1)
        return self.budget // objects, int(self.max_memory_mb * 2**20 // max(1, _column(bank)))

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
        if facts or (found and set(found) != NAMES):
            raise ValueError(f'expected the elements of an AdaptiveBank, got {sorted(tensors)}')
        self.objects = found


def lowest(index: Tensor, count: Tensor) -> Tensor:
    """Mark the `count` (...,1) lowest finite of (...,N), the first of equal ones."""
    rank = index.argsort(dim=-1, stable=True).argsort(-1)
    return (rank < count) & index.isfinite()


def _elements(objects: dict[str, Tensor], index: int, permanent: bool | Tensor
              ) -> dict[str, Tensor]:
    """The cells of a frame as elements that nobody has read."""
    key, value = objects['key'].flatten(3), objects['value'].flatten(3)
    one = key[:, :, :1].detach()
    exists = (objects['exists'] > 0).expand(*objects['key'].shape[:2], 1, *objects['key'].shape[3:])
    kept = torch.as_tensor(permanent, device=key.device)[..., None, None].expand(one.shape)
    return dict(
        key=key, value=value, usage=torch.zeros_like(one, dtype=torch.float32),
        created=torch.full_like(one, index, dtype=torch.int32), permanent=kept.clone(),
        exists=exists.flatten(3).clone())


def _blend(bank: Tensor, new: Tensor, target: Tensor, close: Tensor, rate: Tensor) -> None:
    """Turn stored elements towards the mean direction of the new ones merged into them.

    Args:
        bank: (B,K,C,N), changed in place.
        new: (B,K,C,M).
        target: (B,K,M), index in N.
        close: (B,K,M), which are merged.
        rate: (B,K), of the new direction.
    """
    b, k, m = close.nonzero(as_tuple=True)
    sizes = (*bank.shape[:2], bank.shape[-1])
    flat, group = ((b * sizes[1] + k) * sizes[2] + target[b, k, m]).unique(return_inverse=True)
    where = torch.unravel_index(flat, sizes)
    stored = bank.movedim(2, -1)
    old = stored[where].float()
    toward = F.normalize(new.movedim(2, -1)[b, k, m].float(), dim=-1)
    toward = torch.zeros_like(old).index_add(0, group, toward) / group.bincount()[:, None]
    share = rate[where[0], where[1]][:, None]
    mixed = F.normalize((1 - share) * F.normalize(old, dim=-1) + share * toward, dim=-1)
    stored[where] = (mixed * old.norm(dim=-1, keepdim=True)).to(bank.dtype)


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
