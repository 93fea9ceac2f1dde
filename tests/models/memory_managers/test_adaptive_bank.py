"""The adaptive bank against brute force, one element at a time."""
import math

import pytest
import torch

from mmvos.models import AdaptiveBank
from mmvos.models.memory_managers import adaptive_bank
from mmvos.models.memory_managers.element_bank import lowest
from mmvos.testing.construction_contracts import build

FIELDS = ('key', 'value', 'usage', 'created', 'permanent')


def normal(rng, *shape):
    return torch.randn(*shape, generator=rng)


def frame(rng, exists=None, batch=1, objects=1, cells=(2, 3)):
    """Keys of three channels: many are alike."""
    if exists is None:
        exists = torch.ones(batch, objects)
    key, value = (normal(rng, *exists.shape, channels, *cells) for channels in (3, 2))
    return dict(key=key, value=value, exists=exists[:, :, None, None, None].float())


def stored(bank):
    """{(b, k): list of elements as dicts of plain numbers}."""
    found = {}
    for b, k in torch.cartesian_prod(*map(torch.arange, bank.objects['exists'].shape[:2])).tolist():
        where = bank.objects['exists'][b, k, 0]
        columns = [bank.objects[name][b, k][:, where].T.tolist() for name in FIELDS]
        found[b, k] = [dict(zip(FIELDS, row, strict=True)) for row in zip(*columns, strict=True)]
    return found


def unit(x):
    length = math.sqrt(sum(v * v for v in x))
    return [v / length for v in x]


def cosine(x, y):
    return sum(v * w for v, w in zip(unit(x), unit(y), strict=True))


def turned(old, news, rate=0.1):
    """The direction of `old` and the mean of the directions of `news`, with old's length."""
    length = math.sqrt(sum(v * v for v in old))
    mean = [sum(part) / len(news) for part in zip(*map(unit, news), strict=True)]
    mixed = unit([(1 - rate) * v + rate * w for v, w in zip(unit(old), mean, strict=True)])
    return [length * v for v in mixed]


def added(old, new, now, cap):
    """What `AdaptiveBank.add` makes of one object's elements."""
    merged, rest = {}, []
    for element in new:
        free = [n for n, one in enumerate(old) if not one['permanent'][0]]
        best = max(free, key=lambda n: cosine(old[n]['key'], element['key']), default=None)
        alike = best is not None and cosine(old[best]['key'], element['key']) > 0.95
        if alike and not element['permanent'][0]:
            merged.setdefault(best, []).append(element)
        else:
            rest.append(element)
    out = [{**one, **{name: turned(one[name], [x[name] for x in merged[n]])
                      for name in ('key', 'value') if n in merged}} for n, one in enumerate(old)]
    while len(out) + len(rest) > cap:
        free = [n for n, one in enumerate(out) if not one['permanent'][0]]
        if not free:
            rest.pop(0)
            continue
        out.pop(min(free, key=lambda n: out[n]['usage'][0] / (now - out[n]['created'][0])))
    return out + rest


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for where, elements in expected.items():
        assert len(found[where]) == len(elements)
        for one, other in zip(found[where], elements, strict=True):
            assert {name: one[name] for name in FIELDS[3:]} == {
                name: other[name] for name in FIELDS[3:]}
            for name in FIELDS[:3]:
                assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-5), name


def test_random_steps_equal_brute_force(monkeypatch):
    """Two videos, the second with an object less; the third object comes late."""
    monkeypatch.setattr(adaptive_bank, 'TILE_BYTES', 4 * 600)  # a few keys at a time
    rng, bank, merges, evictions = torch.Generator().manual_seed(0), AdaptiveBank(60), 0, 0
    for now in range(50):
        exists = torch.tensor([[1, 1, now >= 7], [1, 1, 0]])
        new = frame(rng, exists)
        permanent = torch.tensor([[now == 0, now == 0, now == 7], [now == 0, now == 0, False]])
        before = {where: [] for where in [(b, k) for b in range(2) for k in range(3)]}
        if bank.objects:
            bank.count(torch.rand(bank.objects['usage'][:, :, 0].shape, generator=rng) * 9)
            before = stored(bank)
        bank.add(now, objects=new, permanent=permanent)
        expected = {}
        for (b, k), old in before.items():
            columns = [new[name][b, k].flatten(1).T.tolist() for name in FIELDS[:2]]
            elements = [dict(key=key, value=value, usage=[0.], created=[now],
                             permanent=[permanent[b, k].item()])
                        for key, value in zip(*columns, strict=True) if exists[b, k]]
            cap = 60 // int(exists[b].sum())
            expected[b, k] = added(old, elements, now, cap)
            appended = sum(one['created'] == [now] for one in expected[b, k])
            merges += len(elements) - appended
            evictions += len(old) + appended - len(expected[b, k])
        assert_same(stored(bank), expected)
    assert merges > 100
    assert evictions > 100


