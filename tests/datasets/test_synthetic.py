"""Synthetic videos: masks against analytic shapes, flow against warping and an optical flow."""
import pickle

import cv2
import numpy as np
import pytest

from mmvos.datasets import SyntheticVOS
from mmvos.datasets.synthetic import SyntheticMasks, SyntheticVideo
from mmvos.datasets.synthetic_scene import (
    PHOTOGRAPHS,
    Blob,
    Layer,
    Motion,
    Wave,
    photograph,
    photograph_size,
)

SIZE = (96, 160)


def video_of(index=0, num_objects=3, length=24, size=SIZE, seed=0, late=False):
    return SyntheticVideo(seed, index, length=length, size=size, num_objects=num_objects, late=late)


def still(value):
    return Wave(value, 0, 1, 0)


def placed(x, y, angle, log_scale):
    """A motion that stands still."""
    return Motion(*(still(value) for value in (x, y, angle, log_scale)))


def inner(labels):
    """Pixels at least 2 px away from any outline."""
    return cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) == 0


def copied(video):
    """Mean J of the first masks copied, without the first and last frame."""
    labels = [video.labels(index) for index in range(len(video))]
    values = []
    for number, start in enumerate(video.starts, 1):
        first = labels[start] == number
        for later in labels[start + 1:-1]:
            union = (first | (later == number)).sum()
            values.append((first & (later == number)).sum() / union if union else 1.)
    return np.mean(values)


def test_photographs_have_the_sizes_they_are_laid_out_with():
    for index in range(len(PHOTOGRAPHS)):
        image = photograph(index, 64)
        assert image.shape == (*photograph_size(index, 64), 3)
        assert min(image.shape[:2]) == 64
        assert np.ptp(image.astype(int), axis=-1).max() > 30  # in colour
        assert not image.flags.writeable


@pytest.mark.parametrize(('angle', 'log_scale'), [(0, 0), (.4, np.log(1.5))])
def test_circle_and_ellipse_have_their_area(angle, log_scale):
    box = (slice(0, 101), slice(0, 121))
    circle = Layer(0, 32, (0, 0), placed(60, 50, angle, log_scale), Blob(20, ()))
    rows, columns = np.mgrid[:101, :121]
    expected = np.hypot(columns - 60, rows - 50) <= 20 * np.exp(log_scale)
    assert (expected != (circle.cover(0, box) >= .5)).sum() <= 4  # centres right on the outline
    # area of r(a) = R (1 + e cos(2a)) is pi R^2 (1 + e^2 / 2)
    wavy = Layer(0, 32, (0, 0), placed(60, 50, angle, log_scale), Blob(20, (.3,)))
    area = np.pi * (20 * np.exp(log_scale)) ** 2 * (1 + .3 ** 2 / 2)
    assert wavy.cover(0, box).sum() == pytest.approx(area, rel=.01)


def test_closed_form_flow_of_a_similarity():
    motion = Motion(Wave(50, 10, 4, 0), still(40), Wave(0, .5, 4, 0), Wave(0, .2, 4, 0))
    layer = Layer(0, 32, (0, 0), motion)
    # time 0: at (50, 40), upright, scale 1; time 1: at (60, 40), turned by .5, scale e^.2
    scale, cos, sin = np.exp(.2), np.cos(.5), np.sin(.5)
    expected = (60 + scale * (3 * cos - 7 * sin), 40 + scale * (3 * sin + 7 * cos))
    assert layer.carry(0, 1) @ (53, 47, 1) == pytest.approx(expected)


@pytest.mark.parametrize('index', range(3))
def test_flow_warps_one_frame_onto_another(index):
    video = video_of(index, 1 + 2 * index, size=(160, 240))
    columns, rows = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in (240, 160)))
    for query, ref in ((9, 8), (23, 0), (3, 20)):
        flow, labels = video.flow(query, ref), video.labels(query)
        visible = video.visible(query, ref)
        x, y = columns + flow[..., 0], rows + flow[..., 1]
        seen = cv2.remap(inner(video.labels(ref)).astype(np.uint8), x, y, cv2.INTER_NEAREST) > 0
        sure = visible & seen & inner(labels) & (x >= 0) & (y >= 0) & (x <= 239) & (y <= 159)
        assert sure.mean() > .4
        warped = cv2.remap(video.read(ref), x, y, cv2.INTER_LINEAR).astype(float)
        error = np.abs(warped - video.read(query)).max(-1)[sure]
        # twice interpolated: one level on most pixels, more on the finest texture
        assert np.median(error) <= 2
        assert error.mean() < 3
        assert np.percentile(error, 99) < 25
        for number in np.unique(labels):  # a wrong flow of one object would hide in the mean
            where = labels[sure] == number
            assert where.sum() < 30 or error[where].mean() < 6


def test_flow_agrees_with_an_optical_flow():
    video = video_of(1, 2, size=(160, 240))
    grey = [cv2.cvtColor(video.read(index), cv2.COLOR_RGB2GRAY) for index in (10, 8)]
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    sure = video.visible(10, 8) & inner(video.labels(10))
    error = np.linalg.norm(found - video.flow(10, 8), axis=-1)[sure]
    assert np.median(error) < .3
    assert np.linalg.norm(video.flow(10, 8), axis=-1)[sure].mean() > 1


def test_flow_to_itself_is_zero_and_all_is_visible():
    video = video_of(2, 3)
    assert np.abs(video.flow(7, 7)).max() < 1e-5
    assert video.visible(7, 7).all()


