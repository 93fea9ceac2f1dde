"""A-GAME: the released parameters, the network written plainly, its state, that it learns."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from one_clip import clip_of, learns_one_clip

from mmvos.models import AGAME
from mmvos.models.segmentors.agame import merge
from mmvos.registry import MODELS
from mmvos.structures import Frame
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames


def parameters(module, trainable=False):
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def from_config(name):
    cfg = Config.fromfile(f'configs/agame/{name}.py').model
    with DefaultScope.overwrite_default_scope('mmvos'), torch.device('meta'):
        return MODELS.build(cfg)


def random_weights(model, seed=1):
    """mmseg's residual blocks begin as identities: nothing flows through their convolutions."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if not name.endswith('regulariser'):
            torch.nn.init.uniform_(parameter, -0.3, 0.3)
    return model


def frames_of(*videos):
    return list(fake_frames(videos, 16))


def run(model, frames):
    state = model.init_state(None)
    return [model.step(frame, state) for frame in frames], state


class TestReleased:

    def test_parameters(self):
        """35.93 M of 63.47 M are trained."""
        model = from_config('agame_r101_davis2016')
        parts = {name: parameters(part) for name, part in model.named_children()}
        assert parts == dict(
            backbone=42_500_160, appearance=2048 * 512 + 512 + 4 * 512,
            propagation=4100 * 512 + 512 + 3 * (9 * 512**2 + 512) + 9 * 1536 * 512 + 512,
            fusion=9 * 516 * 512 + 512 + 9 * 512 * 128 + 128, coarse=128 * 2 + 2,
            upsampling=690_946, data_preprocessor=0, loss_module=0)
        assert parameters(model, trainable=True) == 35_932_804
        assert parameters(model) == 63_468_228

    def test_only_the_last_stage_of_the_backbone_learns(self):
        backbone = from_config('agame_r101_davis2016').train().backbone
        stages = [getattr(backbone, f'layer{n}') for n in (1, 2, 3, 4)]
        assert [parameters(s, trainable=True) for s in stages] == [0, 0, 0, parameters(stages[3])]
        assert [s[0].bn1.training for s in stages] == [False, False, False, True]
        assert not backbone.bn1.training
        assert [block.conv2.dilation for block in stages[3]] == [(1, 1), (2, 2), (2, 2)]

    def test_maps(self):
        maps = from_config('agame_r101_davis2016').backbone(torch.zeros(1, 3, 64, 96,
                                                                        device='meta'))
        assert [tuple(x.shape[1:]) for x in maps] == [(256, 16, 24), (512, 8, 12), (2048, 4, 6)]

    @pytest.mark.parametrize('name', ['agame_r18_davis2016', 'agame_r18_synthetic'])
    def test_the_small_one(self, name):
        assert 1.5e6 < parameters(from_config(name)) < 2.0e6


def two(mask):
    return torch.cat([1 - mask, mask], 1)


def alone(model, maps, mean, var, previous, first):
    """Coarse and final logits of one object, every convolution whole as the paper draws it."""
    fine, middle, x = maps
    first_map, first_mask = first
    reduced = model.appearance.reduce(x)
    scores = model.appearance(reduced, mean, var)
    net = model.propagation
    y = net.mix(torch.cat([x, first_map, two(previous), two(first_mask)], 1)).relu()
    y = net.join(torch.cat([branch(y) for branch in net.pyramid], 1).relu()).relu()
    y = model.fusion[1](model.fusion[0](torch.cat([scores, y], 1)).relu()).relu()
    coarse = model.coarse(y)
    net = model.upsampling
    for n, skip in enumerate((middle, fine)):
        up = F.interpolate(y, scale_factor=2, mode='bilinear', align_corners=False)
        y = net.blend[n](torch.cat([net.project[n](skip).relu(), up], 1)).relu()
    return coarse, F.interpolate(net.predict(y), scale_factor=4, mode='bilinear',
                                 align_corners=False)


