"""Stop, class and box of RSIS: values by hand."""
import math

import pytest
import torch

from mmvos.models.decode_heads import ObjectHeads
from mmvos.models.decode_heads.object_heads import boxes_of


def masks(*boxes):
    out = torch.zeros(len(boxes), 8, 10)
    for mask, (left, top, right, bottom) in zip(out, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return out


def test_boxes():
    found, seen = boxes_of(masks((2, 4, 5, 8), (0, 0, 10, 8), (0, 0, 0, 0), (9, 7, 10, 8)))
    assert seen.tolist() == [True, True, False, True]
    expected = torch.tensor([[.2, .5, .5, 1], [0, 0, 1, 1], [.9, 7 / 8, 1, 1]])
    torch.testing.assert_close(found[seen], expected)


def biased(**biases):
    """Heads that say the same of every object."""
    heads = ObjectHeads(3, num_classes=2, box=True)
    for name, linear in heads.linear.items():
        torch.nn.init.zeros_(linear.weight)
        linear.bias.data = torch.tensor(biases[name])
    return heads


def test_losses_by_hand():
    """Four slots; object 0 sits in slot 2, object 1 has none."""
    heads = biased(**{'stop': [0.], 'class': [0., math.log(3)], 'box': [0., 0., 0., 0.]})
    hidden = [torch.randn(1, 4, 3, 2, 2)]
    target = masks((0, 0, 10, 8), (0, 0, 1, 1))[None]
    losses = heads.losses(hidden, torch.tensor([[2, -1]]), target, torch.tensor([[0, 1]]))
    assert losses['loss_stop'].item() == pytest.approx(.5 * math.log(2))
    assert losses['loss_class'].item() == pytest.approx(.1 * math.log(4))
    assert losses['loss_box'].item() == pytest.approx(.5)


def test_stop_is_asked_of_every_slot():
    """Slots with an object say 1, all others 0."""
    heads = ObjectHeads(1)
    torch.nn.init.ones_(heads.linear['stop'].weight)
    torch.nn.init.zeros_(heads.linear['stop'].bias)
    right = torch.tensor([-9., 9., 9., -9.])[None, :, None, None, None]
    slots, target = torch.tensor([[2, 1]]), masks((0, 0, 1, 1), (1, 1, 2, 2))[None]
    assert heads.losses([right], slots, target, None)['loss_stop'] < 1e-3
    assert heads.losses([right.flip(1) * -1], slots, target, None)['loss_stop'] > 1


def test_nothing_there_costs_nothing_but_stop():
    heads = biased(**{'stop': [0.], 'class': [0., 1.], 'box': [0., 0., 0., 0.]})
    losses = heads.losses([torch.randn(1, 2, 3, 2, 2)], torch.tensor([[-1]]),
                          torch.zeros(1, 1, 8, 10), torch.tensor([[0]]))
    assert losses['loss_class'] == losses['loss_box'] == 0


def test_classes_are_missing():
    with pytest.raises(ValueError, match='with gt_classes .* set heads.num_classes=None'):
        ObjectHeads(3, num_classes=2).losses([torch.zeros(1, 1, 3, 2, 2)], torch.tensor([[0]]),
                                             torch.zeros(1, 1, 8, 10), None)


@torch.no_grad()
def test_the_first_stop_ends_the_list():
    heads = ObjectHeads(1)
    torch.nn.init.ones_(heads.linear['stop'].weight)
    torch.nn.init.zeros_(heads.linear['stop'].bias)
    said = torch.tensor([[1., -1, 1], [-1, 1, 1], [1, 1, 1]])[:, :, None, None, None]
    assert heads.going([said]).tolist() == [[True, False, False], [False] * 3, [True] * 3]
