"""Augmentation against closed forms."""
import cv2
import numpy as np
import pytest

from mmvos.datasets import (
    ColorJitter,
    CropAroundObject,
    PerFrame,
    RandomAffine,
    RandomGray,
    RandomHomography,
    RandomThinPlate,
)


def apply(transform, frames, masks=None, seed=0):
    results = dict(frames=frames, rng=np.random.default_rng(seed))
    return transform.transform(results | (dict(masks=masks) if masks is not None else {}))


def still(**options):
    """A RandomAffine that does nothing but what is asked for."""
    return RandomAffine(1., **dict(rotate=0, shear=0, translate=0, scale=(1, 1)) | options)


def square():
    mask = np.zeros((81, 121), np.uint8)
    mask[30:51, 50:71] = 1  # 21 x 21 about the centre (40, 60)
    return mask


def centre(mask):
    return [float(np.mean(axis)) for axis in np.nonzero(mask)]


@pytest.mark.parametrize('factor', [.5, 1., 1.5])
def test_scale(factor):
    mask = apply(still(scale=(factor, factor)), [np.zeros((81, 121, 3), np.uint8)],
                 [square()])['masks'][0]
    assert centre(mask) == pytest.approx([40, 60], abs=.5)
    assert mask.sum() == pytest.approx(441 * factor**2, rel=.1)


def test_rotation_and_shear_keep_the_centre():
    image = np.zeros((81, 121, 3), np.uint8)
    turned = apply(still(rotate=45), [image], [square()], seed=3)['masks'][0]
    assert centre(turned) == pytest.approx([40, 60], abs=.5)
    assert turned.sum() == pytest.approx(441, rel=.05)
    rows, columns = np.nonzero(turned)
    angle = np.deg2rad(abs(45 * np.random.default_rng(3).uniform(-1, 1, 3)[1]))
    # the random() of `prob` is the first draw, the angle the second
    width = 21 * (np.cos(angle) + np.sin(angle))
    assert np.ptp(rows) + 1 == pytest.approx(width, abs=2)
    leaning = apply(still(shear=20), [image], [square()], seed=3)['masks'][0]
    rows, columns = np.nonzero(leaning)
    assert np.ptp(rows) == 20
    lean = np.tan(np.deg2rad(abs(20 * np.random.default_rng(3).uniform(-1, 1, 3)[2])))
    assert np.ptp(columns) == pytest.approx(20 + 20 * lean, abs=2)


def test_what_comes_in_is_grey_and_background():
    image, mask = np.full((81, 121, 3), 255, np.uint8), np.ones((81, 121), np.uint8)
    out = apply(still(scale=(.5, .5)), [image], [mask])
    outside = out['masks'][0] == 0
    assert outside.mean() == pytest.approx(.75, abs=.02)
    assert (out['frames'][0][:10, :10] == (124, 116, 104)).all()


def test_thin_plate_moves_its_points_as_drawn():
    """A frame that holds its own coordinates tells where each pixel came from."""
    rows, columns = np.mgrid[:240, :240].astype(np.uint8)
    frame = np.stack([rows, columns, rows], -1)
    out = apply(RandomThinPlate(1., points=3, shift=.02), [frame])['frames'][0].astype(float)
    rng = np.random.default_rng(0)
    rng.random()
    shifts = rng.normal(0, .02, (9, 2)) * 240
    middle = shifts[4]  # of the point (120, 120)
    assert out[120, 120, :2] - 120 == pytest.approx(middle, abs=1.5)
    assert np.abs(shifts).max() > 3
    same = apply(RandomThinPlate(1., shift=0.), [frame])['frames'][0]
    assert np.array_equal(same, frame)
    with pytest.raises(ValueError, match='2 points or more a side, got 1'):
        RandomThinPlate(points=1)


def test_no_jitter_is_the_identity_and_grey_stays_grey():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    none = ColorJitter(0., contrast=0., saturation=0., hue=0.)
    assert np.abs(apply(none, [image])['frames'][0].astype(int) - image).max() <= 1
    grey = np.repeat(image[..., :1], 3, -1)
    for seed in range(5):
        out = apply(ColorJitter(.3, contrast=.3, saturation=.5, hue=.5), [grey], seed=seed)
        assert np.ptp(out['frames'][0].astype(int), -1).max() <= 1


