"""Local correlation against loops, unfold, grid_sample and closed forms."""
import pytest
import torch
import torch.nn.functional as F

from mmvos.ops import local_correlation

# size of the query's map, of the key's map, radius, dilation
CASES = {
    'odd size': ((5, 7), (5, 7), 2, 1),
    'radius 0': ((5, 7), (5, 7), 0, 1),
    'dilation 2': ((7, 6), (7, 6), 2, 2),
    'dilation 3': ((8, 7), (8, 7), 1, 3),
    'window larger than the map': ((3, 4), (3, 4), 6, 1),
    'dilated window larger than the map': ((3, 4), (3, 4), 3, 3),
    'smaller key': ((6, 7), (4, 3), 2, 1),
    'larger key': ((4, 3), (6, 8), 2, 2),
    'several vectors': ((2, 37), (2, 37), 3, 1),
    'one column': ((9, 1), (9, 1), 1, 1)}

FAR = [float('nan'), float('inf'), -float('inf'), 1e30, -2.**24, 2.**31, -2.**63, -20.]


def grid_sample(x, px, py):
    """Bilinear samples (B,N,...) of (B,N,h,w), zero outside; two rows and columns or more."""
    height, width = x.shape[-2:]
    grid = torch.stack([2 * px / (width - 1) - 1, 2 * py / (height - 1) - 1], -1)
    return F.grid_sample(x, grid, align_corners=True, padding_mode='zeros')


def window_samples(query, key, radius, dilation, coords):
    """Products of each cell with bilinear samples around `coords`, one distance after another."""
    steps = [dilation * d for d in range(-radius, radius + 1)]
    return torch.stack([(query * grid_sample(key, coords[:, 0] + dx, coords[:, 1] + dy)).sum(1)
                        for dy in steps for dx in steps], 1)


def positions(height, width, batch=1):
    """(B,2,h,w): each cell's own coordinates."""
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    return torch.stack([xs, ys]).double().expand(batch, 2, height, width).clone()


class TestGrid:

    @pytest.mark.parametrize('case', CASES)
    def test_equals_loops(self, run, randn, definition, case):
        size, key_size, radius, dilation = CASES[case]
        query, key = randn(2, 5, *size), randn(2, 5, *key_size)
        out = run(local_correlation, query, key, radius, dilation)
        assert run.equal(out, definition.correlation(query, key, radius, dilation))

    @pytest.mark.parametrize('channels', [0, 1, 17, 64])
    def test_number_of_channels(self, run, randn, definition, channels):
        query, key = randn(1, channels, 3, 5), randn(1, channels, 3, 5)
        out = run(local_correlation, query, key, 1)
        assert run.equal(out, definition.correlation(query, key, 1))

    @pytest.mark.parametrize(('radius', 'dilation'), [(2, 1), (1, 3)])
    def test_order_is_that_of_unfold(self, run, randn, radius, dilation):
        query, key = randn(2, 3, 6, 5), randn(2, 3, 6, 5)
        side = 2 * radius + 1
        windows = F.unfold(key, side, dilation, radius * dilation).view(2, 3, side**2, 6, 5)
        assert run.equal(run(local_correlation, query, key, radius, dilation),
                         (query[:, :, None] * windows).sum(1))

    def test_first_axis_is_dy_and_a_positive_distance_looks_below_and_to_the_right(self, run):
        # as spatial-correlation-sampler: <in1(y, x), in2(y + dy * dilation, x + dx * dilation)>
        query, key = torch.zeros(1, 2, 9, 9), torch.zeros(1, 2, 9, 9)
        query[0, :, 4, 5] = torch.tensor([2., 3.])
        key[0, :, 4 + 2 * 1, 5 - 2 * 2] = torch.tensor([5., 7.])  # dy = 1, dx = -2
        out = run(local_correlation, query, key, 2, 2).view(5, 5, 9, 9)
        assert out[2 + 1, 2 - 2, 4, 5] == 2 * 5 + 3 * 7
        assert out.count_nonzero() == 1

    def test_features_of_unit_length_give_the_cosine_volume(self, run, randn):
        key = F.normalize(randn(1, 32, 9, 11), dim=1)
        query = key.roll((-2, 3), (2, 3))  # looks like the key 2 below and 3 to the left
        out = run(local_correlation, query, key, 3).view(7, 7, 9, 11)
        kept = slice(None, -2), slice(3, None)  # what was not rolled around the border
        assert run.equal(out[3 + 2, 3 - 3][kept], torch.ones(7, 8, dtype=torch.float64))
        assert (out.flatten(0, 1).argmax(0)[kept] == (3 + 2) * 7 + 3 - 3).all()
        assert out.abs().max() < 1 + 1e-5

    def test_own_frame_is_like_itself(self, run, randn):
        frame = F.normalize(randn(1, 16, 5, 6), dim=1)
        out = run(local_correlation, frame, frame, 2)
        assert run.equal(out[0, 12], torch.ones(5, 6, dtype=torch.float64))


