"""MAST's dilated search and its windows, against loops and closed forms."""
import numpy as np
import pytest
import torch

from mmvos.apis import load_weights
from mmvos.models import MAMP, MAST, LabelPropagation
from mmvos.models.segmentors import ReleasedMAST
from mmvos.models.segmentors.mast import dilated_search
from mmvos.structures import Frame
from mmvos.testing.construction_contracts import build


def brute_force_search(query, key, radius, dilation, scale):
    """The definition, cell by cell; (2,h,w)."""
    _, _, height, width = query.shape
    steps = [dilation * n for n in range(-radius, radius + 1)]
    out = torch.zeros(2, height, width, dtype=query.dtype)
    for y in range(height):
        for x in range(width):
            logits, moves = [], []
            for dy in steps:
                for dx in steps:
                    inside = 0 <= y + dy < height and 0 <= x + dx < width
                    logits.append(scale * query[0, :, y, x] @ key[0, :, y + dy, x + dx]
                                  if inside else torch.zeros((), dtype=query.dtype))
                    moves.append((dx, dy))
            weights = torch.stack(logits).softmax(0)
            out[:, y, x] = weights @ torch.tensor(moves, dtype=query.dtype)
    return out


@pytest.mark.parametrize(('gap', 'dilation'),
                         [(1, 0), (15, 0), (16, 2), (29, 2), (30, 3), (44, 3), (45, 4), (100, 4)])
def test_dilation_grows_with_the_distance_in_time(gap, dilation):
    assert build(MAST, far_gap=15).dilation(gap) == dilation


def test_search_equals_its_definition():
    g = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 6, 5, 7, generator=g, dtype=torch.float64)
    found = dilated_search(query, key, 2, 3, .7)[0]
    assert (found - brute_force_search(query, key, 2, 3, .7)).abs().max() < 1e-12


