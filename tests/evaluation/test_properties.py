"""What must hold for any video; oracles: symmetries, closed forms, the measures of single masks."""
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_videos import report

from mmvos.evaluation import boundary_accuracy, mean_recall_decay, region_similarity
from mmvos.evaluation.functional import score_frame
from mmvos.evaluation.protocols import PROTOCOLS
from mmvos.io import InputError

few = settings(max_examples=20, deadline=None, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
fewer = settings(few, max_examples=4)
each = pytest.mark.parametrize
BY_ID = ('davis2017', 'youtube-vos', 'lvos', 'folder')
MERGED = ('davis2016', 'davis2016-unsupervised', 'fbms', 'youtube-objects', 'foreground')
ALL_FRAMES = ('folder', 'foreground', 'fbms', 'youtube-objects', 'davis2017-unsupervised')
IDS = (1, 2, 3)
LONG = (11, 12)  # frames: enough for LVOS, which takes every fifth


@st.composite
def boxes(draw, size, ids, most=3):
    """A label map: up to `most` boxes painted over each other."""
    labels = np.zeros(size, np.uint8)
    for _ in range(draw(st.integers(0, most))):
        top, left = (draw(st.integers(0, side - 1)) for side in size)
        bottom, right = (draw(st.integers(start, side)) for start, side in
                         zip((top, left), size, strict=True))
        labels[top:bottom + 1, left:right + 1] = draw(st.sampled_from(ids))
    return labels


@st.composite
def videos(draw, ids=IDS, lengths=(3, 6)):
    """(T, H, W) truth and prediction; the truth's first two frames show every object."""
    size = draw(st.integers(3, 16)), draw(st.integers(3, 16))
    length = draw(st.integers(*lengths))
    gt, pred = (np.stack([draw(boxes(size, ids)) for _ in range(length)]) for _ in range(2))
    gt[:2, 0, :len(ids)] = ids
    return gt, pred


def objects(found):
    """{id: values per frame} of the first video."""
    return {item.label: (item.frames.tolist(), item.j.tolist(), item.f.tolist(),
                         item.share.tolist()) for item in found.videos[0].objects}


def same(a, b):
    """Equal to the last bit, NaN where NaN."""
    return a.keys() == b.keys() and all(a[key] == b[key] or (math.isnan(a[key]) and
                                                             math.isnan(b[key])) for key in a)


def relabelled(maps, mapping):
    table = np.zeros(256, np.uint8)
    for old, new in mapping.items():
        table[old] = new
    return table[maps]


new_ids = st.lists(st.integers(1, 254), min_size=3, max_size=3, unique=True)


@each('protocol', BY_ID)
@fewer
@given(video=videos(lengths=LONG), ids=new_ids)
def test_relabelling_permutes_objects_and_keeps_means(protocol, video, ids):
    mapping = dict(zip(IDS, ids, strict=True))
    before = report(protocol, video)
    after = report(protocol, [relabelled(maps, mapping) for maps in video])
    assert same(before.summary, after.summary)
    assert objects(after) == {mapping[label]: values for label, values in objects(before).items()}


@each('protocol', MERGED)
@fewer
@given(video=videos(), ids=new_ids, others=new_ids)
def test_merged_protocols_do_not_know_ids(protocol, video, ids, others):
    gt, pred = (relabelled(maps, dict(zip(IDS, new, strict=True)))
                for maps, new in zip(video, (ids, others), strict=True))
    white = [(maps > 0) * np.uint8(255) for maps in (gt, pred)]
    for changed in ((gt, pred), white):
        assert same(report(protocol, video).summary, report(protocol, changed).summary)
        assert objects(report(protocol, video)) == objects(report(protocol, changed))


@few
@given(videos(), new_ids)
def test_proposals_have_no_names(video, ids):
    gt, pred = video
    ids = [1 + label % 254 for label in ids]
    renamed = relabelled(pred, dict(zip(IDS, ids, strict=True)))
    before, after = (report('davis2017-unsupervised', (gt, maps)) for maps in (pred, renamed))
    assert [item.label for item in after.videos[0].objects] == list(IDS)
    # Of two assignments that are equally good either may be found, so J and F alone can differ.
    assert after.summary['J&F'] == pytest.approx(before.summary['J&F'], abs=1e-12)


@few
@given(videos(), st.permutations(range(1, 21)))
def test_empty_proposals_change_nothing(video, ids):
    """The toolkit takes ids that are nowhere, below the largest one, as empty proposals."""
    gt, pred = video
    gt[:, 0, :3] = IDS  # visible, never the whole frame: an empty mask gets J = F = 0
    renamed = relabelled(pred, dict(zip(IDS, ids, strict=False)))
    values = [report('davis2017-unsupervised', (gt, maps), official_compat=compat).summary['J&F']
              for maps in (pred, renamed) for compat in (False, True)]
    assert values == pytest.approx([values[0]] * 4, abs=1e-12)


@each('protocol', ALL_FRAMES)
@fewer
@given(video=videos(), random=st.randoms())
def test_order_of_frames_does_not_change_means(protocol, video, random):
    order = list(range(len(video[0])))
    random.shuffle(order)
    before = report(protocol, video).summary
    after = report(protocol, [maps[order] for maps in video]).summary
    for column in ('J', 'F', 'J&F', 'J-recall', 'F-recall'):
        assert after[column] == pytest.approx(before[column], abs=1e-12)


@each('protocol', PROTOCOLS)
@fewer
@given(video=videos(lengths=LONG))
def test_transposed_images_score_the_same(protocol, video):
    """Right and lower neighbours change places, the diagonal one stays."""
    before, after = report(protocol, video), report(protocol, [maps.transpose(0, 2, 1)
                                                               for maps in video])
    assert same(before.summary, after.summary)
    assert objects(before) == objects(after)


@few
@given(videos(lengths=(1, 3)), st.sampled_from(IDS))
def test_perfect_empty_and_swapped(video, label):
    gt, pred = video
    for a, b in zip(gt, pred, strict=True):
        assert score_frame(a, a).of(label, label) == (1, 1)
        # J and F do not tell truth from prediction
        assert score_frame(a, b).of(label, label) == score_frame(b, a).of(label, label)
        j, _ = score_frame(a, np.zeros_like(b)).of(label, label)
        assert j == float(not (a == label).any())


@few
@given(videos(), st.sampled_from(('folder', 'foreground')), st.booleans(), st.booleans())
def test_empty_and_full_masks(video, protocol, full_truth, full_guess):
    gt, pred = (np.full_like(maps, full) for maps, full in
                zip(video, (full_truth, full_guess), strict=True))
    gt[0] = 1
    found = report(protocol, (gt, pred)).videos[0].objects[0]
    # the frame's edge is no boundary: of a full and an empty mask neither has one
    assert found.f.tolist() == [1] * len(gt)
    assert found.j[1:].tolist() == [float(full_truth == full_guess)] * (len(gt) - 1)
    assert found.share.tolist() == [1] + [float(full_truth)] * (len(gt) - 1)


pixel = st.tuples(st.integers(1, 9), st.integers(1, 12))


@few
@given(pixel, pixel)
def test_objects_of_one_pixel(a, b):
    """Inside the frame the boundary of a pixel is a block of 2x2 that ends at it."""
    gt, pred = np.zeros((11, 14), np.uint8), np.zeros((11, 14), np.uint8)
    gt[a], pred[b] = 1, 1
    block = [(y, x) for y in (0, 1) for x in (0, 1)]
    gap = b[0] - a[0], b[1] - a[1]
    # symmetric: precision equals recall equals F; the tolerance is 1 px at this size
    near = sum(any((y - v + gap[0]) ** 2 + (x - u + gap[1]) ** 2 <= 1 for v, u in block)
               for y, x in block)
    assert score_frame(gt, pred).of(1, 1) == (float(a == b), near / 4)


@few
@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 5))
def test_objects_that_appear_late_or_vanish(one, other, step):
    start, end = sorted((one, other))
    gt, pred = np.zeros((10, 24, 30), np.uint8), np.zeros((10, 24, 30), np.uint8)
    gt[:, 2:9, 3:17] = pred[:, 3:9, 3:17] = 1
    gt[start:end + 1, 12:20, 5:25] = 2
    pred[start:, 12:20, 5 + step:25] = 2
    masks = pred == 2, gt == 2
    j, f = region_similarity(*masks), boundary_accuracy(*masks)
    assert j.tolist() == [1] * start + [1 - step / 20] * (end + 1 - start) + [0] * (9 - end)
    for protocol, frames in (('davis2017', range(start + 1, 9)), ('folder', range(10))):
        found = objects(report(protocol, (gt, pred)))
        assert (2 in found) == bool(frames)
        if frames:
            shares = (gt == 2).mean((1, 2))
            assert found[2] == tuple(values[frames].tolist() for values in
                                     (np.arange(10), j, f, shares))


