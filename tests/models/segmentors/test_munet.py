"""MUNet: cost volume, displacement, maps against brute force, closed forms; parameter counts."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmvos.models import MUNet
from mmvos.models.losses import cross_entropy, mask_iou_loss
from mmvos.models.segmentors import (
    MUNetAddition,
    MUNetWithoutUncertainty,
    munet,
)
from mmvos.registry import MODELS
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames
from mmvos.visualization import map_picture


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


@pytest.mark.parametrize(('row', 'change'), [
    ('eg_all', 0), ('c_motion', 0), ('f_addition', -(128 + 1)),  # without MSAM's convolution
    ('d_displacement', -3 * 7 * 7),  # one input of the first convolution
    # no reduce, motion net or MSAM; the others' mask into the memory encoder
    ('a_baseline', -(128 * 32 + 32) - (98_732 - 65 * (1024 - 128)) - (128 + 1) + 32 * 7 * 7),
])
def test_parameters_of_table_4(row, change):
    cfg = Config.fromfile(f'configs/munet/ablations/munet_r18_davis2016_{row}.py').model
    whole = Config.fromfile('configs/munet/munet_r18_davis2016.py').model
    with DefaultScope.overwrite_default_scope('mmvos'), torch.device('meta'):
        cfg, whole = parameters(MODELS.build(cfg)), parameters(MODELS.build(whole))
    assert cfg - whole == change
    assert whole < 2_500_000


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


def test_loss_is_bootstrapped_cross_entropy_and_iou():
    """Equation 4, of the configs."""
    pred = features(0, 1, 3, 8, 9).softmax(1)
    target = torch.nn.functional.one_hot(features(1, 1, 3, 8, 9).argmax(1), 3).movedim(-1, 1)
    target = target.float()
    expected = cross_entropy(pred, target, 0.4) + mask_iou_loss(pred, target)
    assert build(MUNet).loss_module(pred, target) == pytest.approx(expected.item())


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


@torch.no_grad()
def test_fusion_by_addition():
    model = build(MUNetAddition)
    semantic, motion = features(0, 1, 16, 2, 3), features(1, 1, 16, 2, 3)
    assert torch.equal(model.fuse(semantic, motion), semantic + motion)


def test_motion_without_uncertainty():
    model = build(MUNetWithoutUncertainty)
    volume = features(0, 1, 25, 4, 5)
    assert torch.equal(model.measure(volume), munet.displacement(volume, -1.))


class Pixels(nn.Module):
    """The pixels of each 16x16 cell as its features: a perfect match has no like."""

    def forward(self, x):
        return (F.avg_pool2d(x, 4)[:, :3], F.avg_pool2d(x, 8)[:, :3],
                F.pixel_unshuffle(x, 16)[:, :768])


def shifted(shift, size=(160, 192)):
    """Two frames of noise; what is at p in the second was at p + shift in the first."""
    first = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    return first, np.roll(first, (-shift[1], -shift[0]), (0, 1))


def maps_of(frames, cls=MUNet, **options):
    model = build(cls, query_encoder=Pixels(), memory_encoder=Pixels(), in_channels=768,
                  decoder=dict(type='RefineDecoder', skip_channels=(3, 3), value_channels=6,
                               channels=8),
                  radius=4, sign=1, temperature=0.05,
                  geometry=dict(divisor=16, sides='both'))
    session, found = model.session(keep_maps=True, **options), []
    for index, image in enumerate(frames):
        session.step(image, np.ones(image.shape[:2], np.uint8) if index == 0 else None)
        found.append(session.maps)
    return found


@pytest.mark.parametrize(('shift', 'colour'), [
    ((0, 0), [255, 255, 255]),
    ((64, 0), [255, 0, 0]), ((-64, 0), [0, 255, 255]),  # the radius: full colour
    ((0, 64), [128, 255, 0]), ((0, -64), [128, 0, 255]),
    ((16, 0), [255, 128, 128]), ((-32, 32), [0, 255, 64])])  # half of the white is gone; 135 deg.
def test_a_known_shift_has_the_colour_of_its_direction(shift, colour):
    nothing, maps = maps_of(shifted(shift))
    assert nothing == {}, 'the first frame has no motion'
    moved, sure = maps['displacement'], maps['uncertainty']
    assert (moved.shape, sure.shape) == ((160, 192, 2), (160, 192, 1))
    middle = np.s_[72:88, 72:120]  # cells whose match is in the picture
    assert np.abs(moved[middle] * 4 * 16 - shift).max() < 1
    np.testing.assert_allclose(sure[middle], 1, atol=1e-5)
    if shift != (-32, 32):
        assert np.abs(map_picture(moved)[middle].astype(int) - colour).max() <= 3
    else:
        red, green, blue = map_picture(moved)[middle].reshape(-1, 3).mean(0)
        assert green == 255
        assert (blue - red) / (green - red) == pytest.approx(0.25, abs=0.02)
    if shift != (0, 0):  # what came into the picture has no like
        row = 159 if shift[1] > 0 else 0
        column = 191 if shift[0] > 0 else 0
        assert sure[row, column, 0] < 0.3


def test_maps_are_of_native_size():
    """Padded by 7 rows above, 8 below: a step in the picture is one in the map."""
    first, second = shifted((0, 0), (145, 192))
    second[:, 96:] = second[::-1, 96:]
    maps = maps_of([first, second])[1]['uncertainty'][..., 0]
    assert maps.shape == (145, 192)
    assert maps[:, :88].min() > 0.99
    assert maps[16:-16, 104:].max() < 0.5
    large = [np.repeat(np.repeat(image, 2, 0), 2, 1) for image in (first, second)]
    maps_of_large = maps_of(large, size=145)[1]['uncertainty'][..., 0]
    assert maps_of_large.shape == (290, 384)
    assert np.abs(maps_of_large[::2, ::2] - maps).max() < 0.05


def test_maps_without_uncertainty():
    assert list(maps_of(shifted((16, 0)), MUNetWithoutUncertainty)[1]) == ['displacement']


def test_wrong_options():
    for wrong in (dict(sign=0), dict(temperature=0.), dict(radius=0)):
        with pytest.raises(ValueError, match='expected radius >= 1, sign -1 or 1 and temperature'):
            build(MUNet, **wrong)
