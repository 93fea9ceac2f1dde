"""All that a segmentor remembers of a video."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..models.memory_managers import MemoryManager


def grow_objects(tensor: Tensor, num_objects: int) -> Tensor:
    """Append zero channels so that (B,K,...) has `num_objects` objects."""
    missing = num_objects - tensor.shape[1]
    if missing <= 0:
        return tensor
    return torch.cat([tensor, tensor.new_zeros(tensor.shape[0], missing, *tensor.shape[2:])], 1)


def drop_objects(tensor: Tensor, objects: Sequence[int]) -> Tensor:
    """Take the objects at these positions out of (B,K,...)."""
    gone = set(objects)
    return tensor[:, [k for k in range(tensor.shape[1]) if k not in gone]]


def place_objects(part: Tensor, valid: Tensor) -> Tensor:
    """(N,...) of the N objects that are valid -> (B,K,...), 0 elsewhere; undoes `x[valid]`."""
    out = part.new_zeros(*valid.shape, *part.shape[1:])
    out[valid] = part
    return out


@dataclass
class VideoState:
    """Tensors per object, tensors shared by all objects, and memory banks.

    The base segmentor grows, drops and measures it without knowing the method.

    Args:
        objects: Tensors (B,K,...). The base keeps 'valid' (B,K) bool here.
        shared: Tensors without an object axis.
        banks: Memory managers.
    """

    objects: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[str, Tensor] = field(default_factory=dict)
    banks: dict[str, MemoryManager] = field(default_factory=dict)

    @property
    def num_objects(self) -> int:
        """K, the number of objects known so far."""
        return self.objects['valid'].shape[1] if 'valid' in self.objects else 0

    @property
    def valid(self) -> Tensor:
        """(B,K) bool, False where a sample of the batch has fewer objects."""
        return self.objects['valid']

    def exists(self, like: Tensor) -> Tensor:
        """`valid` as banks keep it beside their tensors: (B,K,1,1,1) in the type of `like`."""
        return self.valid[:, :, None, None, None].to(like.dtype)

    def grow(self, valid: Tensor) -> None:
        """Make room for the objects of `valid` (B,K); old ones keep their channels."""
        num_objects = valid.shape[1]
        assert num_objects >= self.num_objects, 'objects are never forgotten by growing'
        self.objects = {k: grow_objects(v, num_objects) for k, v in self.objects.items()}
        self.objects['valid'] = valid
        for bank in self.banks.values():
            bank.grow(num_objects)

    def drop(self, objects: Sequence[int]) -> None:
        """Forget the objects at these channel positions."""
        self.objects = {k: drop_objects(v, objects) for k, v in self.objects.items()}
        for bank in self.banks.values():
            bank.drop(objects)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by 'objects/<name>', 'shared/<name>' or 'banks/<bank>/...'."""
        found = {f'objects/{name}': tensor for name, tensor in self.objects.items()}
        found |= {f'shared/{name}': tensor for name, tensor in self.shared.items()}
        return found | {f'banks/{name}/{key}': tensor for name, bank in self.banks.items()
                        for key, tensor in bank.tensors().items()}

    def facts(self) -> dict[str, Any]:
        """Return what is no tensor, as JSON can hold it."""
        return {name: bank.facts() for name, bank in self.banks.items()}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` and `facts` were taken from; the banks are there already.

        Raises:
            ValueError: They are of other banks.
        """
        if facts.keys() != self.banks.keys():
            raise ValueError(f'expected the memory banks {sorted(self.banks)}, got {sorted(facts)}')
        self.objects, self.shared = ({
            key.removeprefix(kind): tensor for key, tensor in tensors.items()
            if key.startswith(kind)} for kind in ('objects/', 'shared/'))
        for name, bank in self.banks.items():
            prefix = f'banks/{name}/'
            bank.restore({key.removeprefix(prefix): tensor for key, tensor in tensors.items()
                          if key.startswith(prefix)}, facts[name])

    def nbytes(self) -> int:
        """Bytes held by all tensors and banks."""
        return sum(tensor.nbytes for tensor in self.tensors().values())
