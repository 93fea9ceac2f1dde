"""What DAVIS and all protocols count. Oracles: numbers by hand, measures of masks, brute force."""
import itertools

import cv2
import numpy as np
import pytest
from toy_videos import COLUMNS, SIZE, bars, check, means, measures, report
from vos_benchmark.evaluator import Evaluator

from mmvos.evaluation import build_protocol
from mmvos.evaluation.protocols import PROTOCOLS
from mmvos.io import InputError


def blobs(length, seed, ids=(0, 1, 2, 3)):
    """(T, H, W): random regions that change from frame to frame."""
    rng = np.random.default_rng(seed)
    noise = [[cv2.GaussianBlur(rng.normal(size=SIZE), None, 4) for _ in ids]
             for _ in range(length)]
    return np.array(ids, np.uint8)[np.argmax(noise, axis=1)]


def test_every_protocol_says_what_it_counts_and_what_it_was_checked_against():
    assert list(PROTOCOLS) == [
        'davis2016', 'davis2016-unsupervised', 'davis2017', 'davis2017-unsupervised',
        'youtube-vos', 'lvos', 'fbms', 'youtube-objects', 'folder', 'foreground', 'mamp-inloop']
    video = bars(16), bars(16, cut=4), 'car_1'
    for name, cls in PROTOCOLS.items():
        found = report(name, video)
        lines = found.table().splitlines()
        assert lines[:2] == [f'{cls.title}: {cls.counts}', f'verified: {cls.verified}']
        assert '' not in (cls.title, cls.counts, cls.verified, cls.__doc__)
        assert list(found.rows['car_1']) == list(found.protocol.columns)


@pytest.mark.parametrize('protocol', ['davis2016', 'davis2016-unsupervised'])
def test_davis2016_merges_ids_and_leaves_out_the_first_and_the_last_frame(protocol):
    gt, pred = bars(7), bars(7, cut=[40, 0, 10, 4, 8, 2, 40])
    short = bars(4), bars(4, cut=20)
    found = report(protocol, (gt, (pred > 0) * np.uint8(255), 'a'), (*short, 'b'))
    values = measures(gt, pred, None, slice(1, -1))
    assert values[0].tolist() == [1, 0.75, 0.9, 0.8, 0.95]
    check(found, range(1, 6), values, 1)
    # the mean over videos, not over frames
    assert found.summary == pytest.approx(means(values, measures(*short, None, slice(1, -1))),
                                          abs=1e-15)
    assert found.summary['J'] == pytest.approx((0.88 + 0.5) / 2, abs=1e-15)
    assert list(found.summary) == COLUMNS
    white = report(protocol, ((gt > 0) * np.uint8(255), pred, 'a'), (*short, 'b'))
    assert white.summary == found.summary


def test_davis2016_foreground_that_is_empty_at_first_counts_from_the_start():
    gt, pred = bars(6), bars(6)
    gt[:3] = pred[:4] = 0
    assert report('davis2016', (gt, pred)).videos[0].objects[0].j.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize('length', [3, 8, 9, 17, 50])
def test_davis2017_leaves_out_the_first_and_the_last_frame(length):
    gt, pred = bars(length, (1, 3)), bars(length, (1, 3), cut=np.arange(length) % 7)
    pred[[0, -1]] = 0
    found = report('davis2017', (gt, pred))
    values = [measures(gt, pred, label, slice(1, -1)) for label in (1, 3)]
    for label, expected in zip((1, 3), values, strict=True):
        check(found, range(1, length - 1), expected, label)
    assert found.summary == pytest.approx(means(*values), abs=1e-14)
    assert list(found.summary) == COLUMNS


