"""Oracles: the measures of single masks, vos-benchmark (another evaluator), brute force."""
import itertools

import cv2
import numpy as np
import pytest
from vos_benchmark.evaluator import Evaluator

from mmvos.evaluation import boundary_accuracy, region_similarity
from mmvos.evaluation.functional import score_frame


def label_map(seed, size=(60, 90), ids=(0, 1, 2, 7), sigma=5., share=0.):
    """Smooth random regions; `share` of the first field is another field's, so maps are alike."""
    own, other = (np.random.default_rng(number) for number in (seed, 1000 + seed))
    noise = [cv2.GaussianBlur(own.normal(size=size) + share * other.normal(size=size), None, sigma)
             for _ in ids]
    return np.array(ids, np.uint8)[np.argmax(noise, axis=0)]


def pairs(count, **options):
    return [(label_map(seed, **options), label_map(seed, **options, share=0.6))
            for seed in range(count)]


def measures(gt, pred, annotated, predicted):
    """(J, F) by the functions of masks; id 0 is the empty mask."""
    a, b = ((labels == label) & (label > 0) for labels, label in ((pred, predicted),
                                                                  (gt, annotated)))
    return (region_similarity(a[None], b[None])[0], boundary_accuracy(a[None], b[None])[0])


def ids(labels):
    return set(np.unique(labels).tolist()) - {0}


@pytest.mark.parametrize(('gt', 'pred'), pairs(5))
def test_equal_ids_equal_the_measures_of_masks(gt, pred):
    pred[pred == 2] = 9  # the prediction lacks 2, the truth lacks 9
    score = score_frame(gt, pred)
    assert set(score.predicted) == ids(pred)
    assert score.shares == {label: (gt == label).mean() for label in ids(gt)}
    for label in (1, 2, 7, 9):
        assert score.of(label, label) == measures(gt, pred, label, label)
    assert score.of(3, 3) == (1, 1)


@pytest.mark.parametrize(('gt', 'pred'), [*pairs(3), *pairs(2, size=(240, 427), sigma=16.)])
def test_equals_vos_benchmark(gt, pred):
    peer = Evaluator()
    peer.feed_frame(pred, gt)
    score = score_frame(gt, pred)
    assert peer.object_iou.keys() == ids(gt) | ids(pred)
    for label, (iou,) in peer.object_iou.items():
        assert score.of(label, label) == (iou, peer.boundary_f[label][0])


def test_equals_vos_benchmark_at_480p():
    gt, pred = pairs(1, size=(480, 854), sigma=30.)[0]
    peer = Evaluator()
    peer.feed_frame(pred, gt)
    score = score_frame(gt, pred)
    found = [score.of(label, label) for label in peer.object_iou]
    np.testing.assert_allclose(found, [(peer.object_iou[label][0], peer.boundary_f[label][0])
                                       for label in peer.object_iou], rtol=0, atol=1e-9)
    assert {1, 2, 7} == ids(gt)


@pytest.mark.parametrize(('gt', 'pred'), pairs(4))
@pytest.mark.parametrize('void', [True, False])
def test_all_pairs_equal_brute_force_over_single_pairs(gt, pred, void):
    gt[10:30, 20:50] = 255
    pred[pred == 2] = 5
    score = score_frame(gt, pred, void=void, all_pairs=True)
    white = gt == 255
    gt, pred = np.where(white, 0, gt), np.where(white & void, 0, pred)
    wanted = set(itertools.product({0} | ids(gt), {0} | ids(pred))) - {(0, 0)}
    assert score.pairs == {pair: measures(gt, pred, *pair) for pair in wanted}
    assert score.of(99, 1) == score.pairs[0, 1]
    assert score.of(1, 99) == score.pairs[1, 0]
    assert score.of(99, 99) == (1, 1)


@pytest.mark.parametrize(('gt', 'pred'), pairs(3))
def test_void_equals_the_measures_with_a_void_mask(gt, pred):
    void = label_map(50, ids=(0, 1)) > 0
    gt[void] = 255
    score = score_frame(gt, pred)
    assert 255 not in score.shares
    for label in (1, 2, 7):
        masks = (pred == label)[None], (gt == label)[None], void[None]
        assert score.of(label, label) == (region_similarity(*masks)[0],
                                          boundary_accuracy(*masks)[0])


def test_prediction_inside_void_alone_does_not_exist():
    gt, pred = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    gt[:, 15:], pred[5:9, 20:25] = 255, 4
    assert score_frame(gt, pred).predicted == ()
    assert score_frame(gt, pred, void=False).predicted == (4,)


def test_ids_from_1_to_254():
    gt = np.kron(np.arange(256).reshape(16, 16) % 255, np.ones((4, 5))).astype(np.uint8)
    pred = np.roll(gt, 1, axis=1)
    score = score_frame(gt, pred)
    assert [*score.shares] == [*score.predicted] == list(range(1, 255))
    for label in range(1, 255):
        # 16 of 20 pixels are common; a box that goes round the frame's edge has 4 of its 5 columns
        assert score.of(label, label)[0] == 16 / 24
        assert score.of(label, label) == measures(gt, pred, label, label)


@pytest.mark.parametrize('view', [lambda x: x.T, lambda x: x[::-1, ::-1], lambda x: x[::2, 1::3],
                                  np.asfortranarray])
def test_memory_layout_does_not_matter(view):
    gt, pred = (view(labels) for labels in pairs(1)[0])
    assert score_frame(gt, pred) == score_frame(gt.copy('C'), pred.copy('C'))


def test_arguments_are_not_written():
    gt, pred = pairs(1)[0]
    gt[:9] = 255
    kept = gt.copy(), pred.copy()
    for labels in (gt, pred):
        labels.flags.writeable = False
    score_frame(gt, pred, all_pairs=True)
    np.testing.assert_array_equal((gt, pred), kept)


@pytest.mark.parametrize(('gt', 'pred', 'expected'), [
    (0, 0, (1, 1)), (1, 1, (1, 1)), (0, 1, (0, 1)), (1, 0, (0, 1))])
def test_empty_and_full(gt, pred, expected):
    """A full mask has no boundary, as an empty one."""
    score = score_frame(np.full((9, 12), gt, np.uint8), np.full((9, 12), pred, np.uint8))
    assert score.of(1, 1) == expected
