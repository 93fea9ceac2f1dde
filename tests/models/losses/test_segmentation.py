"""Losses against numbers worked out by hand (and the published forms of the IoU)."""
import pytest
import torch
from mmengine.logging import MessageHub

from mmvos.models.losses import (
    CrossEntropy,
    DiceLoss,
    L1Loss,
    LossSum,
    MaskIoULoss,
    SoftIoULoss,
    cross_entropy,
    dice_loss,
    l1_loss,
    mask_iou_loss,
    soft_iou_loss,
)


def pair(probs, labels):
    """(1,2,1,N) of background and one object."""
    pred, target = (torch.tensor(x, dtype=torch.float64) for x in (probs, labels))
    return [torch.stack([1 - x, x])[None, :, None] for x in (pred, target)]


EXAMPLE = pair([.9, .6, .2, .1], [1, 1, 0, 0])


@pytest.mark.parametrize(('loss', 'expected'), [
    (soft_iou_loss, 1 - .652174), (mask_iou_loss, 1 - .652174), (dice_loss, .166667),
    (l1_loss, .2), (SoftIoULoss(), 1 - .652174), (MaskIoULoss(), 1 - .652174),
    (DiceLoss(), .166667), (L1Loss(), .2)])
def test_published_example(loss, expected):
    assert loss(*EXAMPLE).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('loss', [soft_iou_loss, mask_iou_loss, dice_loss, l1_loss, cross_entropy])
def test_a_perfect_prediction_costs_nothing(loss):
    target = EXAMPLE[1]
    assert loss(target, target).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('loss', [soft_iou_loss, mask_iou_loss])
def test_an_object_that_is_neither_there_nor_predicted_costs_nothing(loss):
    target = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    target[:, 0] = 1
    assert loss(target, target).item() == pytest.approx(0, abs=1e-6)


def test_cross_entropy_is_the_mean_of_logarithms():
    expected = -torch.tensor([.9, .6, .8, .9], dtype=torch.float64).log().mean()
    assert cross_entropy(*EXAMPLE).item() == pytest.approx(expected.item(), abs=1e-12)


def test_the_hardest_share_of_the_pixels():
    """Losses 1 to 10: the mean of the largest four is 8.5."""
    pred, target = pair(torch.arange(-1., -11, -1, dtype=torch.float64).exp().tolist(), [1] * 10)
    assert cross_entropy(pred, target, 0.4).item() == pytest.approx(8.5, abs=1e-5)
    assert cross_entropy(pred, target).item() == pytest.approx(5.5, abs=1e-5)


@pytest.mark.parametrize('loss', [soft_iou_loss, mask_iou_loss, dice_loss, l1_loss, cross_entropy])
def test_wrong_shapes(loss):
    with pytest.raises(ValueError, match=r'one shape \(B,K\+1,H,W\), K >= 1, got \(1, 2, 1, 4\)'):
        loss(EXAMPLE[0], EXAMPLE[1][..., 1:])
    with pytest.raises(ValueError, match='one shape'):
        loss(EXAMPLE[0][:, :1], EXAMPLE[1][:, :1])


@pytest.mark.parametrize(('iteration', 'share'), [
    (0, 1.), (20_000, 1.), (45_000, .575), (70_000, .15), (10**6, .15)])
def test_the_share_shrinks_between_two_iterations(iteration, share):
    assert CrossEntropy(.15, warm_up=(20_000, 70_000)).share(iteration) == pytest.approx(share)


def test_the_share_follows_the_runner():
    pred, target = pair(torch.arange(-1., -11, -1, dtype=torch.float64).exp().tolist(), [1] * 10)
    hub, loss = MessageHub.get_instance('warm-up'), CrossEntropy(.4, warm_up=(10, 20))
    for iteration, expected in ((0, 5.5), (15, 7.), (20, 8.5)):
        hub.update_info('iter', iteration)  # 100 %, 70 %, 40 % of losses 1 to 10
        assert loss(pred, target).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('wrong', [(3, 3), (-1, 5), (5, 2)])
def test_wrong_warm_up(wrong):
    with pytest.raises(ValueError, match=r'expected warm_up=\(start, end\)'):
        CrossEntropy(.4, warm_up=wrong)


def test_sums_of_losses():
    both = LossSum([dict(type='L1Loss'), DiceLoss()], weights=(2, .5))
    assert both(*EXAMPLE).item() == pytest.approx(2 * .2 + .5 * .166667, abs=1e-5)
    assert LossSum([L1Loss(), DiceLoss()])(*EXAMPLE).item() == pytest.approx(.366667, abs=1e-5)
    with pytest.raises(ValueError, match='one weight for each, got 2 losses and 1 weights'):
        LossSum([L1Loss(), DiceLoss()], weights=(1,))
    with pytest.raises(ValueError, match='got 0 losses'):
        LossSum([])