def test_hidden_points_are_told():
    """An object that is not there yet cannot be seen, the background under it can."""
    video = video_of(2, 3, length=12, late=True)
    labels = video.labels(6)
    assert (labels == 3).any()
    assert not video.visible(6, 2)[labels == 3].any()
    hidden = video.visible(2, 6) == 0
    assert hidden[(video.labels(2) != 3) & (labels == 3)].mean() > .5


def test_frames_are_rendered_alone_and_alike():
    video, other = video_of(), video_of()
    forward = [video.read(index) for index in range(6)]
    for index in (5, 0, 3):
        assert np.array_equal(other.read(index), forward[index])
    for index, frame in enumerate(video.frames(start=2)):
        assert index > 3 or np.array_equal(frame, forward[2 + index])
    assert forward[0].shape == (*SIZE, 3)
    assert forward[0].dtype == np.uint8
    assert not np.array_equal(forward[0], video_of(seed=1).read(0))
    assert not np.array_equal(forward[0], video_of(index=1).read(0))


def test_scene_is_the_same_everywhere():
    """Noted once: only uniform draws and permutations decide, no pixels."""
    layers = video_of(4, 5, size=(240, 432)).layers
    assert [layer.photo for layer in layers] == [4, 2, 1, 0, 5, 3]
    assert [layer.short_side for layer in layers] == [416, 160, 128, 192, 128, 96]
    assert np.allclose([layer.motion.centre(13) for layer in layers], [
        (203.163, 108.825), (286.350, 129.732), (242.371, 104.854), (192.573, 199.161),
        (69.971, 57.136), (246.485, 145.842)], atol=1e-3)


def test_pickled_video_is_small_and_the_same():
    video = video_of(3, 5, length=100)
    video.read(0)
    data = pickle.dumps(video)
    assert len(data) < 10_000
    again = pickle.loads(data)
    assert np.array_equal(again.read(50), video.read(50))
    assert np.array_equal(again.labels(50), video.labels(50))


def test_background_never_shows_its_border():
    for index in range(12):
        layer = video_of(index, 1).layers[0]
        height, width = photograph_size(layer.photo, layer.short_side)
        corners = np.array([(x, y, 1) for x in (0, SIZE[1] - 1) for y in (0, SIZE[0] - 1)]).T
        for time in range(0, 400, 7):
            x, y = layer.motion.to_layer(time) @ corners + np.array(layer.centre)[:, None]
            assert min(x.min(), y.min()) >= 0
            assert x.max() <= width - 1
            assert y.max() <= height - 1


def test_every_object_shows_on_its_first_frame():
    for sample in (item['data_samples'] for item in SyntheticVOS(15, 12, size=SIZE)):
        shown = {}
        for index in sample.given.indices:
            ids, counts = np.unique(sample.given.read(index), return_counts=True)
            shown |= {k: n for k, n in zip(ids, counts, strict=True) if k}
        truth = set(np.unique([sample.truth.read(index) for index in sample.truth.indices])) - {0}
        assert set(shown) == truth
        assert min(shown.values()) > .005 * SIZE[0] * SIZE[1]


def test_masks_hold_only_what_starts():
    video = video_of(2, 3, length=12, late=True)
    first, every = SyntheticMasks(video, first=True), SyntheticMasks(video)
    assert video.starts == [0, 0, 4]
    assert first.indices == [0, 4]
    assert every.indices == list(range(12))
    assert set(np.unique(first.read(0))) == {0, 1, 2}
    assert np.array_equal(first.read(4), np.where(video.labels(4) == 3, 3, 0))
    assert not (every.read(3) == 3).any()
    with pytest.raises(KeyError, match='frame 1'):
        first.read(1)


def test_dataset_is_varied_and_moderately_hard():
    data = SyntheticVOS()
    assert [len(video.starts) for video in data.videos] == [1, 2, 3, 4, 5] * 2
    assert sum(max(video.starts) > 0 for video in data.videos) == 2
    assert all(video.size == (240, 432) for video in data.videos)
    assert .3 <= np.mean([copied(video) for video in data.videos]) <= .5


def test_items_and_indices():
    data = SyntheticVOS(4, 6, size=(32, 48), num_objects=(2, 2), indices=[2, 0])
    assert len(data) == 2
    item = data[0]
    sample = item['data_samples']
    assert sample.video_name == item['inputs'].name == 'synthetic_002'
    assert sample.frame_names == [f'{index:05d}' for index in range(6)]
    assert len(item['inputs']) == 6
    assert sample.given.indices == [0, 2]


def test_many_objects_and_odd_sizes():
    video = video_of(0, 9, size=(33, 47))
    assert set(np.unique(video.labels(0))) <= set(range(10))
    assert video.read(0).shape == (33, 47, 3)


@pytest.mark.parametrize(('args', 'text'), [
    (dict(num_videos=0), 'num_videos=0'),
    (dict(length=0), 'length=0'),
    (dict(size=(8, 8)), r'size=\(8, 8\)'),
    (dict(num_objects=(3, 2)), r'num_objects=\(3, 2\)'),
    (dict(seed=-1), 'seed=-1'),
])
def test_wrong_arguments(args, text):
    with pytest.raises(ValueError, match=text):
        SyntheticVOS(**args)


def test_frames_out_of_range():
    video = video_of()
    for call in (video.read, video.labels, lambda index: video.flow(0, index)):
        with pytest.raises(IndexError, match=r'frame 24 of synthetic_000, which has .* 0\.\.23'):
            call(24)
