"""Oracles: closed forms, scipy's bootstrap, and the protocols' own averages of drawn videos."""
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from mmvos.evaluation import comparison
from mmvos.evaluation.comparison import compare
from mmvos.evaluation.protocols import PROTOCOLS, Folder
from mmvos.evaluation.report import Report
from mmvos.evaluation.scores import ObjectScores, VideoScores
from mmvos.io import InputError


def scores(value, label=1, frames=1, group=''):
    """An object whose J and F are the value on each frame."""
    values = np.broadcast_to(np.asarray(value, np.float64), frames)
    return ObjectScores(label, np.arange(frames), values, values, values * 0 + 0.1, group=group)


def video(name, *values):
    return VideoScores(name, ['00000'], [scores(value, k) for k, value in enumerate(values, 1)])


def report(videos, protocol=None):
    return Report(protocol or Folder(), videos)


def one_each(values):
    return report([video(f'v{k:03}', value) for k, value in enumerate(values)])


def test_scipy_bootstrap():
    rng = np.random.default_rng(1)
    a, b = rng.random(40), rng.random(40)
    expected = scipy.stats.bootstrap((b - a,), np.mean, n_resamples=10_000, method='percentile',
                                     rng=rng).confidence_interval
    found = compare(one_each(a), one_each(b))
    width = expected.high - expected.low
    np.testing.assert_allclose(found.interval, expected, atol=0.04 * width)
    assert found.difference == pytest.approx(np.mean(b - a))
    assert found.videos == 40


@pytest.mark.parametrize('objects', [1, 5])
def test_objects_of_a_video_are_drawn_together(objects):
    # Ten videos gain 0.1, ten lose it: B of 20 drawn ones gain, and the mean is 0.1 (B / 10 - 1).
    gains = np.tile([0.1, -0.1], 10)
    a = report([video(f'{k:02}', *[0.5] * objects) for k in range(20)])
    b = report([video(f'{k:02}', *[0.5 + gain] * objects) for k, gain in enumerate(gains)])
    limits = scipy.stats.binom.ppf([0.025, 0.975], 20, 0.5)
    found = compare(a, b)
    np.testing.assert_allclose(found.interval, 0.1 * (limits / 10 - 1), atol=1e-12)
    assert not found.excludes_zero
    # Drawn one by one, 100 objects would give an interval half as wide.
    alone = 0.1 * (scipy.stats.binom.ppf(0.975, 100, 0.5) / 50 - 1)
    assert found.interval[1] > 1.9 * alone


def test_identical_results():
    values = np.random.default_rng(0).random(9)
    found = compare(one_each(values), one_each(values))
    assert (found.difference, found.interval) == (0, (0, 0))
    assert not found.excludes_zero
    assert {row.difference for row in found.rows} == {0}


def test_a_constant_gain():
    values = np.random.default_rng(0).random(9) / 2
    found = compare(one_each(values), one_each(values + 0.25))
    np.testing.assert_allclose(found.interval, 0.25)
    assert found.excludes_zero
    assert compare(one_each(values + 0.25), one_each(values)).excludes_zero
    assert '+0.250, 95 % interval +0.250 to +0.250, which excludes 0' in found.table()


def grouped(seed, first=0):
    """Videos of the same names and sizes for every seed, in three groups."""
    shape, rng = np.random.default_rng(7), np.random.default_rng(seed)
    videos = []
    for k, name in enumerate(('car', 'cat', 'dog', 'dog', 'car', 'dog', 'cat')):
        objects = [scores(rng.random(), label, int(shape.integers(1, 5)),
                          'seen' if shape.random() < 0.6 else 'unseen')
                   for label in range(1, int(shape.integers(2, 5)))]
        videos.append(VideoScores(f'{name}/{k:04}', [f'{i:05}' for i in range(5)], objects))
    return videos


@pytest.mark.parametrize('name', sorted(PROTOCOLS))
def test_resampled_headline_is_the_protocols(name):
    protocol, rng = PROTOCOLS[name](), np.random.default_rng(3)
    a, b = (Report(protocol, grouped(seed)) for seed in (0, 1))
    parts = [comparison._parts(result) for result in (a, b)]
    gains, counts = comparison._matrices(*parts, [video.name for video in a.videos])
    draws = rng.integers(len(a.videos), size=(50, len(a.videos)))
    times = np.stack([np.bincount(draw, minlength=len(a.videos)) for draw in draws]) * 1.0
    expected = []
    for draw in draws:
        # Named anew: a video that is drawn twice is two videos.
        drawn = [[replace(result.videos[k], name=f'{result.videos[k].name}{i}')
                  for i, k in enumerate(draw)] for result in (a, b)]
        before, after = (next(iter(protocol.summary(videos).values())) for videos in drawn)
        expected.append(after - before)
    np.testing.assert_allclose(comparison._differences(times, gains, counts), expected, atol=1e-12)
    assert np.std(expected) > 0.01