@few
@given(videos(), st.integers(4, 254))
def test_extra_ids_are_an_error_where_ids_have_a_meaning(video, extra):
    gt, pred = video
    pred[:] = extra
    for protocol in set(BY_ID) - {'lvos'}:
        with pytest.raises(InputError, match=rf'has ids \[{extra}\], .* has \[1, 2, 3\]'):
            report(protocol, (gt, pred))
    for name in MERGED:
        assert report(name, (gt, pred)).summary


@few
@given(videos(), st.integers(4, 254))
def test_extra_proposals_never_cost_anything(video, extra):
    gt, pred = video
    pred[0, 0, :3] = IDS  # as many proposals as objects
    before = report('davis2017-unsupervised', (gt, pred)).summary['J&F']
    pred[pred == 0] = extra
    assert report('davis2017-unsupervised', (gt, pred)).summary['J&F'] >= before - 1e-12


@each('protocol', PROTOCOLS)
@fewer
@given(found=st.lists(videos(ids=(1, 2), lengths=LONG), min_size=2, max_size=3),
       random=st.randoms())
def test_order_of_videos_does_not_matter(protocol, found, random):
    named = [(*video, f'car_{number}') for number, video in enumerate(found)]
    shuffled = random.sample(named, len(named))
    before, after = report(protocol, *named), report(protocol, *shuffled)
    assert same(before.summary, after.summary)
    assert before.table() == after.table()
    assert before.as_dict() == after.as_dict()


