"""Oracles: the measures themselves on hand-picked frames, and vos-benchmark."""
import subprocess
import sys

import numpy as np
import pytest
from vos_benchmark.evaluator import Evaluator

from mmvos.evaluation import boundary_accuracy, region_similarity, score_video
from mmvos.io import encode_mask
from mmvos.structures import MaskArrays

SIZE = (40, 56)


def moving_squares(length, ids=(1, 3), shift=0):
    """(T, H, W) label maps: one square per id, moving to the right, `shift` pixels lower."""
    maps = np.zeros((length, *SIZE), np.uint8)
    for t in range(length):
        for row, label in enumerate(ids):
            top = 3 + 18 * row + shift
            maps[t, top:top + 12, 4 + t:20 + t] = label
    return maps


def score(pred, gt, indices=None):
    indices = range(len(gt)) if indices is None else indices
    truth = MaskArrays({index: gt[index] for index in indices})
    return score_video('clip', [encode_mask(frame) for frame in pred], truth)


def check_object(scores, label, pred, gt, frames):
    frames = list(frames)
    masks = (pred == label)[frames], (gt == label)[frames]
    np.testing.assert_array_equal(scores[label][0], region_similarity(*masks))
    np.testing.assert_array_equal(scores[label][1], boundary_accuracy(*masks))


@pytest.mark.parametrize('length', [3, 8, 9, 10, 17])
def test_first_and_last_frame_do_not_count(length):
    gt, pred = moving_squares(length), moving_squares(length, shift=2)
    pred[[0, -1]] = 0
    scores = score(pred, gt)
    assert list(scores) == [1, 3]
    for label in scores:
        check_object(scores, label, pred, gt, range(1, length - 1))


def test_equals_vos_benchmark():
    gt, pred = moving_squares(12), moving_squares(12, shift=1)
    peer = Evaluator()
    for frame in zip(pred[1:-1], gt[1:-1], strict=True):
        peer.feed_frame(*frame)
    for label, (j, f) in score(pred, gt).items():
        np.testing.assert_array_equal(j, peer.object_iou[label])
        np.testing.assert_array_equal(f, peer.boundary_f[label])


@pytest.mark.parametrize('start', [0, 1, 7, 8, 12])
def test_late_object_counts_after_its_first_frame(start):
    gt, pred = moving_squares(14), moving_squares(14, shift=3)
    gt[:start][gt[:start] == 3] = 0
    scores = score(pred, gt)
    check_object(scores, 1, pred, gt, range(1, 13))
    check_object(scores, 3, pred, gt, range(start + 1, 13))
    assert len(scores[3][0]) == 12 - start


def test_sparse_annotation():
    gt, pred = moving_squares(20), moving_squares(20, shift=1)
    scores = score(pred, gt, [0, 5, 10, 15])
    check_object(scores, 1, pred, gt, [5, 10, 15])


def test_missing_object_is_empty_and_an_object_that_left_is_right_when_empty():
    gt, pred = moving_squares(6), moving_squares(6, ids=(1,))
    gt[3:][gt[3:] == 3] = 0
    np.testing.assert_array_equal(score(pred, gt)[3], [[0, 0, 1, 1]] * 2)


def test_void_does_not_count():
    gt, pred = moving_squares(5), moving_squares(5)
    gt[:, :, 40:] = 255
    pred[:, :, 40:] = 1
    for values in score(pred, gt).values():
        np.testing.assert_array_equal(values, np.ones((2, 3)))


def test_extra_object():
    with pytest.raises(ValueError, match=r"'clip': expected objects \[1\], got .*\[3\]"):
        score(moving_squares(5), moving_squares(5, ids=(1,)))
    pred = moving_squares(5)
    pred[2, 0, 0] = 255
    with pytest.raises(ValueError, match=r'\[255\]'):
        score(pred, moving_squares(5))


def test_other_size_and_length():
    with pytest.raises(ValueError, match=r'frame 0: .*\(40, 56\).*got \(40, 55\)'):
        score(moving_squares(5)[..., 1:], moving_squares(5))
    with pytest.raises(ValueError, match='got 4 masks and an annotation of frame 4'):
        score(moving_squares(4), moving_squares(5))


def test_import_is_light():
    code = ('import sys, mmvos.evaluation.functional; '
            'sys.exit(bool({"torch", "mmengine"} & set(sys.modules)))')
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
