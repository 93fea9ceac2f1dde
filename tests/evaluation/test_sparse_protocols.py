"""YouTube-VOS, LVOS, FBMS, YouTube-Objects, folders, MAMP. Oracles: numbers by hand, measures."""
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from toy_videos import COLUMNS, as_pair, bars, check, means, measures, report

from mmvos.evaluation import build_protocol, evaluate_pairs
from mmvos.io import InputError


@pytest.fixture
def meta(tmp_path):
    """Of two videos: a has objects 1 (cat) and 2 (gnu), b has 1 (cat) and 2 (fox)."""
    every = [f'{t:05d}' for t in range(10)]
    path = tmp_path / 'meta.json'
    path.write_text(json.dumps({'videos': {
        'a': {'objects': {'1': {'category': 'cat', 'frames': every[::2]},
                          '2': {'category': 'gnu', 'frames': every[4:]}}},
        'b': {'objects': {'1': {'category': 'cat', 'frames': every},
                          '2': {'category': 'fox', 'frames': every}}}}}))
    return path


def split():
    gt = bars(10)
    gt[:4][gt[:4] == 2] = 0
    pred = bars(10, cut=np.arange(10))
    pred[:4][pred[:4] == 2] = 0
    return [(gt, pred, 'a'), (bars(10), bars(10, cut=20), 'b')]


def test_youtube_vos_counts_the_listed_frames_after_the_first(meta):
    found = report('youtube-vos', *split(), meta=meta, unseen=['gnu', 'fox'])
    (gt, pred, _), other = split()
    check(found, (2, 4, 6, 8), measures(gt, pred, 1, slice(2, 9, 2)), 1)
    check(found, (5, 6, 7, 8, 9), measures(gt, pred, 2, slice(5, 10)), 2)
    assert [item.group for item in found.videos[0].objects] == ['seen', 'unseen']
    seen = means(measures(gt, pred, 1, slice(2, 9, 2)), measures(*other[:2], 1, slice(1, 10)))
    unseen = means(measures(gt, pred, 2, slice(5, 10)), measures(*other[:2], 2, slice(1, 10)))
    # by hand: frame t of a has lost t of 40 columns
    assert (seen['J'], unseen['J']) == pytest.approx(((0.875 + 0.5) / 2, (0.825 + 0.5) / 2))
    summary = found.summary
    assert list(summary) == ['G', 'J-seen', 'F-seen', 'J-unseen', 'F-unseen', 'gap', *COLUMNS]
    parts = [seen['J'], seen['F'], unseen['J'], unseen['F']]
    assert list(summary.values())[:6] == pytest.approx(
        [sum(parts) / 4, *parts, seen['J&F'] - unseen['J&F']], abs=1e-12)
    assert {key: summary[key] for key in COLUMNS} == pytest.approx(
        {key: (seen[key] + unseen[key]) / 2 for key in COLUMNS}, abs=1e-12)
    assert summary['J&F'] == pytest.approx(summary['G'], abs=1e-12)
    assert f'gap {summary["gap"]:.3f}' in found.table()


def test_youtube_vos_groups_of_different_size_weigh_the_same(meta):
    found = report('youtube-vos', *split(), meta=meta, unseen=['gnu'])
    (gt, pred, _), other = split()
    unseen = means(measures(gt, pred, 2, slice(5, 10)))
    assert found.summary['J-unseen'] == pytest.approx(unseen['J'], abs=1e-12)
    assert found.summary['J-seen'] == pytest.approx((0.875 + 0.5 + 0.5) / 3, abs=1e-12)
    assert found.summary['J'] == pytest.approx((0.625 + 0.825) / 2, abs=1e-12)


def test_youtube_vos_object_is_given_on_the_first_listed_frame(tmp_path):
    """Also where the truth shows it before."""
    listed = {'1': {'frames': ['00003', '00005', '00007']}}
    (tmp_path / 'meta.json').write_text(json.dumps({'videos': {'a': {'objects': listed}}}))
    found = report('youtube-vos', (bars(9, (1,)), bars(9, (1,)), 'a'), meta=tmp_path / 'meta.json')
    assert found.videos[0].objects[0].frames.tolist() == [5, 7]


