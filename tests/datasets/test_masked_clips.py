"""Clips with masks: which frames, which objects, and that masks go with their frames."""
import numpy as np
import pytest
import torch

from mmvos.datasets import (
    ChooseObjects,
    ClipIndex,
    ClipMixture,
    ClipSampler,
    CropAroundObject,
    MaskedClipDataset,
    PerFrame,
    RandomAffine,
    RandomCropClip,
    RandomFlipClip,
    RandomThinPlate,
    ResizeClip,
    SyntheticVOS,
)
from mmvos.io import InputError
from mmvos.structures import MaskArrays

SOURCE = dict(type='SyntheticVOS', num_videos=3, length=12, size=(48, 64), num_objects=(2, 3))
PIPELINE = [dict(type='ChooseObjects', most=2, area=1), dict(type='PackClip')]


def build(**options):
    return MaskedClipDataset(**{'source': SyntheticVOS(**{k: v for k, v in SOURCE.items()
                                                          if k != 'type'}),
                                'pipeline': PIPELINE, **options})


@pytest.mark.parametrize('reverse', [0., 1.])
def test_frames_are_in_order_and_at_most_max_skip_apart(reverse):
    data, seen = build(max_skip=3, clips_per_video=50, reverse=reverse), set()
    clips = data.epoch(np.random.default_rng(0))
    assert len(clips) == len(data) == 150
    assert {video for video, _ in clips} == {0, 1, 2}
    for _, frames in clips:
        gaps = np.diff(frames) * (-1 if reverse else 1)
        assert ((gaps >= 1) & (gaps <= 3)).all()
        assert min(frames) >= 0
        assert max(frames) < 12
        seen |= {*frames} | {('gap', gap) for gap in gaps.tolist()}
    assert seen == {*range(12), ('gap', 1), ('gap', 2), ('gap', 3)}


def test_the_cap_of_skips_grows_with_the_epochs():
    data = build(max_skip=3, skip_every=2, clips_per_video=50, reverse=0.)
    for epoch, most in enumerate([1, 1, 2, 2, 3, 3, 3, 3]):
        clips = data.epoch(np.random.default_rng(epoch), epoch)
        assert max(np.diff(frames).max() for _, frames in clips) == most


def test_a_resumed_curriculum_draws_what_an_uninterrupted_one_does():
    data = build(max_skip=3, skip_every=1, clips_per_video=2)
    straight, resumed = ClipSampler(data, seed=3), ClipSampler(data, seed=3)
    resumed.skip(16)
    expected = [clip for clip, _ in zip(straight, range(24), strict=False)]
    assert [clip for clip, _ in zip(resumed, range(8), strict=False)] == expected[16:]


def test_skips_fit_into_short_videos():
    data = build(max_skip=100, length=4, clips_per_video=50)
    gaps = {gap for _, frames in data.epoch(np.random.default_rng(1))
            for gap in np.abs(np.diff(frames)).tolist()}
    assert gaps == {1, 2, 3}  # three gaps of 3 are the most that 12 frames have room for


@pytest.mark.parametrize(('values', 'expected'), [
    ((0, 255), {0, 1}), ((0, 1, 2, 255), {0, 1, 2}), ((0, 2, 3), {0, 1, 2})])
def test_white_is_an_object_where_nothing_else_is_and_void_beside_ids(values, expected):
    data = build(pipeline=[dict(type='ChooseObjects', most=9, area=1), dict(type='PackClip')])
    labels = np.zeros((48, 64), np.uint8)
    for number, value in enumerate(values):
        labels[number * 10:number * 10 + 10] = value
    data.truths[0].read = lambda frame: labels
    found = data[ClipIndex(0, (0, 1, 2), (0,))]['data_samples'].gt_masks
    assert set(np.unique(found).tolist()) == expected
    assert not found[:, labels == 255].any() or values == (0, 255)


def test_void_stays_void_in_a_clip_that_shows_nothing_else():
    data = build(pipeline=[dict(type='PackClip')])
    labels = np.zeros((12, 48, 64), np.uint8)
    labels[:, :9], labels[:2, 20:30], labels[5, 40:] = 255, 1, 2
    data.truths[0].read = labels.__getitem__
    found = data[ClipIndex(0, (5, 3, 4), (0,))]['data_samples'].gt_masks.numpy()
    assert np.array_equal(found, np.where(labels[[5, 3, 4]] == 255, 0, labels[[5, 3, 4]]))


