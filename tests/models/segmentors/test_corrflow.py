"""CorrFlow against window searches and unrolled clips written by hand."""
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import MessageHub
from torch import nn

from mmvos.datasets import SyntheticVOS
from mmvos.models import CorrFlow, LocalMatching
from mmvos.models.losses import color_class_loss, color_classes, color_masks
from mmvos.models.segmentors import drop_rgb
from mmvos.ops import upsample_half_pixel
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeBackbone, FakeVideo

RADIUS = 2


def tiny(**changes):
    matching = dict(type='LocalMatching', radius=RADIUS, out_of_range='mask')
    return build(CorrFlow, **{'backbone': FakeBackbone(4), 'matching_head': matching,
                              'reconstruction_head': matching, 'intact': 1., **changes})


def random_clip(frames=3, size=24, seed=0):
    """Two clips of smooth noise."""
    noise = torch.rand(2 * frames, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (size, size), mode='bicubic').clamp(0, 1).unflatten(0, (2, frames))


@pytest.fixture
def training():
    """Say how far a runner is, as its own hook does."""
    hub = MessageHub.get_current_instance()

    def tell(iteration, total):
        runner = SimpleNamespace(message_hub=hub, iter=iteration, epoch=0, max_epochs=1,
                                 max_iters=total, train_dataloader=SimpleNamespace(dataset=None))
        RuntimeInfoHook().before_train(runner)
        assert hub.get_info('max_iters') == total
    yield tell
    hub.update_info('iter', 0)
    hub.update_info('max_iters', 1)


# ---- by hand


def carried(colors, source, query):
    """Cells (B,16,h,w) by a softmax over the window of each, nothing outside of the map."""
    batch, channels, height, width = query.shape
    out = torch.zeros_like(colors)
    for b, y, x in itertools.product(range(batch), range(height), range(width)):
        rows = slice(max(0, y - RADIUS), y + RADIUS + 1)
        columns = slice(max(0, x - RADIUS), x + RADIUS + 1)
        products = (source[b, :, rows, columns] * query[b, :, y, x, None, None]).sum(0)
        weights = (products / math.sqrt(channels)).flatten().softmax(0)
        out[b, :, y, x] = colors[b, :, rows, columns].flatten(1) @ weights
    return out


def compared(colors, truth):
    full = F.interpolate(colors, truth.shape[-2:], mode='bilinear', align_corners=False)
    return -((full + 1e-8).log() * truth).sum(1).mean()


@pytest.mark.parametrize('share', [0., 1.])
@torch.no_grad()
def test_losses_are_those_of_the_unrolled_clip(share):
    model, clip = tiny(true_colors=(share, share)), random_clip()
    model.backbone.conv.weight.mul_(8)  # weights far from uniform: every step moves colours
    k0, k1, k2 = (model.backbone(frame)[0] for frame in clip.unbind(1))
    truth = color_masks(clip)
    t0, t1, t2 = truth.unbind(1)
    first, second = t0[..., ::4, ::4], t1[..., ::4, ::4]
    one = carried(first, k0, k1)
    two = carried(second if share else one, k1, k2)
    near = carried(one, k1, k0)
    far = carried(carried(carried(one, k1, k2), k2, k1), k1, k0)
    losses = model.loss(clip)
    assert losses['loss_forward'].item() == pytest.approx(
        (compared(one, t1) + compared(two, t2)).item(), rel=1e-4)
    assert losses['loss_cycle'].item() == pytest.approx(
        .1 * (compared(near, t0) + compared(far, t0)).item(), rel=1e-4)


@torch.no_grad()
def test_each_clip_draws_its_own_colours():
    """With probability 1/2 all four mixtures of true and predicted colours of two clips occur."""
    clip, seen = random_clip(), set()
    only = {share: [tiny(true_colors=(share, share)).loss(clip[i:i + 1])['loss_forward'].item()
                    for i in range(2)] for share in (0., 1.)}
    possible = {(i, j): (only[i][0] + only[j][1]) / 2 for i in (0., 1.) for j in (0., 1.)}
    torch.manual_seed(0)
    model = tiny(true_colors=(.5, .5))
    for _ in range(40):
        loss = model.loss(clip)['loss_forward'].item()
        seen |= {key for key, value in possible.items() if loss == pytest.approx(value, rel=1e-5)}
    assert seen == set(possible)


@pytest.mark.parametrize(('iteration', 'expected'), [(0, .9), (50, .75), (100, .6)])
def test_true_colours_become_rarer(iteration, expected, training):
    training(iteration, 100)
    assert tiny().truth_probability() == pytest.approx(expected)


