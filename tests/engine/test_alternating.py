"""Pairs and static images in turn: what is read, how fast it learns, and resuming."""
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmvos.apis import setup
from mmvos.datasets import StillClipDataset, SyntheticVOS
from mmvos.datasets.clip_dataset import ClipDataset

RATES = dict(custom_keys=dict(head=dict(lr_mult=10)))


class Parts(BaseModel):
    """Two weights whose gradient is 1, so that SGD takes the learning rate off them."""

    def __init__(self):
        super().__init__()
        self.features, self.head = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, False)
        for part in (self.features, self.head):
            torch.nn.init.zeros_(part.weight)
        self.seen = []

    def forward(self, inputs, data_samples=None, mode='loss'):
        clips = torch.stack(inputs)
        weights = -self.features.weight.item(), -self.head.weight.item()
        self.seen.append((clips.shape[1], clips.sum().item(), *weights))
        return dict(loss=self.features.weight.sum() + self.head.weight.sum())


def train(work_dir, iters, resume=False, every=3, slow=None, paramwise=RATES):
    setup()
    source, pack = SyntheticVOS(num_videos=3, length=12, size=(16, 24)), dict(type='PackClip')
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type='ClipSampler'))
    model = Parts()
    runner = Runner(
        model=model, work_dir=str(work_dir), default_scope='mmvos', resume=resume,
        train_dataloader=dict(
            dataset=ClipDataset(source, [pack], gaps=(2,), gap_probs=(1.,)), **loader),
        train_cfg=dict(
            type='AlternatingLoop', max_iters=iters, every=every, val_interval=10**9,
            slow=dict(features=.1) if slow is None else slow,
            static_dataloader=dict(dataset=StillClipDataset(source, [pack], length=1), **loader)),
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=1.),
            paramwise_cfg=paramwise),
        param_scheduler=dict(type='MultiStepLR', milestones=[4], gamma=.5, by_epoch=False, end=10),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1),
            logger=dict(type='LoggerHook', interval=10), rng_state=dict(type='RNGStateHook')),
        log_processor=dict(by_epoch=False), randomness=dict(seed=0), log_level='ERROR',
        experiment_name=f'{work_dir.name}-{resume}')
    runner.train()
    return model


def test_every_third_batch_is_static_and_slow_parts_learn_fast_there(tmp_path):
    model = train(tmp_path, 7)
    assert [frames for frames, *_ in model.seen] == [1, 2, 2, 1, 2, 2, 1]
    features = [seen[2] for seen in model.seen] + [-model.features.weight.item()]
    steps = [after - before for before, after in zip(features, features[1:], strict=False)]
    # the schedule halves all rates after four iterations
    assert steps == pytest.approx([1, .1, .1, 1, .05, .05, .5])
    head = [seen[3] for seen in model.seen] + [-model.head.weight.item()]
    steps = [after - before for before, after in zip(head, head[1:], strict=False)]
    assert steps == pytest.approx([10, 10, 10, 10, 5, 5, 5])


def test_resuming_goes_on_with_the_same_batches(tmp_path):
    whole = train(tmp_path / 'whole', 8)
    train(tmp_path / 'parts', 5)
    rest = train(tmp_path / 'parts', 8, resume=True)
    assert rest.seen == whole.seen[5:]
    assert torch.equal(rest.features.weight, whole.features.weight)


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match='every should be 2 or more, got 1'):
        train(tmp_path / 'a', 2, every=1)
    with pytest.raises(ValueError, match="Parts has no part 'encoder'; its parts are"):
        train(tmp_path / 'b', 2, slow=dict(encoder=.1))
    with pytest.raises(ValueError, match="no part 'seen'"):
        train(tmp_path / 'c', 2, slow=dict(seen=.1))
    with pytest.raises(ValueError, match='optim_wrapper.paramwise_cfg'):
        train(tmp_path / 'd', 2, paramwise=None)
