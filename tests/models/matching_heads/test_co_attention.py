"""Co-attention against its definition and closed forms."""
import pytest
import torch

from mmvos.models.matching_heads import (
    ChannelCoAttention,
    SymmetricCoAttention,
    VanillaCoAttention,
    co_attention,
)

KINDS = [VanillaCoAttention, SymmetricCoAttention, ChannelCoAttention]


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(model):
    """W, as a matrix."""
    if isinstance(model, VanillaCoAttention):
        return model.weight.weight
    if isinstance(model, SymmetricCoAttention):
        p = model.projection.weight
        return p.T @ model.diagonal.diag() @ p
    return model.diagonal.diag()


def random(cls, channels=6):
    torch.manual_seed(0)
    model = cls(channels).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize('cls', KINDS)
def test_equals_the_definition(cls):
    """S = V_b^T W V_a; Z_a = V_b softmax over places of b; Z_b = V_a softmax over places of a."""
    model = random(cls)
    a, b = maps(1, 6, 3, 4), maps(1, 6, 3, 4, seed=1)
    flat_a, flat_b = a[0].flatten(1), b[0].flatten(1)
    affinity = flat_b.T @ matrix(model) @ flat_a  # places of b, places of a
    first = (flat_b @ affinity.softmax(0)).view(1, 6, 3, 4)
    second = (flat_a @ affinity.T.softmax(0)).view(1, 6, 3, 4)
    expected = [z * (model.gate.weight.view(6) @ z.flatten(2)[0] + model.gate.bias).sigmoid()
                .view(1, 1, 3, 4) for z in (first, second)]
    for found, right in zip(model.both(a, b), expected, strict=True):
        torch.testing.assert_close(found, right)
    torch.testing.assert_close(model(a, b[:, :, None])[:, 0], expected[0])


@pytest.mark.parametrize('cls', KINDS)
def test_columns_of_the_attention_sum_to_one(cls):
    """A reference that is the same everywhere is summarised as itself."""
    model = random(cls)
    reference = maps(2, 6, 1, 1).expand(-1, -1, 5, 7)
    found = model.summary(maps(2, 6, 3, 4, seed=2), reference)
    torch.testing.assert_close(found, reference[:, :, :1, :1].expand(-1, -1, 3, 4))


def test_equal_frames_and_no_matrix_give_equal_summaries():
    """W = I and V_a = V_b: S is symmetric, Z_a = Z_b."""
    model = ChannelCoAttention(6).double()
    a = maps(1, 6, 3, 4)
    left, right = model.sides(a.flatten(2), a.flatten(2))
    affinity = torch.einsum('bcm,bcn->bnm', left, right)
    torch.testing.assert_close(affinity, affinity.mT)
    torch.testing.assert_close(*model.both(a, a.clone()))


def test_tiles_do_not_change_the_result(monkeypatch):
    model = random(SymmetricCoAttention)
    target, references = maps(2, 6, 5, 7), maps(2, 6, 3, 5, 7, seed=1)
    whole = model(target, references), model.joint(target, references)
    monkeypatch.setattr(co_attention, 'TILE_BYTES', 4 * 2 * 35 * 4)  # four places at a time
    torch.testing.assert_close(model(target, references), whole[0])
    torch.testing.assert_close(model.joint(target, references), whole[1])


@pytest.mark.parametrize('references', [1, 7])
def test_few_affinities_are_there_at_a_time(references):
    """473x473: 60x60 places, of one reference or of seven side by side."""
    target, sources = torch.zeros(1, 2, 3600), references * 3600
    widths = [tile.shape[-1] for tile in SymmetricCoAttention(2)._tiles(target, sources)]
    assert sum(widths) == 3600
    assert max(widths) * sources * 4 <= 2**26 < 3600 * sources * 4 * 2


def test_affinities_are_float32_under_autocast():
    """Values of some hundreds, which bfloat16 would round to even numbers."""
    model = ChannelCoAttention(4)
    target = torch.tensor([[[16.], [4.], [2.], [1.]]])
    references = torch.tensor([[[16., 16.], [4., 4.], [2., 2.], [0., 1.]]])[:, :, None, None]
    with torch.autocast('cpu', torch.bfloat16):
        found = model.summary(target[..., None], references[:, :, 0])
    weights = torch.tensor([276., 277.]).softmax(0)
    torch.testing.assert_close(found[0, 3, 0, 0].float(), weights[1], atol=1e-2, rtol=0)


def test_joint_is_one_softmax_over_all_references():
    model = random(VanillaCoAttention)
    target, references = maps(1, 6, 2, 3), maps(1, 6, 2, 2, 3, seed=1)
    beside = torch.cat([references[:, :, 0], references[:, :, 1]], 3)  # one wide reference
    torch.testing.assert_close(model.joint(target, references),
                               model(target, beside[:, :, None])[:, 0])


def test_penalty_is_the_distance_from_orthogonal():
    model = SymmetricCoAttention(4)
    assert model.penalty().item() == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        model.projection.weight.copy_(2 * torch.eye(4))
    assert model.penalty().item() == pytest.approx(3 * 4 ** .5)  # |3 I|
    assert VanillaCoAttention(4).penalty().item() == 0


def test_the_released_gate_has_no_bias():
    assert VanillaCoAttention(4, gate_bias=False).gate.bias is None
