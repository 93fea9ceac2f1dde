"""The least-frequently-used memory against brute force, one element at a time."""
import pytest
import torch

from mmvos.models.memory_managers import UsageBank


def frame(rng, exists, cells=(1, 3)):
    """Keys of one channel, random, which also name the elements."""
    key = torch.rand(*exists.shape, 1, *cells, generator=rng)
    return dict(key=key, value=key.clone(), exists=exists[:, :, None, None, None].float())


def stored(bank, k):
    """The keys of an object's elements."""
    keys, _, valid = bank.elements(0)
    there = torch.ones_like(keys[:, :, 0], dtype=torch.bool) if valid is None else valid
    return keys[0, k, 0][there[0, k]].tolist()


def test_random_steps_equal_brute_force():
    """Plain lists: usage is the mean of the weights that an element was read with.

    The second object comes on frame 30, the first is given again on frame 61.
    """
    rng, bank, lists = torch.Generator().manual_seed(0), UsageBank(20, every=2), [[], []]
    for now in range(1000):
        exists = torch.tensor([[1, now >= 30]])
        given = torch.tensor([[now in (0, 61), now == 30]])
        if now == 30:
            bank.grow(2)
        if now:
            keys = bank.elements(now)[0]
            mass = torch.randint(0, 4, keys.shape[:2] + keys.shape[3:], generator=rng).float()
            bank.count(mass)
            for k, elements in enumerate(lists[:keys.shape[1]]):
                for weight, element in zip(mass[0, k].tolist(), elements, strict=False):
                    element['sum'] += weight
                    element['reads'] += 1
        objects = 2 if now >= 30 else 1
        new = frame(rng, exists[:, :objects])
        bank.add(now, objects=new, permanent=given[:, :objects])
        for k in range(objects):
            fresh = [dict(key=key, sum=0., reads=0, kept=bool(given[0, k]))
                     for key in new['key'][0, k].flatten().tolist()]
            if now % 2 == 0 or given[0, k]:
                lists[k] += fresh
        for k in range(objects):
            excess = len(lists[k]) - 20
            free = [n for n, one in enumerate(lists[k]) if not one['kept']]
            free.sort(key=lambda n: lists[k][n]['sum'] / lists[k][n]['reads']
                      if lists[k][n]['reads'] else float('inf'))
            gone = set(free[:max(0, excess)])
            lists[k] = [one for n, one in enumerate(lists[k]) if n not in gone]
            assert stored(bank, k) == [one['key'] for one in lists[k]]
    assert sum(one['kept'] for one in lists[0]) == 6
    assert len(lists[0]) == len(lists[1]) == 20


def test_of_equal_ones_only_as_many_go_as_have_to():
    """Usage .5, .1, .1, .1, .9, .3 and room for four: two of the three equal ones go."""
    rng, bank = torch.Generator().manual_seed(0), UsageBank(7, every=1)
    exists = torch.ones(1, 1)
    bank.add(0, objects=frame(rng, exists, (1, 6)))
    keys = stored(bank, 0)
    bank.count(torch.tensor([[[.5, .1, .1, .1, .9, .3]]]))
    new = frame(rng, exists, (1, 3))
    bank.add(1, objects=new)
    assert stored(bank, 0) == [keys[0], *keys[3:], *new['key'].flatten().tolist()]


def test_usage_is_the_mean_weight():
    rng, bank = torch.Generator().manual_seed(0), UsageBank(100, every=1)
    bank.add(0, objects=frame(rng, torch.ones(1, 1)))
    bank.count(torch.tensor([[[1., 2., 3.]]]))
    bank.add(1, objects=frame(rng, torch.ones(1, 1)))
    bank.count(torch.tensor([[[2., 2., 2., 5., 0., 4.]]]))
    score = bank.score(bank.objects, 2).flatten().tolist()
    assert score == [1.5, 2., 2.5, 5., 0., 4.]


@pytest.mark.parametrize(('every', 'start', 'frames'), [
    (3, 0, [0, 3, 6, 9]), (5, 0, [0, 5]), (3, 4, [4, 7])])
def test_which_frames_are_stored(every, start, frames):
    bank, rng = UsageBank(1000, every=every), torch.Generator().manual_seed(0)
    for now in range(start, 10):
        bank.add(now, objects=frame(rng, torch.ones(1, 1)), permanent=now == start)
    assert bank.objects['created'].flatten().unique().tolist() == frames


def test_corrections_are_stored_when_it_is_not_their_turn():
    """Of one object; and they may be forgotten."""
    bank, rng = UsageBank(1000, every=3), torch.Generator().manual_seed(0)
    for now in range(3):
        new, given = frame(rng, torch.ones(1, 2)), torch.tensor([[now == 2, False]])
        assert bank.wants(now, given=given) == (now != 1)
        bank.add(now, objects=new, permanent=now == 0, given=given)
    assert [len(stored(bank, k)) for k in range(2)] == [6, 3]
    assert stored(bank, 0)[3:] == new['key'][0, 0].flatten().tolist()
    kept = bank.objects['permanent'] & bank.objects['exists']
    assert kept.sum(-1).flatten().tolist() == [3, 3]


def test_the_turn_is_saved():
    bank, rng = UsageBank(1000, every=3), torch.Generator().manual_seed(0)
    bank.add(4, objects=frame(rng, torch.ones(1, 1)))
    copy = UsageBank(1000, every=3)
    copy.restore(bank.tensors(), bank.facts())
    for now in (5, 6, 7):
        new = frame(rng, torch.ones(1, 1))
        bank.add(now, objects=new)
        copy.add(now, objects=new)
    assert stored(bank, 0) == stored(copy, 0)
    assert len(stored(copy, 0)) == 6


def test_refusals():
    with pytest.raises(ValueError, match='UsageBank: every should be 1 or more, got 0'):
        UsageBank(every=0)
    with pytest.raises(ValueError, match='facts of a UsageBank'):
        UsageBank().restore({}, {})