def test_davis2017_averages_over_objects_equal_vos_benchmark():
    videos = [(bars(7, (1, 2, 3)), bars(7, (1, 2, 3), cut=2), 'a'),
              (bars(5, (1,)), bars(5, (1,), cut=9), 'b'), (bars(6, (2, 5)), bars(6, (2,)), 'c')]
    expected = {}
    for gt, pred, name in videos:
        peer = Evaluator()
        for frame in zip(pred[1:-1], gt[1:-1], strict=True):
            peer.feed_frame(*frame)
        for label, iou in peer.conclude()[0].items():
            expected[name, label] = iou / 100, np.mean(peer.boundary_f[label])
    found = report('davis2017', *videos).summary
    j, f = np.mean(list(expected.values()), axis=0)
    assert len(expected) == 6
    assert (found['J'], found['F'], found['J&F']) == pytest.approx((j, f, (j + f) / 2), abs=1e-12)


@pytest.mark.parametrize('start', [0, 1, 7, 8, 12])
def test_davis2017_late_object_counts_after_its_first_frame(start):
    gt, pred = bars(14), bars(14, cut=3)
    for maps in (gt, pred):
        maps[:start][maps[:start] == 2] = 0
    found = report('davis2017', (gt, pred))
    check(found, range(1, 13), measures(gt, pred, 1, range(1, 13)), 1)
    if start < 12:
        frames = range(start + 1, 13)
        check(found, frames, measures(gt, pred, 2, frames), 2)
    else:  # no frame is left
        assert [item.label for item in found.videos[0].objects] == [1]


def test_davis2017_missing_object_is_empty_and_right_once_the_object_has_left():
    gt, pred = bars(6), bars(6, (1,))
    gt[3:][gt[3:] == 2] = 0
    check(report('davis2017', (gt, pred)), range(1, 5), [[0, 0, 1, 1]] * 2, 2)


def test_davis2017_void_does_not_count():
    gt, pred = bars(5), bars(5)
    gt[:, :, 40:], pred[:, :, 40:] = 255, 1
    found = report('davis2017', (gt, pred))
    assert found.summary['J'] == found.summary['F'] == 1
    pred[:, :, 39:] = 1  # 30 px beside the 300 of the object that count
    assert report('davis2017', (gt, pred)).videos[0].objects[0].j.tolist() == [300 / 330] * 3


def test_official_compat_takes_void_for_background_where_objects_are_given():
    gt, pred = bars(5), bars(5)
    gt[:, :, 40:][gt[:, :, 40:] > 0] = 255  # 10 of 40 columns
    found = report('davis2017', (gt, pred), official_compat=True)
    check(found, range(1, 4), measures(gt, pred, 1, range(1, 4)), 1)
    assert found.summary['J'] == pytest.approx(0.75, abs=1e-12)
    assert report('davis2017', (gt, pred)).summary['J'] == 1
    found = report('davis2017-unsupervised', (gt, pred), official_compat=True)
    assert found.summary['J'] == 1


def test_official_compat_takes_the_ids_of_the_first_frame():
    gt, pred = bars(6, (1, 3)), bars(6, (1, 3), cut=8)
    gt[0][gt[0] == 3] = 2
    found = report('davis2017', (gt, pred), official_compat=True)
    assert [item.label for item in found.videos[0].objects] == [1, 2]
    assert [item.label for item in report('davis2017', (gt, pred)).videos[0].objects] == [1, 2, 3]


COUNTED = {'davis2017': range(1, 10), 'folder': range(11), 'youtube-vos': range(11),
           'lvos': (0, 5, 10), 'mamp-inloop': range(1, 11)}


@pytest.mark.parametrize(('extra', 'message'), [(9, r' has ids \[9\], .* has \[1, 2\]'),
                                                (255, ' has the value 255, .*davis2016')])
@pytest.mark.parametrize('protocol', COUNTED)
def test_ids_that_the_truth_lacks_are_an_error_where_they_count(protocol, extra, message):
    for position in range(11):
        gt, pred = bars(11), bars(11)
        pred[position, 0, 0] = extra
        # LVOS does not read every frame: it cannot tell an id that no object has
        if position not in COUNTED[protocol] or (protocol, extra) == ('lvos', 9):
            assert report(protocol, (gt, pred)).summary['J&F'] == 1
            continue
        with pytest.raises(InputError, match=f"video 'clip_1', frame {position:05d}{message}"):
            report(protocol, (gt, pred))


