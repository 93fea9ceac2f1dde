"""Local propagation on the grid against its definition and the closed forms of the methods."""
import pytest
import torch
import torch.nn.functional as F

from mmvos.ops import local_propagation, warp

# size, radius, references, objects, batch
CASES = {
    'odd size': ((5, 7), 2, 2, 3, 2),
    'one reference': ((6, 5), 1, 1, 1, 1),
    'radius 0': ((5, 6), 0, 3, 2, 1),
    'window larger than the map': ((3, 4), 5, 2, 1, 1),
    'many objects': ((4, 5), 1, 2, 45, 1),
    'several tiles': ((9, 19), 2, 2, 2, 1),
    'several vectors': ((2, 37), 9, 1, 2, 1),
    'one column': ((11, 1), 2, 2, 1, 1)}


def make(randn, size, refs=1, objects=1, batch=1, channels=5):
    return randn(batch, channels, *size), randn(batch, channels, refs, *size), randn(
        batch, objects, refs, *size)


def one_hot_case(randn, spread=50.):
    """24x40 features with a logit of `spread` for the cell itself, and labels as in the papers."""
    features = F.normalize(randn(1, 64, 24, 40), dim=1) * spread**0.5
    labels = (randn(24, 40) * 1e3).long() % 4
    return features, F.one_hot(labels, 4).movedim(-1, 0)[None, :, None].double()


class TestDefinition:

    @pytest.mark.parametrize('rule', ['zero_logit', 'mask'])
    @pytest.mark.parametrize('topk', [None, 1, 7])
    @pytest.mark.parametrize('case', CASES)
    def test_equals_loops(self, run, randn, definition, case, topk, rule):
        size, radius, refs, objects, batch = CASES[case]
        args = *make(randn, size, refs, objects, batch), radius, topk, 0.7, rule
        assert run.equal(run(local_propagation, *args), definition.propagation(*args))

    @pytest.mark.parametrize('rule', ['zero_logit', 'mask'])
    def test_topk_of_the_papers(self, run, randn, definition, rule):
        args = *make(randn, (6, 9), 5, 2), 3, 36, 64**-0.5, rule
        assert run.equal(run(local_propagation, *args), definition.propagation(*args))

    @pytest.mark.parametrize('topk', [143, 500])  # buffers are cut several times, or hardly ever
    def test_large_k(self, run, randn, definition, topk):
        args = *make(randn, (7, 9), 5, 2), 6, topk
        assert run.equal(run(local_propagation, *args), definition.propagation(*args))

    @pytest.mark.parametrize('channels', [0, 1, 17, 64])
    def test_number_of_channels(self, run, randn, definition, channels):
        topk = 5 if channels else None  # without channels all is one tie
        args = *make(randn, (4, 5), 2, 2, channels=channels), 1, topk, 0.3
        assert run.equal(run(local_propagation, *args), definition.propagation(*args))

    def test_logits_in_rising_and_falling_order(self, run, randn, definition):
        # the buffer of a top-k fills up with every row, or never after the first
        ramp = torch.arange(63, dtype=torch.float64).view(1, 1, 1, 7, 9) / 9
        for keys in (ramp, -ramp, torch.cat([ramp, 7 - ramp + 0.05], 2)):
            query, values = torch.ones(1, 1, 7, 9).double(), randn(1, 2, *keys.shape[2:])
            args = query, keys, values, 6, 20, 1., 'mask'
            assert run.equal(run(local_propagation, *args), definition.propagation(*args))

    def test_large_logits_do_not_overflow(self, run, randn, definition):
        query, keys, values = make(randn, (5, 6), 2, 2)
        for sign in (-1, 1):
            args = query.abs(), sign * 200 * keys.abs(), values, 2
            for rule in ('zero_logit', 'mask'):
                expected = definition.propagation(*args, out_of_range=rule)
                assert (run(local_propagation, *args, out_of_range=rule) - expected).abs().max() < (
                    1e-10 if run.dtype == torch.float64 else 1e-3)  # logits have 4 digits more

    def test_batch_entries_and_objects_are_apart(self, run, randn):
        query, keys, values = make(randn, (5, 6), 2, 3, batch=2)
        out = run(local_propagation, query, keys, values, 2, 5)
        assert torch.equal(run(local_propagation, query[1:], keys[1:], values[1:], 2, 5), out[1:])
        turned = run(local_propagation, query, keys, values.flip(1), 2, 5)
        assert run.equal(turned, out.flip(1))

    @pytest.mark.parametrize('topk', [None, 3])
    def test_empty(self, run, topk):
        for batch, objects, *size in (0, 2, 4, 5), (2, 0, 4, 5), (1, 2, 0, 5), (1, 2, 4, 0):
            query, keys = torch.ones(batch, 3, *size), torch.ones(batch, 3, 2, *size)
            values = torch.ones(batch, objects, 2, *size)
            out = run(local_propagation, query, keys, values, 1, topk)
            assert out.shape == (batch, objects, *size)


