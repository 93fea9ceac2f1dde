"""The three streams against masked attention over all tokens, who sees whom, and their cost."""
import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmvos.models.backbones.stml import (
    ConvViTSTML,
    JointAttention,
    JointConvViTSTML,
    STMLBlock,
    StreamAttention,
    Tokens,
    ViTSTML,
    fit_positions,
    sine_positions,
)

CHANNELS, HEADS = 16, 2


def tokens(batch=2, objects=3, references=2, cells=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, objects), (batch, references, cells), (batch, cells)
    return Tokens(*(torch.randn(*shape, CHANNELS, generator=generator, dtype=torch.float64)
                    for shape in shapes))


def random(cls, *args):
    torch.manual_seed(0)
    return cls(*args).double()


def plainly(attention, stream, valid):
    """One softmax over all tokens, of which each sees what section 3.2 lets it see."""
    batch, count, cells, channels = stream.references.shape
    objects = stream.objects.shape[1]
    x = torch.cat([stream.test, stream.references.flatten(1, 2), stream.objects], 1)
    kind = torch.tensor([0] * cells + [1 + i for i in range(count) for _ in range(cells)]
                        + [-1] * objects)
    query, key = kind[:, None], kind
    seen = torch.where(query == 0, key >= 0,  # the test frame sees frames
                       torch.where(query > 0, (key == query) | (key == -1), key == -1))
    seen = seen.expand(batch, -1, -1).clone()
    hidden = torch.cat([torch.zeros(batch, (count + 1) * cells, dtype=torch.bool), ~valid], 1)
    seen &= ~hidden[:, None]
    seen |= torch.eye(len(kind), dtype=torch.bool)
    q, k, v = attention.qkv(x).chunk(3, -1)
    heads = []
    for part in zip(*(y.chunk(HEADS, -1) for y in (q, k, v)), strict=True):
        logits = part[0] @ part[1].mT / math.sqrt(channels / HEADS)
        heads.append(logits.masked_fill(~seen, -math.inf).softmax(-1) @ part[2])
    out = attention.proj(torch.cat(heads, -1))
    test, references, found = out.split([cells, count * cells, objects], 1)
    return Tokens(found, references.unflatten(1, (count, cells)), test)


@pytest.mark.parametrize(('objects', 'references'), [(3, 2), (1, 1), (3, 0), (0, 2), (0, 0)])
def test_streams_are_masked_attention(objects, references):
    attention, stream = random(StreamAttention, CHANNELS, HEADS), tokens(2, objects, references)
    valid = torch.ones(2, objects, dtype=torch.bool)
    valid[1, 1:] = False
    for found, expected in zip(attention(stream, valid), plainly(attention, stream, valid),
                               strict=True):
        torch.testing.assert_close(found, expected)


def test_joint_attention_without_hidden_objects_is_one_softmax():
    attention, stream = random(JointAttention, CHANNELS, HEADS), tokens()
    x = torch.cat([stream.test, stream.references.flatten(1, 2), stream.objects], 1)
    q, k, v = (y.unflatten(-1, (HEADS, -1)).transpose(1, 2)
               for y in attention.qkv(x).chunk(3, -1))
    weights = (q @ k.mT / math.sqrt(CHANNELS / HEADS)).softmax(-1)
    expected = attention.proj((weights @ v).transpose(1, 2).flatten(2))
    found = attention(stream, torch.ones(2, 3, dtype=torch.bool))
    torch.testing.assert_close(torch.cat([found.test, found.references.flatten(1, 2),
                                          found.objects], 1), expected)


def run(stream, blocks=1, valid=None, attention=StreamAttention):
    valid = torch.ones(stream.objects.shape[:2], dtype=torch.bool) if valid is None else valid
    torch.manual_seed(0)
    for _ in range(blocks):
        stream = STMLBlock(CHANNELS, HEADS, attention).double()(stream, valid)
    return stream


def changed(before, after):
    """Which streams differ: objects, each reference, the test frame."""
    return ([not torch.equal(before.objects, after.objects)],
            [not torch.equal(a, b) for a, b in zip(before.references.unbind(1),
                                                   after.references.unbind(1), strict=True)],
            [not torch.equal(before.test, after.test)])


def test_who_sees_whom():
    stream, noise = tokens(), tokens(seed=1)
    one, two = run(stream), run(stream, 2)
    references = stream.references.clone()
    references[:, 1] = noise.references[:, 1]
    assert changed(one, run(stream._replace(references=references))) == (
        [False], [False, True], [True])
    assert changed(one, run(stream._replace(test=noise.test))) == ([False], [False] * 2, [True])
    assert changed(two, run(stream._replace(test=noise.test), 2)) == (
        [False], [False] * 2, [True])
    other = stream._replace(objects=noise.objects)
    assert changed(one, run(other)) == ([True], [True] * 2, [False])
    assert changed(two, run(other, 2)) == ([True], [True] * 2, [True])  # one block later


