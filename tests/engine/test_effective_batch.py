"""Gradient accumulation: the same updates however a batch is cut."""
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmvos.apis import setup
from mmvos.datasets import ClipDataset, SyntheticVOS


class Line(BaseModel):
    """Fits a line to the mean brightness of clips: no batch norm, a loss that is a mean."""

    def __init__(self, noisy=False):
        super().__init__()
        self.noisy = noisy
        self.fit = torch.nn.Linear(3, 1)
        torch.nn.init.constant_(self.fit.weight, .1)
        torch.nn.init.zeros_(self.fit.bias)
        self.batches = []
        self.iterations = []

    def forward(self, inputs, data_samples=None, mode='loss'):
        colours = torch.stack(inputs).float().mean((1, 3, 4)) / 255
        self.batches.append(len(colours))
        self.iterations.append(MessageHub.get_current_instance().get_info('iter'))
        colours = torch.nn.functional.dropout(colours, .3) if self.noisy else colours
        errors = self.fit(colours) - colours.sum(1, keepdim=True).square()
        return dict(loss=errors.square().mean())


def train(work_dir, iters, batch, effective, resume=False, noisy=False, **wrapper):
    setup()
    data = ClipDataset(SyntheticVOS(num_videos=3, length=12, size=(16, 24)),
                       [dict(type='PackClip')], gaps=(2,), gap_probs=(1.,))
    model = Line(noisy)
    runner = Runner(
        model=model, work_dir=str(work_dir), default_scope='mmvos', resume=resume,
        train_dataloader=dict(batch_size=batch, num_workers=0, dataset=data,
                              sampler=dict(type='ClipSampler')),
        train_cfg=dict(type='EffectiveBatchLoop', max_iters=iters, effective_batch=effective,
                       val_interval=10**9),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=.05), **wrapper),
        param_scheduler=dict(type='MultiStepLR', milestones=[4], gamma=.5, by_epoch=False, end=10),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1),
            logger=dict(type='LoggerHook', interval=10), rng_state=dict(type='RNGStateHook')),
        log_processor=dict(by_epoch=False), randomness=dict(seed=0), log_level='ERROR',
        experiment_name=f'{work_dir.name}-{resume}')
    runner.train()
    assert runner.optim_wrapper.get_lr()['lr'] == [.025 if iters > 4 else .05]
    return model


@pytest.mark.parametrize(('batch', 'batches'), [(2, 12), (1, 24)])
def test_updates_do_not_depend_on_the_cut(tmp_path, batch, batches):
    whole = train(tmp_path / 'whole', 6, 4, 4)
    parts = train(tmp_path / 'parts', 6, batch, 4)
    assert whole.batches == [4] * 6
    assert parts.batches == [batch] * batches
    assert not torch.allclose(whole.fit.weight, torch.full((1, 3), .1))
    assert torch.allclose(whole.fit.weight, parts.fit.weight, atol=1e-5)
    assert torch.allclose(whole.fit.bias, parts.fit.bias, atol=1e-5)


@pytest.mark.parametrize('noisy', [False, True])
def test_resumed_in_the_middle_it_is_the_same(tmp_path, noisy):
    """Losses draw numbers and ask for the iteration, too."""
    straight = train(tmp_path / 'straight', 5, 2, 6, noisy=noisy)
    train(tmp_path / 'stopped', 2, 2, 6, noisy=noisy)
    resumed = train(tmp_path / 'stopped', 5, 2, 6, resume=True, noisy=noisy)
    assert resumed.batches == [2] * 9
    assert straight.iterations == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert resumed.iterations == straight.iterations[6:]
    assert torch.equal(straight.fit.weight, resumed.fit.weight)


def test_more_processes_accumulate_less(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvos.engine.loops.effective_batch.get_world_size', lambda: 3)
    assert train(tmp_path, 1, 2, 12).batches == [2, 2]


def test_wrong_batches(tmp_path):
    with pytest.raises(ValueError, match=r'effective_batch=5 is no multiple of batch_size \* proc'):
        train(tmp_path, 1, 2, 5)
    with pytest.raises(ValueError, match='sets accumulative_counts of the optim_wrapper itself'):
        train(tmp_path, 1, 2, 4, accumulative_counts=2)
