"""RVOS: the released parameters, a video written plainly, what crosses time, losses, learning."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from one_clip import clip_of

from mmvos.datasets import SyntheticVOS
from mmvos.models import RVOS, RVOSMask
from mmvos.models.losses import soft_iou
from mmvos.models.segmentors import rvos
from mmvos.models.segmentors.base import against_background
from mmvos.registry import MODELS
from mmvos.structures import Frame
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames

HEADS = dict(type='ObjectHeads', in_channels=23, num_classes=3, box=True)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def from_config(name):
    cfg = Config.fromfile(f'configs/rvos/{name}.py').model
    with DefaultScope.overwrite_default_scope('mmvos'), torch.device('meta'):
        return MODELS.build(cfg)


def random_weights(model, seed=1):
    """mmseg's residual blocks begin as identities: nothing flows through their convolutions."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -0.3, 0.3)
    return model


def frames_of(*videos):
    return list(fake_frames(videos))


def unmasked(frames):
    return [Frame(frame.index, frame.image) for frame in frames]


def run(model, frames):
    state = model.init_state(None)
    return [model.step(frame, state) for frame in frames], state


class TestReleased:

    @pytest.mark.parametrize(('name', 'decoder'), [
        ('rvos_r101_davis2017', 2_931_793), ('rvos_r101_oneshot_davis2017', 2_940_433)])
    def test_parameters(self, name, decoder):
        model = from_config(name)
        parts = {name: parameters(part) for name, part in model.named_children()}
        assert parts == dict(backbone=42_500_160, skips=3_908_640, decoder=decoder,
                             data_preprocessor=0)
        gates = [1_769_984, 884_992, 221_312, 55_360]
        if 'oneshot' in name:
            gates = [n + 36 * c for n, c in zip(gates, (128, 64, 32, 16), strict=True)]
        assert [parameters(level) for level in model.decoder.levels] == gates
        assert parameters(model.decoder.predict) == 145

    @pytest.mark.parametrize('name', ['rvos_r18_davis2016', 'rvos_r18_oneshot_davis2016',
                                      'rvos_r18_synthetic', 'rvos_r18_oneshot_synthetic'])
    def test_the_small_ones(self, name):
        """What the README says: 2.5 MB in half precision."""
        assert parameters(from_config(name)) == (1_231_729 if 'oneshot' in name else 1_228_273)

    def test_the_backbone_learns_a_thousand_times_slower(self):
        cfg = Config.fromfile('configs/rvos/protocols/rvos_r101_ytvos.py').optim_wrapper
        model = build(RVOS)
        groups = build_optim_wrapper(model, cfg).optimizer.param_groups
        rates = {id(p): group['lr'] for group in groups for p in group['params']}
        found = {name.split('.')[0]: set() for name, _ in model.named_parameters()}
        for name, p in model.named_parameters():
            found[name.split('.')[0]].add(rates[id(p)])
        assert found == dict(backbone={1e-6}, skips={1e-3}, decoder={1e-3})


def plainly(model, images, previous):
    """Logits of every frame and object as section 3.2 has them; `previous` (K,H,W) or None."""
    norm = [torch.tensor(x)[:, None, None] for x in ((.485, .456, .406), (.229, .224, .225))]
    levels, size = model.decoder.levels, images[0].shape[-2:]
    objects = model.num_slots if previous is None else len(previous)
    in_time, outputs = {}, []
    for t, image in enumerate(images):
        maps = model.backbone((image - norm[0]) / norm[1])
        features = [skip(x) for skip, x in zip(model.skips, maps[::-1], strict=True)]
        in_frame, logits, finer = {}, [], None
        for i in range(objects):
            for k, level in enumerate(levels):
                n = level.channels
                zero = torch.zeros(1, n, *features[k].shape[2:])
                x = [features[k]]
                if k:
                    x = [F.interpolate(finer, x[0].shape[2:], mode='bilinear',
                                       align_corners=True), *x]
                if previous is not None:
                    pooled = previous[i][None, None]
                    for _ in range(5 - k):
                        pooled = F.max_pool2d(pooled, 2, ceil_mode=True)
                    x.append(pooled)
                h, c = in_frame.get(k, (zero, zero))
                a = level.gates(torch.cat([*x, h, in_time.get((i, k), zero)], 1))
                c = a[:, n:2 * n].sigmoid() * c + a[:, :n].sigmoid() * a[:, 3 * n:].tanh()
                finer = a[:, 2 * n:3 * n].sigmoid() * c.tanh()
                in_frame[k], in_time[i, k] = (finer, c), finer
            up = F.interpolate(finer, scale_factor=2, mode='bilinear', align_corners=True)
            logits.append(F.interpolate(model.decoder.predict(up), size, mode='bilinear',
                                        align_corners=True)[0, 0])
        outputs.append(torch.stack(logits))
        if previous is not None and t:
            previous = outputs[-1].sigmoid()
    return outputs


