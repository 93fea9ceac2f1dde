"""What holds for the parts of a segmentor: shapes, gradients, independence of batch entries."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..io import encode_mask
from ..models.memory_managers import FrameMemory, MemoryManager
from ..models.refiners import Refiner
from ..structures import LabelMaps
from .construction_contracts import build
from .fakes import FakeVideo, fake_frames


def _random(*shape: int, seed: int = 0) -> Tensor:
    """Normal, with gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).requires_grad_()


def _assert_gradients(out: Tensor, module: nn.Module, *inputs: Tensor) -> None:
    out.square().sum().backward()
    tensors = {f'input {i}': x for i, x in enumerate(inputs)}
    tensors |= {name: p for name, p in module.named_parameters() if p.requires_grad}
    bad = [name for name, x in tensors.items() if x.grad is None or not x.grad.isfinite().all()]
    assert not bad, f'no finite gradient for {", ".join(bad)}'


def check_backbone(cls: type) -> None:
    """(B,3,H,W) -> tuple of maps, odd sizes too, batch entries apart, gradients for all."""
    model = build(cls)
    for height, width in ((33, 47), (32, 48)):
        x = _random(2, 3, height, width)
        kept = x.detach().clone()
        maps = model(x)
        assert isinstance(maps, tuple), f'{type(maps).__name__} instead of a tuple'
        cells = -(-height // model.stride), -(-width // model.stride)
        assert maps[-1].shape[-2:] == cells, f'{tuple(maps[-1].shape)} for {height}x{width}'
        assert torch.equal(x, kept), 'the input was changed'
        alone = model(x[:1])[-1]
        assert torch.allclose(alone, maps[-1][:1], atol=1e-4), 'batch entries are not apart'
        _assert_gradients(sum(m.sum() for m in maps), model.train(), x)
        model.eval()


def check_stream_backbone(cls: type) -> None:
    """A frame beside none and two references, none and three objects: maps, order, gradients."""
    model = build(cls).train()
    *maps, test = model.embed(_random(2, 3, 32, 48))
    for references, objects in ((0, 0), (2, 0), (0, 3), (2, 3)):
        earlier = _random(2, model.channels, references, 2, 3, seed=1)
        tokens = _random(2, objects, model.channels, seed=2)
        valid = torch.ones(2, objects, dtype=torch.bool)
        valid[1, 1:] = False
        x, found = model(test, earlier, tokens, valid)
        assert x.shape == test.shape == (2, model.channels, 2, 3), tuple(x.shape)
        assert found.shape == tokens.shape, tuple(found.shape)
        turned = model(test, earlier.flip(2), tokens.flip(1), valid.flip(1))
        assert torch.allclose(turned[0], x, atol=1e-5), 'the order of references or objects counts'
        assert torch.allclose(turned[1].flip(1), found, atol=1e-5), 'objects are not apart'
        alone = model(test[:1], earlier[:1], tokens[:1], valid[:1])[0]
        assert torch.allclose(alone, x[:1], atol=1e-5), 'batch entries are not apart'
    shapes = [m.shape[-2:] for m in model.skips(tuple(maps), x)]
    assert shapes == [(8, 12), (4, 6)], f'{shapes} at 1/4 and 1/8 of 32x48'
    out = sum(m.square().sum() for m in (x, found, *model.skips(tuple(maps), x)))
    _assert_gradients(out, model, earlier, tokens)


def check_local_matching(cls: type) -> None:
    """(B,K,Cv,h,w) for one and three objects and references, odd maps, with and without offset."""
    model = build(cls)
    for objects, refs, with_offset in ((1, 1, False), (3, 1, True), (3, 3, False)):
        query, keys = _random(2, 8, 9, 13), _random(2, 8, refs, 9, 13, seed=1)
        values = _random(2, objects, 2, refs, 9, 13, seed=2)
        offset = _random(2, refs, 2, 9, 13, seed=3).detach() if with_offset else None
        out = model(query, keys, values, offset)
        assert out.shape == (2, objects, 2, 9, 13), tuple(out.shape)
        assert out.isfinite().all(), 'not finite'
        turned = model(query, keys, values.flip(1), offset)
        assert torch.allclose(turned, out.flip(1), atol=1e-5), 'objects are not apart'
        alone = model(query[:1], keys[:1], values[:1], None if offset is None else offset[:1])
        assert torch.allclose(alone, out[:1], atol=1e-5), 'batch entries are not apart'
        _assert_gradients(out, model, query, keys, values)


def check_global_matching(cls: type) -> None:
    """Readout (B,K,Cv,M) and mass (B,K,N), shared or own keys, elements that are not valid."""
    model = build(cls)
    for objects, key_objects in ((1, 1), (3, 1), (3, 3)):
        query, keys = _random(2, 8, 11), _random(2, key_objects, 8, 7, seed=1)
        values = _random(2, objects, 2, 7, seed=2)
        out, mass = model(query, keys, values, None)
        assert out.shape == (2, objects, 2, 11), tuple(out.shape)
        assert mass.shape == (2, objects, 7), tuple(mass.shape)
        valid = torch.ones(2, objects, 7, dtype=torch.bool)
        valid[:, 0, 4:] = False
        valid[1, 0] = False  # an object that nothing was stored for
        out, mass = model(query, keys, values, valid)
        assert out.isfinite().all(), 'not finite where nothing is valid'
        assert (mass[~valid] == 0).all(), 'mass on elements that are not valid'
        changed = torch.where(valid[:, :, None], values, values + 100)
        assert torch.allclose(model(query, keys, changed, valid)[0], out, atol=1e-5), \
            'elements that are not valid are read'
        _assert_gradients(out, model, query, keys, values)


def check_co_attention(cls: type) -> None:
    """Summaries (B,T,C,h,w) of references, each alone what it is beside others; gradients."""
    model = build(cls)
    target = _random(2, model.channels, 3, 5)
    references = _random(2, model.channels, 3, 3, 5, seed=1)
    out = model(target, references)
    assert out.shape == (2, 3, model.channels, 3, 5), tuple(out.shape)
    turned = model(target, references.flip(2))
    assert torch.allclose(turned, out.flip(1), atol=1e-5), 'references are not apart'
    alone = model(target[:1], references[:1])
    assert torch.allclose(alone, out[:1], atol=1e-5), 'batch entries are not apart'
    first, second = model.both(target, references[:, :, 0])
    assert torch.allclose(first, out[:, 0], atol=1e-5), 'training has other summaries'
    assert second.shape == target.shape, tuple(second.shape)
    assert model.penalty().shape == (), 'the penalty is no scalar'
    _assert_gradients(out, model, target, references)


def check_decode_head(cls: type) -> None:
    """(B,K,2,H,W) for one and three objects, odd maps; objects apart, gradients for all."""
    model, example = build(cls), cls.example
    for objects in (1, 3):
        readout = _random(2, objects, example['value_channels'], 3, 5)
        value = _random(2, example['value_channels'], 3, 5, seed=1)
        skips = [_random(2, channels, 3 * 2**n + 1, 5 * 2**n - 1, seed=1 + n)
                 for n, channels in enumerate(example['skip_channels'], 1)]
        out = model(readout, value, skips)
        assert out.shape == (2, objects, 2, *skips[-1].shape[-2:]), tuple(out.shape)
        turned = model(readout.flip(1), value, skips)
        assert torch.allclose(turned, out.flip(1), atol=1e-5), 'objects are not apart'
        _assert_gradients(out, model, readout, value, *skips)


def check_appearance(cls: type) -> None:
    """Scores (N,k,h,w) of what was fitted, for one and three objects, empty masks too."""
    model, example = build(cls), cls.example
    for objects in (1, 3):
        x, mask = _random(objects, example['in_channels'], 3, 5), torch.zeros(objects, 3, 5)
        mask[1:, 1:, :2] = 1
        old = [torch.zeros(objects, model.components, model.channels) for _ in range(2)]
        features, fresh = model.reduced(x), torch.ones(objects, dtype=torch.bool)
        mean, var = model.update(features, mask, fresh=fresh, mean=old[0], var=old[1])
        assert mean.shape == var.shape == old[0].shape, tuple(mean.shape)
        assert (var > 0).all(), 'a variance is not positive'
        out = model(features, mean, var)
        assert out.shape == (objects, model.components, 3, 5), tuple(out.shape)
        turned = model(features.flip(0), mean.flip(0), var.flip(0))
        assert torch.allclose(turned, out.flip(0), atol=1e-5), 'objects are not apart'
        _assert_gradients(out, model, x)


def check_loss_module(cls: type) -> None:
    """(B,C,h,w) twice -> finite scalar, least at the target, with gradients."""
    model = build(cls)
    target = torch.nn.functional.one_hot(torch.arange(35).view(1, 5, 7) % 3).movedim(-1, 1).float()
    pred = _random(1, 3, 5, 7).softmax(1).detach().requires_grad_()
    value = model(pred, target)
    assert value.shape == (), tuple(value.shape)
    assert value.isfinite(), f'{value}'
    assert model(target, target) < value, 'the target itself is not better than noise'
    _assert_gradients(value, model, pred)


def check_object_heads(cls: type) -> None:
    """Maps (N,C,h,w) of any sizes -> {name: (N,n)}, each object by itself, gradients for all."""
    model = build(cls)
    channels = model.linear['stop'].in_features
    hidden = [_random(3, channels - 1, 3, 5), _random(3, 1, 6, 10, seed=1)]
    found = model(hidden)
    assert all(x.shape[0] == 3 and x.ndim == 2 for x in found.values()), found.keys()
    alone = model([x[:1] for x in hidden])
    for name, x in found.items():
        assert torch.allclose(alone[name], x[:1], atol=1e-5), f'{name}: objects are not apart'
    _assert_gradients(torch.cat(list(found.values()), 1), model, *hidden)


def check_motion(cls: type) -> None:
    """(B,T,2,ceil(H/stride),ceil(W/stride)) float32 for one and three references, odd sizes.

    Also where it is told what to begin with.
    """
    model = build(cls)
    for size in ((32, 48), (33, 47)):
        videos = [FakeVideo(4, size, seed=seed) for seed in range(2)]
        *refs, query = fake_frames(videos)
        codes = torch.stack([model.code(frame) for frame in refs], 2)
        assert codes.ndim == 5, f'encode gave {codes.ndim - 1} axes instead of (B,Cm,hm,wm)'
        assert not codes.requires_grad, 'remembered codes carry a graph'
        cells = -(-size[0] // model.stride), -(-size[1] // model.stride)
        for gaps in ([1], [3, 2, 1]):
            start = None
            for _ in range(2):
                offset = model(query, codes[:, :, -len(gaps):], gaps, start)
                assert offset.shape == (2, len(gaps), 2, *cells), tuple(offset.shape)
                assert offset.dtype == torch.float32, f'{offset.dtype} instead of float32'
                assert offset.isfinite().all(), 'not finite'
                start = offset + 1


def check_memory(cls: type) -> None:
    """Elements of each object alone, permanent ones for ever; follows K, is saved, has a limit.

    The value of an element is the frame that it came from; object 1 is there from frame 3 on.
    """
    bank: MemoryManager = build(cls)
    for now in range(12):
        if now:
            found = _assert_elements(bank, now)
            newest, oldest = found.nan_to_num(-1).amax(-1), found.nan_to_num(99).amin(-1)
            assert (newest < now).all(), 'a frame reads itself'
            assert (oldest[:, 1] > 2.9).all(), 'an object reads what is older than it'
            bank.count(found.nan_to_num())
        _add_elements(bank, now, late=now < 3, permanent=now in (0, 4))
    for number in (0, 4):
        kept = (_assert_elements(bank, 12)[:, 0] == number).sum(1)
        assert (kept == 15).all(), f'{kept.tolist()} of 15 permanent elements of frame {number}'
    copy: MemoryManager = build(cls)
    copy.restore(bank.tensors(), bank.facts())
    assert torch.equal(*(one.elements(12)[1] for one in (bank, copy))), 'not as it was saved'
    assert bank.nbytes() == sum(t.nbytes for t in bank.tensors().values()), 'bytes are miscounted'
    bank.grow(5)
    assert _assert_elements(bank, 12)[:, 3:].isnan().all(), 'a new object has elements'
    bank.drop([0, 2, 3, 4])
    assert _assert_elements(bank, 12).shape[1] == 1, 'drop did not reach the elements'
    _check_limit(cls)


def _add_elements(bank: MemoryManager, index: int, late: bool = False, permanent: bool = False
                  ) -> MemoryManager:
    exists = torch.ones(2, 3, 1, 1, 1)
    exists[:, 1] = not late
    bank.add(index, objects=dict(key=_random(2, 3, 4, 3, 5, seed=index).detach(),
                                 value=torch.full((2, 3, 2, 3, 5), float(index)), exists=exists),
             permanent=permanent)
    return bank


def _assert_elements(bank: MemoryManager, now: int) -> Tensor:
    """(B,K,N) frames that elements came from, NaN where they are not valid."""
    keys, values, valid = bank.elements(now)
    size = values.shape[1], values.shape[-1]
    assert keys.shape == (2, size[0], 4, size[1]), tuple(keys.shape)
    assert values.shape[:3] == (2, size[0], 2), tuple(values.shape)
    if valid is None:
        return values[:, :, 0]
    assert valid.shape == (2, *size), tuple(valid.shape)
    assert valid.dtype == torch.bool, f'{valid.dtype} instead of bool'
    return values[:, :, 0].masked_fill(~valid, torch.nan)


def _check_limit(cls: type) -> None:
    one = _add_elements(build(cls), 0).nbytes()
    small: MemoryManager = build(cls, max_memory_mb=2.5 * one / 2**20)
    for index in range(12):
        _add_elements(small, index, permanent=index == 0)
        assert small.nbytes() <= 2.5 * one, f'{small.nbytes()} bytes of {2.5 * one}'
    found = small.elements(12)[1][:, :, 0]
    assert ((found == 0).sum(-1) == 15).all(), 'permanent elements went first'
    assert (found == 11).any(), 'nothing new is left to read'
    message = ''
    try:
        _add_elements(_add_elements(small, 12, permanent=True), 13, permanent=True)
    except ValueError as error:
        message = str(error)
    assert message, 'what is permanent was accepted beyond the limit'
    assert 'max_memory_mb' in message, f'the error does not name the option: {message}'


def check_frame_memory(cls: type) -> None:
    """Reads frames it holds, not the present one, and keeps permanent ones as they are."""
    bank: FrameMemory = build(cls)
    for now in range(5, 25):
        if now > 5:
            seen = bank.indices(now)
            assert seen, f'nothing to read at frame {now}'
            assert seen == sorted(set(seen) & set(bank.items)), f'{seen} of {list(bank.items)}'
            assert bank.read('key', now).shape == (2, 4, len(seen), 3, 5)
            assert bank.read('label', now).shape == (2, 3, 1, len(seen), 3, 5)
        _add(bank, now, permanent=now in (5, 9))
        assert now not in bank.indices(now), 'a frame reads itself'
    assert {5, 9} <= set(bank.items), 'a permanent item was forgotten'
    held = bank.nbytes()
    item = _add(build(cls), 0)
    assert held == len(bank.items) * item.nbytes(), 'bytes are miscounted'
    bank.grow(4)
    assert bank.read('label', 25).shape[1] == 4, 'grow did not reach the items'
    bank.drop([0, 2])
    assert bank.read('label', 25).shape[1] == 2, 'drop did not reach the items'


def _add(bank: FrameMemory, index: int, permanent: bool = False) -> FrameMemory:
    bank.add(index, shared=dict(key=torch.ones(2, 4, 3, 5)),
             objects=dict(label=torch.ones(2, 3, 1, 3, 5)), permanent=permanent)
    return bank


def check_refiner(cls: type) -> None:
    """One map of known ids per frame, for two objects, one frame and none; the masks stay."""
    for length, starts in ((4, (0, 1)), (1, (0,)), (3, (9,))):
        video = FakeVideo(length, (48, 64), starts=starts)
        masks = LabelMaps([encode_mask(video.labels(t)) for t in range(length)])
        kept, ids = list(masks.pngs), {0, *range(1, len(starts) + 1)}
        refiner: Refiner = build(cls)
        found = list(refiner(video, masks, {0}, device=torch.device('cpu')))
        assert len(found) == length, f'{len(found)} maps of {length} frames'
        for labels in found:
            assert labels.shape == (48, 64), labels.shape
            assert labels.dtype == np.uint8, f'{labels.dtype} instead of uint8'
            assert set(np.unique(labels).tolist()) <= ids, 'ids that nobody gave'
        assert masks.pngs == kept, 'the masks were changed'


def check_postprocessor(cls: type) -> None:
    """(C,H,W) probabilities that sum to one, for one and three objects; arguments stay."""
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)
    for channels in (2, 4):
        probs = _random(channels, 17, 23).detach().softmax(0).numpy()
        kept = probs.copy(), image.copy()
        found = build(cls)(image, probs)
        assert found.shape == probs.shape, found.shape
        assert found.dtype == np.float32, f'{found.dtype} instead of float32'
        assert np.allclose(found.sum(0), 1, atol=1e-4), 'no probabilities'
        assert np.array_equal(probs, kept[0]), 'the probabilities were changed'
        assert np.array_equal(image, kept[1]), 'the image was changed'
