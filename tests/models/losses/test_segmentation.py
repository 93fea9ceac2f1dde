"""Losses against numbers worked out by hand (and the published forms of the IoU)."""
import pytest
import torch

from mmvos.models.losses import cross_entropy, dice_loss, mask_iou_loss, soft_iou_loss


def pair(probs, labels):
    """(1,2,1,N) of background and one object."""
    pred, target = (torch.tensor(x, dtype=torch.float64) for x in (probs, labels))
    return [torch.stack([1 - x, x])[None, :, None] for x in (pred, target)]


EXAMPLE = pair([.9, .6, .2, .1], [1, 1, 0, 0])


@pytest.mark.parametrize(('loss', 'expected'), [
    (soft_iou_loss, 1 - .652174), (mask_iou_loss, 1 - .652174), (dice_loss, .166667)])
def test_published_example(loss, expected):
    assert loss(*EXAMPLE).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('loss', [soft_iou_loss, mask_iou_loss, dice_loss, cross_entropy])
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


@pytest.mark.parametrize('loss', [soft_iou_loss, mask_iou_loss, dice_loss, cross_entropy])
def test_wrong_shapes(loss):
    with pytest.raises(ValueError, match=r'one shape \(B,K\+1,H,W\), K >= 1, got \(1, 2, 1, 4\)'):
        loss(EXAMPLE[0], EXAMPLE[1][..., 1:])
    with pytest.raises(ValueError, match='one shape'):
        loss(EXAMPLE[0][:, :1], EXAMPLE[1][:, :1])
