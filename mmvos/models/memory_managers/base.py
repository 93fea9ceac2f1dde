"""What every memory of a video does: take frames, give elements, stay within its limit."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor


class MemoryManager(ABC):
    """Keeps tensors of past frames in bounded memory.

    One manager serves one batch of videos. `FrameMemory` keeps whole frames, `ElementBank` single
    elements (cells of frames).

    Args:
        max_memory_mb: Limit in MiB; what is permanent is never forgotten.
    """

    def __init__(self, max_memory_mb: float = 1024) -> None:
        self.max_memory_mb = max_memory_mb

    @abstractmethod
    def add(self, index: int, *, shared: dict[str, Tensor] | None = None,
            objects: dict[str, Tensor] | None = None, permanent: bool | Tensor = False,
            given: Tensor | None = None) -> None:
        """Memorise a frame and forget what the policy does not keep.

        Args:
            index: Frame index, larger than all before.
            shared: Tensors (B,C,h,w) without an object axis.
            objects: Tensors (B,K,C,h,w).
            permanent: Never forgotten (first masks of objects); (B,K) says it of each object, and
                where whole frames are kept, any object that is not dropped keeps the frame.
            given: (B,K) objects whose mask was drawn and not predicted; None for none.

        Raises:
            ValueError: What is permanent (and, where whole frames are kept, the newest) needs more
                than `max_memory_mb`.
        """

    def wants(self, index: int, *, permanent: bool | Tensor = False,
              given: Tensor | None = None) -> bool:
        """Whether `add` would keep anything of this frame; a method can save itself the encoding.

        Args:
            index: See `add`.
            permanent: See `add`.
            given: See `add`.
        """
        return True

    @abstractmethod
    def elements(self, now: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """What frame `now` reads, as elements in no order, for a global matching head.

        Needs frames that were added with the tensors 'key', 'value' and 'exists' per object;
        'exists' (B,K,1,1 or h,1 or w) is 0 for objects that are not there (yet).

        Returns:
            Keys (B,K,Ck,N), values (B,K,Cv,N), and (B,K,N) bool, False for elements that are not
            an object's own; None if all are.
        """

    @abstractmethod
    def count(self, mass: Tensor) -> None:
        """Take note of how much each of the last `elements` was read, (B,K,N)."""

    @abstractmethod
    def grow(self, num_objects: int) -> None:
        """Give every per-object tensor `num_objects` channels; new ones are zero."""

    @abstractmethod
    def drop(self, objects: Sequence[int]) -> None:
        """Forget the objects at these channel positions."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name; those per object have '/objects/' before their name."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what is no tensor, as JSON can hold it."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` and `facts` were taken from."""

    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def over_limit(self, nbytes: int, what: str) -> ValueError:
        """Return the error that what cannot be forgotten does not fit."""
        return ValueError(
            f'memory needs {nbytes / 2**20:.0f} MiB for {what} that cannot be forgotten, but '
            f'max_memory_mb={self.max_memory_mb:g}; raise max_memory_mb of the memory, or work at '
            'a smaller size')
