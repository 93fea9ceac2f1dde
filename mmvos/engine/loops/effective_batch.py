"""Updates on a fixed number of clips, however they are spread."""
from __future__ import annotations

from mmengine.dist import get_world_size
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from ...registry import LOOPS


@LOOPS.register_module()
class EffectiveBatchLoop(IterBasedTrainLoop):
    """An iteration is one update on `effective_batch` clips, whatever the number of processes.

    Every process adds up the gradients of effective_batch / (batch_size * processes) batches, so
    iterations, schedules and checkpoints mean the same on one GPU and on eight. With `ClipSampler`
    an update sees the same clips, too. Batch norms see single batches: freeze them.

    Args:
        runner: MMEngine's runner.
        dataloader: Config or loader.
        max_iters: Updates.
        effective_batch: Clips of an update over all processes.
        **kwargs: See mmengine's IterBasedTrainLoop.

    Raises:
        ValueError: `effective_batch` is no multiple of what the processes read at once, or the
            optimizer wrapper accumulates by itself.
    """

    example: dict | None = None  # needs a runner

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *, max_iters: int,
                 effective_batch: int, **kwargs) -> None:
        super().__init__(runner, dataloader, max_iters, **kwargs)
        batch, world = self.dataloader.batch_size, get_world_size()
        if effective_batch < 1 or effective_batch % (batch * world):
            raise ValueError(f'effective_batch={effective_batch} is no multiple of batch_size * '
                             f'processes = {batch} * {world}; change train_dataloader.batch_size')
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, dict) and wrapper.get('accumulative_counts', 1) != 1:
            raise ValueError('EffectiveBatchLoop sets accumulative_counts of the optim_wrapper '
                             'itself; leave it out')
        self.parts = effective_batch // (batch * world)
        self.dataloader_iterator = _Grouped(self.dataloader_iterator, self.parts)

    def run(self) -> nn.Module:
        """Train; the wrapper counts batches, everything else updates."""
        wrapper = self.runner.optim_wrapper
        # not an argument of the wrapper: the runner would count with it in updates, and warn of it
        wrapper._accumulative_counts = self.parts
        wrapper.initialize_count_status(self.runner.model, self.iter * self.parts,
                                        self.max_iters * self.parts)
        return super().run()

    def run_iter(self, data_batch: list[dict]) -> None:
        """One update; hooks see all its batches before it and the output of the last after it."""
        runner, about = self.runner, dict(batch_idx=self._iter, data_batch=data_batch)
        runner.call_hook('before_train_iter', **about)
        for part in data_batch:
            outputs = runner.model.train_step(part, optim_wrapper=runner.optim_wrapper)
        runner.call_hook('after_train_iter', **about, outputs=outputs)
        self._iter += 1


class _Grouped:
    """Lists of batches out of a loop's endless iterator."""

    def __init__(self, batches, parts: int) -> None:
        self.batches = batches
        self.parts = parts

    def __next__(self) -> list[dict]:
        return [next(self.batches) for _ in range(self.parts)]

    def skip_iter(self, count: int) -> None:
        """Pass over `count` lists."""
        self.batches.skip_iter(count * self.parts)
