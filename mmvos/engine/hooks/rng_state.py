"""Random state in checkpoints, so that a resumed run repeats an uninterrupted one."""
from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS


@HOOKS.register_module()
class RNGStateHook(Hook):
    """Store torch's generators beside the weights and put them back when training resumes."""

    example: dict = {}

    def __init__(self) -> None:
        self._pending: dict | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add `rng_state`."""
        state = dict(cpu=torch.get_rng_state())
        if torch.cuda.is_available():
            state['cuda'] = torch.cuda.get_rng_state()
        checkpoint['rng_state'] = state

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the state until the loader has drawn its own base seed."""
        self._pending = checkpoint.get('rng_state') if runner._resume else None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None
                          ) -> None:
        """Restore once, before the first resumed iteration."""
        if self._pending is None:
            return
        torch.set_rng_state(self._pending['cpu'].cpu())
        if torch.cuda.is_available() and 'cuda' in self._pending:
            torch.cuda.set_rng_state(self._pending['cuda'].cpu())
        self._pending = None
