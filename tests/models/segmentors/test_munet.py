"""MUNet: cost volume and displacement against brute force and closed forms, parameter counts."""
import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvos.models import MUNet
from mmvos.models.losses import cross_entropy, mask_iou_loss
from mmvos.models.segmentors import BootstrappedIoU, munet
from mmvos.registry import MODELS
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def features(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(('name', 'sign', 'temperature'), [
    ('munet_r50_faithful', -1, 1.), ('munet_r50', 1, 0.1)])
def test_parameters(name, sign, temperature):
    cfg = Config.fromfile(f'configs/munet/{name}_davis2016.py').model
    with DefaultScope.overwrite_default_scope('mmvos'), torch.device('meta'):
        model = MODELS.build(cfg)
    layers = [parameters(layer) for layer in model.motion_net if parameters(layer)]
    assert layers == [444, 64, 2320, 544, 9248, 1056, 18496, 66560]
    assert parameters(model.motion_net) == 98_732
    assert parameters(model.reduce) == 262_400
    assert parameters(model.attention) == 1_025
    assert model.sharpness == pytest.approx(sign / temperature)


def test_volume_equals_brute_force_cosine_and_zero_outside():
    now, before = features(0, 1, 8, 6, 7), features(1, 1, 8, 6, 7)
    volume = munet.cost_volume(now, before, 2)
    for y in range(6):
        for x in range(7):
            for n, (dy, dx) in enumerate((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)):
                expected = 0.
                if 0 <= y + dy < 6 and 0 <= x + dx < 7:
                    expected = torch.cosine_similarity(now[0, :, y, x],
                                                       before[0, :, y + dy, x + dx], 0).item()
                assert volume[0, n, y, x].item() == pytest.approx(expected, abs=1e-6)


def test_a_frame_is_most_like_itself():
    now = features(0, 2, 16, 9, 10)
    volume = munet.cost_volume(now, now, 3)
    torch.testing.assert_close(volume[:, 24], torch.ones(2, 9, 10))
    torch.testing.assert_close(munet.confidence(volume), torch.ones(2, 1, 9, 10))


def test_a_moved_frame():
    """This frame's cell x was at x + (3, -2), columns first."""
    before = features(0, 1, 256, 40, 40)
    now = before.roll((2, -3), (2, 3))
    volume = munet.cost_volume(now, before, 12)
    middle = (..., slice(14, 26), slice(14, 26))
    moved = munet.displacement(volume, 1 / 0.05)[middle]
    expected = torch.tensor([3., -2.])[:, None, None].expand(1, 2, 12, 12)
    assert (moved - expected).abs().max() < 0.01
    printed = munet.displacement(volume, -1.)[middle]
    # the published sign and temperature hardly measure motion; single cells are noise
    assert printed.mean((2, 3)).abs().max() < 0.02


def test_largest_weight_of_a_perfect_match_among_strangers():
    """e / (e + 624): with 625 candidates temperature 1 compresses a displacement to 0.4 %."""
    volume = torch.zeros(1, 625, 1, 1)
    volume[0, 12 * 25 + 12 + 5] = 1  # five cells to the right
    expected = 5 * math.e / (math.e + 624) - 5 / (math.e + 624)  # the others' mean is not quite 0
    assert munet.displacement(volume, 1.)[0, 0].item() == pytest.approx(expected, abs=1e-6)
    assert math.e / (math.e + 624) == pytest.approx(0.00434, abs=1e-5)


def test_loss_is_the_sum_of_its_parts():
    pred = features(0, 1, 3, 8, 9).softmax(1)
    target = torch.nn.functional.one_hot(features(1, 1, 3, 8, 9).argmax(1), 3).movedim(-1, 1)
    target = target.float()
    expected = cross_entropy(pred, target, 0.4) + 2 * mask_iou_loss(pred, target)
    assert BootstrappedIoU(0.4, 2.)(pred, target) == pytest.approx(expected.item())


@torch.no_grad()
def test_motion_is_that_since_the_frame_before():
    model = build(MUNet)
    frames = list(fake_frames([FakeVideo(3, (32, 48), starts=(0,))], 16))
    state = model.init_state(None)
    for frame in frames:
        before = state.shared.get('previous')
        model.step(frame, state)
        if before is not None:
            volume = munet.cost_volume(model.reduced(frame), before, 2)
            expected = torch.cat([munet.displacement(volume, -1.), munet.confidence(volume)], 1)
            again = type(state)(shared=dict(previous=before))
            torch.testing.assert_close(model.motion(frame, again), expected)
    assert torch.equal(state.shared['previous'], model.reduced(frames[-1]))


@torch.no_grad()
def test_the_query_is_modulated_by_motion():
    model = build(MUNet)
    frames = list(fake_frames([FakeVideo(2, (32, 48))], 16))
    state = model.init_state(None)
    model.step(frames[0], state)
    semantic = model.encode(frames[1])[-1]
    motion = model.motion_net(model.motion(frames[1], state))
    weight = torch.sigmoid(F.conv2d(motion, model.attention.weight, model.attention.bias))
    expected = model.query_kv(semantic * weight + semantic)
    for found, wanted in zip(model.query(frames[1], state), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_wrong_options():
    for wrong in (dict(sign=0), dict(temperature=0.), dict(radius=0)):
        with pytest.raises(ValueError, match='expected radius >= 1, sign -1 or 1 and temperature'):
            build(MUNet, **wrong)
