"""RAFT against textbook forms of its parts: all-pairs volume, grid_sample, plain GRU."""
import math
import os

import pytest
import torch
import torch.nn.functional as F

from mmvos.models.motion_estimators.raft import RAFT
from mmvos.models.motion_estimators.raft_modules import ConvGRU, CorrelationPyramid
from mmvos.registry import MODELS
from mmvos.structures import Frame


def grid(height, width):
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    return torch.stack([xs, ys])[None].float()


def lookup_all_pairs(query, ref, centre, radius, levels=4):
    """Section 3.2 literally: the whole volume, pooled, sampled point by point."""
    n, c, h, w = query.shape
    volume = torch.einsum('ncp,ncq->npq', query.flatten(2), ref.flatten(2)) / math.sqrt(c)
    volume = volume.reshape(n * h * w, 1, h, w)
    steps = torch.arange(-radius, radius + 1, dtype=query.dtype)
    points = centre.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    out = []
    for level in range(levels):
        here = points / 2 ** level + torch.stack(torch.meshgrid(steps, steps, indexing='ij'), -1)
        size = torch.tensor([volume.shape[3], volume.shape[2]])
        sampled = F.grid_sample(volume, 2 * here / (size - 1) - 1, align_corners=True)
        out.append(sampled.reshape(n, h, w, -1))
        volume = F.avg_pool2d(volume, 2)
    return torch.cat(out, 3).permute(0, 3, 1, 2)


def plain_raft(net, query, ref, iters):
    """One pair (1,3,H,W) in [0,1], H and W multiples of 8, as the paper's algorithm reads."""
    f1, f2 = net.fnet(2 * query - 1), net.fnet(2 * ref - 1)
    hidden, context = net.cnet(2 * query - 1).tensor_split([net.hidden_channels], 1)
    hidden, context = hidden.tanh(), context.relu()
    origin = grid(*f1.shape[2:])
    flow = torch.zeros_like(origin)
    block = net.update_block
    for _ in range(iters):
        motion = block.encoder(lookup_all_pairs(f1, f2, origin + flow, net.radius), flow)
        hidden = plain_gru(block.gru, hidden, torch.cat([context, motion], 1))
        flow = flow + block.flow_head(hidden)
    return F.interpolate(flow, scale_factor=2, mode='bilinear', align_corners=True) * 2


def plain_gru(gru, hidden, x):
    for suffix in gru.kernels:
        conv_z, conv_r, conv_q = (getattr(gru, f'conv{gate}{suffix}') for gate in 'zrq')
        both = torch.cat([hidden, x], 1)
        z, r = conv_z(both).sigmoid(), conv_r(both).sigmoid()
        q = conv_q(torch.cat([r * hidden, x], 1)).tanh()
        hidden = (1 - z) * hidden + z * q
    return hidden


@pytest.fixture(params=['small', 'large'])
def net(request):
    torch.manual_seed(0)
    return RAFT(request.param, 1, iters_far=3)


