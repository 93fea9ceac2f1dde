"""Soft IoU against published values, the assignment against brute force."""
from itertools import permutations

import pytest
import torch

from mmvos.models.losses import SetMatcher, pairwise_soft_iou, soft_iou, soft_iou_of_slots
from mmvos.models.losses.set_matching import INVALID


def case(seed, slots=5, objects=3, size=(4, 6)):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.rand(1, slots, *size, generator=generator, dtype=torch.float64)
    target = (torch.rand(1, objects, *size, generator=generator) > .5).double()
    return pred, target, torch.ones(1, objects, dtype=torch.bool)


class TestSoftIoU:

    def test_published_example(self):
        """The slides' form, with a plus, would give .283019."""
        p, y = (torch.tensor([x], dtype=torch.float64) for x in ([.9, .6, .2, .1], [1, 1, 0, 0]))
        assert soft_iou(p, y).item() == pytest.approx(.652174, abs=1e-5)

    def test_a_perfect_match_is_1(self):
        y = torch.ones(1, 4)
        assert soft_iou(y, y).item() == pytest.approx(1, abs=1e-5)

    def test_an_empty_truth_is_0_without_gradient(self):
        p = torch.full((3, 4), .3, requires_grad=True)
        value = soft_iou(p, torch.zeros(3, 4))
        value.backward()
        assert value.item() == 0
        assert not p.grad.any()

    def test_pairs_are_single_values(self):
        pred, target, _ = case(0)
        found = pairwise_soft_iou(pred, target)
        for p in range(5):
            for g in range(3):
                assert found[0, p, g].item() == pytest.approx(
                    soft_iou(pred[0, p], target[0, g]).item(), abs=1e-12)


def total(cost, slots):
    return sum(cost[0, slot, g].item() for g, slot in enumerate(slots[0].tolist()) if slot >= 0)


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize(('candidates', 'allowed'), [('first_n', 3), ('all', 5)])
def test_least_cost_of_all_assignments(candidates, allowed, seed):
    pred, target, valid = case(seed)
    slots = SetMatcher(candidates)(pred, target, valid)
    cost = 1 - pairwise_soft_iou(pred, target)
    best = min(sum(cost[0, p, g].item() for g, p in enumerate(chosen))
               for chosen in permutations(range(allowed), 3))
    assert total(cost, slots) == pytest.approx(best, abs=1e-12)
    assert len(set(slots[0].tolist())) == 3
    assert slots.max() < allowed


@pytest.mark.parametrize('candidates', ['first_n', 'all'])
@pytest.mark.parametrize('order', list(permutations(range(3))))
def test_permuted_truth_gives_permuted_slots(candidates, order):
    pred, target, valid = case(7)
    matcher = SetMatcher(candidates)
    plain = matcher(pred, target, valid)
    turned = matcher(pred, target[:, order], valid[:, order])
    assert torch.equal(turned, plain[:, order])
    losses = [soft_iou_of_slots(pred, y, slots, valid).item()
              for y, slots in ((target, plain), (target[:, order], turned))]
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)


@pytest.mark.parametrize('candidates', ['first_n', 'all'])
@pytest.mark.parametrize('valid', [[True, False, True], [False, True, False], [False] * 3])
def test_what_is_not_valid_has_no_slot_and_takes_none(candidates, valid):
    """An invalid object that fits a slot perfectly, and valid ones that fit nothing."""
    pred, target, _ = case(3)
    valid = torch.tensor([valid])
    target[0, ~valid[0]] = 1
    pred[:] = .01
    pred[0, :2] = 1
    slots = SetMatcher(candidates)(pred, target, valid)
    assert torch.equal(slots >= 0, valid)
    assert SetMatcher(candidates).cost(pred, target, valid)[0, :, ~valid[0]].eq(INVALID).all()
    if candidates == 'first_n':
        assert slots.max() < valid.sum()


def test_flags_follow_the_objects_to_far_slots():
    """The only object sits in the last slot: 'all' finds it there, 'first_n' must not."""
    pred, target, _ = case(0)
    valid = torch.tensor([[False, True, False]])
    pred[0, 4] = target[0, 1]
    assert SetMatcher('all')(pred, target, valid).tolist() == [[-1, 4, -1]]
    assert SetMatcher('first_n')(pred, target, valid).tolist() == [[-1, 0, -1]]
    slots = SetMatcher('all')(pred, target, valid)
    assert soft_iou_of_slots(pred, target, slots, valid).item() == pytest.approx(0, abs=1e-6)


def test_more_objects_than_slots():
    """Two slots, three objects: the pair with the least cost is learnt, the third is not."""
    pred, target, valid = case(1, slots=2)
    pred[0] = target[0, [2, 0]]
    slots = SetMatcher()(pred, target, valid)
    assert slots.tolist() == [[1, -1, 0]]
    assert soft_iou_of_slots(pred, target, slots, valid).item() == pytest.approx(0, abs=1e-6)


def test_mean_over_what_counts():
    pred, target, _ = case(2)
    slots = torch.tensor([[4, -1, 1]])
    each = [1 - soft_iou(pred[0, p], target[0, g]).item() for g, p in ((0, 4), (2, 1))]
    every = torch.ones(1, 3, dtype=torch.bool)
    found = soft_iou_of_slots(pred, target, slots, every)
    assert found.item() == pytest.approx(sum(each) / 2, abs=1e-9)
    one = soft_iou_of_slots(pred, target, slots, torch.tensor([[False, True, True]]))
    assert one.item() == pytest.approx(each[1], abs=1e-9)


def test_nothing_to_count_is_0_with_a_gradient():
    pred, target, valid = case(0)
    pred.requires_grad_()
    loss = soft_iou_of_slots(pred, target, torch.full((1, 3), -1), valid)
    loss.backward()
    assert loss.item() == 0
    assert not pred.grad.any()


def test_unknown_candidates():
    with pytest.raises(ValueError, match=r"one of \('first_n', 'all'\), got 'some'"):
        SetMatcher('some')