def test_void_where_the_first_mask_is_empty():
    data = build(pipeline=[dict(type='PackClip')])
    labels = np.zeros((12, 48, 64), np.uint8)
    labels[5:, :9], labels[5:, 20:30] = 255, 2
    data.truths[0].read = labels.__getitem__
    found = data[ClipIndex(0, (5, 4, 6), (0,))]['data_samples'].gt_masks.numpy()
    assert np.array_equal(found, np.where(labels[[5, 4, 6]] == 255, 0, labels[[5, 4, 6]]))


def test_masks_of_another_size_than_their_frames():
    data = build()
    read = data.truths[0].read
    data.truths[0].read = lambda frame: np.repeat(read(frame), 2, 0)
    with pytest.raises(InputError, match="frame 0 of video 'synthetic_000' is 64x96 .* 64x48"):
        data[ClipIndex(0, (0, 1, 2), (0,))]


@pytest.mark.parametrize('wrong', [
    dict(length=1), dict(max_skip=0), dict(clips_per_video=0), dict(skip_every=-1),
    dict(skip_every=0)])
def test_wrong_options(wrong):
    with pytest.raises(InputError, match='expected length >= 2, max_skip, skip_every and clips_pe'):
        build(**wrong)


def test_clips_hold_the_frames_and_masks_of_the_video():
    data = build()
    item = data[ClipIndex(1, (2, 4, 7), (5,))]
    video, masks = data.videos[1], data.truths[1]
    labels = item['data_samples'].gt_masks
    for t, frame in enumerate((2, 4, 7)):
        assert np.array_equal(item['inputs'][t].permute(1, 2, 0), video.read(frame))
        truth = masks.read(frame)
        for new in (1, 2):  # each is one object, the same on every frame
            old = {int(x) for x in np.unique(masks.read(2)[labels[0] == new])}
            assert len(old) == 1
            assert np.array_equal(labels[t] == new, truth == old.pop())


def test_clips_without_an_object_on_the_first_frame_are_drawn_again():
    data = build()
    late = int(np.flatnonzero([len(np.unique(m.read(0))) for m in data.truths])[0])
    empty = data.truths[late]
    original = empty.read
    empty.read = lambda frame: original(frame) * (frame > 3)
    for seed in range(5):
        labels = data[ClipIndex(late, (0, 1, 2), (seed,))]['data_samples'].gt_masks
        assert labels[0].any()
    drawn = []
    data.draw = lambda video, rng, most: drawn.append(most) or (3, 4, 5)
    data[ClipIndex(late, (4, 2, 1), (0,))]
    assert not drawn or set(drawn) == {2}
    data[ClipIndex(late, (0, 3, 2), (0,))]
    assert drawn[-1] == 3  # no further apart than what they replace
    del data.draw
    for masks in data.truths:
        masks.read = lambda frame: original(frame) * 0
    with pytest.raises(InputError, match='100 clips in a row show no object'):
        data[ClipIndex(late, (0, 1, 2), (0,))]


def test_videos_that_are_too_short_are_left_out():
    with pytest.raises(InputError, match='none of 3 videos has 13 annotated frames'):
        build(length=13)
    source = SyntheticVOS(num_videos=3, length=12, size=(48, 64))
    sources = source.sources

    def shortened(info):
        video, given, truth = sources(info)
        return (video, given, MaskArrays({0: truth.read(0)} if info == source.get_data_info(1)
                                         else {t: truth.read(t) for t in truth.indices}))
    source.sources = shortened
    data = build(source=source)
    assert [video.name for video in data.videos] == ['synthetic_000', 'synthetic_002']
    item = data[ClipIndex(1, (0, 1, 2), (0,))]
    assert item['data_samples'].video_name == 'synthetic_002'


