"""Video Colorization against a softmax over everything, written by hand."""
import math

import numpy as np
import pytest
import torch
from torch import nn

from mmvos.datasets import SyntheticVOS
from mmvos.models import MAMP, VideoColorization
from mmvos.models.losses import color_classes, color_masks
from mmvos.ops import rgb_to_lab
from mmvos.testing.construction_contracts import build
from mmvos.testing.fakes import FakeVideo, fake_frames


def sharp():
    """A model whose features are large: pointing is far from uniform."""
    model = build(VideoColorization)
    torch.manual_seed(0)
    for layer in model.mixer.layers:
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight)
    nn.init.normal_(model.mixer.layers[-1].weight, std=30.)
    return model


def pointed(query, keys, values):
    """query (E,h,w), keys T x (E,h,w), values T x (V,h,w) -> (V,h,w)."""
    keys = torch.cat([key.flatten(1) for key in keys], 1).double()
    values = torch.cat([value.flatten(1) for value in values], 1).double()
    weights = (keys.T @ query.flatten(1).double() / math.sqrt(len(query))).softmax(0)
    return (values @ weights).unflatten(1, query.shape[-2:])


@torch.no_grad()
def test_every_cell_points_at_all_cells_of_all_references():
    g = torch.Generator().manual_seed(0)
    query, *keys = (2 * torch.randn(2, 8, 5, 7, generator=g) for _ in range(4))
    cells = torch.rand(2, 3, 16, 5, 7, generator=g)
    out = build(VideoColorization).copy(query, keys, cells)
    for b in range(2):
        expected = pointed(query[b], [key[b] for key in keys], cells[b])
        torch.testing.assert_close(out[b].double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('now', 'seen'), [(1, (0, 0, 0)), (2, (0, 0, 1)), (3, (0, 1, 2)),
                                           (5, (2, 3, 4))])
@torch.no_grad()
def test_a_frame_is_mixed_with_its_references(now, seen):
    """Three frames before it; the oldest stands in at the start. From images, not from the bank."""
    model = sharp()
    frames = list(fake_frames([FakeVideo(6, (32, 48), starts=(0, 0))]))
    state, labels = model.init_state(None), []
    for frame in frames[:now]:
        probs = model.step(frame, state)
        labels.append(probs[0].argmax(0)[::8, ::8])
    maps = [model.backbone(model.encoder_input(frames[i].image))[-1] for i in (*seen, now)]
    *keys, query = model.mixer(torch.stack(maps, 2))[0].unbind(1)
    assert query.std() > 1
    masks = [torch.stack([labels[i] == k for k in range(3)]).float() for i in seen]
    expected = model.upsample(pointed(query, keys, masks)[None], (32, 48))
    out = model.segment(frames[now], state).softmax(1)
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-4)


def test_features_depend_on_the_frames_around():
    model = sharp()
    clip = torch.rand(1, 4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    other = clip.clone()
    other[:, 0] = 0
    with torch.no_grad():
        assert (model.encode_clip(clip)[-1] - model.encode_clip(other)[-1]).abs().max() > .1


def same_lightness():
    """Two (N,3) uint8 RGB whose L is bitwise the same and whose classes differ."""
    colors = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2**18, 3), np.uint8))
    image = (colors.float() / 255).T[None, :, :, None]
    lightness = rgb_to_lab(image)[:, 0].flatten()
    classes, order = color_classes(image).flatten(), lightness.argsort()
    first, second = order[:-1], order[1:]
    found = (lightness[first] == lightness[second]) & (classes[first] != classes[second])
    return colors[first[found]], colors[second[found]]


def test_a_frame_s_own_colours_are_never_seen():
    model = sharp()
    one, two = (colors[:64].view(8, 8, 3).movedim(-1, 0).float() / 255
                for colors in same_lightness())
    big = nn.Upsample(scale_factor=8)
    seen = []
    model.loss_module.register_forward_pre_hook(
        lambda _, pair: seen.append([x.detach() for x in pair]))
    clip = torch.rand(1, 4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for target in (one, two):
        clip[:, 3] = big(target[None])
        model.loss(clip)
    assert (seen[0][1] != seen[1][1]).any(1).all()  # asked for something else, everywhere
    assert torch.equal(seen[0][0], seen[1][0])
    clip[:, 1] = clip[:, 1].flip(1)  # a reference's colours are
    model.loss(clip)
    assert not torch.equal(seen[1][0], seen[2][0])


def test_loss_is_of_cells():
    """Uniform features: every cell gets the references' share of each class."""
    model = build(VideoColorization)
    for parameter in model.mixer.layers[-1].parameters():
        nn.init.zeros_(parameter)
    clip = torch.rand(2, 4, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    cells = color_masks(clip)[..., ::8, ::8]
    share = cells[:, :3].mean((1, 3, 4))
    expected = -((share[..., None, None] + 1e-8).log() * cells[:, 3]).sum(1).mean()
    assert model.loss(clip)['loss'].item() == pytest.approx(expected.item(), rel=1e-4)


def test_overfits_a_tiny_clip():
    """The loss falls below half of what it was and below log(16) / 4."""
    torch.manual_seed(0)
    dataset = SyntheticVOS(1, 4, size=(64, 96), num_objects=(2, 2), seed=0)
    frames = np.stack([dataset[0]['inputs'].read(t) for t in range(4)])
    clip = torch.from_numpy(frames).movedim(-1, 1)[None].float() / 255
    model = build(VideoColorization, channels=16, embed_channels=16).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = model.loss(clip)['loss']
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < min(losses[0] / 2, math.log(16) / 4)


class Place(nn.Module):
    """Features that only say where a cell is."""

    def forward(self, maps):
        height, width = maps.shape[-2:]
        cells = 300 * torch.eye(height * width).unflatten(1, (height, width))
        return cells[None, :, None].expand(len(maps), -1, maps.shape[2], -1, -1)


def test_a_static_video_keeps_its_masks():
    """Where a cell points at itself, masks made of whole cells stay, frame by frame."""
    model = build(VideoColorization, upsample='kernel_centre')
    model.mixer = Place()
    session, mask = model.session(), np.zeros((48, 64), np.uint8)
    mask[8:32, 16:40] = 7
    mask[8:24, 48:64] = 3
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    session.step(image, mask)
    for _ in range(5):
        labels = session.step(image)
        assert (labels[::8, ::8] == mask[::8, ::8]).all()
    assert list(session.state.banks['frames'].items) == [3, 4, 5]


def test_refusals():
    with pytest.raises(ValueError, match='stride=N'):
        build(VideoColorization, stride=None)
    with pytest.raises(ValueError, match='references'):
        build(VideoColorization, references=0)
    model = build(VideoColorization, memory=dict(type='FrameBank', recent=4))
    session, video = model.session(), FakeVideo(5)
    with pytest.raises(ValueError, match='recent=3, annotated=False'):
        [session.step(video.read(t), video.labels(0) if t == 0 else None) for t in range(5)]
    with pytest.raises(ValueError, match='length=4'):
        model.loss(torch.rand(1, 5, 3, 32, 32))


def test_a_backbone_that_knows_its_stride_is_asked():
    assert build(MAMP).stride == 4
