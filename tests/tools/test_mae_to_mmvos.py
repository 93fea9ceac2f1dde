"""Pre-trained transformers, imitated with the names of their releases and functions of PyTorch."""
import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope

from mmvos.models.backbones import ConvViTSTML, ViTSTML
from mmvos.registry import MODELS

TOOL = Path(__file__).parents[2] / 'tools/model_converters/mae_to_mmvos.py'
spec = importlib.util.spec_from_file_location('mae_to_mmvos', TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

C, HEADS, FINE = 16, 2, (8, 12)


def entries(layers, seed=0):
    """Weight and bias of layers, {name: shape of the weight}; norms have one axis."""
    rng = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in layers.items():
        out[f'{name}.weight'] = torch.randn(*shape, generator=rng) * 0.3 + (len(shape) == 1)
        out[f'{name}.bias'] = torch.randn(shape[0], generator=rng) * 0.3
    return out


def block_layers(prefix):
    layers = {'norm1': (C,), 'attn.qkv': (3 * C, C), 'attn.proj': (C, C), 'norm2': (C,),
              'mlp.fc1': (4 * C, C), 'mlp.fc2': (C, 4 * C)}
    return {f'{prefix}.{name}': shape for name, shape in layers.items()}


def mae():
    """models_mae.py: two blocks, a class token, a decoder."""
    state = entries({'patch_embed.proj': (C, 3, 16, 16), 'norm': (C,), **block_layers('blocks.0'),
                     **block_layers('blocks.1')})
    extras = entries({'decoder_embed': (8, C), **block_layers('decoder_blocks.0')}, 1)
    rng = torch.Generator().manual_seed(2)
    return state | extras | dict(
        cls_token=torch.randn(1, 1, C, generator=rng), mask_token=torch.zeros(1, 1, 8),
        pos_embed=torch.randn(1, 1 + 9, C, generator=rng), decoder_pos_embed=torch.zeros(1, 10, 8))


def convmae():
    """models_convmae.py: one block a stage, two in the last."""
    layers = {'patch_embed4': (C, C), 'norm': (C,), **block_layers('blocks3.0'),
              **block_layers('blocks3.1')}
    for n, (before, after, kernel) in enumerate(((3, FINE[0], 4), (*FINE, 2), (FINE[1], C, 2)), 1):
        layers |= {f'patch_embed{n}.proj': (after, before, kernel, kernel),
                   f'patch_embed{n}.norm': (after,)}
    for n, width in enumerate(FINE, 1):
        at = f'blocks{n}.0'
        layers |= {f'{at}.norm1': (width,), f'{at}.conv1': (width, width, 1, 1),
                   f'{at}.attn': (width, 1, 5, 5), f'{at}.conv2': (width, width, 1, 1),
                   f'{at}.norm2': (width,), f'{at}.mlp.fc1': (4 * width, width, 1, 1),
                   f'{at}.mlp.fc2': (width, 4 * width, 1, 1)}
    extras = {'stage1_output_decode': (C, FINE[0], 4, 4), 'decoder_embed': (8, C)}
    rng = torch.Generator().manual_seed(2)
    return entries(layers) | entries(extras, 1) | dict(
        pos_embed=torch.randn(1, 9, C, generator=rng))


def linear(state, name, x):
    return F.linear(x, state[f'{name}.weight'], state[f'{name}.bias'])


def conv(state, name, x, **kwargs):
    return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], **kwargs)


def norm(state, name, x, eps=1e-6):
    return F.layer_norm(x, x.shape[-1:], state[f'{name}.weight'], state[f'{name}.bias'], eps)


def norm_maps(state, name, x):
    return norm(state, name, x.permute(0, 2, 3, 1), 1e-5).permute(0, 3, 1, 2)


def transformer(state, name, x):
    """One pre-norm block of tokens (B,N,C)."""
    q, k, v = linear(state, f'{name}.attn.qkv', norm(state, f'{name}.norm1', x)).chunk(3, -1)
    heads = [(a @ b.mT / (C / HEADS)**0.5).softmax(-1) @ c for a, b, c in zip(
        *(y.chunk(HEADS, -1) for y in (q, k, v)), strict=True)]
    x = x + linear(state, f'{name}.attn.proj', torch.cat(heads, -1))
    hidden = F.gelu(linear(state, f'{name}.mlp.fc1', norm(state, f'{name}.norm2', x)))
    return x + linear(state, f'{name}.mlp.fc2', hidden)


