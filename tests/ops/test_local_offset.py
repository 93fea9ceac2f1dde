"""Local propagation in windows that move."""
import pytest
import torch

from mmvos.ops import local_propagation

SIZE, REFS = (5, 6), 2


@pytest.fixture
def maps(randn):
    return randn(2, 4, *SIZE), randn(2, 4, REFS, *SIZE), randn(2, 3, REFS, *SIZE)


def constant(*xy_of_each_reference, size=SIZE):
    flow = torch.tensor(xy_of_each_reference, dtype=torch.float64)
    return flow[None, :, :, None, None].expand(2, REFS, 2, *size)


@pytest.mark.parametrize('rule', ['zero_logit', 'mask'])
@pytest.mark.parametrize('topk', [None, 1, 7])
class TestDefinition:

    @pytest.mark.parametrize('spread', [0.5, 4])  # 4: many windows hang out of the map
    @pytest.mark.parametrize('radius', [0, 2])
    def test_fractions_equal_loops(self, run, randn, maps, definition, topk, rule, spread, radius):
        options = dict(topk=topk, scale=0.7, out_of_range=rule,
                       offset=spread * randn(2, REFS, 2, *SIZE))
        out = run(local_propagation, *maps, radius, **options)
        assert run.equal(out, definition.propagation(*maps, radius, **options))

    def test_whole_offsets_are_windows_of_shifted_maps(self, run, randn, topk, rule):
        query, both, shifts = randn(2, 4, 9, 10), randn(2, 6, 2, 9, 10), [(2, -1), (-1, 2)]
        turned = torch.stack([both[:, :, t].roll((-dy, -dx), (2, 3))
                              for t, (dx, dy) in enumerate(shifts)], 2)
        offset = constant(*shifts, size=(9, 10))
        out = run(local_propagation, query, both[:, :4], both[:, 4:], 1, topk, 1., rule, offset)
        expected = run(local_propagation, query, turned[:, :4], turned[:, 4:], 1, topk, 1., rule)
        inner = ..., slice(2, -3), slice(2, -3)  # the shifted windows lie inside
        assert run.equal(out[inner], expected[inner])

    def test_no_motion_equals_no_offset(self, run, maps, topk, rule):
        expected = run(local_propagation, *maps, 2, topk, 1., rule)
        assert run.equal(run(local_propagation, *maps, 2, topk, 1., rule, constant((0, 0), (0, 0))),
                         expected)

    @pytest.mark.parametrize('spread', [0.5, 6, 40])  # neighbours look together, or far apart
    def test_large_maps_equal_the_plain_form(self, run, randn, topk, rule, spread):
        size = 11, 19
        maps = randn(1, 5, *size), randn(1, 5, REFS, *size), randn(1, 2, REFS, *size)
        offset = spread * randn(1, REFS, 2, *size)
        expected = local_propagation(*maps, 3, topk, 1., rule, offset, backend='torch')
        assert run.equal(run(local_propagation, *maps, 3, topk, 1., rule, offset), expected)


FAR = [float('nan'), float('inf'), -float('inf'), 1e30, -2.**24, 2.**31, -2.**63, -20.]


@pytest.mark.parametrize(('axis', 'far'), [(i % 2, far) for i, far in enumerate(FAR)])
@pytest.mark.parametrize('topk', [None, 3])
class TestFarOutside:
    """One reference of one cell looks elsewhere; the other cells don't notice."""

    def look(self, run, maps, axis, far, topk, rule):
        offset = constant((0.25, 0.5), (0, -0.75)).clone()
        near = run(local_propagation, *maps, 1, topk, 1., rule, offset)
        offset[1, 0, axis, 2, 3] = far
        out = run(local_propagation, *maps, 1, topk, 1., rule, offset)
        cell = out[1, :, 2, 3].clone()
        out[1, :, 2, 3] = near[1, :, 2, 3]
        assert torch.equal(out, near)
        return cell, offset

    def test_zero_logit(self, run, maps, definition, axis, far, topk):
        cell, offset = self.look(run, maps, axis, far, topk, 'zero_logit')
        offset = offset.nan_to_num(1e9, 1e9, -1e9).clamp(-1e9, 1e9)
        expected = definition.propagation(*maps, 1, topk, offset=offset)
        assert run.equal(cell, expected[1, :, 2, 3])  # logits and values of 0

    def test_mask_leaves_the_other_reference(self, run, maps, definition, axis, far, topk):
        query, keys, values = maps
        cell, offset = self.look(run, maps, axis, far, topk, 'mask')
        expected = definition.propagation(query, keys[:, :, 1:], values[:, :, 1:], 1, topk, 1.,
                                          'mask', offset[:, 1:])
        assert run.equal(cell, expected[1, :, 2, 3])


@pytest.mark.parametrize('topk', [None, 3])
def test_nothing_left_is_0_with_mask_and_zero_logit(run, maps, topk):
    offset = constant((50, 0), (float('nan'), 0))
    for rule in ('zero_logit', 'mask'):
        out = run(local_propagation, *maps, 1, topk, 1., rule, offset)
        assert (out == 0).all()


@pytest.mark.parametrize('topk', [None, 3])
def test_mask_counts_positions_up_to_the_last_cell(run, topk):
    """Between the last cell and the outside is outside, on it is inside."""
    zeros, ones = torch.zeros(1, 1, REFS, *SIZE), torch.ones(1, 1, REFS, *SIZE)
    for shift, expected in ((0., 1), (0.5, 0)):  # of cells on the right edge
        offset = constant((shift, 0), (shift, 0))[:1]
        out = run(local_propagation, zeros[:, :, 0], zeros, ones, 0, topk, 1., 'mask', offset)
        assert (out[..., -1] == expected).all()
        assert (out[..., :-1] == 1).all()


def test_offset_of_another_type(run, maps):
    offset = constant((0.25, 0.5), (1, -0.75))
    args = [run.to(x) for x in maps]
    out = local_propagation(*args, 1, 3, offset=offset.to(run.device, torch.bfloat16),  # exact
                            backend=run.backend)
    assert torch.equal(out.double().cpu(), run(local_propagation, *maps, 1, 3, offset=offset))


@pytest.mark.parametrize('topk', [None, 3])
def test_bfloat16_equals_the_same_numbers_in_single(run, randn, topk):
    size = 11, 19
    maps = [x.bfloat16() for x in
            (randn(1, 5, *size), randn(1, 5, REFS, *size), randn(1, 2, REFS, *size))]
    offset = randn(1, REFS, 2, *size).float()
    half, single = (local_propagation(*(run.to(x).to(dtype) for x in maps), 3, topk, 0.1,
                                      offset=run.to(offset), backend=run.backend)
                    for dtype in (torch.bfloat16, torch.float32))
    assert torch.allclose(half.float(), single.float(), rtol=2**-8, atol=1e-3)
