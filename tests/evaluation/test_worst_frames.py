"""Oracles: brute force for the choice of frames, closed forms for the pictures."""
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvos.evaluation.labels import Labels, VideoPair
from mmvos.evaluation.offline import evaluate_pairs
from mmvos.evaluation.protocols import build_protocol
from mmvos.evaluation.scores import ObjectScores, VideoScores
from mmvos.evaluation.worst_frames import around, error_map, error_picture, worst_frames

SIZE = (160, 320)
GREY = np.full((*SIZE, 3), 128, np.uint8)
# Middles of the parts of `square()` and `square(50)`, which overlap by half.
CORRECT, MISSED, ADDED, NEITHER = (70, 115), (70, 65), (70, 165), (20, 300)
# A colour of the tint and its share over grey 128.
GREEN, BLUE, RED = (88, 147, 106), (66, 101, 217), (203, 66, 66)


class Arrays(Labels):
    """Label maps in memory; None is a missing one."""

    def __init__(self, maps):
        self.maps = maps

    def read(self, position):
        return self.maps[position]

    def where(self, position):
        return f'frame {position}'

    def has(self, position):
        return self.maps[position] is not None


def pair_of(truth, pred, name='clip'):
    return VideoPair(name, [f'{k:05}' for k in range(len(truth))], Arrays(truth), Arrays(pred))


def square(shift=0, label=1, size=SIZE):
    labels = np.zeros(size, np.uint8)
    labels[40:100, 40 + shift:140 + shift] = label
    return labels


def pictures_of(pair, protocol='folder', frames=None, **options):
    """The worst frames and their pictures, (H, W, 3)."""
    protocol = build_protocol(protocol, **options)
    report = evaluate_pairs([pair], protocol)
    return [(frame, np.array(Image.open(io.BytesIO(
        error_picture(frame, pair, protocol, frames))))) for frame in worst_frames(report.videos)]


def assert_colours(picture, colours):
    for place, colour in colours.items():
        np.testing.assert_allclose(picture[place].astype(int), colour, atol=6)


def random_videos(count=4, length=30, seed=0):
    generator = np.random.default_rng(seed)
    # few values: many ties
    values = generator.integers(0, 6, (count, 2, 2, length)) / 5
    return [VideoScores(f'v{n}', [str(k) for k in range(length)], [
        ObjectScores(label, np.arange(length), *values[n, label - 1], np.ones(length))
        for label in (1, 2)]) for n in range(count)]


@pytest.mark.parametrize('seed', range(5))
def test_choice_is_that_of_going_through_all_frames(seed):
    videos = random_videos(seed=seed)
    chosen = []
    for j, f, name, label, k in sorted(
            (j, f, video.name, item.label, k) for video in videos for item in video.objects
            for k, (j, f) in enumerate(zip(item.j, item.f, strict=True))):
        same = [other[4] for other in chosen if other[2:4] == (name, label)]
        if len(chosen) < 12 and len(same) < 3 and all(abs(k - other) >= 5 for other in same):
            chosen.append((j, f, name, label, k))
    found = worst_frames(videos)
    assert [(*frame.values, frame.video.name, frame.item.label, frame.position)
            for frame in found] == chosen


def test_frames_without_an_error_are_no_worst_frames():
    pair = pair_of([square()] * 3, [square(), square(50), square()])
    assert [frame.position for frame, _ in pictures_of(pair)] == [1]


def test_colours_and_outline():
    (frame, picture), = pictures_of(pair_of([square()], [square(50)]))
    assert picture.shape == (*SIZE, 3)
    assert_colours(picture, {CORRECT: GREEN, MISSED: BLUE, ADDED: RED, NEITHER: (128, 128, 128)})
    drawn = error_map(GREY, square() > 0, square(50) > 0)
    ring = square() > 0
    ring[41:99, 41:139] = False
    np.testing.assert_array_equal((drawn == 255).all(2), ring)


@pytest.mark.parametrize('scale', [0.5, 2])
def test_other_sizes_are_scaled(scale):
    size = tuple(int(side * scale) for side in SIZE)
    truth, pred = (np.array(Image.fromarray(square(shift)).resize(size[::-1], 0)) > 0
                   for shift in (0, 50))
    drawn = error_map(np.full((*size, 3), 128, np.uint8), truth, pred)
    assert drawn.shape == (*SIZE, 3)
    assert_colours(drawn, {CORRECT: GREEN, MISSED: BLUE, ADDED: RED, NEITHER: (128, 128, 128)})


def test_one_pixel_stays_visible_in_a_shrunken_picture():
    truth = np.zeros((1080, 1920), bool)
    truth[500, 700] = True
    drawn = error_map(np.full((1080, 1920, 3), 128, np.uint8), truth, np.zeros_like(truth))
    assert (drawn == 255).all(2).sum() == 1


