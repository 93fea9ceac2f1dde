"""Oracles: closed forms of videos whose values are chosen."""
import dataclasses
import json
import warnings

import numpy as np
import pytest

from mmvos.evaluation.attributes import (
    attributes,
    attributes_table,
    by_number,
    by_size,
    by_time,
)
from mmvos.evaluation.scores import ObjectScores, VideoScores


def scores(j, f=None, share=0.1, label=1):
    j = np.asarray(j, np.float64)
    f = j / 2 if f is None else np.asarray(f, np.float64)
    return ObjectScores(label, np.arange(len(j)), j, f, np.broadcast_to(share, len(j)))


def video(name, *objects):
    frames = max((len(item.frames) for item in objects), default=0)
    return VideoScores(name, [f'{i:05}' for i in range(frames)], list(objects))


def rows(found):
    return [(row.label, row.j, row.f, row.count) for row in found]


def test_time_parts_are_equal_and_averaged_over_objects():
    # 20 frames: two in each tenth. 10 frames: one in each.
    long, short = scores(np.arange(20) / 20), scores(np.linspace(1, 0.1, 10))
    found = by_time([video('a', long), video('b', short)])
    assert [row.label for row in found[::9]] == ['0 to 10 %', '90 to 100 %']
    expected = [((2 * k + 0.5) / 20 + 1 - 0.1 * k) / 2 for k in range(10)]
    np.testing.assert_allclose([row.j for row in found], expected)
    np.testing.assert_allclose([row.f for row in found], np.divide(expected, 2))
    assert {(row.count, row.unit) for row in found} == {(2, 'objects')}


def test_time_of_few_frames():
    # Frame k of 3 is in tenth floor(10 k / 3): 0, 3, 6.
    found = by_time([video('a', scores([0.9, 0.6, 0.3]))])
    assert rows(found) == [('0 to 10 %', 0.9, 0.45, 1), ('30 to 40 %', 0.6, 0.3, 1),
                           ('60 to 70 %', 0.3, 0.15, 1)]


def test_time_parts_differ_by_at_most_a_frame():
    for count in (10, 11, 64, 1003):
        # J is 1 on one frame, so that 1 / mean is the number of frames in its tenth.
        sizes = [round(1 / max(row.j for row in by_time([video('a', scores(one))])))
                 for one in np.eye(count)[::max(count // 20, 1)]]
        assert set(sizes) <= {count // 10, -(-count // 10)}


def test_sizes_pool_visible_masks():
    shares = [0, 0.001, 0.00999, 0.01, 0.05, 0.2, 1]
    item = scores([0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.9], share=shares)
    other = scores([0.9], share=[0.005], label=2)
    found = by_size([video('a', item, other)])
    assert [(row.label, row.count, row.unit) for row in found] == [
        ('below 1 %', 3, 'masks'), ('1 to 5 %', 1, 'masks'), ('5 to 20 %', 1, 'masks'),
        ('20 % and more', 2, 'masks')]
    np.testing.assert_allclose([row.j for row in found], [0.5, 0.5, 0.6, 0.8])
    np.testing.assert_allclose([row.f for row in found], [0.25, 0.25, 0.3, 0.4])


def test_number_of_objects_averages_objects():
    def many(name, *values):
        return video(name, *(scores([value] * (1 + k), label=k + 1)
                             for k, value in enumerate(values)))

    videos = [many('a', 0.1), many('b', 0.3), many('c', 0.5, 0.7), many('d', 0.4, 0.5, 0.9),
              many('e', 0.8, 0.8, 0.8, 0.4), many('f', *[0.5] * 5), many('g', *[0.6] * 7)]
    found = by_number(videos)
    assert [(row.label, row.count) for row in found] == [
        ('1', 2), ('2', 2), ('3 or 4', 7), ('5 and more', 12)]
    np.testing.assert_allclose([row.j for row in found], [0.2, 0.6, 4.6 / 7, 6.7 / 12])


def test_nothing_is_no_row_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for videos in ([], [video('a')]):
            assert attributes(videos) == {'time': [], 'size': [], 'number': []}
            assert 'mean over' in attributes_table(attributes(videos))
        hidden = attributes([video('a', scores([1., 1.], share=0))])
    assert hidden['size'] == []
    assert hidden['number'][0].j == 1


def random_videos():
    rng = np.random.default_rng(0)
    return [video(f'{k:02}', *(scores(rng.random(n), rng.random(n), rng.random(n) ** 4, label)
                               for label, n in enumerate(rng.integers(1, 40, 1 + k % 6), 1)))
            for k in range(30)]


@pytest.mark.parametrize('seed', [0, 1])
def test_order_does_not_matter(seed):
    videos = random_videos()
    order = np.random.default_rng(seed).permutation(len(videos))
    assert attributes([videos[k] for k in order]) == attributes(videos)


def test_json_and_text():
    found = attributes(random_videos())
    plain = {name: [dataclasses.asdict(row) for row in part] for name, part in found.items()}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    lines = attributes_table(found).splitlines()
    assert len(lines) == 3 + sum(len(part) for part in found.values()) + 3
    for title in ('over time', 'by object size', 'by number of objects'):
        assert sum(title in line for line in lines) == 1
    cells = [[cell.strip() for cell in line.split('|')[2:-1]] for line in lines if '|' in line]
    first = found['size'][0]
    assert [first.label, f'{first.j:.3f}', f'{first.f:.3f}', f'{first.count} masks'] in cells