@pytest.mark.parametrize('attention', [StreamAttention, JointAttention])
def test_objects_that_are_not_valid_are_seen_by_nobody_else(attention):
    stream, noise = tokens(), tokens(seed=1)
    valid = torch.tensor([[True, False, True], [True, True, False]])
    objects = noise.objects.where(~valid[..., None], stream.objects)
    first, second = (run(each, 3, valid, attention)
                     for each in (stream, stream._replace(objects=objects)))
    assert torch.equal(first.test, second.test)
    assert torch.equal(first.references, second.references)
    assert torch.equal(first.objects[valid], second.objects[valid])


def test_order_of_the_objects():
    stream = tokens()
    order = torch.tensor([2, 0, 1])
    plain, turned = run(stream, 2), run(stream._replace(objects=stream.objects[:, order]), 2)
    torch.testing.assert_close(turned.objects, plain.objects[:, order])
    torch.testing.assert_close(turned.test, plain.test)


@pytest.mark.parametrize('cls', [StreamAttention, JointAttention])
@pytest.mark.parametrize(('cells', 'references', 'objects'), [(12, 2, 3), (30, 1, 1), (7, 4, 0)])
def test_counted_operations(cls, cells, references, objects):
    """2 x 2 operations for each pair of tokens and channel: q k^T, and the weights times v."""
    attention, stream = random(cls, CHANNELS, HEADS), tokens(1, objects, references, cells)
    valid = torch.ones(1, objects, dtype=torch.bool)
    # the fused kernel is not counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        attention(stream, valid)
    linear = 2 * 4 * CHANNELS**2 * (cells * (references + 1) + objects)
    assert counter.get_total_flops() - linear == 4 * CHANNELS * cls.products(
        cells, references, objects)


def test_share_of_the_joint_cost():
    """480p, two references: 0.555 of joint attention."""
    cells = 30 * 54
    ratio = StreamAttention.products(cells, 2, 1) / JointAttention.products(cells, 2, 1)
    assert ratio == pytest.approx(5 / 9, abs=1e-3)


def test_positions():
    """By the formula, cell by cell; interpolated for another size."""
    found = sine_positions(8, 3, 4)
    for y in range(3):
        for x in range(4):
            expected = [f(p / 10000**(i / 2)) for p in (x, y) for f in (math.sin, math.cos)
                        for i in range(2)]
            assert found[0, :, y, x].tolist() == pytest.approx(expected, abs=1e-6)
    assert fit_positions(found, torch.Size((3, 4))) is found
    torch.testing.assert_close(fit_positions(found, torch.Size((5, 2))), F.interpolate(
        found, (5, 2), mode='bicubic', align_corners=False))


def test_parameters_of_vit_base():
    """timm's vit_base_patch16_224 has 86,567,656: 769,000 are the classifier's, 768 a class
    token, and 197 positions of 768 are learned there."""
    with torch.device('meta'):
        model = ViTSTML()
    shared = [model.patch_embed, model.blocks, model.norm]
    assert sum(p.numel() for part in shared for p in part.parameters()) == (
        86_567_656 - 769_000 - 768 - 197 * 768)


@pytest.mark.parametrize('cls', [ViTSTML, ConvViTSTML, JointConvViTSTML])
def test_maps(cls):
    torch.manual_seed(0)
    model = cls(16, 2, heads=2, fine_channels=(6, 8))
    *maps, x = model.embed(torch.rand(2, 3, 48, 80))
    references = torch.stack([model.embed(torch.rand(2, 3, 48, 80))[-1] for _ in range(2)], 2)
    found, objects = model(x, references, torch.randn(2, 3, 16), torch.ones(2, 3) > 0)
    fine, finer = model.skips(maps, found)[::-1]
    assert (found.shape, objects.shape) == ((2, 16, 3, 5), (2, 3, 16))
    assert (finer.shape, fine.shape) == ((2, 6, 12, 20), (2, 8, 6, 10))
    (found.sum() + objects.sum() + fine.sum() + finer.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_channels_that_do_not_fit():
    with pytest.raises(ValueError, match='multiples of 4 and of 3 heads, got 16'):
        ViTSTML(16, 1, heads=3)


def test_sides_that_do_not_fit():
    with pytest.raises(ValueError, match=r'multiples of 16, got \(40, 48\); set geometry.divisor'):
        ViTSTML(16, 1, heads=2).embed(torch.zeros(1, 3, 40, 48))


def test_weights_of_another_network_are_refused():
    """A loader that only warns would train from scratch what was to begin with other weights."""
    model, other = ViTSTML(16, 2, heads=2), ConvViTSTML(16, 2, heads=2, fine_channels=(4, 8))
    with pytest.raises(ValueError, match='no weights of ViTSTML: 2 are missing, first patch_embed'):
        model.load_state_dict(other.state_dict(), strict=False)
    with pytest.raises(ValueError, match='convert those of MAE'):
        model.load_state_dict({'model': torch.zeros(1)}, strict=False)
    kept = {name: x for name, x in model.state_dict().items() if not name.startswith('to_')}
    assert model.load_state_dict(kept, strict=False).missing_keys