@pytest.mark.parametrize('protocol', sorted(PROTOCOLS))
def test_truth_without_objects(protocol):
    nothing = np.zeros((12, *SIZE), np.uint8)
    with pytest.raises(InputError, match="frame 00000: the ground truth of video 'car_1'"):
        report(protocol, (nothing, bars(12), 'car_1'))


def test_white_truth_where_ids_are_expected_is_no_object():
    white = bars(6, (255,))
    for protocol in ('davis2017', 'folder', 'davis2017-unsupervised'):
        with pytest.raises(InputError, match='take davis2016 or foreground .* 0/255'):
            report(protocol, (white, white))


@pytest.mark.parametrize('seed', range(4))
def test_unsupervised_assignment_equals_brute_force(seed):
    gt, pred = blobs(5, seed), blobs(5, 50 + seed, (0, 4, 9, 2, 17, 5)[:3 + seed])
    mixed = np.random.default_rng(seed).permutation([4, 9, 2]) if seed else [4, 9, 4]
    pred[:, :, 40:] = np.array([0, *mixed], np.uint8)[gt[:, :, 40:]]  # so that some fit better
    proposals = sorted(set(np.unique(pred).tolist()) - {0})
    values = {pair: measures(gt, pred, pair[0], other=pair[1])
              for pair in itertools.product((1, 2, 3), [*proposals, 200])}
    choices = itertools.permutations([*proposals, *[200] * (3 - len(proposals))], 3)
    best = max(choices, key=lambda choice: sum(values[pair].mean() for pair in
                                               zip((1, 2, 3), choice, strict=True)))
    found = report('davis2017-unsupervised', (gt, pred))
    assert [item.label for item in found.videos[0].objects] == [1, 2, 3]
    expected = [values[pair] for pair in zip((1, 2, 3), best, strict=True)]
    for label, value in enumerate(expected, 1):
        check(found, range(5), value, label)
    assert found.summary == pytest.approx(means(*expected), abs=1e-12)


def test_unsupervised_fewer_proposals_than_objects():
    gt, pred = bars(4, (1, 2, 3)), np.zeros((4, *SIZE), np.uint8)
    pred[gt == 2] = 1
    found = report('davis2017-unsupervised', (gt, pred))
    check(found, range(4), np.zeros((2, 4)), 1)
    check(found, range(4), np.ones((2, 4)), 2)
    check(found, range(4), np.zeros((2, 4)), 3)
    nothing = report('davis2017-unsupervised', (gt, np.zeros_like(gt)))
    assert nothing.summary['J&F'] == 0


def test_unsupervised_proposals_left_over_and_void_cost_nothing():
    gt, pred = bars(4, (1, 2)), bars(4, (6, 3), cut=4)
    before = report('davis2017-unsupervised', (gt, pred)).as_dict()
    assert before['summary']['J'] == 0.9
    pred[:, 30:, :] = 8
    assert report('davis2017-unsupervised', (gt, pred)).as_dict() == before
    gt[:, 30:, 10:], pred[:, 30:, 20:] = 255, 6
    assert report('davis2017-unsupervised', (gt, pred)).as_dict() == before


def test_unsupervised_takes_at_most_20_proposals():
    gt, pred = bars(4, (1, 2)), bars(4, (1, 2))
    for count in (20, 21):
        pred[1:3, 39, :count - 2] = np.arange(3, count + 1)  # on different frames
        pred[1, 39, 5:], pred[2, 39, :5] = 0, 0
        if count == 20:
            assert report('davis2017-unsupervised', (gt, pred)).summary['J'] == 1
    with pytest.raises(InputError, match="'clip_1' has 21 proposals, at most 20"):
        report('davis2017-unsupervised', (gt, pred))