def test_a_thousand_random_steps_keep_what_is_permanent_and_the_budget():
    rng, bank, kept = torch.Generator().manual_seed(1), AdaptiveBank(60), [[], []]
    for now in range(1000):
        permanent = torch.tensor([[now in (0, 300), now in (0, 40, 700)]])
        new = frame(rng, objects=2, cells=(1, 4))
        if bank.objects:
            bank.count(torch.rand(bank.objects['usage'][:, :, 0].shape, generator=rng).exp() // 1)
        bank.add(now, objects=new, permanent=permanent)
        keys, values, valid = bank.elements(now)
        valid = torch.ones(1, 2, keys.shape[-1], dtype=torch.bool) if valid is None else valid
        for k in range(2):
            both = torch.cat([keys, values], 2)[0, k].T[valid[0, k]]
            if permanent[0, k]:
                kept[k] += list(torch.cat([new['key'], new['value']], 2)[0, k].flatten(1).T)
            assert len(both) <= 30
            there = (torch.stack(kept[k])[:, None] == both).all(2).any(1)
            assert there.all(), f'a permanent element is gone after frame {now}'
    assert [len(elements) for elements in kept] == [8, 12]
    assert valid.sum(-1).tolist() == [[30, 30]]


def test_of_equal_ones_only_as_many_go_as_have_to():
    """Six elements with usage [.5, .1, .1, .1, .9, .3], four may stay: exactly four do."""
    index = torch.tensor([.5, .1, .1, .1, .9, .3])
    gone = lowest(index, torch.tensor([2]))
    assert gone.tolist() == [False, True, True, False, False, False]
    assert not lowest(index, torch.tensor([-1])).any()
    assert lowest(index.masked_fill(gone, torch.inf), torch.tensor([9])).sum() == 4
    keys = torch.eye(6)[None, None, :, None]  # none like another
    ones = dict(value=torch.arange(6.).view(1, 1, 1, 1, 6), exists=torch.ones(1, 1, 1, 1, 1))
    bank = AdaptiveBank(6)
    bank.add(0, objects=dict(key=keys, **ones))
    bank.objects['usage'][0, 0, 0] = index
    bank.budget = 4
    bank.add(1, objects=dict(key=keys, **ones))  # all are merged, and two have to go
    assert bank.elements(2)[1][0, 0, 0].tolist() == [0, 3, 4, 5]


def test_usage_counts_frames_by_the_logarithm_of_their_queries():
    bank = AdaptiveBank()
    rng = torch.Generator().manual_seed(0)
    bank.add(0, objects=frame(rng, cells=(1, 2)), permanent=True)
    bank.count(torch.tensor([[[0., 7.]]]))
    bank.count(torch.tensor([[[1., 7.]]]))
    assert bank.objects['usage'].flatten().tolist() == pytest.approx([math.log(2), 2 * math.log(8)])
    bank.grow(2)  # an object that came after the frame was read
    bank.count(torch.tensor([[[1., 0.]]]))
    assert bank.objects['usage'][0, 1].tolist() == [[0, 0]]
    assert bank.objects['usage'][0, 0, 0].tolist() == pytest.approx([2 * math.log(2),
                                                                     2 * math.log(8)])


def test_what_is_like_a_permanent_element_is_stored_beside_it_once():
    rng, bank = torch.Generator().manual_seed(0), AdaptiveBank()
    new = frame(rng, cells=(1, 1))
    for now in range(5):
        bank.add(now, objects=new, permanent=now == 0)
    assert bank.objects['created'].flatten().tolist() == [0, 1]


def test_a_correction_overwrites_what_it_is_like():
    """A prediction turns a stored element by a tenth, a drawn mask wholly; lengths stay."""
    key = torch.tensor([1., 0.]).view(1, 1, 2, 1, 1)
    wrong, right = (torch.tensor(v).view(1, 1, 2, 1, 1) for v in ([2., 0.], [0., 3.]))
    exists = torch.ones(1, 1, 1, 1, 1)
    for given, expected in ((None, torch.tensor([.9, .1]) / .82**.5 * 2),
                            (torch.ones(1, 1, dtype=torch.bool), torch.tensor([0., 2.]))):
        bank = AdaptiveBank(10)
        bank.add(0, objects=dict(key=key, value=wrong, exists=exists))
        bank.add(1, objects=dict(key=key, value=right, exists=exists), given=given)
        values = bank.elements(2)[1][0, 0, :, 0]
        torch.testing.assert_close(values, expected)


def test_a_gradient_flows_through_merged_elements():
    """To the old and the new ones, as the formula has it."""
    rng = torch.Generator().manual_seed(0)
    old = {name: x.requires_grad_() for name, x in frame(rng, cells=(1, 1)).items()}
    new = {name: (x * 3 + 0.1).detach().requires_grad_() for name, x in old.items()}
    bank = AdaptiveBank()
    bank.add(0, objects=old)
    bank.add(1, objects=new)
    found = bank.elements(2)
    assert found[0].shape[-1] == 1
    formula = []
    for name in ('key', 'value'):
        x, y = old[name].flatten(), new[name].flatten()
        mixed = 0.9 * x / x.norm() + 0.1 * y / y.norm()
        formula.append(x.norm() * mixed / mixed.norm())
    for tensor, expected in zip(found, formula, strict=False):
        torch.testing.assert_close(tensor.flatten(), expected)
    inputs = [x[name] for x in (old, new) for name in ('key', 'value')]
    grads = [torch.autograd.grad((out[0].flatten()[0] + out[1].flatten()[1]), inputs)
             for out in (found, formula)]
    for ours, theirs in zip(*grads, strict=True):
        assert theirs.abs().max() > 1e-3
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_bfloat16_keys_are_compared_in_float32():
    """0.9496 is 0.95 in bfloat16."""
    keys = torch.tensor([[1., 0.], [0.9496, math.sqrt(1 - 0.9496**2)]])
    for similarity, expected in ((0.95, 2), (0.9490, 1)):
        bank = AdaptiveBank(similarity=similarity)
        with torch.autocast('cpu', torch.bfloat16):
            for now, key in enumerate(keys):
                one = torch.ones(1, 1, 1, 1, 1)
                bank.add(now, objects=dict(key=key.view(1, 1, 2, 1, 1), value=one, exists=one))
        assert bank.elements(2)[0].shape[-1] == expected


def test_what_cannot_be_kept():
    rng = torch.Generator().manual_seed(0)
    bank = AdaptiveBank(10)
    bank.add(0, objects=frame(rng), permanent=True)
    with pytest.raises(ValueError, match='hold 12 elements of an object, but budget=10 leaves 10'):
        bank.add(1, objects=frame(rng), permanent=True)
    with pytest.raises(ValueError, match='for 6 elements of an object.* max_memory_mb=1e-05'):
        AdaptiveBank(max_memory_mb=1e-5).add(0, objects=frame(rng), permanent=True)
    with pytest.raises(ValueError, match="'key', 'value' and 'exists' of objects, got .'label'"):
        bank.add(3, objects=dict(label=torch.zeros(1, 1, 1, 1, 1)))
    for wrong, message in ((dict(budget=0), 'expected budget >= 1, got 0'),
                           (dict(similarity=-1), 'expected similarity >= 0 .* -1 and 0.1'),
                           (dict(rate=2), '0 <= rate <= 1, got 0.95 and 2')):
        with pytest.raises(ValueError, match=message):
            AdaptiveBank(**wrong)
    with pytest.raises(ValueError, match=r"the elements of AdaptiveBank, got \['0/objects/key'\]"):
        build(AdaptiveBank).restore({'0/objects/key': torch.zeros(1)}, {})
