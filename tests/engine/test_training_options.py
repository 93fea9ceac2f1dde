"""What configs of supervised methods may ask MMEngine for: averaged weights, frozen batch norms."""
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvos.apis import setup
from mmvos.compat import load_checkpoint_file
from mmvos.models import STM


class Weights(Hook):
    """Keeps one parameter after every update."""

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, *args, **kwargs):
        self.seen.append(runner.model.query_kv.key.weight.detach().clone())


def train(work_dir, model=(), hooks=(), watch=None):
    setup()
    pipeline = [dict(type='ChooseObjects', area=1), dict(type='PackClip')]
    runner = Runner.from_cfg(dict(
        model=dict(STM.example, type='STM') | dict(model), work_dir=str(work_dir),
        default_scope='mmvos', train_dataloader=dict(
            batch_size=2, num_workers=0, sampler=dict(type='ClipSampler'),
            dataset=dict(type='MaskedClipDataset', pipeline=pipeline, source=dict(
                type='SyntheticVOS', num_videos=3, length=12, size=(32, 48)))),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3, val_interval=10**9),
        optim_wrapper=dict(type='BF16OptimWrapper', optimizer=dict(type='Adam', lr=1e-2)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3)),
        custom_hooks=list(hooks), log_processor=dict(by_epoch=False), randomness=dict(seed=0),
        log_level='ERROR', experiment_name=work_dir.name))
    if watch is not None:
        runner.register_hook(watch, priority='HIGHEST')
    runner.train()
    return runner


def test_a_checkpoint_holds_the_average_of_the_weights(tmp_path):
    """m_t = 0.5 m_(t-1) + 0.5 w_t, where the first is w_1."""
    weights = Weights()
    train(tmp_path, hooks=[dict(type='EMAHook', momentum=.5)], watch=weights)
    average = weights.seen[0]
    for weight in weights.seen[1:]:
        average = .5 * average + .5 * weight
    saved = load_checkpoint_file(tmp_path / 'iter_3.pth')['state_dict']['query_kv.key.weight']
    assert torch.allclose(saved, average, atol=1e-6)
    assert not torch.allclose(saved, weights.seen[-1], atol=1e-4)


@pytest.mark.parametrize('frozen', [True, False])
def test_frozen_batch_norms_keep_their_statistics(tmp_path, frozen):
    parts = {name: dict(STM.example[name], norm_eval=frozen)
             for name in ('query_encoder', 'memory_encoder')}
    model = train(tmp_path, model=parts).model
    for encoder in (model.query_encoder, model.memory_encoder):
        assert (encoder.bn1.running_mean == 0).all() == frozen
        assert encoder.conv1.weight.requires_grad
