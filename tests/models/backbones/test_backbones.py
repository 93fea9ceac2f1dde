"""The encoder's size, positions and independence, from the spec of the released code."""
import pytest
import torch
from torch import nn

from mmvos.models import RawColor, VOSResNet18


def test_parameter_counts():
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    assert count(VOSResNet18(None)) == 5_144_128
    assert count(VOSResNet18(64).projection) == 147_520


def test_multiply_accumulates_at_256():
    """23.58 G: the sum over convolutions of outputs x inputs of a kernel."""
    macs = []

    def count(module, args, out):
        macs.append(out.numel() * module.weight[0].numel())

    with torch.device('meta'):
        model = VOSResNet18(64)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        model(torch.empty(1, 3, 256, 256))
    assert sum(macs) / 1e9 == pytest.approx(23.58, abs=0.01)


@pytest.mark.parametrize('size', [(480, 854), (481, 855), (483, 857)])
def test_kernels_are_centred_on_every_fourth_pixel(size):
    """With delta kernels the encoder is exactly x[::4, ::4]."""
    model = VOSResNet18(None).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            middle = module.kernel_size[0] // 2
            module.weight.data[0, 0, middle, middle] = 1
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.
    # a block adds its shortcut: silence the branch and keep the shortcut
    for block in [*model.layer1, *model.layer2, *model.layer3, *model.layer4]:
        nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        out = model(x)[0]
    assert out.shape[-2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert torch.equal(out[:, 0], x[:, 0, ::4, ::4])


def test_batch_equals_single_images():
    model = VOSResNet18().eval()
    x = torch.rand(2, 3, 40, 56)
    with torch.no_grad():
        both = model(x)[0]
        single = torch.cat([model(image[None])[0] for image in x])
    assert torch.allclose(both, single, atol=1e-5)


def test_padding_is_felt_only_near_it():
    """The receptive field is 123 px, so at most the last 16 columns change."""
    model = VOSResNet18().eval()
    x = torch.rand(1, 3, 32, 208)
    padded = torch.cat([x, torch.full((1, 3, 32, 8), 0.5)], 3)
    with torch.no_grad():
        plain, wide = model(x)[0], model(padded)[0][..., :52]
    assert torch.allclose(plain[..., :-16], wide[..., :-16], atol=1e-5)
    assert not torch.allclose(plain[..., -1], wide[..., -1], atol=1e-3)


def test_raw_color_ranks_by_distance():
    x = torch.rand(1, 3, 8, 8) * 2 - 1
    feat = RawColor(scale=3.)(x)[0].flatten(2)[0].T
    colour = x[..., ::4, ::4].flatten(2)[0].T
    lift = (4 - colour.square().sum(1)).sqrt()
    ball = torch.cat([colour, lift[:, None]], 1)
    expected = 9 * (4 - torch.cdist(ball, ball).square() / 2)
    assert torch.allclose(feat @ feat.T, expected, atol=1e-4)
