"""The memory read against brute force and closed forms."""
import pytest
import torch

from mmvos.models import GlobalMatching
from mmvos.models.matching_heads import global_


def case(seed=0, objects=3, key_objects=3, elements=7, queries=11):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in (
        (2, 4, queries), (2, key_objects, 4, elements), (2, objects, 5, elements))]


def brute_force(query, keys, values, similarity='dot', topk=None):
    """One query of one object at a time."""
    batch, objects, _, _ = values.shape
    out = torch.zeros(*values.shape[:3], query.shape[-1], dtype=values.dtype)
    for b in range(batch):
        for k in range(objects):
            key = keys[b, k % keys.shape[1]]
            for m in range(query.shape[-1]):
                q = query[b, :, m]
                score = key.T @ q if similarity == 'dot' else -(key - q[:, None]).square().sum(0)
                score = score / 2  # the root of 4 channels
                best = score.argsort(descending=True)[:topk or len(score)]
                weight = score[best].exp()
                out[b, k, :, m] = (values[b, k][:, best] * weight).sum(1) / weight.sum()
    return out


@pytest.mark.parametrize('key_objects', [1, 3])
@pytest.mark.parametrize('similarity', ['dot', 'l2'])
@pytest.mark.parametrize('topk', [None, 1, 3])
def test_equals_brute_force(key_objects, similarity, topk):
    query, keys, values = case(key_objects=key_objects)
    head = GlobalMatching(topk, similarity=similarity).eval()
    out, _ = head(query, keys, values)
    expected = brute_force(query, keys, values, similarity, topk)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_topk_of_all_is_the_plain_softmax():
    inputs = case()
    torch.testing.assert_close(GlobalMatching(7).eval()(*inputs), GlobalMatching()(*inputs))


def test_topk_is_for_testing_only():
    inputs, head = case(), GlobalMatching(2)
    assert torch.equal(head(*inputs)[0], GlobalMatching()(*inputs)[0])
    assert not torch.equal(head.eval()(*inputs)[0], GlobalMatching()(*inputs)[0])


@pytest.mark.parametrize('autocast', [False, True])
def test_distances_in_bfloat16_are_those_of_its_keys(autocast):
    """Large keys close together: their products, rounded, would differ by more than they do."""
    query, keys, _ = (part.bfloat16() for part in case())
    query, keys = query + 30, keys + 30
    head = GlobalMatching(similarity='l2')
    with torch.autocast('cpu', enabled=autocast):
        found = head.weights(query, keys)
    torch.testing.assert_close(found, head.weights(query.double(), keys.double()).float(),
                               rtol=0, atol=1e-3)


def test_one_element_is_read_as_it_is():
    query, keys, values = case(elements=1)
    out, mass = GlobalMatching()(query, keys, values)
    assert torch.equal(out, values.expand_as(out))
    assert torch.equal(mass, torch.full((2, 3, 1), 11.))


def test_weights_sum_to_one_and_mass_to_the_queries():
    query, keys, values = case()
    head = GlobalMatching(4).eval()
    weights = head.weights(query, keys)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3, 11, dtype=torch.float64))
    torch.testing.assert_close(head(query, keys, values)[1], weights.sum(3))


def test_l2_of_keys_of_one_length_ranks_as_dot():
    query, keys, _ = case()
    keys = keys / keys.norm(dim=2, keepdim=True)
    order = [GlobalMatching(similarity=kind).weights(query, keys).argsort(2)
             for kind in ('dot', 'l2')]
    assert torch.equal(*order)


def test_elements_that_are_not_valid_might_as_well_not_be_there():
    query, keys, values = case()
    valid = torch.ones(2, 3, 7, dtype=torch.bool)
    valid[:, :, 4:] = False
    out, mass = GlobalMatching()(query, keys, values, valid)
    expected, _ = GlobalMatching()(query, keys[..., :4], values[..., :4])
    torch.testing.assert_close(out, expected)
    assert not mass[..., 4:].any()


@pytest.mark.parametrize('topk', [None, 3])
def test_tiles_change_nothing(monkeypatch, topk):
    inputs = case(queries=23)
    expected = GlobalMatching(topk).eval()(*inputs)
    monkeypatch.setattr(global_, 'TILE_BYTES', 5 * 4 * 2 * 3 * 7)
    torch.testing.assert_close(GlobalMatching(topk).eval()(*inputs), expected, rtol=1e-6, atol=1e-6)


def test_wrong_options():
    with pytest.raises(ValueError, match='topk >= 1 or None, got 0'):
        GlobalMatching(0)
    with pytest.raises(ValueError, match="'dot' or 'l2', got 'cosine'"):
        GlobalMatching(similarity='cosine')


@pytest.mark.parametrize('with_valid', [False, True])
def test_queries_above_a_weight_are_counted(monkeypatch, with_valid):
    query, keys, values = case(queries=23)
    valid = torch.arange(7).expand(2, 3, 7) < 5 if with_valid else None
    weights = GlobalMatching().weights(query, keys, valid)
    expected = [[[sum(w > 0.2 for w in element) for element in one] for one in batch]
                for batch in weights.tolist()]
    monkeypatch.setattr(global_, 'TILE_BYTES', 5 * 4 * 2 * 3 * 7)
    out, count = GlobalMatching(count_above=0.2)(query, keys, values, valid)
    assert count.tolist() == expected
    torch.testing.assert_close(out, GlobalMatching()(query, keys, values, valid)[0])