def test_unsupervised_white_masks_are_refused():
    with pytest.raises(InputError, match='frame 00000 has the value 255'):
        report('davis2017-unsupervised', (bars(3), bars(3, (255,))))


def test_unsupervised_rows_are_in_the_order_of_the_truth_or_officially_of_the_proposals():
    gt, pred = bars(3, (1, 2, 3)), np.zeros((3, *SIZE), np.uint8)
    for label, proposal, cut in ((1, 3, 4), (2, 1, 8), (3, 2, 12)):
        pred[bars(3, (1, 2, 3), cut=cut) == label] = proposal
    ours, theirs = (report('davis2017-unsupervised', (gt, pred), official_compat=compat)
                    for compat in (False, True))
    rows = [{item.label: item.j.tolist() for item in found.videos[0].objects}
            for found in (ours, theirs)]
    assert rows[0] == {1: [0.9] * 3, 2: [0.8] * 3, 3: [0.7] * 3}
    assert rows[1] == {1: [0.8] * 3, 2: [0.7] * 3, 3: [0.9] * 3}
    assert ours.summary == theirs.summary
    assert 'in the order of the ground truth' in ours.table()
    assert 'in the order of the proposals, as the official tool' in theirs.table()


def test_unsupervised_official_compat_takes_ids_up_to_the_largest():
    gt = bars(3, (1, 3))  # 2 is not there: an object that is always empty
    found = report('davis2017-unsupervised', (gt, gt), official_compat=True)
    assert {item.label: item.j.tolist() for item in found.videos[0].objects} == {
        1: [1] * 3, 2: [1] * 3, 3: [1] * 3}
    pred = bars(3, (1, 30))
    with pytest.raises(InputError, match='30 proposals'):
        report('davis2017-unsupervised', (gt, pred), official_compat=True)
    late = bars(3, (1, 2))
    late[0][late[0] == 2] = 0
    for compat, labels in ((False, [1, 2]), (True, [1])):
        found = report('davis2017-unsupervised', (late, late), official_compat=compat)
        assert [item.label for item in found.videos[0].objects] == labels


def test_stability_is_a_column_when_asked_for():
    still = bars(6, (1,)), bars(6, (1,))
    for protocol in ('davis2017', 'davis2016', 'davis2017-unsupervised', 'folder'):
        found = report(protocol, still, stability=True)
        assert list(found.summary) == [*COLUMNS, 'T']
        assert found.summary['T'] == pytest.approx(0, abs=1e-12)  # masks that do not change
        assert 'T' in found.table().splitlines()[3]
    item = report('davis2017', still, stability=True).videos[0].objects[0]
    assert len(item.t) == len(item.frames)


@pytest.mark.parametrize('protocol', ['davis2016-unsupervised', 'davis2017', 'folder'])
def test_stability_compares_predictions_only(protocol):
    """A prediction that never changes has T = 0 from its second frame on, whatever the truth."""
    gt = blobs(6, 3, (0, 1))
    still = np.stack([bars(1, (1,))[0]] * 6)
    item = report(protocol, (gt, still), stability=True).videos[0].objects[0]
    at_start = int(item.frames[0] == 0)
    assert np.isnan(item.t[:at_start]).all()
    assert item.t[at_start:].tolist() == [0] * (len(item.t) - at_start)


def test_official_compat_looks_at_the_first_frame_alone():
    gt = bars(6)
    gt[0] = 0
    with pytest.raises(InputError, match='at least one frame that counts'):
        report('davis2017', (gt, bars(6)), official_compat=True)
    assert report('davis2017', (gt, bars(6))).summary['J'] == 1


def test_unknown_protocol():
    with pytest.raises(InputError, match=r"'davis17' is unknown; did you mean davis2017\? there are"
                                         ' davis2016, .*mamp-inloop'):
        build_protocol('davis17')
