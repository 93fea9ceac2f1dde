"""Online adaptation: what it learns, what it leaves alone, and what it refuses."""
import copy
import math

import numpy as np
import pytest
import torch

from mmvos.apis import VOSInferencer, setup
from mmvos.io import encode_mask
from mmvos.models import FlowPropagation, MUNet, OnlineAdaptation
from mmvos.models.refiners import online_adaptation
from mmvos.structures import LabelMaps, MaskArrays, VOSDataSample
from mmvos.testing import FakeVideo
from mmvos.testing.construction_contracts import build

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def scope():
    setup()


def exact(video):
    return [video.labels(t) for t in range(len(video))]


def torn(video, seed=0):
    """Masks with a hole in each object and a piece of background, elsewhere in every frame."""
    rng, found = np.random.default_rng(seed), [video.labels(0)]
    for labels in exact(video)[1:]:
        for value in (0, 1):
            y, x = rng.choice(np.argwhere(labels == 1 - value))
            labels[max(y - 6, 0):y + 6, max(x - 6, 0):x + 6] = value
        found.append(labels)
    return found


def as_maps(masks):
    return LabelMaps([encode_mask(labels) for labels in masks])


def iou(found, expected):
    return np.mean([((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum()
                    for a, b in zip(found[1:], expected[1:], strict=True)])


def refined(video, masks, given=(0,), autocast=None, **options):
    refiner = OnlineAdaptation(**dict(size=64, base_channels=8, iterations=60, lr=2e-3) | options)
    with torch.no_grad():
        return list(refiner(video, as_maps(masks), set(given), device=CPU, autocast=autocast))


@pytest.mark.parametrize('autocast', [None, torch.bfloat16])
def test_it_learns_the_object_and_not_the_errors(autocast):
    video = FakeVideo(8, (64, 96))
    masks = torn(video)
    with torch.autocast('cpu', enabled=False):  # as MMEngine's test loop has it
        after = iou(refined(video, masks, autocast=autocast), exact(video))
    before = iou(masks, exact(video))
    assert before < .85
    assert after > before + .05, (before, after)


def test_it_follows_from_its_seed_and_leaves_torch_its_own():
    video = FakeVideo(3, (32, 48))
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    one, same, other = (refined(video, exact(video), iterations=3, seed=seed)
                        for seed in (1, 1, 2))
    assert torch.equal(torch.rand(2), expected)
    assert all(map(np.array_equal, one, same))
    assert not all(map(np.array_equal, one, other))


def test_weights_of_examples():
    """2 where a mask was given, else from 1 down to 1/2."""
    video = FakeVideo(5, (32, 48))
    examples = OnlineAdaptation(size=48).examples(
        video, as_maps(exact(video)), {0, 3}, np.array([0, 1]), np.array([0, 0]))
    assert [example.weight for example in examples] == [2, 1 - 1 / 8, 1 - 2 / 8, 2, .5]
    assert examples[1].channels.shape == (48, 48)
    assert examples[1].image.shape == (48, 48, 3)


def test_a_long_video_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(online_adaptation, 'MOST_FRAMES', 4)
    video = FakeVideo(11, (32, 48))
    examples = OnlineAdaptation(size=48).examples(
        video, as_maps(exact(video)), {0}, np.array([0, 1]), np.array([0, 0]))
    assert [round((1 - e.weight) * 20) for e in examples[1:]] == [3, 7, 10]


def undecided(images):
    """A network to which three channels are alike."""
    return torch.zeros(len(images), 3, 32, 32)


def test_loss_of_a_net_that_knows_nothing():
    """Equal probabilities of C channels: ln C, plus dice by its definition, times the weight."""
    image, channels = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)
    channels[:8] = 1
    channels[8:24] = 2
    example = online_adaptation.Example(image, channels, np.ones(3, bool), .75)
    loss = OnlineAdaptation(size=48).loss(undecided, [example], np.random.default_rng(0), CPU)
    areas, total = np.array([8, 16]) * 32, 1024 / 3
    dice = 1 - (2 * areas / 3 + 1) / (total + areas + 1)
    assert loss.item() == pytest.approx(.75 * (math.log(3) + dice.mean()), rel=1e-5)


def test_ids_come_back_as_they_were():
    video = FakeVideo(6, (64, 96), starts=(0, 2), seed=7)
    masks = [np.array([0, 7, 200], np.uint8)[labels] for labels in exact(video)]
    found = refined(video, masks)
    assert {int(x) for labels in found for x in np.unique(labels)} == {0, 7, 200}
    for value in (7, 200):
        late = [(a == value, b == value) for a, b in zip(found[3:], masks[3:], strict=True)]
        assert np.mean([(a & b).sum() / (a | b).sum() for a, b in late]) > .6


def test_what_is_not_known_yet_is_part_of_background():
    """Of three equal channels one is unknown: background has 2/3 of the probability."""
    image, channels = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)
    channels[:8] = 1
    example = online_adaptation.Example(image, channels, np.array([True, True, False]), 1.)
    loss = OnlineAdaptation().loss(undecided, [example], np.random.default_rng(0), CPU)
    entropy = (math.log(3) + 3 * math.log(1.5)) / 4
    dice = 1 - (2 * 256 / 3 + 1) / (1024 / 3 + 256 + 1)
    assert loss.item() == pytest.approx(entropy + dice, rel=1e-5)