def test_youtube_vos_without_meta_counts_annotated_frames_after_each_objects_first():
    found = report('youtube-vos', *split())
    (gt, pred, _), _ = split()
    check(found, range(1, 10), measures(gt, pred, 1, slice(1, 10)), 1)
    check(found, range(5, 10), measures(gt, pred, 2, slice(5, 10)), 2)
    summary = found.summary
    assert math.isnan(summary['J-unseen'])
    assert math.isnan(summary['gap'])
    assert summary['G'] == pytest.approx(summary['J&F'], abs=1e-12)
    assert 'note: every object is seen, G is its J&F' in found.table()


def test_youtube_vos_meta_that_does_not_fit(meta):
    with pytest.raises(InputError, match="object 3 of video 'b' is not in meta.json"):
        report('youtube-vos', (bars(10, (1, 2, 3)), bars(10, (1, 2, 3)), 'b'), meta=meta)
    with pytest.raises(InputError, match="of video 'b' lacks frame 00004, which .* not public"):
        report('youtube-vos', (bars(4), bars(4), 'b'), meta=meta)
    with pytest.raises(InputError, match="of video 'b' lacks object 2, which meta.json lists"):
        report('youtube-vos', (bars(10, (1,)), bars(10, (1,)), 'b'), meta=meta)
    with pytest.raises(InputError, match=r"unseen should be .* got 'cat'; write \['cat'\]"):
        build_protocol('youtube-vos', meta=meta, unseen='cat')
    with pytest.raises(InputError, match="object 1 of video 'c' is not in meta.json"):
        report('youtube-vos', (bars(4), bars(4), 'c'), meta=meta)
    with pytest.raises(InputError, match=r"unseen categories \['ape'\]; it has .*'cat'"):
        build_protocol('youtube-vos', meta=meta, unseen=['ape', 'cat'])
    with pytest.raises(InputError, match='give the folder of the split, or --meta'):
        build_protocol('youtube-vos', unseen=['cat'])
    with pytest.raises(InputError, match="davis2017: .*'meta'; its options are offi"):
        build_protocol('davis2017', meta=meta)


def test_lvos_takes_every_fifth_frame_without_an_objects_first_and_last_sample():
    cut = np.arange(33)
    gt, pred = bars(33), bars(33, cut=cut)
    for maps in (gt, pred):
        maps[:8][maps[:8] == 2] = 0  # its first sample is frame 10
    found = report('lvos', (gt, pred))
    samples = [(5, 10, 15, 20, 25), (15, 20, 25)]  # frame 30 is the last sample
    values = [measures(gt, pred, label, list(frames))
              for label, frames in zip((1, 2), samples, strict=True)]
    for label, frames, expected in zip((1, 2), samples, values, strict=True):
        check(found, frames, expected, label)
        assert expected[0].tolist() == pytest.approx([1 - t / 40 for t in frames])
    assert found.summary['V'] == pytest.approx(
        np.mean([np.std(value.mean(0)) for value in values]), abs=1e-12)
    assert {key: found.summary[key] for key in COLUMNS} == pytest.approx(means(*values), abs=1e-12)
    assert list(found.summary)[-1] == 'V'
    assert report('lvos', (gt, gt)).summary['V'] == 0


def test_lvos_knows_objects_that_the_truth_shows_between_samples_only():
    gt, pred = bars(12), bars(12)
    for maps, gone in ((gt, 5), (pred, 6)):  # given on frame 1, kept for one frame too long
        maps[0][maps[0] == 2] = 0
        maps[gone:][maps[gone:] == 2] = 0
    assert report('lvos', (gt, pred)).summary['J'] == 1


def test_lvos_goes_by_the_numbers_of_the_frames():
    """Annotated every fifth frame already, as LVOS is, all of them are samples."""
    protocol = build_protocol('lvos')
    assert protocol.counted([f'{number:08d}' for number in range(1, 62, 5)]) == [*range(13)]
    assert protocol.counted([f'{number:08d}' for number in range(1, 14)]) == [0, 5, 10]
    assert protocol.counted(['00000003', '00000005', '00000008', '00000013']) == [0, 2, 3]
    assert protocol.counted([f'frame{number}' for number in range(12)]) == [0, 5, 10]


