"""Oracles: vos-benchmark's averages over objects, closed forms."""
import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from vos_benchmark.evaluator import Evaluator as Peer

from mmvos.evaluation import mean_recall_decay, score_video
from mmvos.evaluation.metrics import DAVISMetric
from mmvos.io import encode_mask
from mmvos.registry import METRICS
from mmvos.structures import MaskArrays, VOSDataSample


def maps(length, ids, shift=0):
    labels = np.zeros((length, 40, 56), np.uint8)
    for row, label in enumerate(ids):
        labels[:, 2 + 13 * row + shift:12 + 13 * row + shift, 6 + shift:30] = label
    return labels


def sample(name, pred, gt):
    item = VOSDataSample(metainfo=dict(
        video_name=name, frame_names=[f'{t:05d}' for t in range(len(gt))],
        truth=MaskArrays(dict(enumerate(gt)))))
    item.pred_masks = [encode_mask(frame) for frame in pred]
    return item


VIDEOS = [('a', maps(7, (1, 2, 3), 2), maps(7, (1, 2, 3))), ('b', maps(5, (1,), 1), maps(5, (1,))),
          ('c', maps(6, (2,), 4), maps(6, (2, 5)))]


def evaluate(metric, videos):
    evaluator = Evaluator(metric)
    for video in videos:
        evaluator.process([sample(*video)])
    return evaluator.evaluate(len(videos))


@pytest.mark.parametrize('num_workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_averages_over_objects_equal_vos_benchmark(num_workers):
    regions, boundaries = [], []
    for name, pred, gt in VIDEOS:
        peer = Peer(name=name)
        for frame in zip(pred[1:-1], gt[1:-1], strict=True):
            peer.feed_frame(*frame)
        j, f = peer.conclude()
        regions += j.values()
        boundaries += f.values()
    metric = METRICS.build(dict(type='DAVISMetric', num_workers=num_workers))
    result = evaluate(metric, VIDEOS)
    assert result['J'] == pytest.approx(np.mean(regions) / 100, abs=1e-12)
    assert result['F'] == pytest.approx(np.mean(boundaries) / 100, abs=1e-12)
    assert result['J&F'] == pytest.approx((result['J'] + result['F']) / 2, abs=1e-12)
    assert metric._pool is None
    assert metric.results == []
    assert evaluate(metric, VIDEOS) == result


def test_all_columns_of_one_object():
    name, pred, gt = VIDEOS[1]
    result = evaluate(DAVISMetric(num_workers=0), [VIDEOS[1]])
    j, f = score_video(name, [encode_mask(frame) for frame in pred],
                       MaskArrays(dict(enumerate(gt))))[1]
    expected = *mean_recall_decay(j), *mean_recall_decay(f)
    keys = ('J', 'J-recall', 'J-decay', 'F', 'F-recall', 'F-decay')
    assert tuple(result[key] for key in keys) == expected
    assert list(result) == ['J&F', *keys]


def test_table_has_a_row_per_video(monkeypatch):
    lines = []
    monkeypatch.setattr('mmvos.evaluation.metrics.davis.print_log',
                        lambda text, logger: lines.extend(text.splitlines()))
    still = ('two_frames', maps(2, (1,)), maps(2, (1,)))
    twin = ('b', maps(5, (1,)), maps(5, (1,)))
    evaluate(DAVISMetric(num_workers=0), [*VIDEOS, still, twin])
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines if '|' in line]
    assert [row[:2] for row in rows[1:]] == [['a', '3'], ['b', '1'], ['c', '2'],
                                             ['two_frames', '0'], ['b', '1'], ['all', '7']]
    assert rows[4][2:] == ['-'] * 7
    assert rows[5][2:] == ['1.000', '1.000', '1.000', '0.000', '1.000', '1.000', '0.000']


def test_nothing_to_compare():
    metric = DAVISMetric(num_workers=0)
    with pytest.raises(ValueError, match="'b': expected annotations"):
        metric.process(None, [dict(video_name='b', pred_masks=[], truth=None)])
    with pytest.raises(ValueError, match='at least one evaluated frame, got 1 videos'):
        evaluate(metric, [('d', maps(2, (1,)), maps(2, (1,)))])


@pytest.mark.slow
def test_error_in_a_worker_reaches_the_user_and_closes_the_pool():
    metric = DAVISMetric(num_workers=1)
    with pytest.raises(ValueError, match="'e': expected objects"):
        evaluate(metric, [('e', maps(5, (1, 2)), maps(5, (1,)))])
    assert metric._pool is None
    assert metric.results == []