def test_decay_beyond_255_frames():
    ramp = np.linspace(1, 0, 300)
    mean, recall, decay = mean_recall_decay(ramp)
    assert (mean, recall) == (pytest.approx(0.5, abs=1e-12), 0.5)
    # quarters 0 to 75 and 224 to 299: their middles are 224 steps of 1/299 apart
    assert decay == pytest.approx(224 / 299, abs=1e-12)
    assert decay == pytest.approx(0.74916, abs=1e-5)
    *rest, compat = mean_recall_decay(ramp, official_compat=True)
    assert math.isnan(compat)
    assert rest == [mean, recall]


@few
@given(st.integers(1, 1500))
def test_decay_with_limits_in_eight_bits(length):
    """Each limit of a quarter, counted from 0, loses its multiples of 256."""
    limits = [math.floor(1 + (length - 1) * quarter / 4 + 0.5) - 1 for quarter in range(5)]
    for compat in (False, True):
        a, b, _, c, d = (limit % 256 if compat else limit for limit in limits)
        first, last = list(range(a, b + 1)), list(range(c, d + 1))
        decay = mean_recall_decay(-np.arange(length) / length, official_compat=compat)[2]
        if not first or not last:
            assert math.isnan(decay)
            continue
        expected = (sum(last) / len(last) - sum(first) / len(first)) / length
        assert decay == pytest.approx(expected, abs=1e-9)
        assert length > 256 or decay == pytest.approx(
            mean_recall_decay(-np.arange(length) / length)[2], abs=0)


@pytest.mark.parametrize(('length', 'compat', 'expected'), [
    (300, False, 224 / 299), (300, True, math.nan), (342, False, 256 / 341), (342, True, 0.)])
def test_long_video(length, compat, expected):
    """Masks that lose a column per frame: J is a ramp. At 342 both quarters become the first."""
    gt = np.ones((length, 1, length - 1), np.uint8)
    pred = (np.arange(length - 1) < length - 1 - np.arange(length)[:, None]).astype(np.uint8)
    found = report('folder', (gt, pred[:, None]), official_compat=compat)
    np.testing.assert_allclose(found.videos[0].objects[0].j, np.linspace(1, 0, length), atol=1e-12)
    np.testing.assert_allclose(found.summary['J-decay'], expected, atol=1e-12)
    told = 'as the official tool computes it' if compat else 'decay is right beyond 255 frames'
    assert sum(told in note for note in found.notes) == 1
    assert found.as_dict()['summary']['J-decay'] == pytest.approx(
        None if math.isnan(expected) else expected, abs=1e-12)
    total = next(line for line in found.table().splitlines() if line.startswith('| all'))
    assert total.split('|')[6].strip() == ('-' if math.isnan(expected) else f'{expected:.3f}')