def test_lvos_refuses_extra_ids_where_it_reads_every_frame():
    gt, pred = bars(4), bars(4, (1, 2, 3))
    frames = ['00000001', '00000006', '00000011', '00000016']
    pair = as_pair(gt, pred)
    with pytest.raises(InputError, match=r'has ids \[3\], .* has \[1, 2\]'):
        evaluate_pairs([replace(pair, frames=frames)], build_protocol('lvos'))


def test_lvos_of_seen_and_unseen_videos():
    videos = [(bars(21), bars(21, cut=8), 'a'), (bars(21, (1,)), bars(21, (1,), cut=20), 'b'),
              (bars(21), bars(21, cut=4), 'c')]
    found = report('lvos', *videos, unseen=['b', 'c'])
    assert found.summary['J-seen'] == pytest.approx(0.8, abs=1e-12)
    assert found.summary['J-unseen'] == pytest.approx((0.5 + 0.9 + 0.9) / 3, abs=1e-12)
    with pytest.raises(InputError, match="no video 'd', which --unseen names; take it out"):
        report('lvos', *videos, unseen=['b', 'd'])
    only = report('lvos', *videos, unseen=['a', 'b', 'c'])
    assert 'note: every object is unseen, G is its J&F' in only.table()


def test_fbms_averages_j_over_sequences_and_over_frames():
    videos = [(bars(2), bars(2, cut=[4, 8]), 'cats01'), (bars(6), bars(6, cut=20), 'dogs02')]
    found = report('fbms', *videos)
    assert next(iter(found.summary)) == 'J'
    assert found.summary['J'] == pytest.approx((0.85 + 0.5) / 2, abs=1e-12)
    assert found.summary['J-frames'] == pytest.approx((0.9 + 0.8 + 6 * 0.5) / 8, abs=1e-12)
    assert [item.frames.tolist() for video in found.videos for item in video.objects] == [
        [0, 1], [0, 1, 2, 3, 4, 5]]
    assert 'J-frames 0.588' in found.table()


@pytest.mark.parametrize('names', [('car/0001', 'car/0002', 'dog/0001'),
                                   ('car_0001', 'car_0002', 'dog_0001'),
                                   ('car0001', 'car0002', 'dog-0001')])
def test_youtube_objects_averages_over_categories_and_over_shots(names):
    found = report('youtube-objects', *((bars(n), bars(n, cut=cut), name) for name, n, cut in
                                        zip(names, (2, 5, 3), (4, 8, 20), strict=True)))
    assert found.summary['J'] == pytest.approx((0.85 + 0.5) / 2, abs=1e-12)
    assert found.summary['J-shots'] == pytest.approx((0.9 + 0.8 + 0.5) / 3, abs=1e-12)
    assert found.summary['J-frames'] == pytest.approx((2 * 0.9 + 5 * 0.8 + 3 * 0.5) / 10, abs=1e-12)
    assert found.summary['J car'] == pytest.approx(0.85, abs=1e-12)
    assert found.summary['J dog'] == 0.5


def test_youtube_objects_needs_a_category():
    with pytest.raises(InputError, match="shot 'car' has no category; name it like 'car/0003'"):
        report('youtube-objects', (bars(3), bars(3), 'car'))


def test_folder_counts_all_objects_on_all_frames():
    gt, pred = bars(5), bars(5, cut=[0, 4, 8, 12, 20])
    gt[:2][gt[:2] == 2] = 0
    found = report('folder', (gt, pred))
    values = [measures(gt, pred, label) for label in (1, 2)]
    assert values[0][0] == pytest.approx([1, 0.9, 0.8, 0.7, 0.5])
    for label, expected in zip((1, 2), values, strict=True):
        check(found, range(5), expected, label)
    assert values[1][0].tolist()[:2] == [0, 0]  # predicted before it is there
    assert found.summary == pytest.approx(means(*values), abs=1e-12)


