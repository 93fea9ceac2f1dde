"""Released checkpoints, imitated by a network that names its layers as the releases do."""
import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmvos.models.backbones import VOSResNet18

TOOL = Path(__file__).parents[2] / 'tools/model_converters/mamp_to_mmvos.py'


def load_tool():
    spec = importlib.util.spec_from_file_location('mamp_to_mmvos', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.left = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out))
        self.shortcut = nn.Sequential()
        if c_in != c_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        return torch.relu(self.left(x) + self.shortcut(x))


class Released(nn.Module):
    """Section 1.1 of the encoder's description, with numbered layers."""

    def __init__(self):
        super().__init__()
        self.feature_extraction = nn.Sequential()
        stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.feature_extraction.add_module('conv1', stem)
        previous = 64
        for i, (channels, stride) in enumerate(((64, 1), (128, 2), (256, 1), (256, 1)), 1):
            self.feature_extraction.add_module(f'layer{i}', nn.Sequential(
                Block(previous, channels, stride), Block(channels, channels, 1)))
            previous = channels
        self.post_convolution = nn.Conv2d(256, 64, 3, 1, 1)

    def forward(self, x):
        return self.post_convolution(self.feature_extraction(x))


@pytest.fixture(scope='module')
def released():
    torch.manual_seed(0)
    net = Released()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # else a swapped norm would not show
            for value in (module.weight, module.running_var):
                nn.init.uniform_(value, 0.5, 1.5)
            for value in (module.bias, module.running_mean):
                nn.init.normal_(value)
    return net.eval()


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('zipped', [True, False], ids=['new file', 'legacy file'])
def test_converted_weights_give_the_same_features(released, tmp_path, prefix, zipped):
    state = {prefix + k: v for k, v in released.state_dict().items()}
    extras = dict(epoch=32, scaler=None, optimizer=dict(state={}, param_groups=[dict(lr=1e-3)]))
    torch.save(dict(state_dict=state, **extras), tmp_path / 'in.pt',
               _use_new_zipfile_serialization=zipped)
    tool.convert_file(tmp_path / 'in.pt', tmp_path / 'out.pth')
    converted = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    ours = VOSResNet18(out_channels=64).eval()
    ours.load_state_dict({k.removeprefix('backbone.'): v for k, v in converted.items()})
    image = torch.randn(2, 3, 33, 46)
    with torch.no_grad():
        torch.testing.assert_close(ours(image)[0], released(image), rtol=1e-4, atol=1e-4)


def test_every_parameter_has_a_name_of_ours(released):
    converted = tool.convert(released.state_dict())
    assert sum(v.numel() for k, v in converted.items()
               if 'running' not in k and 'tracked' not in k) == 5_144_128 + 147_520


def test_counters_may_be_absent(released):
    state = {k: v for k, v in released.state_dict().items() if 'tracked' not in k}
    assert len(tool.convert(state)) == len(state)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda s: s.pop('post_convolution.bias'), 'entries are missing, first post_convolution.bias'),
    (lambda s: s.update(head=torch.zeros(1)), '1 entries are unknown, first head'),
    (lambda s: s.update({'post_convolution.bias': 3}), 'not tensors, first post_convolution.bias')])
def test_another_network_is_refused_and_nothing_written(released, tmp_path, change, message):
    state = dict(released.state_dict())
    change(state)
    torch.save(dict(state_dict=state), tmp_path / 'in.pt')
    (tmp_path / 'out.pth').write_text('earlier')
    with pytest.raises(ValueError, match=message):
        tool.convert_file(tmp_path / 'in.pt', tmp_path / 'out.pth')
    assert (tmp_path / 'out.pth').read_text() == 'earlier'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in.pt', 'out.pth']


def test_planted_payload_does_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'ran'),)

    torch.save(dict(state_dict=dict(weight=Payload())), tmp_path / 'in.pt')
    with pytest.raises(ValueError, match='in.pt was refused'):
        tool.convert_file(tmp_path / 'in.pt', tmp_path / 'out.pth')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in.pt']


def test_command(released, tmp_path):
    torch.save(dict(state_dict=released.state_dict()), tmp_path / 'in.pt')
    done = subprocess.run(
        [sys.executable, str(TOOL), tmp_path / 'in.pt', tmp_path / 'out.pth'], text=True,
        capture_output=True, env={**os.environ, 'PYTHONPATH': str(TOOL.parents[2])})
    assert done.returncode == 0, done.stderr
    assert '5,2' in done.stdout
    assert (tmp_path / 'out.pth').is_file()


@pytest.mark.parametrize(('source', 'target', 'message'), [
    ('in.pt', 'in.pt/out.pth', 'one of its parents is a file'),
    ('in.pt', '/dev/full', 'free some space'),
    ('absent.pt', 'out.pth', 'absent.pt does not exist')])
def test_command_says_what_is_wrong_in_one_line(
        released, tmp_path, capsys, monkeypatch, source, target, message):
    torch.save(dict(state_dict=released.state_dict()), tmp_path / 'in.pt')
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(tmp_path / source), str(tmp_path / target)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    assert message in lines[0]


def test_interrupted_without_a_traceback(monkeypatch, capsys):
    def interrupt(path):
        raise KeyboardInterrupt
    monkeypatch.setattr('mmvos.apis.conversion.load_checkpoint_file', interrupt)
    monkeypatch.setattr(sys, 'argv', [str(TOOL), 'in.pt', 'out.pth'])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert stop.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_a_traceback_on_request(monkeypatch, tmp_path):
    monkeypatch.setenv('MMVOS_TRACEBACK', '1')
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(tmp_path / 'nothing.pt'), 'out.pth'])
    with pytest.raises(FileNotFoundError, match='nothing.pt'):
        runpy.run_path(str(TOOL), run_name='__main__')