class TestCoords:

    @pytest.mark.parametrize(('radius', 'dilation'), [(0, 1), (2, 1), (1, 3)])
    @pytest.mark.parametrize('key_size', [(6, 7), (4, 9)])
    def test_equal_grid_sample(self, run, randn, radius, dilation, key_size):
        query, key = randn(2, 5, 6, 7), randn(2, 5, *key_size)
        coords = positions(6, 7, 2) + 3 * randn(2, 2, 6, 7)  # some outside
        assert run.equal(run(local_correlation, query, key, radius, dilation, coords),
                         window_samples(query, key, radius, dilation, coords))

    @pytest.mark.parametrize('dilation', [1, 2])
    def test_whole_coords_equal_the_grid(self, run, randn, dilation):
        query, key = randn(2, 5, 6, 7), randn(2, 5, 6, 7)
        grid = run(local_correlation, query, key, 2, dilation)
        assert run.equal(run(local_correlation, query, key, 2, dilation, positions(6, 7, 2)), grid)

    def test_raft_looks_up_one_level_of_all_pairs(self, run, randn):
        query, key = randn(2, 8, 4, 5), randn(2, 8, 6, 7)
        coords = positions(4, 5, 2) * 1.3 + randn(2, 2, 4, 5)
        volume = torch.einsum('bchw,bcij->bhwij', query, key).flatten(0, 2)[:, None]
        dy, dx = torch.meshgrid(*2 * [torch.arange(-3., 4)], indexing='ij')
        centre = coords.movedim(1, -1).flatten(0, 2)[..., None, None]
        looked_up = grid_sample(volume, centre[:, 0] + dx, centre[:, 1] + dy)
        expected = looked_up.view(2, 4, 5, 49).movedim(-1, 1)
        assert run.equal(run(local_correlation, query, key, 3, coords=coords), expected)

    @pytest.mark.parametrize(('axis', 'far'), [(i % 2, far) for i, far in enumerate(FAR)])
    def test_far_outside_or_not_finite_is_zero(self, run, randn, far, axis):
        query, key, coords = randn(1, 3, 4, 5), randn(1, 3, 4, 5), positions(4, 5) + 0.25
        near = run(local_correlation, query, key, 2, coords=coords)
        coords[0, axis, 1, 2] = far
        out = run(local_correlation, query, key, 2, coords=coords)
        assert (out[..., 1, 2] == 0).all()
        out[..., 1, 2] = near[..., 1, 2]
        assert torch.equal(out, near)

    def test_coords_of_another_type(self, run, randn):
        query, key, coords = randn(1, 3, 4, 5), randn(1, 3, 4, 5), positions(4, 5) + 0.25
        low = coords.to(run.device, torch.bfloat16)  # exact
        out = local_correlation(run.to(query), run.to(key), 1, coords=low, backend=run.backend)
        assert run.equal(out, window_samples(query, key, 1, 1, coords))


@pytest.mark.parametrize('with_coords', [False, True])
def test_empty_batch_and_empty_maps(run, with_coords):
    for query, key in (((0, 3, 4, 5), (0, 3, 4, 5)), ((2, 3, 0, 5), (2, 3, 4, 5)),
                       ((2, 3, 4, 5), (2, 3, 4, 0))):
        coords = torch.zeros(query[0], 2, *query[2:]) if with_coords else None
        out = run(local_correlation, torch.ones(query), torch.ones(key), 2, coords=coords)
        assert out.shape == (query[0], 25, *query[2:])
        assert not out.any()