def plain_vit(state, image):
    """Tokens of the image without the class token, which ours neither has nor looks at."""
    x = conv(state, 'patch_embed.proj', image, stride=16).flatten(2).mT
    x = x + state['pos_embed'][:, 1:]
    for n in range(2):
        x = transformer(state, f'blocks.{n}', x)
    return norm(state, 'norm', x)


def plain_convvit(state, image):
    x = image
    for n, step in ((1, 4), (2, 2), (3, 2)):
        x = conv(state, f'patch_embed{n}.proj', x, stride=step)
        x = F.gelu(norm_maps(state, f'patch_embed{n}.norm', x))
        if n < 3:
            at = f'blocks{n}.0'
            y = conv(state, f'{at}.conv1', norm_maps(state, f'{at}.norm1', x))
            y = conv(state, f'{at}.attn', y, padding=2, groups=x.shape[1])
            x = x + conv(state, f'{at}.conv2', y)
            y = F.gelu(conv(state, f'{at}.mlp.fc1', norm_maps(state, f'{at}.norm2', x)))
            x = x + conv(state, f'{at}.mlp.fc2', y)
    x = linear(state, 'patch_embed4', x.flatten(2).mT) + state['pos_embed']
    for n in range(2):
        x = transformer(state, f'blocks3.{n}', x)
    return norm(state, 'norm', x)


def loaded(cls, path):
    cfg = dict(type=cls.__name__, channels=C, depth=2, heads=HEADS, fine_channels=FINE,
               init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    if cls is ConvViTSTML:
        cfg['fine_depth'] = 1
    with DefaultScope.overwrite_default_scope('mmvos'):
        model = MODELS.build(cfg)
    model.init_weights()
    return model


def alone(model, image):
    """The backbone without references and objects is what was pre-trained, but for its extras."""
    *_, x = model.embed(image)
    nothing = x.new_zeros(len(x), 0, C)
    found, _ = model(x, x[:, :, None][:, :, :0], nothing, nothing[..., 0] > 0)
    return found.flatten(2).mT


@torch.no_grad()
@pytest.mark.parametrize(('cls', 'released', 'plain'), [
    (ViTSTML, mae, plain_vit), (ConvViTSTML, convmae, plain_convvit)])
def test_converted_weights_give_the_same_features(cls, released, plain, tmp_path):
    torch.save(dict(model=released()), tmp_path / 'in.pth')
    tool.convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth')
    model, image = loaded(cls, tmp_path / 'out.pth'), torch.randn(2, 3, 48, 48)
    assert model.positions.shape == (1, C, 3, 3)  # those of the release, not the 14x14 of ours
    torch.testing.assert_close(alone(model, image), plain(released(), image), rtol=1e-4, atol=1e-4)
    assert alone(model, torch.randn(1, 3, 64, 96)).shape == (1, 24, C)


def test_moco_names():
    plain = mae()
    state = {f'module.base_encoder.{k}': v for k, v in plain.items()
             if not k.startswith(('decoder', 'mask'))}
    state |= {k.replace('base', 'momentum'): v + 1 for k, v in state.items()}
    state |= {'module.base_encoder.head.0.weight': torch.zeros(3),
              'module.predictor.0.weight': torch.zeros(3)}
    found, expected = tool.convert(state), tool.convert(plain)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda s: s.pop('blocks.1.norm2.bias'), 'missing, first blocks.1.norm2.bias'),
    (lambda s: s.update(fc_norm=torch.zeros(1)), '1 entries are unknown, first fc_norm'),
    (lambda s: s.update(pos_embed=torch.zeros(1, 9, C)), 'of a square grid, got 8')])
def test_another_network_is_refused_and_nothing_written(change, message, tmp_path):
    state = mae()
    change(state)
    torch.save(dict(model=state), tmp_path / 'in.pth')
    with pytest.raises(ValueError, match=message):
        tool.convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


def test_a_file_without_weights(tmp_path):
    torch.save(dict(model=3), tmp_path / 'in.pth')
    with pytest.raises(ValueError, match="neither as a whole nor under 'model' or 'state_dict'"):
        tool.convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth')