def test_objects_are_chosen_on_the_first_frame():
    first, later = np.zeros((2, 20, 30), np.uint8)
    first[:10, :10], first[:10, 10:20], first[0, 29] = 7, 3, 9
    later[:10, :10], later[10:, :10] = 3, 5
    seen = set()
    for seed in range(20):
        out = ChooseObjects(1, area=50).transform(dict(
            masks=[first, later], rng=np.random.default_rng(seed)))['masks']
        kept = int(first[out[0] == 1][0])
        seen.add(kept)
        assert np.array_equal(out[0] == 1, first == kept)
        assert np.array_equal(out[1] == 1, later == kept)
        assert out[0].max() == 1
    assert seen == {3, 7}
    both = ChooseObjects(5, area=50).transform(dict(
        masks=[first], rng=np.random.default_rng(0)))['masks'][0]
    assert np.unique(both).tolist() == [0, 1, 2]


@pytest.mark.parametrize(('epoch', 'limit'), [(0, 2), (2, 2), (3, 3), (8, 4), (9, 5), (99, 5)])
def test_more_objects_from_epoch_to_epoch(epoch, limit):
    """Two at first, one more after every three epochs, five at most."""
    first = np.arange(1, 9, dtype=np.uint8).repeat(50).reshape(20, 20)
    out = ChooseObjects(5, area=50, more_every=3).transform(dict(
        masks=[first], rng=np.random.default_rng(0), epoch=epoch))['masks'][0]
    assert out.max() == limit


@pytest.mark.parametrize('wrong', [dict(most=0), dict(first=0), dict(more_every=0)])
def test_numbers_of_objects_below_1(wrong):
    with pytest.raises(ValueError, match='more_every=None for no curriculum'):
        ChooseObjects(**wrong)


def test_the_curriculum_knows_the_epoch_of_every_clip():
    """As the sampler draws them, after a resume too, through a mixture too."""
    pipeline = [dict(type='ChooseObjects', most=4, area=1, first=1, more_every=1),
                dict(type='PackClip')]
    source = dict(type='SyntheticVOS', num_videos=2, length=6, size=(64, 96), num_objects=(4, 4))
    data = MaskedClipDataset(source, pipeline, max_skip=1)
    for dataset, clips in ((data, 2), (ClipMixture([data], [2]), 4)):
        sampler = ClipSampler(dataset, seed=0)
        for skipped in (0, clips + 1):
            sampler.skip(skipped)
            for position, item in zip(range(skipped, 4 * clips), sampler, strict=False):
                most = dataset[item]['data_samples'].gt_masks.max().item()
                assert 0 < most <= 1 + position // clips
                if position < clips:
                    assert most == 1
    assert most > 1



@pytest.mark.parametrize('transform', [
    ResizeClip((17, 23)), RandomCropClip((20, 25)), RandomCropClip((60, 90)), RandomFlipClip(1.),
    CropAroundObject((20, 25)), CropAroundObject((60, 90), scale=(.5, 3.)),
    RandomAffine(1., rotate=3, shear=3, translate=.01, scale=(1.1, 1.2)),
    RandomThinPlate(1., shift=.005), PerFrame([dict(type='RandomFlipClip', prob=1.)])])
def test_masks_go_with_their_frames(transform):
    """The mask is a channel of the image: it must stay so."""
    mask = np.kron(np.random.default_rng(0).integers(0, 4, (8, 10)), np.ones((6, 6)))
    mask = mask.astype(np.uint8)
    frame = np.repeat(mask[..., None] * 60, 3, -1)
    for seed in range(5):
        out = transform.transform(dict(frames=[frame], masks=[mask],
                                       rng=np.random.default_rng(seed)))
        image, labels = out['frames'][0], out['masks'][0]
        assert image.shape[:2] == labels.shape
        assert set(np.unique(labels)) <= {0, 1, 2, 3}
        close = np.abs(image[..., 0].astype(int) - labels.astype(int) * 60) <= 30
        assert close.mean() > 0.9  # all but cells' edges, which frames blend


def test_same_seed_same_clip():
    data = build(pipeline=[dict(type='RandomCropClip', size=(32, 32)), *PIPELINE])
    one, two = (data[ClipIndex(0, (0, 1, 2), (3,))] for _ in range(2))
    assert torch.equal(one['inputs'], two['inputs'])
    assert torch.equal(one['data_samples'].gt_masks, two['data_samples'].gt_masks)
