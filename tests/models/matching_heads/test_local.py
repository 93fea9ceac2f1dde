"""Local matching against brute force and closed forms."""
import math

import pytest
import torch
import torch.nn.functional as F

from mmvos.models import EuclideanMatching, LocalMatching


def brute_force(query, keys, values, radius, topk):
    """Unfold every window, one softmax over all references; the definition."""
    batch, channels, height, width = query.shape
    side = 2 * radius + 1

    def windows(x):  # B,C,T,h,w -> B,C,T*P*P,h*w
        flat = F.unfold(x.transpose(1, 2).flatten(0, 1), side, padding=radius)
        flat = flat.unflatten(0, (batch, -1)).unflatten(2, (x.shape[1], side * side))
        return flat.permute(0, 2, 1, 3, 4).flatten(2, 3)

    logits = (query.flatten(2)[:, :, None] * windows(keys)).sum(1) / math.sqrt(channels)
    value = windows(values.flatten(1, 2))
    if topk is not None and topk < logits.shape[1]:
        kth, index = logits.topk(topk, 1)
        weights = torch.zeros_like(logits).scatter(1, index, kth.softmax(1))
    else:
        weights = logits.softmax(1)
    out = (value * weights[:, None]).sum(2)
    return out.view(batch, *values.shape[1:3], height, width)


def random_case(height, width, refs, num_objects=3, batch=1, channels=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=g, dtype=torch.float64) for shape in (
        (batch, channels, height, width), (batch, channels, refs, height, width),
        (batch, num_objects, 2, refs, height, width))]


@pytest.mark.parametrize('topk', [None, 1, 9, 36, 10**6])
@pytest.mark.parametrize(('size', 'radius', 'refs', 'batch'),
                         [((13, 19), 3, 2, 2), ((4, 16), 6, 1, 1), ((3, 5), 12, 3, 1)])
def test_equals_unfold(topk, size, radius, refs, batch):
    query, keys, values = random_case(*size, refs, batch=batch)
    out = LocalMatching(radius, topk)(query, keys, values)
    assert (out - brute_force(query, keys, values, radius, topk)).abs().max() < 1e-12


@pytest.mark.parametrize('topk', [1, 9, 36, 625])
def test_identity(topk):
    g = torch.Generator().manual_seed(0)
    feat = F.normalize(torch.randn(1, 64, 24, 40, generator=g, dtype=torch.float64), dim=1)
    feat = feat * math.sqrt(8 * 50)
    labels = torch.randint(0, 4, (1, 24, 40), generator=g)
    value = F.one_hot(labels, 4).permute(0, 3, 1, 2)[:, :, None, None].double()
    out = LocalMatching(12, topk)(feat, feat[:, :, None], value)
    assert (out[:, :, 0] - value[:, :, 0, 0]).abs().max() < 1e-8


def shifted(dx, dy):
    g = torch.Generator().manual_seed(1)
    ref = F.normalize(torch.randn(1, 64, 24, 40, generator=g), dim=1) * math.sqrt(8 * 50)
    labels = torch.zeros(1, 1, 1, 1, 24, 40)
    labels[..., 10:14, 12:16] = 1
    query = ref.roll((dy, dx), (2, 3))
    return query, ref[:, :, None], torch.cat([1 - labels, labels], 1), labels[0, 0, 0, 0].roll(
        (dy, dx), (0, 1))


def test_shift_within_the_radius():
    query, keys, values, expected = shifted(5, -3)
    out = LocalMatching(12, 36)(query, keys, values)[0, :, 0].argmax(0)
    assert torch.equal(out[:-3, 5:], expected[:-3, 5:].long())


def test_shift_beyond_the_radius_needs_the_offset():
    query, keys, values, expected = shifted(15, 0)
    head = LocalMatching(12, 36)
    lost = head(query, keys, values)[0, :, 0].argmax(0)
    assert (lost * expected).sum() == 0
    offset = torch.zeros(1, 1, 2, 24, 40)
    offset[:, :, 0] = -15
    out = head(query, keys, values, offset)[0, :, 0].argmax(0)
    assert torch.equal(out[:, 15:], expected[:, 15:].long())


def test_topk_is_joint_over_references():
    query = torch.ones(1, 4, 8, 8)
    keys = torch.ones(1, 4, 2, 8, 8)
    keys[:, :, 1] += 5  # logits +10 on the second reference
    values = torch.zeros(1, 1, 2, 2, 8, 8)
    values[:, :, 0, 0] = values[:, :, 1, 1] = 1  # channel says which reference was picked
    out = LocalMatching(2, 9)(query, keys, values)[0, 0]
    assert torch.all(out[0] == 0)
    assert torch.allclose(out[1, 2:-2, 2:-2], torch.ones(4, 4))