@torch.no_grad()
def test_segment_is_the_equations():
    """Two objects in the third frame, every part applied to one of them alone."""
    model = random_weights(build(AGAME))
    frames = frames_of(FakeVideo(3, (32, 48), starts=(0, 0)))
    outputs, state = run(model, frames[:2])
    norm = [torch.tensor(x)[:, None, None] for x in ((.485, .456, .406), (.229, .224, .225))]
    maps = [model.backbone((frame.image - norm[0]) / norm[1]) for frame in frames]
    logits, coarse = [], []
    for k in (0, 1):
        masks = [F.avg_pool2d(probs[:, k + 1:k + 2], 16) for probs in outputs]
        mean, var = torch.zeros(1, 4, 6), torch.zeros(1, 4, 6)
        for t, mask in enumerate(masks):
            mean, var = model.appearance.update(
                model.appearance.reduce(maps[t][2]), mask[:, 0], mean=mean, var=var,
                fresh=torch.tensor([t == 0]))
        torch.testing.assert_close(state.objects['mean'][:, k], mean)
        parts = alone(model, maps[2], mean, var, masks[1], (maps[0][2], masks[0]))
        coarse.append(parts[0])
        logits.append(parts[1])
    probs = torch.cat([x.softmax(1)[:, 1:] for x in logits], 1)
    odds = torch.cat([(1 - probs).amin(1, keepdim=True), probs], 1).clamp(1e-7, 1 - 1e-7)
    odds = odds / (1 - odds)
    found = model.segment(frames[2], state).softmax(1)
    assert probs.std() > 0.01
    torch.testing.assert_close(found, odds / odds.sum(1, keepdim=True), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(frames[2].cached('coarse', None), torch.stack(coarse, 1),
                               rtol=1e-4, atol=1e-4)


def pixel(*probs):
    """(1,K,2,1,1) logits of these probabilities, shifted: a softmax does not see it."""
    p = torch.tensor(probs, dtype=torch.float64).view(1, -1, 1, 1)
    return torch.stack([(1 - p).log(), p.log()], 2) + 3


class TestMerge:

    def test_numbers_of_the_released_code(self):
        """Min over objects: odds of (.1, .9, .8)."""
        found = merge(pixel(.9, .8), torch.ones(1, 2, dtype=torch.bool)).softmax(1)
        assert found.flatten().tolist() == pytest.approx([.008475, .686441, .305085], abs=1e-6)

    def test_a_single_object_is_not_sharpened(self):
        found = merge(pixel(.9), torch.ones(1, 1, dtype=torch.bool)).softmax(1)
        assert found.flatten().tolist() == pytest.approx([.1, .9])

    def test_in_a_batch_each_sample_counts_its_own_objects(self):
        logits = torch.cat([pixel(.9, .8, .7), pixel(.9, .8, .7), pixel(.9, .8, .7)])
        valid = torch.tensor([[True, False, True], [False, True, False], [False] * 3])
        found = merge(logits, valid).softmax(1).flatten(1)
        expected = torch.tensor([[1 / 9, 9, 0, 7 / 3], [.2, 0, .8, 0], [1, 0, 0, 0]])
        expected = (expected / expected.sum(1, keepdim=True)).double()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_permuted_objects_give_permuted_masks():
    model = random_weights(build(AGAME))
    frames = frames_of(FakeVideo(4, (32, 48), starts=(0, 0, 0)))
    order = [2, 0, 1]
    turned = Frame(0, frames[0].image, frames[0].masks[:, order], frames[0].given[:, order])
    runs = [run(model, [start, *(Frame(f.index, f.image) for f in frames[1:])])[0]
            for start in (frames[0], turned)]
    assert runs[0][-1].std() > 0.01
    for plain, permuted in zip(*runs, strict=True):
        expected = torch.cat([plain[:, :1], plain[:, 1:][:, order]], 1)
        torch.testing.assert_close(permuted, expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_late_or_corrected_object_starts_anew():
    """Its state is that of a video which begins here."""
    model = random_weights(build(AGAME))
    frames = frames_of(FakeVideo(3, (32, 48), starts=(0, 2)))
    _, state = run(model, frames)
    kept = state.objects['first'][:, 0].clone()
    for shift in (0, 9):  # as it is introduced, then somewhere else in another image
        image, masks = (x.roll(shift, -1) for x in (frames[2].image, frames[2].masks[:, 1:]))
        _, alone = run(model, [Frame(2, image, masks, torch.ones(1, 1, dtype=torch.bool))])
        if shift:
            masks = torch.cat([torch.zeros_like(masks), masks], 1)
            model.step(Frame(3, image, masks, torch.tensor([[False, True]])), state)
        for name in ('mean', 'var', 'previous', 'first'):
            torch.testing.assert_close(state.objects[name][:, 1:], alone.objects[name])
    assert torch.equal(state.objects['first'][:, 0], kept)
    assert not torch.allclose(kept, alone.objects['first'][:, 0])


@torch.no_grad()
def test_an_object_that_is_said_to_be_absent_is_not_forgotten():
    """An empty mask is blended in like any other, and the first frame stays the first."""
    model = random_weights(build(AGAME))
    frames = frames_of(FakeVideo(2, (32, 48)))
    _, state = run(model, frames[:1])
    old = {name: tensor.clone() for name, tensor in state.objects.items()}
    nothing = torch.zeros_like(frames[0].masks)
    model.step(Frame(1, frames[1].image, nothing, torch.ones(1, 1, dtype=torch.bool)), state)
    mean, _ = model.appearance.update(
        model.reduced(frames[1]), nothing[:, 0, ::16, ::16], fresh=torch.tensor([False]),
        mean=old['mean'][:, 0], var=old['var'][:, 0])
    torch.testing.assert_close(state.objects['mean'][:, 0], mean)
    assert torch.equal(state.objects['first'], old['first'])
    assert not state.objects['previous'].any()
    late = Frame(2, frames[1].image, torch.cat([frames[0].masks, nothing], 1),
                 torch.tensor([[False, True]]))
    model.step(late, state)  # nothing was known of this one
    assert model.step(Frame(3, frames[1].image), state).isfinite().all()


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('training', [False, True])
def test_mask_that_updates_the_state(training, detach):
    """Coarse output in training, final probabilities of 16x16 pixels at test time."""
    model = random_weights(build(AGAME, detach=detach)).train(training)
    frames = frames_of(FakeVideo(2, (32, 48), starts=(0, 0)))
    _, state = run(model, frames[:1])
    probs = model.segment(frames[1], state).softmax(1)
    model.memorize(frames[1], probs.detach() if detach else probs, state)  # as `loss` does
    expected = F.avg_pool2d(probs[:, 1:], 16)
    if training:
        expected = frames[1].cached('coarse', None).softmax(2)[:, :, 1]
    assert state.objects['previous'].requires_grad is not detach
    torch.testing.assert_close(state.objects['previous'], expected)


def test_loss_is_that_of_both_outputs():
    """A sample with two objects and one with one; the coarse output counts each by itself."""
    videos = [FakeVideo(2, (32, 48), starts=(0, 0), seed=1), FakeVideo(2, (32, 48), seed=2)]
    inputs, samples = clip_of(videos, 2)
    final, both = (random_weights(build(AGAME, coarse_weight=w)).loss(inputs, samples)['loss']
                   for w in (0., 2.))
    model, frames = random_weights(build(AGAME)), frames_of(*videos)
    run(model, frames)
    coarse = frames[1].cached('coarse', None)
    terms = []
    for b, n in ((0, 2), (1, 1)):
        logs = F.interpolate(coarse[b, :n].softmax(1).log(), (32, 48), mode='bilinear',
                             align_corners=False)
        labels = samples[b].gt_masks[1]
        rights = [torch.where(labels == k + 1, logs[k, 1], logs[k, 0]) for k in range(n)]
        terms.append(-torch.stack(rights).mean())
    assert (both - final).item() == pytest.approx(2 * torch.stack(terms).mean().item(), rel=1e-4)


def test_a_surely_wrong_cell_of_the_coarse_output_keeps_its_gradient():
    """A margin of 200, of which the probability is 0 in float32."""
    model = build(AGAME)
    frame, target = Frame(1, torch.zeros(1, 3, 16, 16)), torch.zeros(1, 2, 16, 16)
    target[:, 0] = 1
    coarse = torch.tensor([0., 200.]).view(1, 1, 2, 1, 1).requires_grad_()
    frame.cached('coarse', lambda: coarse)
    (loss,) = model.frame_losses(frame, target, target, [1])
    assert loss.item() == pytest.approx(200)
    loss.backward()
    assert coarse.grad.flatten().tolist() == pytest.approx([-1, 1])


def test_gradients_reach_every_parameter():
    model = random_weights(build(AGAME)).train()
    inputs, samples = clip_of([FakeVideo(3, (64, 96), seed=seed) for seed in range(2)], 3)
    model.loss(inputs, samples)['loss'].backward()
    empty = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not empty
    assert (model.appearance.regulariser.grad.abs().sum(1) > 0).all()


@torch.no_grad()
def test_gaussians_and_scores_stay_in_float32_under_autocast():
    model = random_weights(build(AGAME))
    frames = frames_of(FakeVideo(3, (32, 48), starts=(0, 0)))
    model.autocast = torch.bfloat16
    outputs, state = run(model, frames)
    assert state.objects['mean'].dtype == state.objects['var'].dtype == torch.float32
    with torch.autocast('cpu', torch.bfloat16):
        scores = model.appearance(model.reduced(frames[2]), state.objects['mean'][:, 0],
                                  state.objects['var'][:, 0])
    assert scores.dtype == torch.float32
    assert all(probs.isfinite().all() for probs in outputs)


def test_something_has_to_tell_what_the_object_is():
    with pytest.raises(ValueError, match='expected an appearance or propagation_channels'):
        build(AGAME, appearance=None, propagation_channels=None)


@pytest.mark.parametrize('part', [dict(appearance=None), dict(propagation_channels=None)])
@torch.no_grad()
def test_works_without_one_of_both(part):
    model = random_weights(build(AGAME, **part))
    frames = frames_of(FakeVideo(3, (32, 48), starts=(0, 1)))
    outputs, state = run(model, frames)
    assert [probs.shape[1] for probs in outputs] == [2, 3, 3]
    assert outputs[-1].isfinite().all()
    names = {'appearance': {'previous', 'first'}, 'propagation_channels': {'mean', 'var'}}
    assert state.objects.keys() - {'valid'} == names[next(iter(part))]


@pytest.mark.slow
@pytest.mark.parametrize('channels', [32, None])
def test_learns_one_clip(channels):
    """J > 0.95 on the clip it saw within 300 steps; the Gaussians alone can do it too."""
    backbone = dict(type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16,
                    num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2),
                    norm_eval=True)
    model = build(AGAME, backbone=backbone, in_channels=(16, 32, 64), fusion_channels=(32, 32),
                  appearance=dict(type='GaussianAppearance', in_channels=64, channels=32),
                  propagation_channels=channels)
    learns_one_clip(model, length=4, steps=300)