def test_foreground_merges_ids_on_all_frames():
    gt, pred = bars(4), bars(4, (7, 9), cut=[0, 4, 8, 20])
    found = report('foreground', (gt, pred))
    check(found, range(4), measures(gt, pred, None), 1)
    assert found.summary['J'] == pytest.approx((1 + 0.9 + 0.8 + 0.5) / 4, abs=1e-12)


@pytest.mark.parametrize('protocol', ['foreground', 'davis2016', 'fbms'])
@pytest.mark.parametrize('soft', [
    (np.arange(2400).reshape(40, 60) % 200).astype(np.uint8),  # probabilities
    np.tile(np.clip(np.arange(60) * 60 - 900, 0, 255).astype(np.uint8), (40, 1))])  # an edge
def test_soft_masks_are_refused_where_all_that_is_not_0_counts(protocol, soft):
    """Otherwise the faintest grey would be foreground."""
    with pytest.raises(InputError, match='values between 0 and 255.*save a mask of 0 and 255'):
        report(protocol, (bars(3), np.stack([soft] * 3)))


def test_soft_truth_is_refused_too():
    soft = np.tile(np.clip(np.arange(60) * 60 - 900, 0, 255).astype(np.uint8), (40, 1))
    with pytest.raises(InputError, match='values between 0 and 255'):
        report('foreground', (np.stack([soft] * 3), bars(3)))


def test_youtube_vos_needs_predictions_of_the_listed_frames_only(meta):
    protocol = build_protocol('youtube-vos', meta=meta)
    frames = [f'{t:05d}' for t in range(10)]
    assert protocol.needed('a', frames) == [2, 4, 5, 6, 7, 8, 9]  # not 1 and 3; 0 gives object 1
    assert list(build_protocol('youtube-vos').needed('a', frames)) == [*range(1, 10)]


def test_many_ids_are_no_soft_mask():
    many = np.kron(np.arange(60).reshape(6, 10), np.ones((6, 6))).astype(np.uint8)[None]
    assert report('foreground', ((many > 0).astype(np.uint8), many)).summary['J'] == 1


def test_mamp_pools_frames_and_objects():
    """By hand: 1 object on 9 counted frames beside 2 objects on 2; davis2017 drops the last."""
    long = bars(10, (1,)), bars(10, (1,), cut=[0, *[4] * 8, 20]), 'a'
    short = bars(3), bars(3, cut=[0, 20, 40]), 'b'
    pooled, official = (report(name, long, short).summary for name in ('mamp-inloop', 'davis2017'))
    assert list(pooled) == ['J&F', 'J', 'F']
    assert pooled['J'] == pytest.approx((8 * 0.9 + 0.5 + 2 * 0.5 + 2 * 0) / 13, abs=1e-12)
    assert official['J'] == pytest.approx((0.9 + 0.5 + 0.5) / 3, abs=1e-12)
    f = [value for gt, pred, _ in (long, short) for label in (1, 2)
         for value in measures(gt, pred, label, slice(1, None))[1] if label <= gt.max()]
    assert pooled['F'] == pytest.approx(np.mean(f), abs=1e-12)
    assert pooled['J&F'] == pytest.approx((pooled['J'] + pooled['F']) / 2, abs=1e-12)


def test_mamp_frames_have_the_ids_up_to_their_largest():
    gt, pred = bars(5, (1, 2, 3)), bars(5, (1, 2, 3), cut=4)
    gt[2][gt[2] == 2] = 0  # below the largest: wrong when predicted
    pred[3][pred[3] == 2], gt[3][gt[3] == 2] = 0, 0  # right when not
    gt[4][gt[4] > 1] = 0  # above the largest: not counted
    found = {item.label: (item.frames.tolist(), item.j.tolist())
             for item in report('mamp-inloop', (gt, pred)).videos[0].objects}
    assert found == {1: ([1, 2, 3, 4], [0.9] * 4), 2: ([1, 2, 3], [0.9, 0, 1]),
                     3: ([1, 2, 3], [0.9] * 3)}
