"""STMA: its parts put together as the paper has them, who may see whom, and that it can learn."""
import itertools

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from one_clip import clip_of, learns_one_clip

from mmvos.models.segmentors import (
    STMA,
    STMAWithoutFrames,
    STMAWithoutIdentities,
    STMAWithoutObjects,
)
from mmvos.ops import soft_aggregate
from mmvos.registry import MODELS
from mmvos.structures import Frame
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames

ALL = [STMA, STMAWithoutObjects, STMAWithoutFrames, STMAWithoutIdentities]


def scattered(cls, **changes):
    """A model whose masks differ: mmseg's residual blocks begin as identities."""
    model = build(cls, **changes)
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return model


def frames_of(count, starts):
    return list(fake_frames([FakeVideo(count, (32, 48), starts=starts)], 16))


def in_double(frames):
    """float64, in which the order of sums does not show."""
    return [Frame(frame.index, frame.image.double(), None if frame.masks is None
                  else frame.masks.double(), frame.given) for frame in frames]


@torch.no_grad()
def run(model, frames):
    """Probabilities of every frame and the state after the last."""
    state = model.init_state(None)
    return [model.step(frame, state) for frame in frames], state


def test_parameters():
    """ConvViT-B by the layers that section 3.1 names; of the small ones what the README says."""
    def block(c):  # norms, q k v, projection, two layers of 4c
        return 4 * c + 3 * c * (c + 1) + c * (c + 1) + 4 * c * (c + 1) + c * (4 * c + 1)

    def conv_block(c):  # norms, 1x1, 5x5 of single channels, 1x1, two layers of 4c
        return 4 * c + 2 * c * (c + 1) + 26 * c + 4 * c * (c + 1) + c * (4 * c + 1)

    def embed(before, after, side):  # convolution, norm
        return after * (before * side**2 + 1) + 2 * after

    counts = {}
    for name in ('vit_t', 'convvit_t', 'convvit_b'):
        cfg = Config.fromfile(f'configs/stma/stma_{name}_davis2016.py').model
        with DefaultScope.overwrite_default_scope('mmvos'), torch.device('meta'):
            model = MODELS.build(cfg)
        counts[name] = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in model.backbone.parameters()) == (
        embed(3, 256, 4) + embed(256, 384, 2) + embed(384, 768, 2) + 768 * 769
        + 2 * conv_block(256) + 2 * conv_block(384) + 11 * block(768) + 2 * 768)
    assert counts == dict(vit_t=5_733_378, convvit_t=4_235_586, convvit_b=102_933_634)


@torch.no_grad()
def test_segment_is_the_equations():
    """Two objects; frames 0 and 1 are remembered; every part applied as the text has it."""
    model = scattered(STMA, frames=dict(type='FrameBank', every=1, recent=0),
                      memory=dict(type='UsageBank', every=1)).double()
    frames = in_double(frames_of(3, (0, 0)))
    probs, state = run(model, frames[:2])
    mean, std = (torch.tensor(x, dtype=torch.float64)[:, None, None]
                 for x in ((.485, .456, .406), (.229, .224, .225)))
    images = [(frame.image - mean) / std for frame in frames]
    tokens = [model.backbone.embed(image)[-1] for image in images]
    maps, keys, values = [], [], [[], []]
    for t in range(3):
        features = torch.zeros(1, 0, 16, dtype=torch.float64)
        if t:
            pooled = torch.stack([torch.cat(v, -1).amax((-2, -1)) for v in values], 1)
            features = model.objects(pooled)
        references = torch.stack(tokens[:t], 2) if t else tokens[0][:, :, None][:, :, :0]
        x, _ = model.backbone(tokens[t], references, features, torch.ones(1, features.shape[1]) > 0)
        maps.append(x)
        keys.append(model.key(x))
        if t == 2:
            break
        for k in (1, 2):
            code = model.value_encoder(torch.cat(
                [images[t], probs[t][:, k:k + 1], probs[t][:, 3 - k:4 - k]], 1))[-1]
            values[k - 1].append(model.value(torch.cat([code, x], 1)))
    stored = torch.cat([key.flatten(2) for key in keys[:2]], 2)
    distance = (stored[..., None] - keys[2].flatten(2)[:, :, None]).square().sum(1)
    weights = (-distance / stored.shape[1]**0.5).softmax(1)
    objects = []
    for value in values:
        readout = (torch.cat([v.flatten(2) for v in value], 2) @ weights).view(1, -1, 2, 3)
        fine, finer = model.backbone.skips((), maps[2])[::-1]
        logits = model.decoder(readout[:, None], model.query(maps[2]), [fine, finer])[:, 0]
        logits = F.interpolate(logits, (32, 48), mode='bilinear', align_corners=False)
        objects.append(logits.softmax(1)[:, 1])
    expected = soft_aggregate(torch.stack(objects, 1))
    assert (expected[:, 1] - expected[:, 2]).abs().max() > 1e-3
    torch.testing.assert_close(model.segment(frames[2], state).softmax(1), expected,
                               rtol=1e-6, atol=1e-8)