def test_draws_are_uniform_with_replacement():
    times = comparison._draw(np.random.default_rng(0), 6, 20_000)
    assert (times.sum(1) == 6).all()
    counts = [np.mean(times == k) for k in range(4)]
    np.testing.assert_allclose(counts, scipy.stats.binom.pmf(range(4), 6, 1 / 6), atol=0.005)


def test_order_of_videos_does_not_matter():
    protocol = PROTOCOLS['youtube-vos']()
    a, b = grouped(0), grouped(1)
    expected = compare(Report(protocol, a), Report(protocol, b))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(a))
        found = compare(Report(protocol, [a[k] for k in order]),
                        Report(protocol, [b[k] for k in order[::-1]]))
        assert found == expected


def test_rows_are_sorted_by_difference():
    a = report([video('w', 0.5), video('x', 0.5, 0.9), video('y', 0.5), video('z')])
    b = report([video('w', 0.5), video('x', 0.7, 0.9), video('y', 0.2), video('z')])
    found = compare(a, b, ('old', 'new'))
    assert [row.video for row in found.rows] == ['y', 'w', 'x', 'z']
    np.testing.assert_allclose([row.difference for row in found.rows], [-0.3, 0, 0.1, math.nan])
    assert (found.headline, found.column, found.videos) == ('J&F', 'J&F', 3)
    # Over the objects, of which x has two: (0 + 0.2 + 0 - 0.3) / 4.
    assert found.difference == pytest.approx(-0.025)
    lines = found.table().splitlines()
    assert lines[0].endswith('A is old, B is new')
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines if '|' in line]
    assert cells[1:] == [['y', '0.500', '0.200', '-0.300'], ['w', '0.500', '0.500', '+0.000'],
                         ['x', '0.700', '0.800', '+0.100'], ['z', '-', '-', '-'],
                         ['all: J&F', '0.600', '0.575', '-0.025']]
    assert 'includes 0' in lines[-2]
    assert 'over 3 videos' in lines[-1]


def test_json():
    found = compare(report([video('x', 0.5), video('y', 0.5), video('z')]),
                    report([video('x', 0.6), video('y', 0.8), video('z')])).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found['interval'] == pytest.approx([0.1, 0.3])
    assert found['excludes_zero'] is True
    assert found['rows'][-1] == {'video': 'z', 'a': None, 'b': None, 'difference': None}


def test_many_videos_are_quick():
    rng = np.random.default_rng(0)
    gains, counts = rng.normal(size=(500, 4)), rng.integers(1, 5, (500, 4)) * 1.0
    low, high = comparison._interval(gains, counts)
    assert low < (gains.sum(0) / counts.sum(0)).mean() < high


def test_other_videos():
    a = report([video('x', 0.5), video('y', 0.5), video('z', 0.5)])
    b = report([video('a', 0.5), video('y', 0.5), video('z', 0.5)])
    with pytest.raises(InputError, match="'a' is in new but not in old, the first of 2"):
        compare(a, b, ('old', 'new'))
    with pytest.raises(InputError, match="'z' is in old but not in new"):
        compare(a, report([video('x', 0.5), video('y', 0.5)]), ('old', 'new'))


def test_other_ground_truth():
    with pytest.raises(InputError, match="'y' counts other objects or frames in A than in B"):
        compare(report([video('x', 0.5), video('y', 0.5, 0.5)]),
                report([video('x', 0.5), video('y', 0.5)]))


def test_other_protocols():
    videos = [video('x', 0.5), video('y', 0.5)]
    with pytest.raises(InputError, match='folder and davis2017'):
        compare(report(videos), report(videos, PROTOCOLS['davis2017']()))
    with pytest.raises(InputError, match=r'folder and folder \(official_compat\)'):
        compare(report(videos), report(videos, Folder(official_compat=True)))


def test_too_few_videos():
    with pytest.raises(InputError, match='got 1'):
        compare(report([video('x', 0.5), video('y')]), report([video('x', 0.6), video('y')]))


def test_protocol_whose_parts_are_not_its_headline():
    class Other(Folder):
        name = 'other'

        def summary(self, videos):
            return {'best': 1., **super().summary(videos)}

    videos = [video('x', 0.5), video('y', 0.5)]
    with pytest.raises(ValueError, match='override headline_parts'):
        compare(report(videos, Other()), report(videos, Other()))
