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

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from ...structures.state import grow_objects
from .element_bank import ElementBank

TILE_BYTES = 2**26  # of cosines at a time


@MODELS.register_module()
class AdaptiveBank(ElementBank):
    """An `ElementBank` that merges what is alike.

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
        max_memory_mb: See `ElementBank`.
    """

    example = dict(budget=150)

    def __init__(self, budget: int = 300_000, *, similarity: float = 0.95, rate: float = 0.1,
                 max_memory_mb: float = 1024) -> None:
        super().__init__(budget, max_memory_mb=max_memory_mb)
        if similarity < 0 or not 0 <= rate <= 1:
            raise ValueError('AdaptiveBank: expected similarity >= 0 and 0 <= rate <= 1, got '
                             f'{similarity} and {rate}')
        self.similarity = similarity
        self.rate = rate

    def share(self, objects: Tensor) -> Tensor:
        """An equal part of the budget, see `ElementBank.share`."""
        return self.budget // objects

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
            ValueError: See `ElementBank.new_elements` and `ElementBank.forget`.
        """
        new = self.new_elements(index, shared, objects, permanent)
        bank = self.append(new)
        if self.objects:
            rate = torch.full(new['key'].shape[:2], self.rate, device=new['key'].device)
            if given is not None:
                rate = rate.masked_fill(given, 1)
            target, close = self.closest(new)
            for name in ('key', 'value'):
                _blend(bank[name], new[name], target, close, rate)
            bank['exists'][..., -close.shape[-1]:] &= ~close[:, :, None]
        self.keep(bank, index)

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

    def score(self, bank: dict[str, Tensor], now: int) -> Tensor:
        """Usage per frame since an element was created; nobody could read what is new."""
        age = now - bank['created']
        index = bank['usage'] / age.clamp_min(1)
        return index.masked_fill(age == 0, torch.finfo(index.dtype).max)


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