def moving_noise(shift, size=(160, 320), colours=4):
    """Two frames of 4x4 blocks of random colour; the second is the first moved to the right."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8)
    first, second = (np.kron(b, np.ones((4, 4, 1), np.uint8))
                     for b in (blocks, np.roll(blocks, shift, 1)))
    mask = np.zeros(size, np.uint8)
    mask[40:120, 60:140] = 1
    return first, second, mask


def noise_model(cls, head='MovedWindowMatching', **options):
    return cls(dict(type='RawColor', scale=500.), dict(type=head, radius=12),
               memory=dict(type='FrameBank', recent=1), upsample='kernel_centre', **options).eval()


@pytest.mark.parametrize(('cls', 'options', 'found'), [
    (MAST, dict(far_gap=1), True), (MAST, dict(far_gap=15), False),
    (LabelPropagation, {}, False)])
def test_only_the_search_finds_what_went_further_than_the_window(cls, options, found):
    """21 cells in two frames: a window has 12, a search with dilation 3 reaches 36."""
    first, second, mask = moving_noise(21)
    session = noise_model(cls, **options).session()
    session.step(first, mask)
    session.step(np.full_like(first, 128))
    labels = session.step(second)[:, 84:]  # what was rolled in at the left is from nowhere
    expected = np.roll(mask, 84, 1)[:, 84:]
    overlap = (labels & expected).sum() / (labels | expected).sum()
    assert overlap > .9 if found else overlap < .1, overlap


def random_session(model, frames=6, size=(48, 64)):
    """A session after some random frames, its features widened to float64, and its masks."""
    rng = np.random.default_rng(1)
    session = model.eval().session()
    mask = np.zeros(size, np.uint8)
    mask[8:24, 8:40] = 1
    mask[24:40, 20:60] = 2
    labels = [session.step(rng.integers(0, 256, (*size, 3), np.uint8), mask if t == 0 else None)
              for t in range(frames)]
    for item in session.state.banks['frames'].items.values():
        item.shared['key'] = item.shared['key'].double()
    return session, labels


def small(cls, head='MovedWindowMatching', **memory):
    """Flat logits on random colours: offsets are nowhere whole."""
    return cls(dict(type='RawColor', scale=2.), dict(type=head, radius=2),
               memory=dict(type='FrameBank', **memory), far_gap=2)


def scores(model, session):
    """What `match` reads for random values, and what it was asked with."""
    g = torch.Generator().manual_seed(2)
    frame = Frame(session.index, torch.rand(1, 3, 48, 64, generator=g, dtype=torch.float64))
    bank = session.state.banks['frames']
    refs = len(bank.indices(frame.index))
    values = torch.rand(1, 3, 1, refs, 12, 16, generator=g, dtype=torch.float64)
    return model.match(frame, bank, values), frame, bank, values


def test_released_slip_shows_with_two_searched_references_only():
    one = random_session(small(MAST, recent=1))[0]
    same = scores(small(ReleasedMAST, recent=1), one)[0]
    assert (same - scores(small(MAST, recent=1), one)[0]).abs().max() < 1e-12
    two = random_session(small(MAST, anchors=(0, 1), recent=1))[0]
    right, wrong = (scores(small(cls, anchors=(0, 1), recent=1), two)[0]
                    for cls in (MAST, ReleasedMAST))
    assert (right - wrong).abs().max() > 1e-3


def bilinear(grid, y, x):
    """Zero outside."""
    top, left = int(np.floor(y)), int(np.floor(x))
    total = 0
    for row, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < grid.shape[-2] and 0 <= column < grid.shape[-1]:
                total = total + wy * wx * grid[..., row, column]
    return total


@pytest.mark.parametrize('head', ['MovedWindowMatching', 'EuclideanMovedWindowMatching'])
@pytest.mark.parametrize('cls', [MAST, ReleasedMAST])
def test_windows_equal_their_definition(cls, head):
    """Labels at the reference's own offsets; in the release at those of the newest one searched.

    Between cells a distance is that of the mix of norms, not the norm of a mix.
    """
    model = small(cls, head, anchors=(0, 1), recent=1)
    session = random_session(small(MAST, anchors=(0, 1), recent=1))[0]
    out, frame, bank, values = scores(model, session)
    query, keys = model.features(frame)[0], bank.read('key', frame.index)[0]
    offset = model.offset(frame, bank)[0].double()
    searched = [t for t, i in enumerate(bank.indices(frame.index))
                if model.dilation(frame.index - i)]
    assert len(searched) == 2
    assert not offset[2].any()
    norms = keys.square().sum(0) / 2 * (head != 'MovedWindowMatching')
    for y, x in ((0, 0), (5, 9), (11, 15)):
        logits, read = [], []
        for t in range(3):
            (dx, dy), at = offset[t, :, y, x], searched[-1] if t in searched else t
            lx, ly = offset[at if cls is ReleasedMAST else t, :, y, x]
            for v in range(-2, 3):
                for u in range(-2, 3):
                    key = bilinear(keys[:, t], float(y + dy + v), float(x + dx + u))
                    norm = bilinear(norms[t], float(y + dy + v), float(x + dx + u))
                    logits.append(((query[:, y, x] * key).sum() - norm) / query.shape[0]**.5)
                    read.append(bilinear(values[0, :, 0, t], float(y + ly + v), float(x + lx + u))
                                + torch.zeros(3, dtype=torch.float64))
        expected = torch.stack(read, 1) @ torch.stack(logits).softmax(0)
        assert (out[0, :, 0, y, x] - expected).abs().max() < 1e-9


def test_search_by_distances():
    """Cell by cell, without norms as channels; outside the map keys are 0."""
    model = small(MAST, 'EuclideanMovedWindowMatching', recent=1)
    _, frame, bank, _ = scores(model, random_session(small(MAST, recent=1))[0])
    query, key = model.features(frame)[0], bank.read('key', frame.index)[0, :, 0]
    offset, dilation = model.offset(frame, bank)[0, 0], model.dilation(frame.index)
    moves = [(dx * dilation, dy * dilation) for dy in range(-2, 3) for dx in range(-2, 3)]
    for y, x in ((0, 0), (5, 9), (11, 15)):
        q = query[:, y, x]
        distances = torch.stack([(q - bilinear(key, y + dy, x + dx)).square().sum()
                                 for dx, dy in moves])
        weights = (-distances / (2 * len(q)**.5)).softmax(0)
        expected = weights @ torch.tensor(moves, dtype=q.dtype)
        assert (offset[:, y, x] - expected).abs().max() < 1e-5


def test_without_old_references_it_is_plain_propagation():
    model = small(MAST, recent=2, annotated=False)
    plain = LabelPropagation(dict(type='RawColor', scale=2.), dict(type='LocalMatching', radius=2),
                             memory=dict(type='FrameBank', recent=2, annotated=False))
    for ours, theirs in zip(random_session(model)[1], random_session(plain)[1], strict=True):
        assert np.array_equal(ours, theirs)


def test_bad_arguments():
    with pytest.raises(ValueError, match='far_gap >= 1'):
        build(MAST, far_gap=0)
    with pytest.raises(ValueError, match='temperature > 0'):
        build(MAST, matching_head=dict(type='MovedWindowMatching', temperature=0))
    with pytest.raises(ValueError, match='out_of_range should be one of'):
        build(MAST, matching_head=dict(type='MovedWindowMatching', out_of_range='zero'))


def test_it_needs_windows_that_move():
    with pytest.raises(ValueError, match='MovedWindowMatching.*got LocalMatching'):
        build(MAST, matching_head=dict(type='LocalMatching', radius=3))


def test_weights_of_a_method_with_an_estimator(tmp_path):
    """What MAMP's RAFT knows is left out, encoders are the same."""
    mamp, mast = build(MAMP), build(MAST)
    weights = {**mamp.state_dict(), 'motion_estimator.fnet.weight': torch.zeros(3)}
    torch.save(weights, tmp_path / 'mamp.pth')
    load_weights(mast, tmp_path / 'mamp.pth')
    for key, value in mast.state_dict().items():
        assert torch.equal(value, weights[key])


def test_nothing_to_train_with():
    with pytest.raises(ValueError, match='give it reconstruction_head=... and loss=...'):
        build(LabelPropagation, loss=None).loss(torch.rand(1, 2, 3, 16, 16))
    with pytest.raises(ValueError, match='clips of 2 frames or more, got 1'):
        build(LabelPropagation).loss(torch.rand(1, 1, 3, 16, 16))
