"""Schedules, autocast, and training that can stop and go on."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmvos.apis import setup
from mmvos.datasets import ClipDataset, ClipSampler, SyntheticVOS
from mmvos.engine import BF16OptimWrapper, SampleMultiStepLR
from mmvos.models import MAMP


@pytest.mark.parametrize(('samples', 'rate'), [
    (1, 1e-3), (400_000, 1e-3), (400_001, 5e-4), (600_001, 2.5e-4), (800_001, 1.25e-4),
    (1_000_001, 6.25e-5)])
def test_rate_after_so_many_samples(samples, rate):
    model = nn.Linear(1, 1)
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-3))
    scheduler = SampleMultiStepLR(
        wrapper, (400_000, 600_000, 800_000, 1_000_000), samples_per_step=1)
    crossed = sum(count for step, count in scheduler.milestones.items() if step <= samples)
    assert 1e-3 * scheduler.gamma**crossed == pytest.approx(rate)


def test_rate_at_batch_24():
    """Iterations 16,667 / 25,000 / 33,333 / 41,667 are the first beyond each milestone."""
    wrapper = OptimWrapper(torch.optim.Adam(nn.Linear(1, 1).parameters(), lr=1e-3))
    scheduler = SampleMultiStepLR(
        wrapper, (400_000, 600_000, 800_000, 1_000_000), samples_per_step=24)
    assert sorted(scheduler.milestones) == [16_667, 25_001, 33_334, 41_667]
    for step in scheduler.milestones:
        assert any(step * 24 > m >= (step - 1) * 24 for m in (4e5, 6e5, 8e5, 1e6))


def test_scheduler_halves_the_rate():
    wrapper = OptimWrapper(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.))
    scheduler = SampleMultiStepLR(wrapper, (8,), samples_per_step=4)
    rates = []
    for _ in range(5):
        rates.append(wrapper.param_groups[0]['lr'])
        scheduler.step()
    assert rates == [1., 1., 1., .5, .5]  # 4 * 3 samples is the first count beyond 8


def test_bf16_wrapper_casts_the_forward_only():
    model = nn.Linear(4, 4)
    wrapper = BF16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        assert model(torch.ones(1, 4)).dtype == torch.bfloat16
    assert model(torch.ones(1, 4)).dtype == torch.float32
    assert model.weight.dtype == torch.float32


def clips(**kwargs):
    source = SyntheticVOS(num_videos=2, length=13, size=(32, 48), seed=1)
    return ClipDataset(source, [dict(type='PackClip')], **kwargs)


def test_epoch_cuts_groups_that_do_not_overlap():
    setup()
    found = clips(gaps=(2,), gap_probs=(1.,)).epoch(np.random.default_rng(0))
    assert sorted(found) == [(v, (i, i + 2)) for v in (0, 1) for i in (0, 4, 8)]


def test_gaps_follow_their_probabilities():
    setup()
    data = clips(gaps=(2, 5), gap_probs=(.25, .75))
    rng = np.random.default_rng(0)
    gaps = [frames[1] - frames[0] for _ in range(400) for frames in dict(data.epoch(rng)).values()]
    assert np.mean(np.array(gaps) == 5) == pytest.approx(.75, abs=.05)


def test_gaps_that_nobody_can_draw():
    setup()
    assert {b - a for _, (a, b) in clips(gaps=(2, 5), gap_probs=(0., 1.)).epoch(
        np.random.default_rng(0))} == {5}
    with pytest.raises(ValueError, match='no video has 2 frames at a gap of 100'):
        clips(gaps=(2, 100), gap_probs=(0., 1.))
    for gaps, probs in (((0,), (1.,)), ((1, 2), (2., -1.))):
        with pytest.raises(ValueError, match='gaps of 1 or more and probabilities of 0 or more'):
            clips(gaps=gaps, gap_probs=probs)


def test_sampler_can_start_anywhere():
    setup()
    data = clips()
    straight, skipping = ClipSampler(data, seed=3), ClipSampler(data, seed=3)
    skipping.skip(17)
    first = iter(straight)
    items = [next(first) for _ in range(30)]
    second = iter(skipping)
    assert [next(second) for _ in range(13)] == items[17:]
    assert items[0].seed != items[1].seed


def test_ranks_share_the_stream_without_overlap():
    setup()
    data = clips()
    whole = iter(ClipSampler(data, seed=0))
    expected = [next(whole) for _ in range(20)]
    parts = []
    for rank in (0, 1):
        sampler = ClipSampler(data, seed=0)
        sampler.rank, sampler.world_size = rank, 2
        stream = iter(sampler)
        parts.append([next(stream) for _ in range(10)])
    assert [item for pair in zip(*parts, strict=True) for item in pair] == expected


def train_config(work_dir: Path, iters: int, workers: int = 0) -> Config:
    model = {**MAMP.example, 'type': 'MAMP'}
    return Config(dict(
        default_scope='mmvos', work_dir=str(work_dir), model=model, randomness=dict(seed=0),
        train_dataloader=dict(
            batch_size=2, num_workers=workers, sampler=dict(type='ClipSampler'),
            dataset=dict(
                type='ClipDataset', source=dict(
                    type='SyntheticVOS', num_videos=3, length=12, size=(48, 64), seed=0),
                pipeline=[dict(type='RandomCropClip', size=(40, 40)),
                          dict(type='RandomFlipClip'), dict(type='PackClip')])),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=iters, val_interval=10**9),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3)),
        param_scheduler=dict(type='SampleMultiStepLR', milestones=(6,), samples_per_step=2),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3),
            logger=dict(type='LoggerHook', interval=1), rng_state=dict(type='RNGStateHook')),
        log_processor=dict(by_epoch=False), log_level='WARNING'))


def train(config: Config, resume: bool = False) -> Runner:
    setup()
    config.resume = resume
    config.experiment_name = f'{config.work_dir}-{resume}'
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def test_resumed_training_equals_straight_training(tmp_path):
    runner = train(train_config(tmp_path / 'straight', 6))
    assert runner.optim_wrapper.get_lr()['lr'] == [5e-4]  # the schedule was at work
    straight = runner.model.state_dict()
    train(train_config(tmp_path / 'stopped', 3))
    resumed = train(train_config(tmp_path / 'stopped', 6), resume=True).model.state_dict()
    assert straight.keys() == resumed.keys()
    for key, value in straight.items():
        assert torch.equal(value, resumed[key]), key


@pytest.mark.slow
def test_workers_do_not_change_training(tmp_path):
    alone = train(train_config(tmp_path / 'alone', 3)).model.state_dict()
    helped = train(train_config(tmp_path / 'helped', 3, workers=2)).model.state_dict()
    assert all(torch.equal(alone[key], helped[key]) for key in alone)


def test_training_lowers_the_loss():
    """On one fixed batch, so that nothing but learning can do it."""
    setup()
    torch.manual_seed(0)
    data = ClipDataset(SyntheticVOS(num_videos=2, length=12, size=(48, 64), seed=0),
                       [dict(type='PackClip')], gaps=(2,), gap_probs=(1.,))
    stream = iter(ClipSampler(data, seed=0))
    clip = torch.stack([data[next(stream)]['inputs'] for _ in range(2)]).float() / 255
    model = MAMP(**MAMP.example)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        torch.manual_seed(1)  # the same dropped channel each time
        loss = model.loss(clip)['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * losses[0]