@torch.no_grad()
def test_zero_shot_is_the_equations():
    """Three slots over three frames of odd size."""
    model = random_weights(build(RVOS))
    frames = unmasked(frames_of(FakeVideo(3)))
    outputs, _ = run(model, frames)
    expected = plainly(model, [frame.image for frame in frames], None)
    assert torch.stack(expected).std() > 0.01
    for probs, logits in zip(outputs, expected, strict=True):
        odds = torch.cat([torch.ones(1, *logits.shape[1:]), logits.exp()])
        torch.testing.assert_close(probs[0], odds / odds.sum(0), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_one_shot_is_the_equations():
    """The given mask is read in the frame where it is given and in the next."""
    model = random_weights(build(RVOSMask))
    frames = frames_of(FakeVideo(4, starts=(0, 0)))
    run(model, frames)
    expected = plainly(model, [frame.image for frame in frames], frames[0].masks[0])
    for frame, logits in zip(frames, expected, strict=True):
        torch.testing.assert_close(frame.found('memorized').logits[0], logits,
                                   rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('cls', [RVOS, RVOSMask])
def test_the_cell_does_not_cross_time(cls):
    """From frame 1 on nothing is let in (i = 0) and all is kept (f = 1): the cell is that of the
    object before, that of the first object is zero, though frame 0 left cells and hidden maps."""
    model = random_weights(build(cls))
    frames = frames_of(FakeVideo(2, starts=(0, 0)))
    if not model.needs_mask:
        frames = unmasked(frames)
    _, state = run(model, frames[:1])
    assert all(state.objects[f'hidden_{k}'].any() for k in range(4))
    for level in model.decoder.levels:
        level.gates.bias[:2 * level.channels] = torch.tensor([-1e4, 1e4]).repeat_interleave(
            level.channels)
    model.step(frames[1], state)
    assert not any(state.objects[f'hidden_{k}'].any() for k in range(4))


@torch.no_grad()
@pytest.mark.parametrize('recurrence', [('temporal',), ('spatial', 'temporal')])
def test_the_hidden_map_crosses_time(recurrence):
    """Frame 1 depends on the hidden map of frame 0, each level of it, in T and ST."""
    model = random_weights(build(RVOS, recurrence=recurrence))
    frames = unmasked(frames_of(FakeVideo(2)))
    _, state = run(model, frames[:1])
    plain = model.segment(Frame(1, frames[1].image), state)
    for k in range(4):
        kept = state.objects[f'hidden_{k}']
        state.objects[f'hidden_{k}'] = kept.flip(-1) + .1
        other = model.segment(Frame(1, frames[1].image), state)
        state.objects[f'hidden_{k}'] = kept
        assert not torch.equal(plain, other)


@torch.no_grad()
def test_nothing_crosses_time_in_s():
    model = random_weights(build(RVOS, recurrence=('spatial',)))
    frames = unmasked(frames_of(FakeVideo(2)))
    outputs, state = run(model, frames)
    assert set(state.objects) == {'valid'}
    assert torch.equal(outputs[1], run(model, unmasked(frames)[1:])[0][0])


@torch.no_grad()
@pytest.mark.parametrize('cls', [RVOS, RVOSMask])
def test_sums_stay_in_float32_under_autocast(cls):
    model = random_weights(build(cls))
    frames = frames_of(FakeVideo(3, starts=(0, 0)))
    if not model.needs_mask:
        frames = unmasked(frames)
    plain, _ = run(model, frames)
    model.autocast = torch.bfloat16
    again = [Frame(frame.index, frame.image, frame.masks, frame.given) for frame in frames]
    outputs, state = run(model, again)
    assert {x.dtype for name, x in state.objects.items() if 'hidden' in name} == {torch.float32}
    for probs, expected in zip(outputs, plain, strict=True):
        assert (probs - expected).abs().max() < 0.02
    assert not torch.equal(outputs[-1], plain[-1])


@torch.no_grad()
@pytest.mark.parametrize(('recurrence', 'same'), [(('temporal',), True),
                                                  (('spatial', 'temporal'), False)])
def test_order_matters_through_the_spatial_recurrence_alone(recurrence, same):
    model = random_weights(build(RVOSMask, recurrence=recurrence))
    frames = frames_of(FakeVideo(4, starts=(0, 0, 0)))
    order = [2, 0, 1]
    turned = Frame(0, frames[0].image, frames[0].masks[:, order], frames[0].given[:, order])
    plain, permuted = (run(model, [start, *unmasked(frames[1:])])[0][-1]
                       for start in (frames[0], turned))
    expected = torch.cat([plain[:, :1], plain[:, 1:][:, order]], 1)
    assert torch.allclose(permuted, expected, atol=1e-5) is same


@torch.no_grad()
def test_a_late_object_begins_with_its_mask_and_disturbs_nobody():
    """Spatial recurrence goes one way: those before it are segmented as without it."""
    model = random_weights(build(RVOSMask))
    frames = frames_of(FakeVideo(4, starts=(0, 2)))
    without = [Frame(0, frames[0].image, frames[0].masks, frames[0].given), *unmasked(frames[1:])]
    _, state = run(model, frames)
    _, alone = run(model, without)
    for k in range(4):
        torch.testing.assert_close(state.objects[f'hidden_{k}'][:, :1],
                                   alone.objects[f'hidden_{k}'])
    again, state = run(model, frames[:3])
    assert torch.equal(state.objects['previous'][:, 1], frames[2].masks[:, 1])
    own = without[2].found('memorized').logits.sigmoid()
    torch.testing.assert_close(state.objects['previous'][:, :1], own)


@torch.no_grad()
def test_a_place_that_is_not_valid_leaves_no_trace():
    """A sample without its second object: the third gets what it would get as the second."""
    model = random_weights(build(RVOSMask))
    frame = frames_of(FakeVideo(1, starts=(0, 0, 0)))[0]
    valid = torch.tensor([[True, False, True]])
    gap = Frame(0, frame.image, frame.masks, valid, valid)
    pair = Frame(0, frame.image, frame.masks[:, [0, 2]], torch.ones(1, 2, dtype=torch.bool))
    _, state = run(model, [gap])
    _, expected = run(model, [pair])
    for k in range(4):
        hidden = state.objects[f'hidden_{k}']
        torch.testing.assert_close(hidden[:, [0, 2]], expected.objects[f'hidden_{k}'])
        assert not hidden[:, 1].any()


@torch.no_grad()
def test_a_slot_needs_more_than_one_half():
    """Slots of .4 and .45 together are likelier than the background's share, and lose to it."""
    logits = torch.tensor([.4, .45]).logit().view(1, 2, 1, 1)
    valid = torch.ones(1, 2, dtype=torch.bool)
    assert against_background(logits, valid).argmax(1).item() == 0
    above = torch.tensor([.4, .55]).logit().view(1, 2, 1, 1)
    assert against_background(above, valid).argmax(1).item() == 2


class TestZeroShotLoss:
    videos = (FakeVideo(3, (32, 48), starts=(0, 0, 0), seed=1),
              FakeVideo(3, (32, 48), starts=(0,), seed=2))

    @pytest.mark.parametrize('candidates', ['first_n', 'all'])
    def test_order_of_the_objects_does_not_matter(self, candidates):
        model = random_weights(build(RVOS, num_slots=4, match_candidates=candidates))
        inputs, samples = clip_of(self.videos, 3)
        plain = model.loss(inputs, samples)['loss_mask']
        samples[0].gt_masks = torch.tensor([0, 3, 1, 2], dtype=torch.uint8)[
            samples[0].gt_masks.long()]
        assert model.loss(inputs, samples)['loss_mask'].item() == pytest.approx(
            plain.item(), rel=1e-5)

    def test_slots_that_are_not_needed_are_not_decoded(self):
        """The loss is that of all ten: with 'first_n' they are no candidates."""
        model = random_weights(build(RVOS, num_slots=10))
        inputs, samples = clip_of(self.videos, 3)
        few = model.loss(inputs, samples)['loss_mask']
        model.training_slots = lambda valid: model.num_slots
        assert model.loss(inputs, samples)['loss_mask'].item() == pytest.approx(
            few.item(), rel=1e-6)

    def test_is_the_sum_over_frames_of_matched_slots(self):
        """The permutation of the first frame is kept, an object that is gone is not counted."""
        model = random_weights(build(RVOS, num_slots=2))
        inputs, samples = clip_of([FakeVideo(3, (32, 48), starts=(0, 0))], 3)
        labels = samples[0].gt_masks
        labels[1][labels[1] == 2] = 0
        frames = [Frame(t, inputs[:, t]) for t in range(3)]
        run(model, frames)
        pred = [frame.found('decoded').logits[0].sigmoid() for frame in frames]
        cost = [[[1 - soft_iou(p, (labels[t] == g).float()) for g in (1, 2)] for p in pred[t]]
                for t in range(3)]
        straight = cost[0][0][0] + cost[0][1][1] < cost[0][0][1] + cost[0][1][0]
        one, two = (0, 1) if straight else (1, 0)
        expected = sum((cost[t][one][0] + cost[t][two][1]) / 2 for t in (0, 2)) + cost[1][one][0]
        assert model.loss(inputs, samples)['loss_mask'].item() == pytest.approx(
            expected.item(), rel=1e-5)

    def test_nothing_to_find(self):
        model = random_weights(build(RVOS))
        inputs, samples = clip_of(self.videos, 1)
        for sample in samples:
            sample.gt_masks[:] = 0
        loss = model.loss(inputs, samples)['loss_mask']
        loss.backward()
        assert loss.item() == 0

    def test_the_first_frame_is_reached_through_time(self):
        """Gradients go through the whole clip: the last frame's loss reaches the first image."""
        model = random_weights(build(RVOS))
        inputs, samples = clip_of(self.videos, 3)
        inputs.requires_grad_()
        state = model.init_state(None)
        frames = [Frame(t, inputs[:, t]) for t in range(3)]
        for frame in frames:
            model.step(frame, state)
        frames[2].found('decoded').logits.sum().backward()
        assert all(inputs.grad[:, t].any() for t in range(3))


class TestOneShotLoss:

    @pytest.mark.parametrize('previous', ['given', 'inferred'])
    def test_is_the_sum_over_all_frames(self, previous):
        """The mask read in frame t is that of frame t - 1: the true one, or what was found."""
        model = random_weights(build(RVOSMask, previous=previous))
        inputs, samples = clip_of([FakeVideo(4, (32, 48), starts=(0, 0))], 4)
        masks = torch.stack([samples[0].gt_masks == k for k in (1, 2)], 1).float()[None]
        everything = torch.ones(1, 2, dtype=torch.bool)
        state, terms, found = model.init_state(None), [], None
        state.grow(everything)
        for t in range(4):
            frame = Frame(t, inputs[:, t])
            if t == 0 or previous == 'given':
                before = masks[:, max(0, t - 1)]
            else:
                before = masks[:, 0] if t == 1 else found.logits.sigmoid()
            found = model.decode(frame, state, before)
            model.remember(found, state)
            terms.append((1 - soft_iou(found.logits.sigmoid(), masks[:, t])).mean())
        assert model.loss(inputs, samples)['loss_mask'].item() == pytest.approx(
            sum(terms).item(), rel=1e-5)

    def test_masks_are_cut_from_the_graph_and_hidden_maps_are_not(self):
        model = random_weights(build(RVOSMask))
        frames = frames_of(FakeVideo(2, starts=(0,)))
        _, state = run(model, frames)
        assert not state.objects['previous'].requires_grad
        assert all(state.objects[f'hidden_{k}'].requires_grad for k in range(4))

    def test_stages_have_other_losses(self):
        inputs, samples = clip_of([FakeVideo(3, (32, 48))], 3)
        losses = {random_weights(build(RVOSMask, previous=previous)).loss(
            inputs, samples)['loss_mask'].item() for previous in ('given', 'inferred')}
        assert len(losses) == 2

    def test_wrong_stage(self):
        with pytest.raises(ValueError, match=r"one of \('given', 'inferred'\), got 'true'"):
            build(RVOSMask, previous='true')


class TestHeads:

    def test_losses_of_every_head_and_two_slots_more(self):
        model = random_weights(build(RVOS, num_slots=10, heads=HEADS)).train()
        inputs, samples = clip_of(TestZeroShotLoss.videos, 2)
        for sample, count in zip(samples, (3, 1), strict=True):
            sample.gt_classes = torch.arange(count)
        losses = model.loss(inputs, samples)
        assert set(losses) == {'loss_mask', 'loss_stop', 'loss_class', 'loss_box'}
        assert model.training_slots(torch.ones(2, 3, dtype=torch.bool)) == 5
        sum(losses.values()).backward()
        assert all(p.grad is not None and p.grad.any() for p in model.heads.parameters())

    def test_order_of_the_objects_does_not_matter(self):
        model = random_weights(build(RVOS, num_slots=5, heads=HEADS))
        inputs, samples = clip_of(TestZeroShotLoss.videos[:1], 1)
        samples[0].gt_classes = torch.tensor([2, 0, 1])
        plain = model.loss(inputs, samples)
        samples[0].gt_masks = torch.tensor([0, 3, 1, 2], dtype=torch.uint8)[
            samples[0].gt_masks.long()]
        samples[0].gt_classes = torch.tensor([0, 1, 2])
        for name, value in model.loss(inputs, samples).items():
            assert value.item() == pytest.approx(plain[name].item(), rel=1e-5), name

    @torch.no_grad()
    @pytest.mark.parametrize(('bias', 'slots'), [(100., 3), (-100., 0)])
    def test_stopped_slots_are_empty(self, bias, slots):
        model = random_weights(build(RVOS, heads=HEADS))
        model.heads.linear['stop'].bias[:] = bias
        (probs,), _ = run(model, unmasked(frames_of(FakeVideo(1))))
        assert probs[:, 1:].flatten(2).any(2).sum() == slots


@pytest.mark.parametrize(('kwargs', 'message'), [
    (dict(num_slots=0), 'expected num_slots of 1 to 255, got 0'),
    (dict(num_slots=256), 'expected num_slots of 1 to 255, got 256'),
    (dict(match_candidates='some'), 'should be one of'),
    (dict(recurrence=('time',)), 'should hold'),
    (dict(channels=(8, 6, 5)), r'channels for each .* got \(8, 6, 5\)'),
    (dict(heads=HEADS, match_candidates='all'), "give match_candidates='first_n'"),
    (dict(heads=HEADS | dict(in_channels=24)), 'in_channels=23, .*, not 24')])
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(RVOS, **kwargs)


def test_one_shot_counts_what_a_frame_shows(monkeypatch):
    counted = []
    monkeypatch.setattr(rvos, 'soft_iou_of_slots',
                        lambda *args: (counted.append(args[3].tolist()), args[0].sum())[1])
    inputs, samples = clip_of([FakeVideo(3, (32, 48), starts=(0, 0))], 3)
    samples[0].gt_masks[1][samples[0].gt_masks[1] == 2] = 0
    build(RVOSMask).loss(inputs, samples)
    assert counted == [[[True, True]], [[True, False]], [[True, True]]]


def objects_found(model, inputs, samples):
    """Mean J over objects of all frames that are not given, by the labels of a session."""
    labels = samples[0].gt_masks
    given = torch.ones(1, int(labels.max()), dtype=torch.bool)
    masks = torch.stack([labels[0] == k + 1 for k in range(given.shape[1])])[None].float()
    frames = [Frame(t, inputs[:, t]) for t in range(len(labels))]
    if model.needs_mask:
        frames[0] = Frame(0, inputs[:, 0], masks, given)
    found = [probs[0].argmax(0) for probs in run(model, frames)[0]]
    pairs = [[(found[t] == slot + 1, labels[t] == k + 1)
              for t in range(int(model.needs_mask), len(labels))]
             for slot in range(given.shape[1]) for k in range(given.shape[1])]
    ious = np.array([np.mean([((a & b).sum() / (a | b).sum()).item() for a, b in pair])
                     for pair in pairs]).reshape(given.shape[1], -1)
    return max(np.diag(ious[list(order)]).mean() for order in ([0, 1], [1, 0]))


@pytest.mark.slow
@pytest.mark.parametrize('cls', [RVOS, RVOSMask])
def test_learns_one_clip(cls):
    """J > 0.95 of both objects of the clip it saw, within 400 steps."""
    torch.manual_seed(0)
    video = SyntheticVOS(1, 4, size=(64, 96), num_objects=(2, 2), seed=3).videos[0]
    inputs, samples = clip_of([video], 4)
    backbone = dict(type='mmseg.ResNet', depth=18, base_channels=16, stem_channels=16,
                    out_indices=(0, 1, 2, 3), norm_eval=True)
    options = dict(num_slots=2) if cls is RVOS else {}
    model = build(cls, backbone=backbone, in_channels=(16, 32, 64, 128), channels=(32, 24, 16, 16),
                  **options)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    scores = []
    for step in range(400):
        loss = model.train().loss(inputs, samples)['loss_mask']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 19:
            with torch.no_grad():
                scores.append(objects_found(model.eval(), inputs, samples))
            if scores[-1] > 0.95:
                return
    raise AssertionError(f'J after every 20 steps: {scores}')
