"""STM: parameter counts and memory of the released code, symmetries, and that it can learn."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from one_clip import clip_of, learns_one_clip

from mmvos.models import STM, FrameBank, MUNet, RefineDecoder
from mmvos.models.losses import cross_entropy
from mmvos.models.segmentors import Geometry
from mmvos.ops import aggregate_logits, soft_aggregate
from mmvos.registry import MODELS
from mmvos.structures import Frame
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_released_model():
    cfg = Config.fromfile('configs/stm/stm_r50_davis2016.py').model
    with DefaultScope.overwrite_default_scope('mmvos'), torch.device('meta'):
        model = MODELS.build(cfg)
    parts = {name: parameters(part) for name, part in model.named_children()}
    assert parts == dict(
        query_encoder=8_543_296, memory_encoder=8_549_568, query_kv=5_898_880, memory_kv=5_898_880,
        decoder=10_034_946, data_preprocessor=0, loss_module=0, matching_head=0)
    assert parameters(model) == 38_925_570


def test_memory_schedule():
    bank, seen = FrameBank(every=5, recent=1), {}
    for t in range(13):
        seen[t] = bank.indices(t)
        bank.add(t, shared=dict(key=torch.zeros(1, 1, 1, 1)), permanent=t == 0)
    assert {t: seen[t] for t in (1, 2, 6, 7, 11, 12)} == {
        1: [0], 2: [0, 1], 6: [0, 5], 7: [0, 5, 6], 11: [0, 5, 10], 12: [0, 5, 10, 11]}
    assert sorted(bank.items) == [0, 5, 10, 12]  # 12 is the last one


def test_decoder_equals_one_convolution_of_readout_and_value():
    torch.manual_seed(0)
    decoder = build(RefineDecoder).double()
    readout = torch.randn(2, 3, 4, 3, 5, dtype=torch.float64)
    value = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    skips = [torch.randn(2, 6, 6, 10, dtype=torch.float64),
             torch.randn(2, 5, 12, 20, dtype=torch.float64)]
    x = torch.cat([readout[:, 1], value], 1)
    x = decoder.block(decoder.conv(x))
    for refine, skip in zip(decoder.refine, skips, strict=True):
        up = F.interpolate(x, skip.shape[-2:], mode='bilinear', align_corners=False)
        x = refine.block(refine.skip_block(refine.skip_conv(skip)) + up)
    expected = decoder.predict(x.relu())
    torch.testing.assert_close(decoder(readout, value, skips)[:, 1], expected, rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize('cls', [STM, MUNet])
def test_permuted_objects_give_permuted_masks(cls):
    model = build(cls)
    frames = list(fake_frames([FakeVideo(4, (32, 48), starts=(0, 0, 0))], 16))
    order = [2, 0, 1]
    first = frames[0]
    turned = Frame(0, first.image, first.masks[:, order], first.given[:, order])
    runs = []
    for start in (first, turned):
        state = model.init_state(None)
        runs.append([model.step(frame, state) for frame in [start, *(
            Frame(frame.index, frame.image) for frame in frames[1:])]])
    for plain, permuted in zip(*runs, strict=True):
        expected = torch.cat([plain[:, :1], plain[:, 1:][:, order]], 1)
        torch.testing.assert_close(permuted, expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_late_object_does_not_read_what_is_older():
    """Its masks are the same as if the older frames had not been stored for it."""
    model = build(STM)
    frames = list(fake_frames([FakeVideo(4, (32, 48), starts=(0, 2))], 16))
    state = model.init_state(None)
    for frame in frames[:3]:
        model.step(frame, state)
    expected = model.segment(frames[3], state)
    for index in (0, 1):
        if index in state.banks['memory'].items:
            item = state.banks['memory'].items[index].objects
            assert item['exists'][0, :, 0, 0, 0].tolist() == [1, 0]
            item['value'][:, 1] = 100
            item['key'][:, 1] = 100
    torch.testing.assert_close(model.segment(frames[3], state), expected)


@pytest.mark.parametrize('size', [(33, 47), (32, 48), (17, 50)])
def test_padding_on_both_sides(size):
    geometry = Geometry(divisor=16, sides='both')
    x = torch.rand(2, 3, *size)
    padded = geometry.pad_image(x)
    assert [side % 16 for side in padded.shape[-2:]] == [0, 0]
    top, left = ((big - small) // 2 for big, small in zip(padded.shape[-2:], size, strict=True))
    assert torch.equal(padded[..., top:top + size[0], left:left + size[1]], x)
    assert padded.sum().item() == pytest.approx(x.sum().item(), rel=1e-5)
    assert torch.equal(geometry.crop(padded, size), x)


@torch.no_grad()
def test_segment_is_the_equations():
    """Two objects, a memory of two frames: every part applied as the paper writes it."""
    model = build(STM)
    torch.manual_seed(1)
    for parameter in model.parameters():  # mmseg's residual blocks begin as identities
        parameter.uniform_(-0.2, 0.2)
    frames = list(fake_frames([FakeVideo(3, (32, 48), starts=(0, 0))], 16))
    state = model.init_state(None)
    probs = [model.step(frame, state) for frame in frames[:2]]
    mean, std = (torch.tensor(x)[:, None, None] for x in ((.485, .456, .406), (.229, .224, .225)))
    images = [(frame.image - mean) / std for frame in frames]
    maps = model.query_encoder(images[2])
    key, value = model.query_kv.key(maps[2]), model.query_kv.value(maps[2])
    objects = []
    for k in (1, 2):
        keys, values = [], []
        for image, prob in zip(images, probs, strict=False):
            code = model.memory_encoder(torch.cat([image, prob[:, k:k + 1],
                                                   prob[:, 3 - k:4 - k]], 1))[-1]
            keys.append(model.memory_kv.key(code).flatten(2))
            values.append(model.memory_kv.value(code).flatten(2))
        keys, values = torch.cat(keys, 2), torch.cat(values, 2)
        weights = (keys.mT @ key.flatten(2) / key.shape[1] ** 0.5).softmax(1)
        readout = (values @ weights).view_as(value)
        logits = model.decoder(readout[:, None], value, [maps[1], maps[0]])[:, 0]
        logits = F.interpolate(logits, (32, 48), mode='bilinear', align_corners=False)
        objects.append(logits.softmax(1)[:, 1])
    expected = soft_aggregate(torch.stack(objects, 1))
    found = model.segment(frames[2], state).softmax(1)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_late_object_in_a_batch_does_not_read_what_is_older():
    model = build(STM)
    videos = [FakeVideo(4, (32, 48), starts=(0, 0), seed=3),
              FakeVideo(4, (32, 48), starts=(0, 2), seed=4)]
    runs = []
    for batch in (videos, videos[1:]):
        state = model.init_state(None)
        runs.append([model.step(frame, state) for frame in fake_frames(batch, 16)])
    for both, alone in zip(*runs, strict=True):
        torch.testing.assert_close(both[1:, :alone.shape[1]], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('margin', [2., 8., 12.])
def test_a_surely_wrong_pixel_keeps_its_gradient(margin, dtype):
    logits = torch.tensor([0., margin], dtype=dtype).view(1, 1, 2, 1, 1).requires_grad_()
    probs = aggregate_logits(logits.float().softmax(2)[:, :, 1]).softmax(1)
    background = torch.tensor([1., 0.]).view(1, 2, 1, 1)
    cross_entropy(probs, background).backward()
    assert logits.grad[0, 0, 1].item() > 1.5


def test_what_cannot_be_trained_on():
    model = build(STM)
    inputs, samples = clip_of([FakeVideo(3, (32, 48), starts=(1,))], 3)
    with pytest.raises(ValueError, match=r'3 frames and \[0\] objects'):
        model.loss(inputs, samples)
    inputs, samples = clip_of([FakeVideo(1, (32, 48))], 1)
    with pytest.raises(ValueError, match='1 frames'):
        model.loss(inputs, samples)
    inputs, samples = clip_of([FakeVideo(3, (32, 48), starts=(0, 0))], 3)
    labels = samples[0].gt_masks
    for wrong in (labels * (labels != 1), torch.cat([labels[:1] * (labels[:1] == 1), labels[1:]])):
        samples[0].gt_masks = wrong
        with pytest.raises(ValueError, match='first frame shows all ids, 1 to n; add Choose'):
            model.loss(inputs, samples)
    inputs, samples = clip_of([FakeVideo(1, (32, 48))], 1)
    with pytest.raises(ValueError, match='STM has no loss'):
        build(STM, loss=None).loss(inputs, samples)


@pytest.mark.parametrize('detach', [True, False])
def test_gradients_through_memorised_predictions_can_be_cut(detach):
    model = build(STM, detach=detach)
    inputs, samples = clip_of([FakeVideo()], 3)
    seen, memorize = [], model.memorize
    model.memorize = lambda frame, probs, state: (
        seen.append(probs.requires_grad), memorize(frame, probs, state))
    model.loss(inputs, samples)['loss'].backward()
    assert seen == [False, not detach, not detach]
    assert all(p.grad is not None for p in model.memory_encoder.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(('cls', 'channels', 'options'), [
    (STM, 5, {}), (MUNet, 4, dict(radius=4, sign=1, temperature=0.1))])
def test_learns_one_clip(cls, channels, options):
    """J > 0.95 on the clip it saw within 400 steps."""
    encoder = dict(type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16,
                   num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), norm_eval=True)
    learns_one_clip(build(
        cls, query_encoder=dict(encoder, out_indices=(0, 1, 2)), **options,
        memory_encoder=dict(encoder, in_channels=channels, out_indices=(2,)), in_channels=64,
        key_channels=16, decoder=dict(type='RefineDecoder', skip_channels=(32, 16),
                                      value_channels=32, channels=32)), length=3, steps=400)