@pytest.mark.parametrize(('box', 'part'), [
    ((100, 140, 200, 260), (40, 200, 70, 390)),     # 320 wide at least
    ((0, 10, 1270, 1280), (0, 160, 960, 1280)),     # in a corner
    ((100, 300, 400, 500), (0, 400, 50, 850)),      # twice the height: 400, and 800 wide
    ((10, 630, 10, 20), (0, 640, 0, 1280)),         # all
])
def test_part_around_an_object(box, part):
    mask = np.zeros((640, 1280), bool)
    mask[box[0]:box[1], box[2]:box[3]] = True
    rows, columns = around(mask)
    assert (rows.start, rows.stop, columns.start, columns.stop) == part


def test_small_object_is_shown_at_its_size():
    truth, pred = (np.pad(square(shift), ((300, 20), (600, 40))) for shift in (0, 50))
    (_, picture), = pictures_of(pair_of([truth], [pred]))
    # The part is 320 x 160 around the middle of the union, rows 340-400 and columns 640-790.
    top, left = 370 - 80, 715 - 160
    moved = {(y + 300 - top, x + 600 - left): colour for (y, x), colour in (
        (CORRECT, GREEN), (MISSED, BLUE), (ADDED, RED))}
    assert picture.shape == (160, 320, 3)
    assert_colours(picture, moved)


def test_missing_prediction_is_missed():
    (frame, picture), = pictures_of(pair_of([square(), square()], [square(), None]))
    assert frame.position == 1
    assert_colours(picture, {CORRECT: BLUE, MISSED: BLUE, ADDED: (128, 128, 128)})


def test_only_the_object_itself_is_drawn():
    truth, pred = square() + square(150, 2), square(50) + square(200, 2)
    pred[pred == 3] = 2
    shown = {frame.item.label: picture for frame, picture in pictures_of(pair_of([truth], [pred]))}
    assert_colours(shown[1], {CORRECT: GREEN, MISSED: BLUE, ADDED: RED, (70, 215): [128] * 3})


@pytest.mark.parametrize(('suffix', 'scale'), [('.png', 1), ('.jpg', 1), ('.jpg', 2)])
def test_frame_is_under_the_errors(tmp_path, suffix, scale):
    folder = tmp_path / 'group/clip'
    folder.mkdir(parents=True)
    image = np.full((SIZE[0] * scale, SIZE[1] * scale, 3), (220, 20, 60), np.uint8)
    Image.fromarray(image).save(folder / f'00000{suffix}')
    pair = pair_of([square()], [square(50)], 'group/clip')
    (_, picture), = pictures_of(pair, frames=tmp_path)
    assert_colours(picture, {NEITHER: (220, 20, 60), MISSED: (94, 69, 196)})
    (_, grey), = pictures_of(pair, frames=Path('absent'))
    assert_colours(grey, {NEITHER: (128, 128, 128)})


def test_merged_ids_and_void():
    truth, pred = square(0, 255), square(50, 7)
    (_, picture), = pictures_of(pair_of([truth], [pred]), 'foreground')
    assert_colours(picture, {CORRECT: GREEN, MISSED: BLUE, ADDED: RED})
    truth = square()
    truth[40:100, 100:200] = 255
    (_, picture), = pictures_of(pair_of([truth], [square(50)]))
    assert_colours(picture, {CORRECT: [128] * 3, MISSED: BLUE, ADDED: [128] * 3})


@pytest.mark.parametrize('compat', [False, True])
def test_proposal_is_the_assigned_one(compat):
    """Ids 1 and 2 are proposals 2 and 1; on the worst frame of each another id covers it."""
    truth = square(0, 1) + square(150, 2)
    truth[80:, 150:] = 0  # objects of different sizes: official rows are told by them
    swapped = np.array([0, 2, 1], np.uint8)[truth]
    truth, pred = [truth] * 6, [swapped] * 5 + [truth]
    found = pictures_of(pair_of(truth, pred), 'davis2017-unsupervised', official_compat=compat)
    assert [frame.position for frame, _ in found] == [5, 5]
    for frame, picture in found:
        # The official rows come in the order of proposals: row 1 is of object 2 then.
        first = (frame.item.label == 1) != compat
        assert frame.values[0] == 0
        assert_colours(picture, {(70, 90): BLUE if first else RED,
                                 (70, 240): RED if first else BLUE})


def test_object_without_a_proposal_has_none():
    truth, pred = square() + square(150, 2), square(150, 9)
    (frame, picture), = pictures_of(pair_of([truth], [pred]), 'davis2017-unsupervised')
    assert frame.item.label == 1
    assert_colours(picture, {(70, 90): BLUE, (70, 240): (128, 128, 128)})