class TestTopK:

    @pytest.mark.parametrize('rule', ['zero_logit', 'mask'])
    @pytest.mark.parametrize('topk', [98, 99, 10**9])
    def test_k_of_all_candidates_or_more_is_none(self, run, randn, topk, rule):
        args = make(randn, (5, 6), 2, 2)
        full = run(local_propagation, *args, 3, None, out_of_range=rule)
        assert torch.equal(run(local_propagation, *args, 3, topk, out_of_range=rule), full)
        nearly = run(local_propagation, *args, 3, 97, out_of_range=rule)  # by the other kernel
        assert (nearly - full).abs().max() < 0.1

    def test_streaming_over_references_in_any_order_is_joint(self, run, randn):
        query, keys, values = make(randn, (6, 7), 4, 2)
        order = [2, 0, 3, 1]
        out = run(local_propagation, query, keys, values, 2, 9)
        turned = run(local_propagation, query, keys[:, :, order], values[:, :, order], 2, 9)
        assert run.equal(turned, out)

    def test_all_picks_come_from_the_better_reference(self, run):
        keys, values = torch.ones(1, 4, 2, 8, 9), torch.zeros(1, 2, 2, 8, 9)
        keys[:, :, 1] += 2.5  # logits 10 higher
        values[:, 0, 0] = values[:, 1, 1] = 1  # the object says which reference was picked
        out = run(local_propagation, torch.ones(1, 4, 8, 9), keys, values, 3, 36)
        inner = out[0, :, 3:-3, 3:-3]
        assert (inner[0] == 0).all()
        assert run.equal(inner[1], torch.ones_like(inner[1]))

    def test_k_of_1_copies_one_value(self, run, randn):
        query, keys, values = make(randn, (6, 7), 2, 1)
        out = run(local_propagation, query, keys, values, 1, 1)
        known = torch.cat([run.to(values).double().cpu().flatten(), torch.zeros(1)])
        assert (out.flatten()[:, None] == known).any(1).all()

    @pytest.mark.parametrize('level', [0., 3.])
    def test_ties_come_out_the_same_in_every_run_with_weights_of_sum_1(self, run, level):
        query, keys = torch.full((1, 4, 6, 9), level), torch.full((1, 4, 2, 6, 9), level)
        values = torch.arange(108.).view(1, 1, 2, 6, 9)
        outs = [run(local_propagation, query, keys, values, 2, 5) for _ in range(3)]
        assert torch.equal(outs[0], outs[1])
        assert torch.equal(outs[0], outs[2])
        ones = run(local_propagation, query, keys, torch.ones_like(values), 2, 5)
        inner = slice(None) if level else slice(2, -2)  # at level 0 outside is a tie too
        assert run.equal(ones[..., inner, inner], torch.ones_like(ones[..., inner, inner]))
        few = 5 * outs[0][..., inner, inner]  # a mean of 5 whole numbers
        assert (few - few.round()).abs().max() < 1e3 * run.atol


class TestClosedForms:

    @pytest.mark.parametrize('topk', [1, 9, 36, 625])
    def test_identity(self, run, randn, topk):
        features, values = one_hot_case(randn)
        out = run(local_propagation, features, features[:, :, None], values, 12, topk)
        assert (out - values[:, :, 0]).abs().max() < 1e-7  # e^-16: the nearest other logit

    def test_shift_within_the_radius(self, run, randn):
        features, values = one_hot_case(randn)
        out = run(local_propagation, features.roll((-3, 5), (2, 3)), features[:, :, None], values,
                  12, 36)
        expected = values[0, :, 0].roll((-3, 5), (1, 2)).argmax(0)
        assert torch.equal(out[0, :, :-3, 5:].argmax(0), expected[:-3, 5:])

    def test_shift_beyond_the_radius_is_found_after_a_warp(self, run, randn):
        features, labels = one_hot_case(randn)[0], torch.zeros(24, 40)
        labels[10:14, 12:16] = 1
        values = torch.stack([1 - labels, labels])[None, :, None].double()
        query, expected = features.roll(15, 3), labels.roll(15, 1)
        lost = run(local_propagation, query, features[:, :, None], values, 12, 36)
        assert (lost[0].argmax(0) * expected).sum() == 0
        flow = torch.tensor([-15., 0])[None, :, None, None].expand(1, 2, 24, 40)
        found = run(local_propagation, query, warp(features, flow)[:, :, None],
                    warp(values[:, :, 0], flow)[:, :, None], 12, 36)
        assert torch.equal(found[0, :, :, 15:].argmax(0), expected[:, 15:].long())

    @pytest.mark.parametrize(('radius', 'edge'), [(12, 0.52), (6, 7 / 13)])
    def test_border_takes_its_share_of_the_softmax(self, run, radius, edge):
        zeros, ones = torch.zeros(1, 8, 1, 30, 41), torch.ones(1, 1, 1, 30, 41)
        out = run(local_propagation, zeros[:, :, 0], zeros, ones, radius)[0, 0]
        corners = out[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.tolist() == pytest.approx([edge**2] * 4, abs=1e-6)  # R = 12: 0.2704
        assert out[[0, -1, 15, 15], [20, 20, 0, -1]].tolist() == pytest.approx([edge] * 4, abs=1e-6)
        assert out[15, 20].item() == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize('topk', [None, 36])
    def test_a_masked_border_takes_nothing(self, run, topk):
        zeros, ones = torch.zeros(1, 8, 1, 30, 41), torch.ones(1, 1, 1, 30, 41)
        out = run(local_propagation, zeros[:, :, 0], zeros, ones, 12, topk, out_of_range='mask')
        assert run.equal(out, torch.ones(1, 1, 30, 41, dtype=torch.float64))

    def test_scale(self, run, randn):
        query, keys, values = make(randn, (5, 6), 2, 2)
        for topk in (None, 9):
            out = run(local_propagation, query, keys, values, 2, topk, 0.3)
            assert run.equal(run(local_propagation, 0.3 * query, keys, values, 2, topk), out)
