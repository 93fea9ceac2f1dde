"""Two kinds of batches in turn."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ...registry import LOOPS


@LOOPS.register_module()
class AlternatingLoop(IterBasedTrainLoop):
    """Every n-th iteration takes a batch of another loader; parts of the model then learn slower.

    COSNet's training: two iterations on pairs of frames, one on static images. One count says what
    an iteration reads and how fast it learns; in the released code two counts disagree in most
    epochs.

    Args:
        runner: MMEngine's runner.
        dataloader: Config or loader of the other iterations.
        static_dataloader: Config or loader of iterations 0, n, 2n, ...
        max_iters: Iterations of both kinds.
        every: n.
        slow: {name of a child of the model: factor of its learning rate in iterations that are not
            static}.
        **kwargs: See mmengine's IterBasedTrainLoop.

    Raises:
        ValueError: `every` is below 2, or the model has no such child.
    """

    example: dict | None = None  # needs a runner

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *,
                 static_dataloader: DataLoader | dict, max_iters: int, every: int = 3,
                 slow: Mapping[str, float] | None = None, **kwargs) -> None:
        super().__init__(runner, dataloader, max_iters, **kwargs)
        if every < 2:
            raise ValueError(f'AlternatingLoop: every should be 2 or more, got {every}')
        static = IterBasedTrainLoop(runner, static_dataloader, max_iters)
        self.every = every
        self.dataloader_iterator = _InTurn(static.dataloader_iterator, self.dataloader_iterator,
                                           every)
        model = getattr(runner.model, 'module', runner.model)
        parts = dict(model.named_children())
        if unknown := [name for name in slow or () if name not in parts]:
            raise ValueError(f'AlternatingLoop: {type(model).__name__} has no part {unknown[0]!r}; '
                             f'its parts are {[*parts]}')
        self.factors = {id(p): factor for name, factor in (slow or {}).items()
                        for p in parts[name].parameters()}

    def run_iter(self, data_batch: dict) -> None:
        """One update."""
        runner, about = self.runner, dict(batch_idx=self._iter, data_batch=data_batch)
        runner.call_hook('before_train_iter', **about)
        with self._slowed(static=self._iter % self.every == 0):
            outputs = runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper)
        runner.call_hook('after_train_iter', **about, outputs=outputs)
        self._iter += 1

    @contextmanager
    def _slowed(self, static: bool) -> Iterator[None]:
        """Learning rates of this iteration; schedules see the ones they set."""
        groups = self.runner.optim_wrapper.param_groups
        rates = [group['lr'] for group in groups]
        if not static:
            for group in groups:
                group['lr'] *= self._factor(group)
        yield
        for group, rate in zip(groups, rates, strict=True):
            group['lr'] = rate

    def _factor(self, group: dict) -> float:
        factors = {self.factors.get(id(p), 1.) for p in group['params']}
        if len(factors) > 1:
            raise ValueError('AlternatingLoop: `slow` needs a rate for each parameter; give '
                             'optim_wrapper.paramwise_cfg=dict(custom_keys={}), or leave it out')
        return factors.pop()


class _InTurn:
    """Batches 0, n, 2n, ... of one endless iterator, the others of another."""

    def __init__(self, first: Iterator, second: Iterator, every: int) -> None:
        self.first, self.second = first, second
        self.every = every
        self.count = 0

    def __next__(self) -> dict:
        chosen = self.first if self.count % self.every == 0 else self.second
        self.count += 1
        return next(chosen)

    def skip_iter(self, count: int) -> None:
        """Pass over `count` batches."""
        of_first = -(-count // self.every)
        self.first.skip_iter(of_first)
        self.second.skip_iter(count - of_first)
        self.count = count