def test_dropped_channels():
    """30 % nothing, 35 % one, 35 % two channels, of 3000 draws; the rest is scaled to the sum."""
    torch.manual_seed(0)
    clip, counts = torch.ones(2, 3, 3, 1, 2), torch.zeros(3)
    channels = torch.zeros(3)
    for _ in range(3000):
        out = drop_rgb(clip)
        assert (out == out[:1, :1, :, :1, :1]).all()  # one draw for the batch
        kept = out[0, 0, :, 0, 0]
        dropped = int((kept == 0).sum())
        assert sorted(kept.tolist())[dropped:] == [3 / (3 - dropped)] * (3 - dropped)
        counts[dropped] += 1 / 3000
        channels += (kept == 0) / 3000
    # five standard deviations are 0.044
    assert counts.tolist() == pytest.approx([.3, .35, .35], abs=.044)
    assert channels.tolist() == pytest.approx([(.35 + 2 * .35) / 3] * 3, abs=.044)


def test_static_clip_loses_nothing_but_the_sampling():
    """Every cell of another colour, three times: each cell copies itself, step by step."""
    model = tiny(backbone=dict(type='RawColor', scale=200.))
    blocks = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    frame = F.interpolate(blocks, (32, 32))
    losses = model.loss(frame[:, None].expand(-1, 3, -1, -1, -1))
    truth = color_masks(frame)
    expected = color_class_loss(upsample_half_pixel(truth[..., ::4, ::4], (32, 32)), truth)
    assert losses['loss_forward'].item() == pytest.approx(2 * expected.item(), rel=1e-3)
    assert losses['loss_cycle'].item() == pytest.approx(.1 * 2 * expected.item(), rel=1e-3)


def test_nothing_is_lost_at_the_border():
    """Ones stay ones; where candidates outside take their share, they do not."""
    torch.manual_seed(0)
    ones, source, query = torch.ones(1, 16, 7, 9), torch.randn(1, 4, 7, 9), torch.randn(1, 4, 7, 9)
    assert (tiny().carry(ones, source, query) - 1).abs().max() < 1e-6
    unmasked = tiny(reconstruction_head=LocalMatching(RADIUS))
    assert unmasked.carry(ones, source, query)[0, 0, 0, 0] < .8


class SmallNet(nn.Sequential):
    """Two strided convolutions."""

    stride = 4

    def __init__(self):
        super().__init__(nn.Conv2d(3, 64, 5, 2, 2), nn.BatchNorm2d(64), nn.ReLU(),
                         nn.Conv2d(64, 32, 3, 2, 1))

    def forward(self, x):
        return (super().forward(x),)


def test_overfits_a_tiny_clip():
    """A step's loss falls below half of what it was and below log(16) / 8.

    Blocks of 8x8 pixels have one colour: else what is lost by enlarging classes hides the rest.
    """
    torch.manual_seed(0)
    dataset = SyntheticVOS(1, 3, size=(32, 48), num_objects=(2, 2), seed=1)
    frames = np.stack([dataset[0]['inputs'].read(t) for t in range(3)])
    clip = torch.from_numpy(frames).movedim(-1, 1).float() / 255
    clip = F.interpolate(F.avg_pool2d(clip, 4), scale_factor=8.)[None]
    assert len(color_classes(clip).unique()) > 4
    model = tiny(backbone=SmallNet(), true_colors=(1., 1.), reconstruction_head=LocalMatching(
        RADIUS, temperature=1., out_of_range='mask')).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    steps = []
    for _ in range(80):
        losses = model.loss(clip)
        steps.append(losses['loss_forward'].item() / 2)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert steps[-1] < min(steps[0] / 2, math.log(16) / 8)


def test_boxes_are_followed():
    """Boxes of one colour over noise, by colour alone: the worst of five frames is above 0.6."""
    model = tiny(backbone=dict(type='RawColor', scale=40.), upsample='kernel_centre')
    video, session = FakeVideo(6, (48, 64), starts=(0, 0)), model.session()
    for t in range(6):
        labels = session.step(video.read(t), video.labels(t) if t == 0 else None)
        for k in (1, 2):
            inside = (labels == k) & (video.labels(t) == k)
            assert inside.sum() / ((labels == k) | (video.labels(t) == k)).sum() > .6
    assert list(session.state.banks['frames'].items) == [5]


@pytest.mark.parametrize('wrong', [dict(true_colors=(.9,)), dict(true_colors=(1.2, .5)),
                                   dict(intact=-1.)])
def test_refuses_what_is_no_probability(wrong):
    with pytest.raises(ValueError, match='true_colors'):
        tiny(**wrong)