class Waiting(FakeVideo):
    """The second object is in sight from the first frame on, and given later."""

    def labels(self, index):
        return super().labels(max(index, max(self.starts)))


@pytest.mark.parametrize('start', [4, 10])
def test_an_object_given_late_is_neither_lost_nor_found_before(start):
    video = Waiting(12, (64, 96), starts=(0, start), seed=7)
    truth = exact(video)
    masks = [np.where((labels == 2) & (t < start), 0, labels).astype(np.uint8)
             for t, labels in enumerate(truth)]
    found = refined(video, masks, {0, start}, iterations=120)
    assert not any((labels == 2).any() for labels in found[:start])
    later = [((a == 2) & (b == 2)).sum() / ((a == 2) | (b == 2)).sum()
             for a, b in zip(found[start:], truth[start:], strict=True)]
    assert np.mean(later) > .6


def adapted_for(budget, monkeypatch, **options):
    """Masks and reports of a refiner whose clock ticks once an iteration."""
    clock = iter(range(1000))
    monkeypatch.setattr(online_adaptation.time, 'monotonic', lambda: next(clock))
    video, steps = FakeVideo(3, (32, 48)), []
    refiner = OnlineAdaptation(time_budget=budget, size=48, base_channels=4, **options)
    found = list(refiner(video, as_maps(torn(video)), {0}, device=CPU,
                         report=lambda *step: steps.append(step)))
    return found, torn(video), steps


def test_time_budget_ends_the_training(monkeypatch):
    found, masks, steps = adapted_for(102, monkeypatch)
    assert steps == [('adapt', n, 200) for n in range(1, 103)]
    assert not all(map(np.array_equal, found, masks))


def test_masks_stay_when_there_is_no_time_to_learn(monkeypatch):
    with pytest.warns(UserWarning, match='only 5 of 200 iterations fit into 5 s'):
        found, masks, steps = adapted_for(5, monkeypatch)
    assert len(steps) == 5
    assert all(map(np.array_equal, found, masks))


def test_autocast_ends_with_each_frame():
    video = FakeVideo(3, (32, 48))
    refiner = OnlineAdaptation(2, size=48, base_channels=4)
    for _ in refiner(video, as_maps(exact(video)), {0}, device=CPU, autocast=torch.bfloat16):
        assert not torch.is_autocast_enabled('cpu')


def propagator(**options):
    return build(FlowPropagation, **options).eval()


def test_predict_takes_the_second_pass_and_keeps_what_was_given():
    """Two given frames are untouched; listeners hear the refined masks; weights stay."""
    video = FakeVideo(5, (64, 96))
    given = MaskArrays({0: video.labels(0), 3: video.labels(3)})
    refiner = dict(type='OnlineAdaptation', iterations=3, size=48, base_channels=4)
    model, heard, reported = propagator(refiner=refiner), [], []
    before = copy.deepcopy(model.state_dict())
    model.listeners.append(lambda sample, index, labels: heard.append((index, labels)))
    model.report = lambda *step: reported.append(step)
    sample = VOSDataSample(metainfo=dict(video_name='v', frame_names=video.frame_names,
                                         given=given, truth=None))
    out = model.predict([video], [sample])[0].pred_masks
    maps = LabelMaps(out)
    assert [index for index, _ in heard] == [0, 1, 2, 3, 4]
    assert all(np.array_equal(labels, maps[index]) for index, labels in heard)
    for index in (0, 3):
        assert np.array_equal(maps[index], video.labels(index))
    assert reported == [*(('segment', n, 5) for n in range(1, 6)),
                        *(('adapt', n, 3) for n in range(1, 4))]
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_inferencer_takes_a_refiner_and_copies_the_model(tmp_path):
    model, video = propagator(), FakeVideo(4, (64, 96))
    refiner = dict(type='OnlineAdaptation', iterations=2, size=48, base_channels=4)
    inferencer = VOSInferencer(model, refiner=refiner)
    result = inferencer(video, video.labels(0), tmp_path / 'out', progress=False)
    assert model.refiner is None
    assert len(result.masks) == 4
    assert np.array_equal(result.masks[0], video.labels(0))
    assert len(list((tmp_path / 'out/masks').iterdir())) == 4
    with pytest.raises(ValueError, match='OnlineAdaptation refines whole videos'):
        inferencer.session()


def test_maps_are_not_refined(tmp_path):
    video = FakeVideo(3, (64, 96))
    inferencer = VOSInferencer(build(MUNet), refiner=dict(type='OnlineAdaptation', iterations=1))
    with pytest.raises(ValueError, match='maps are of the first pass'):
        inferencer(video, video.labels(0), tmp_path / 'out', save_maps=True, progress=False)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('options', 'message'), [
    (dict(iterations=0), 'iterations'), (dict(size=32), 'size of 33 or more'),
    (dict(time_budget=0), 'seconds above 0'), (dict(batch_size=0), 'batch_size')])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        OnlineAdaptation(**options)