def test_order_of_references_does_not_matter():
    query, keys, values = random_case(9, 17, 4)
    order = [2, 0, 3, 1]
    head = LocalMatching(3, 9)
    out = head(query, keys[:, :, order], values[:, :, :, order])
    assert (out - head(query, keys, values)).abs().max() < 1e-14


def test_all_candidates_equals_full_softmax_in_float32():
    query, keys, values = (x.float() for x in random_case(12, 20, 2))
    out = LocalMatching(3, 2 * 49)(query, keys, values)
    assert (out - LocalMatching(3)(query, keys, values)).abs().max() < 2e-6


@pytest.mark.parametrize(('radius', 'corner', 'edge'), [(12, (13 / 25)**2, 13 / 25),
                                                        (6, (7 / 13)**2, 7 / 13)])
def test_border_takes_its_share_of_the_softmax(radius, corner, edge):
    out = LocalMatching(radius)(torch.zeros(1, 8, 120, 214), torch.zeros(1, 8, 1, 120, 214),
                                torch.ones(1, 1, 1, 1, 120, 214))[0, 0, 0]
    assert out[0, 0] == pytest.approx(corner, abs=1e-5)
    assert out[0, 107] == pytest.approx(edge, abs=1e-5)
    assert out[60, 107] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('topk', [None, 5])
def test_gradcheck(topk):
    query, keys, values = random_case(5, 6, 2, num_objects=1, channels=3)
    inputs = [x.requires_grad_() for x in (query, keys, values)]
    assert torch.autograd.gradcheck(LocalMatching(1, topk), inputs)


def test_autocast_keeps_float32():
    query, keys, values = (x.float() for x in random_case(8, 16, 1))
    plain = LocalMatching(2, 5)(query, keys, values)
    with torch.autocast('cpu', torch.bfloat16):
        cast = LocalMatching(2, 5)(query, keys, values)
    assert torch.equal(plain, cast)


def test_bad_arguments():
    with pytest.raises(ValueError, match='topk'):
        LocalMatching(3, 0)


@pytest.mark.parametrize('topk', [None, 1, 9])
def test_euclidean_equals_distances_of_pixels(topk):
    """Pair by pair: no window, no product."""
    query, keys, values = random_case(5, 6, 2, batch=2)
    keys = keys * torch.linspace(0.5, 2, 6, dtype=torch.float64)  # norms that differ
    r, temperature = 2, 3.
    out = EuclideanMatching(r, topk, temperature=temperature)(query, keys, values)
    key, value = (F.pad(x, (r, r, r, r)) for x in (keys, values.flatten(1, 2)))
    for y in range(5):
        for x in range(6):
            window = key[..., y:y + 2 * r + 1, x:x + 2 * r + 1].flatten(2)  # B,C,N
            distance = (query[:, :, y, x, None] - window).square().sum(1)
            kept = distance.topk(topk or distance.shape[1], largest=False)
            weight = (kept.values / (-2 * temperature)).softmax(1)
            read = value[..., y:y + 2 * r + 1, x:x + 2 * r + 1].flatten(2).gather(
                2, kept.indices[:, None].expand(-1, 6, -1))
            expected = (read * weight[:, None]).sum(2)
            assert (out[..., y, x].flatten(1) - expected).abs().max() < 1e-12


def test_a_large_key_wins_products_but_not_distances():
    query = torch.ones(1, 4, 8, 8)
    keys = torch.stack([query, 3 * query], 2)
    values = torch.zeros(1, 1, 1, 2, 8, 8)
    values[:, :, :, 1] = 1  # where the large key was read
    inner = slice(2, -2)
    for head, expected in ((LocalMatching, 1), (EuclideanMatching, 0)):
        out = head(1, 9)(query, keys, values)[0, 0, 0, inner, inner]
        assert torch.allclose(out, torch.full_like(out, expected), atol=1e-2)


def test_euclidean_in_half_precision_tells_near_candidates_apart():
    """Norms of 2,700 (those of MAMP's features) have steps of 16 in bfloat16."""
    query, keys, values = random_case(9, 11, 2, channels=64)
    query, keys = (x.bfloat16() * 6.5 for x in (query, keys))
    head = EuclideanMatching(2, 9, temperature=64.)
    out = head(query, keys, values.float())
    assert (out - head(query.double(), keys.double(), values)).abs().max() < 2e-3


def test_euclidean_keeps_the_temperature_of_products():
    assert EuclideanMatching(2).scale(66) == LocalMatching(2).scale(64)