@torch.no_grad()
def test_without_identities_is_the_equations():
    """Each object for itself: references with its mask and the other's, embedded and added."""
    model = scattered(STMAWithoutIdentities,
                      frames=dict(type='FrameBank', every=1, recent=0)).double()
    frames = in_double(frames_of(3, (0, 0)))
    probs, state = run(model, frames[:2])
    mean, std = (torch.tensor(x, dtype=torch.float64)[:, None, None]
                 for x in ((.485, .456, .406), (.229, .224, .225)))
    tokens = [model.backbone.embed((frame.image - mean) / std)[-1] for frame in frames]
    objects, nothing = [], torch.zeros(1, 0, 16, dtype=torch.float64)
    for k in (1, 2):
        masks = [torch.cat([p[:, k:k + 1], p[:, 3 - k:4 - k]], 1) for p in probs]
        references = torch.stack([token + F.conv2d(mask, model.mask.weight, stride=16)
                                  for token, mask in zip(tokens, masks, strict=False)], 2)
        x, _ = model.backbone(tokens[2], references, nothing, nothing[..., 0] > 0)
        logits = model.decoder(model.readout(x)[:, None], model.query(tokens[2]),
                               model.backbone.skips((), x)[::-1])[:, 0]
        logits = F.interpolate(logits, (32, 48), mode='bilinear', align_corners=False)
        objects.append(logits.softmax(1)[:, 1])
    expected = soft_aggregate(torch.stack(objects, 1))
    assert (expected[:, 1] - expected[:, 2]).abs().max() > 1e-3
    torch.testing.assert_close(model.segment(frames[2], state).softmax(1), expected,
                               rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('cls', ALL)
def test_permuted_objects_give_permuted_masks(cls):
    model, frames, order = scattered(cls).double(), frames_of(6, (0, 0, 0)), [2, 0, 1]
    masks, given = frames[0].masks.double(), frames[0].given
    runs = []
    for starts in ((masks, given), (masks[:, order], given[:, order])):
        first = Frame(0, frames[0].image.double(), *starts)
        runs.append(run(model, [first, *(Frame(frame.index, frame.image.double())
                                         for frame in frames[1:])])[0])
    plain, permuted = runs
    for one, other in zip(plain, permuted, strict=True):
        expected = torch.cat([one[:, :1], one[:, 1:][:, order]], 1)
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-6)
    assert (plain[-1][:, 1] - plain[-1][:, 2]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize(('cls', 'passes'), [(STMA, 1), (STMAWithoutIdentities, 3)])
def test_objects_share_a_pass_of_the_backbone(cls, passes):
    model, frames = build(cls), frames_of(2, (0, 0, 0))
    _, state = run(model, frames[:1])
    seen, forward = [], model.backbone.forward
    model.backbone.forward = lambda test, *rest: (seen.append(len(test)), forward(test, *rest))[1]
    model.step(frames[1], state)
    assert seen == [passes]


@torch.no_grad()
def test_what_the_backbone_sees():
    """STMA's frame sees references and, two blocks later, objects; each ablation loses one."""
    frames = frames_of(5, (0, 0))
    for cls, by_frames, by_objects in ((STMA, True, True), (STMAWithoutObjects, True, False),
                                       (STMAWithoutFrames, False, True)):
        model = scattered(cls)
        _, state = run(model, frames[:4])
        before = model.associate(Frame(4, frames[4].image), state)
        state.banks['memory'].objects['value'] += 1
        after = model.associate(Frame(4, frames[4].image), state)
        assert torch.equal(before, after) != by_objects
        assert (len(state.banks['frames'].items) > 0) == by_frames
        assert (model.references(Frame(4, frames[4].image), state).shape[2] > 0) == by_frames
        for item in state.banks['frames'].items.values():
            item.shared['token'] += torch.randn_like(item.shared['token'])
        assert torch.equal(after, model.associate(Frame(4, frames[4].image), state)) != by_frames


@pytest.mark.parametrize('frames', [1, 2, 3, 4])
def test_references_are_drawn_while_training(frames):
    tokens = torch.arange(frames).view(1, 1, frames, 1, 1).expand(2, 3, -1, 2, 2)
    model, seen = build(STMA).train(), set()
    for seed in range(60):
        torch.manual_seed(seed)
        drawn = model.drawn(tokens)
        seen.add(tuple(drawn[0, 0, :, 0, 0].tolist()))
    assert seen == set(itertools.combinations(range(frames), min(2, frames)))
    assert torch.equal(model.eval().drawn(tokens), tokens)


@pytest.mark.parametrize('cls', [STMA, STMAWithoutIdentities])
def test_training_remembers_every_frame_and_looks_at_two(cls):
    model = build(cls).train()
    inputs, samples = clip_of([FakeVideo(5, (32, 48))], 5)
    states, begin, forward, seen = [], model.init_state, model.backbone.forward, []
    model.init_state = lambda video: states.append(begin(video)) or states[-1]
    model.backbone.forward = lambda test, references, *rest: (
        seen.append(references.shape[2]), forward(test, references, *rest))[1]
    model.loss(inputs, samples)
    assert list(states[0].banks['frames'].items) == [0, 1, 2, 3, 4]
    assert [count for count in seen if count] == [1, 2, 2, 2]
    if cls is STMA:
        created = states[0].banks['memory'].objects['created']
        assert created.unique().tolist() == [0, 1, 2, 3, 4]


@torch.no_grad()
def test_usage_is_what_was_read():
    """Each of the 6 cells of a frame spreads a weight of 1 over the elements of an object."""
    model = scattered(STMA, matching_head=dict(type='GlobalMatching', similarity='l2', topk=3))
    _, state = run(model, frames_of(9, (0, 0)))
    stored = state.banks['memory'].objects
    assert stored['usage'].sum(-1).flatten().tolist() == pytest.approx([8 * 6, 8 * 6])
    assert torch.equal(stored['reads'], 8. - stored['created'])
    assert not torch.equal(stored['usage'][:, 0], stored['usage'].mean(-1)[:, 0].expand(1, -1))


@torch.no_grad()
def test_masks_are_encoded_when_they_are_stored():
    model, seen = build(STMA), []
    forward = model.value_encoder.forward
    model.value_encoder.forward = lambda x: (seen.append(len(x)), forward(x))[1]
    run(model, frames_of(8, (0, 4)))
    assert seen == [1, 1, 2, 2]  # frames 0, 3, 4 (a new object) and 6


@pytest.mark.parametrize('cls', ALL)
def test_schedule_and_late_objects(cls):
    """Every third frame, the newest of them, and for ever the first frame of each object."""
    frames = frames_of(12, (0, 5))
    _, state = run(build(cls), frames)
    bank = state.banks['frames']
    expected = [] if cls is STMAWithoutFrames else [0, 5, 9]
    assert sorted(bank.items) == expected
    if 'memory' not in state.banks:
        return
    stored = state.banks['memory'].objects
    for k, (created, permanent) in enumerate((([0, 3, 6, 9], [0]), ([5, 6, 9], [5]))):
        there = stored['exists'][0, k, 0]
        assert stored['created'][0, k, 0][there].unique().tolist() == created
        kept = there & stored['permanent'][0, k, 0]
        assert stored['created'][0, k, 0][kept].unique().tolist() == permanent


@pytest.mark.parametrize('cls', ALL)
def test_frames_of_removed_objects_are_forgotten(cls):
    _, state = run(build(cls), frames_of(12, (0, 5, 7)))
    for gone, expected in (([1], [0, 7, 9]), ([0], [7, 9]), ([0], [9])):
        state.drop(gone)
        assert sorted(state.banks['frames'].items) == (
            [] if cls is STMAWithoutFrames else expected)


@pytest.mark.parametrize('cls', [STMA, STMAWithoutFrames])
def test_a_first_mask_is_permanent_although_it_did_not_fit_at_first(cls):
    """First masks of three objects do not fit; one is removed, and the frame is given again."""
    video, free = FakeVideo(12, (32, 48), starts=(0, 1, 2)), build(cls).session()
    for index in range(3):
        free.step(video.read(index), video.given.get(index))
    room = 0.8 * free.state.banks['memory'].nbytes() / 2**20
    session = build(cls, memory=dict(cls.example['memory'], max_memory_mb=room)).session()
    for index in range(2):
        session.step(video.read(index), video.given.get(index))
    held = session.state.nbytes()
    with pytest.raises(ValueError, match='cannot be forgotten'):
        session.step(video.read(2), video.given.get(2))
    assert (session.state.nbytes(), session.ids) == (held, [1, 2])
    session.remove([1])
    for index in range(2, 12):
        session.step(video.read(index), video.given.get(index))
    stored = session.state.banks['memory'].objects
    kept = stored['exists'] & stored['permanent']
    assert [stored['created'][0, k][kept[0, k]].unique().tolist() for k in range(2)] == [[1], [2]]


@torch.no_grad()
@pytest.mark.parametrize('when', [3, 4, 5])
def test_a_correction_changes_what_follows(when):
    model, runs = scattered(STMA), []
    for corrected in (False, True):
        frames = frames_of(7, (0, 0))
        if corrected:
            masks = frames[0].masks.roll(9, -1)
            frames[when] = Frame(when, frames[when].image, masks, torch.tensor([[True, False]]))
        runs.append(run(model, frames)[0])
    plain, other = runs
    assert not torch.equal(plain[when + 1], other[when + 1])


def test_what_cannot_be_built():
    with pytest.raises(ValueError, match='expected a memory with every=..., such as'):
        build(STMA, memory=dict(type='AdaptiveBank'))
    with pytest.raises(ValueError, match='expected a backbone of JointAttention, such as Joint'):
        build(STMAWithoutFrames, backbone=STMA.example['backbone'])


@torch.no_grad()
def test_a_late_object_does_not_read_what_is_older():
    """Its masks are the same as if the older values had been anything else."""
    model, frames = scattered(STMA), frames_of(6, (0, 4))
    _, state = run(model, frames[:5])
    expected = model.segment(Frame(5, frames[5].image), state)
    stored = state.banks['memory'].objects
    older = ~stored['exists'][:, 1]
    assert older.any()
    for name in ('key', 'value'):
        stored[name][:, 1] = torch.where(older, torch.tensor(100.), stored[name][:, 1])
    found = model.segment(Frame(5, frames[5].image), state)
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_without_identities_an_older_frame_carries_no_mask_of_a_late_object():
    model, frames = scattered(STMAWithoutIdentities), frames_of(6, (0, 4))
    _, state = run(model, frames[:5])
    masks = state.banks['frames'].items[0].objects['mask']
    assert masks[:, 0].any()
    assert not masks[:, 1].any()


@pytest.mark.slow
@pytest.mark.parametrize(('cls', 'backbone'), [
    (STMA, 'ViTSTML'), (STMA, 'ConvViTSTML'), (STMAWithoutObjects, 'ConvViTSTML'),
    (STMAWithoutFrames, 'JointConvViTSTML'), (STMAWithoutIdentities, 'ConvViTSTML')])
def test_learns_one_clip(cls, backbone):
    """J > 0.95 on the clip it saw within 400 steps."""
    torch.manual_seed(0)
    encoder = dict(type='mmseg.ResNet', in_channels=5, depth=18, base_channels=16,
                   stem_channels=16, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
                   out_indices=(2,), norm_eval=True)
    options = {} if cls is STMAWithoutIdentities else dict(
        value_encoder=encoder, value_channels=64, key_channels=16)
    learns_one_clip(build(
        cls, **options,
        backbone=dict(type=backbone, channels=64, depth=2, heads=2, fine_channels=(16, 32)),
        decoder=dict(type='RefineDecoder', skip_channels=(32, 16), value_channels=32,
                     channels=32)), length=4, steps=400)
