"""The momentum memory of Zhu et al.: the moving average and what has a gradient."""
import numpy as np
import pytest
import torch
from torch import nn

from mmvos.apis import load_weights
from mmvos.models import LabelPropagation, MomentumPropagation
from mmvos.models.segmentors import drop_channel
from mmvos.ops import rgb_to_lab, upsample_half_pixel
from mmvos.testing.construction_contracts import build


class Tiny(nn.Module):
    """A backbone of one convolution."""

    stride = 4

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        return (self.norm(self.conv(x)),)


def tiny(cls=MomentumPropagation, **options):
    torch.manual_seed(0)
    return build(cls, backbone=Tiny(), **options)


@pytest.mark.parametrize(('steps', 'value'), [(1, .001), (693, .5001), (1000, .6323)])
def test_average_follows_its_closed_form(steps, value):
    """From 0 towards a constant 1 with m = 0.999 (equation 8): 1 - m^n."""
    model = tiny(momentum=.999)
    parameters, average = model.backbone.conv.weight, model.reference_encoder.module.conv.weight
    parameters.data.zero_()
    model.reference_encoder.update_parameters(model.backbone)  # the first one copies
    assert not average.any()
    parameters.data.fill_(1)
    for _ in range(steps):
        model.reference_encoder.update_parameters(model.backbone)
    assert average.flatten()[0].item() == pytest.approx(value, abs=5e-5)
    assert average.flatten()[0].item() == pytest.approx(1 - .999**steps, abs=1e-5)


def test_average_begins_as_a_copy_and_moves_once_for_every_loss():
    model = tiny(momentum=.9).train()
    with torch.no_grad():
        model.backbone.conv.weight.fill_(1)  # as weights that are loaded after it was built
    clip = torch.rand(2, 3, 3, 32, 32)
    model.loss(clip)
    average = model.reference_encoder.module.conv.weight
    assert torch.equal(average, model.backbone.conv.weight)
    with torch.no_grad():
        model.backbone.conv.weight.fill_(2)
    model.loss(clip)
    torch.testing.assert_close(average, torch.full_like(average, 1.1))


def test_running_statistics_are_those_of_the_query():
    """References pass through the average in training, too, and must not move it."""
    model = tiny().train()
    for seed in range(3):
        torch.manual_seed(seed)
        model.loss(torch.rand(2, 6, 3, 32, 32) * (1 + seed))
        for mine, its in zip(model.reference_encoder.module.buffers(), model.backbone.buffers(),
                             strict=True):
            assert torch.equal(mine, its)


def test_references_have_no_gradient():
    model = tiny().train()
    model.loss(torch.rand(2, 6, 3, 32, 32))['loss'].backward()
    assert all(p.grad is None for p in model.reference_encoder.parameters())
    assert not any(p.requires_grad for p in model.reference_encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.backbone.conv.parameters())


def test_five_references_share_one_softmax():
    """Where one of five references alone is like the query, its colour alone is copied."""
    model = build(MomentumPropagation, backbone=dict(type='RawColor', scale=1000.),
                  reconstruction_head=dict(type='LocalMatching', radius=1))
    g = torch.Generator().manual_seed(0)
    blocks = torch.rand(6, 3, 8, 8, generator=g)
    blocks[5] = blocks[2]
    clip = torch.nn.functional.interpolate(blocks, (32, 32))[None]
    torch.manual_seed(3)
    loss = model.loss(clip)['loss']
    torch.manual_seed(3)
    target = drop_channel(rgb_to_lab(clip[0])[None])[1][:, 5]
    expected = model.loss_module(upsample_half_pixel(target[..., ::4, ::4], (32, 32)), target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)


def test_keys_are_those_of_the_average():
    model = tiny().eval()
    with torch.no_grad():
        model.reference_encoder.module.norm.weight.fill_(2)
    image = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    session = model.session()
    session.step(image, np.ones((32, 48), np.uint8))
    key = session.state.banks['frames'].read('key', 1)[:, :, 0]
    lab = rgb_to_lab(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    assert torch.allclose(key, 2 * model.backbone(lab)[-1], atol=1e-5)


def test_weights_of_the_first_stage_serve_as_both(tmp_path):
    first, second = tiny(LabelPropagation), tiny()
    with torch.no_grad():
        first.backbone.conv.weight.fill_(3)
        first.backbone.norm.running_mean.fill_(.5)
    torch.save(first.state_dict(), tmp_path / 'first.pth')
    load_weights(second, tmp_path / 'first.pth')
    for encoder in (second.backbone, second.reference_encoder.module):
        assert (encoder.conv.weight == 3).all()
        assert (encoder.norm.running_mean == .5).all()
    with torch.no_grad():
        second.reference_encoder.module.conv.weight.fill_(4)
    torch.save(second.state_dict(), tmp_path / 'second.pth')
    again = tiny()
    load_weights(again, tmp_path / 'second.pth')
    assert (again.reference_encoder.module.conv.weight == 4).all()
    assert (again.backbone.conv.weight == 3).all()


@pytest.mark.parametrize('momentum', [0, 1, 1.5])
def test_bad_momentum(momentum):
    with pytest.raises(ValueError, match='between 0 and 1'):
        tiny(momentum=momentum)