def test_brightness_is_a_factor_and_hue_turns():
    image = np.full((4, 4, 3), (120, 60, 30), np.uint8)
    factor = 1 + .5 * np.random.default_rng(1).uniform(-1, 1, 4)[0]
    out = apply(ColorJitter(.5, contrast=0., saturation=0., hue=0.), [image], seed=1)
    assert out['frames'][0][0, 0] == pytest.approx(np.array([120, 60, 30]) * factor, abs=1)
    turn = 360 * .5 * np.random.default_rng(1).uniform(-1, 1, 4)[3]
    out = apply(ColorJitter(0., contrast=0., saturation=0., hue=.5), [image], seed=1)
    hues = [cv2.cvtColor(x[:1, :1].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[0, 0, 0]
            for x in (image, out['frames'][0])]
    assert (hues[1] - hues[0]) % 360 == pytest.approx(turn % 360, abs=3)


def test_jitter_of_some_frames():
    """Of 600 frames with probability 0.1 between 5 and 15 percent; four deviations are 4.9."""
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    transform = PerFrame([dict(type='ColorJitter', brightness=.5, prob=.1)])
    frames = apply(transform, [image] * 600)['frames']
    assert .05 < np.mean([not np.array_equal(frame, image) for frame in frames]) < .15
    assert apply(ColorJitter(.5, prob=0.), [image])['frames'][0] is image


def test_gray():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    out = apply(RandomGray(1.), [image])['frames'][0]
    assert (out == cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]).all()
    assert apply(RandomGray(0.), [image])['frames'][0] is image


def test_per_frame_draws_do_not_touch_those_of_the_clip():
    class Spy(PerFrame):
        def transform(self, results):
            out = super().transform(results)
            self.after = results['rng'].random()
            return out

    image = np.zeros((8, 9, 3), np.uint8) + 100
    after = set()
    for count in (1, 2, 5):
        spy = Spy([dict(type='ColorJitter', brightness=.9)])
        frames = apply(spy, [image] * count)['frames']
        after.add(spy.after)
        assert len({frame.tobytes() for frame in frames}) == count
    assert len(after) == 1


@pytest.mark.parametrize('size', [(30, 40), (90, 60)])
def test_crops_hold_the_object_they_are_about(size):
    mask = np.zeros((81, 121), np.uint8)
    mask[10:20, 100:110], mask[60:70, 10:20] = 1, 2
    seen = set()
    for seed in range(20):
        out = apply(CropAroundObject(size, scale=(.9, .9), jitter=3), [np.dstack([mask] * 3)],
                    [mask], seed)
        assert out['frames'][0].shape == (*size, 3)
        inside = out['masks'][0]
        seen |= {int(x) for x in np.unique(inside)}
        assert inside.any()
    assert seen == {0, 1, 2}


def test_crops_of_clips_without_objects_are_anywhere_alike():
    rows, columns = np.mgrid[:48, :60].astype(np.uint8)
    frame = np.stack([rows, columns, rows], -1)
    none = [np.zeros((48, 60), np.uint8)]
    tops = [apply(CropAroundObject((40, 40), scale=(1, 1)), [frame], none, seed)
            ['frames'][0][0, 0, 0] for seed in range(900)]
    counts = np.bincount(tops, minlength=9)
    assert len(counts) == 9
    assert np.abs(counts - 100).max() < 45  # 4.5 standard deviations


def test_homography_moves_the_corners_as_drawn():
    """A frame that holds its own coordinates tells where each pixel came from."""
    rows, columns = np.mgrid[:81, :121].astype(np.uint8)
    frame = np.stack([rows, columns, np.full_like(rows, 255)], -1)
    moved = apply(RandomHomography(shift=.2), [frame], [np.ones((81, 121), np.uint8)], seed=2)
    rng = np.random.default_rng(2)
    rng.random()
    corners = np.array([[0, 0], [120, 0], [120, 80], [0, 80]])
    x, y = (corners + rng.uniform(-1, 1, (4, 2)) * .2 * (121, 81)).T
    # eight equations for the eight numbers of the homography that takes corners to (x, y)
    rows_of = [[(u, v, 1, 0, 0, 0, -u * p, -v * p), (0, 0, 0, u, v, 1, -u * q, -v * q)]
               for (u, v), p, q in zip(corners, x, y, strict=True)]
    h = np.linalg.solve(np.concatenate(rows_of).astype(float), np.stack([x, y], 1).ravel())
    inside = 0
    for v, u in ((20, 30), (40, 60), (60, 90)):
        p, q, w = np.append(h, 1).reshape(3, 3) @ (u, v, 1)
        column, row = round(p / w), round(q / w)
        if 0 <= column < 121 and 0 <= row < 81:
            assert moved['frames'][0][row, column, :2] == pytest.approx([v, u], abs=1.5)
            inside += 1
    assert inside == 3
    assert (moved['masks'][0] == (moved['frames'][0][..., 2] > 180)).mean() > .99
    with pytest.raises(ValueError, match='0 <= shift < 0.25'):
        RandomHomography(shift=.3)


def test_homography_draws_prob_times():
    image = np.zeros((16, 24, 3), np.uint8)
    changed = [apply(RandomHomography(.3), [image], seed=n)['frames'][0].any() for n in range(300)]
    assert np.mean(changed) == pytest.approx(.3, abs=.08)