def frames(count, size=(128, 136), batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [Frame(i, torch.rand(batch, 3, *size, generator=generator)) for i in range(count)]


@pytest.mark.parametrize(('variant', 'count', 'entries'),
                         [('small', 990_162, 106), ('large', 5_257_536, 179)])
def test_published_sizes(variant, count, entries):
    net = RAFT(variant)
    assert sum(p.numel() for p in net.parameters()) == count
    assert len(net.state_dict()) == entries


def test_large_has_the_keys_of_the_public_checkpoint():
    keys = set(RAFT('large').state_dict())
    assert {'fnet.conv1.weight', 'cnet.norm1.running_mean', 'cnet.layer2.0.norm3.weight',
            'cnet.layer2.0.downsample.1.weight', 'cnet.layer3.1.norm2.num_batches_tracked',
            'update_block.encoder.convc2.bias', 'update_block.gru.convq2.weight',
            'update_block.flow_head.conv2.bias', 'update_block.mask.2.weight'} <= keys
    assert not any('norm' in key for key in keys if key.startswith('fnet'))


@pytest.mark.parametrize('spread', [0, 3, 60])
def test_windows_equal_all_pairs(spread):
    torch.manual_seed(1)
    query, ref = torch.randn(2, 2, 16, 17, 19).unbind(0)
    centre = grid(17, 19) + spread * torch.randn(2, 2, 17, 19)
    read = CorrelationPyramid(query, ref, levels=4, radius=3).read(centre)
    torch.testing.assert_close(read, lookup_all_pairs(query, ref, centre, 3), rtol=1e-4, atol=1e-5)


def test_maps_below_the_coarsest_level_go_on_with_zeros():
    torch.manual_seed(2)
    query, ref = torch.randn(2, 1, 8, 3, 5).unbind(0)
    small = CorrelationPyramid(query, ref, levels=4, radius=2).read(grid(3, 5))
    padded = [F.pad(x, (0, 19, 0, 13)) for x in (query, ref)]
    expected = lookup_all_pairs(*padded, grid(16, 24), 2)[..., :3, :5]
    torch.testing.assert_close(small, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kernels', [{'': (3, 3)}, {'1': (1, 5), '2': (5, 1)}])
def test_gru_with_prepared_context_equals_the_plain_one(kernels):
    torch.manual_seed(3)
    gru = ConvGRU((6, 4, 5), kernels)
    hidden, context, motion = (torch.randn(2, c, 7, 9) for c in (6, 4, 5))
    expected = plain_gru(gru, hidden, torch.cat([context, motion], 1))
    torch.testing.assert_close(gru(hidden, motion, gru.prepare(context)), expected)


@torch.no_grad()
def test_flow_equals_the_plain_algorithm_pair_by_pair(net):
    """Near and far references in one call, two videos in one batch."""
    a, b, c, query = frames(4, batch=2)
    codes = torch.stack([net.code(f) for f in (a, b, c)], 2)
    offset = net(query, codes, [20, 2, 1])
    assert offset.shape == (2, 3, 2, 32, 34)
    assert offset.dtype == torch.float32
    for t, (ref, iters) in enumerate(((a, 3), (b, 1), (c, 1))):
        for i in range(2):
            expected = plain_raft(net, query.image[i:i + 1], ref.image[i:i + 1], iters)[0]
            torch.testing.assert_close(offset[i, t], expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_networks_run_once_per_frame(net):
    runs = dict(fnet=0, cnet=0)
    for name in runs:
        getattr(net, name).register_forward_hook(
            lambda *_, name=name: runs.__setitem__(name, runs[name] + 1))
    *refs, query = frames(4, size=(64, 64))
    codes = torch.stack([net.code(f) for f in refs], 2)
    net(query, codes, [3, 2, 1])
    net.code(query)
    assert runs == dict(fnet=4, cnet=1)


@pytest.mark.parametrize('size', [(33, 47), (64, 64), (71, 90)])
@pytest.mark.parametrize('stride', [4, 8])
def test_any_size(size, stride):
    net = RAFT(iters_near=1, stride=stride)
    ref, query = frames(2, size=size)
    offset = net(query, net.code(ref)[:, :, None], [1])
    assert offset.shape == (1, 1, 2, -(-size[0] // stride), -(-size[1] // stride))
    assert offset.isfinite().all()


def test_enlarging_a_ramp():
    """align_corners=True: corners keep their value, twice as long in cells half as large."""
    flow = torch.stack([grid(6, 9)])
    fine = RAFT()._to_cells(flow, (12, 18))[0, 0]
    torch.testing.assert_close(fine[0], torch.linspace(0, 16, 18).expand(12, -1))
    torch.testing.assert_close(fine[1], torch.linspace(0, 10, 12)[:, None].expand(-1, 18))


@pytest.mark.parametrize('size', [(64, 96), (68, 100), (33, 47)])
def test_begins_where_it_is_told(size):
    """Without a step that is the result; a ramp stands on both grids, but for a cut cell."""
    net = RAFT(iters_near=0, iters_far=0)
    *refs, query = frames(3, size=size, batch=2)
    codes = torch.stack([net.code(frame) for frame in refs], 2)
    ramp = grid(*(-(-n // 4) for n in size))
    start = torch.stack([ramp.flip(2), .5 * ramp], 1).expand(2, -1, -1, -1, -1)
    error = net(query, codes, [20, 1], start) - start
    assert error[..., :-2, :-2].abs().max() < 1e-4
    assert error.abs().max() < 1.1
    assert (net(query, codes, [20, 1]) == 0).all()


def test_correlation_stays_float32_under_autocast():
    net = RAFT(iters_near=1)
    ref, query = frames(2, size=(64, 64))
    with torch.autocast('cpu', torch.bfloat16):
        offset = net(query, net.code(ref)[:, :, None], [1])
    assert offset.dtype == torch.float32
    assert net.code(query).dtype == torch.float32


def test_stays_frozen():
    net = MODELS.build(dict(type='RAFT', **RAFT.example)).train()
    assert not any(module.training for module in net.modules())
    assert not any(p.requires_grad for p in net.parameters())


def test_loads_a_public_checkpoint(net, tmp_path):
    variant = 'small' if net.radius == 3 else 'large'
    path = tmp_path / 'raft.pth'
    state = {f'module.{k}': v for k, v in net.state_dict().items()}
    torch.save(state, path, _use_new_zipfile_serialization=False)  # as in 2020
    loaded = RAFT(variant, checkpoint=str(path)).state_dict()
    assert all(torch.equal(v, loaded[k]) for k, v in net.state_dict().items())
    other = 'large' if variant == 'small' else 'small'
    with pytest.raises(ValueError, match=rf"first .*try variant='{variant}'"):
        RAFT(other, checkpoint=str(path))


def test_refuses_bad_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.pth do not exist.*DISFlow'):
        RAFT(checkpoint=str(tmp_path / 'nothing.pth'))

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'ran'),)

    torch.save({'module.fnet.conv1.weight': Payload()}, tmp_path / 'planted.pth')
    with pytest.raises(ValueError, match='planted.pth was refused'):
        RAFT(checkpoint=str(tmp_path / 'planted.pth'))
    assert not (tmp_path / 'ran').exists()
    torch.save([torch.zeros(1)], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='list.pth does not hold'):
        RAFT(checkpoint=str(tmp_path / 'list.pth'))


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(variant='tiny'), "'small' or 'large', got 'tiny'"),
    (dict(stride=3), 'should divide 8, got 3')])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        RAFT(**wrong)
