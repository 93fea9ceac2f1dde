"""One frame of a batch of videos."""
from collections.abc import Callable
from typing import Any

from torch import Tensor


class Frame:
    """Image, masks given at this time, and a cache that dies with the step.

    K counts every object known after this frame, in order of introduction.

    Args:
        index: Position in its video, from 0.
        image: (B,3,H,W) RGB in [0,1].
        masks: (B,K,H,W) in {0,1}, or None when no mask is given on this frame.
        given: (B,K) bool, True where a channel of `masks` carries a mask now (first frame, late
            object, correction). Needed with `masks`.
        valid: (B,K) bool, False where a sample of the batch has fewer objects. All True if None.
    """

    def __init__(self, index: int, image: Tensor, masks: Tensor | None = None,
                 given: Tensor | None = None, valid: Tensor | None = None) -> None:
        assert (masks is None) == (given is None), 'masks and given come together'
        if valid is None and given is not None:
            valid = given.new_ones(given.shape)
        self.index = index
        self.image = image
        self.masks = masks
        self.given = given
        self.valid = valid
        # (B,K) bool once `step` saw which objects appear here for the first time
        self.introduced: Tensor | bool = False
        self._cache: dict[str, Any] = {}

    def cached(self, name: str, compute: Callable[[], Any]) -> Any:
        """`compute()` on the first call with this name, its remembered result afterwards."""
        if name not in self._cache:
            self._cache[name] = compute()
        return self._cache[name]

    def keep(self, name: str, value: Any) -> None:
        """Remember what came out on the way, for `found`; what was kept before stays."""
        self._cache.setdefault(name, value)

    def found(self, name: str) -> Any | None:
        """What is remembered under this name; None if nothing is."""
        return self._cache.get(name)
