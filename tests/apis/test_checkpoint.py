"""Oracle: the tensors that were saved."""
import os
import pickle

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mmvos.apis import load_weights, setup
from mmvos.models import RAFT, ZeroFlow


class Net(nn.Module):
    def __init__(self, motion=None, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.motion = motion or ZeroFlow()


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: dict(state_dict=s, meta=dict(seed=1))])
def test_all_tensors_arrive_as_float32(tmp_path, wrap):
    saved = {k: v.half() if v.is_floating_point() else v for k, v in Net().state_dict().items()}
    torch.save(wrap(saved), tmp_path / 'a.pth')
    net = Net()
    load_weights(net, tmp_path / 'a.pth')
    for key, value in net.state_dict().items():
        assert value.dtype == (torch.float32 if value.is_floating_point() else torch.int64)
        assert torch.equal(value, saved[key].to(value.dtype))


def test_another_architecture_names_the_first_keys(tmp_path):
    state = Net(channels=5).state_dict()
    del state['conv.bias']
    torch.save(dict(state, extra=torch.zeros(1)), tmp_path / 'a.pth')
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ValueError, match='another architecture than this Net') as error:
        load_weights(net, tmp_path / 'a.pth')
    text = str(error.value)
    assert 'missing conv.bias;' in text
    assert 'unexpected extra;' in text
    assert 'shape of conv.weight is (5, 3, 3, 3), expected (4, 3, 3, 3)' in text
    assert '2 more shapes' in text
    assert '\n' not in text
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_motion_estimator_brings_its_own_weights(tmp_path):
    torch.save(Net().state_dict(), tmp_path / 'without.pth')
    net = Net(RAFT())
    flow = {key: value.clone() for key, value in net.motion.state_dict().items()}
    load_weights(net, tmp_path / 'without.pth')
    assert all(torch.equal(value, flow[key]) for key, value in net.motion.state_dict().items())
    torch.save(net.state_dict(), tmp_path / 'with.pth')
    load_weights(Net(), tmp_path / 'with.pth')
    other = Net(RAFT())
    load_weights(other, tmp_path / 'with.pth')
    assert all(torch.equal(value, flow[key]) for key, value in other.motion.state_dict().items())


@pytest.mark.parametrize('data', [[1], {}, dict(state_dict={}), dict(lr=.1), torch.zeros(2)])
def test_no_weights(tmp_path, data):
    torch.save(data, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='holds no weights'):
        load_weights(Net(), tmp_path / 'a.pth')


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('save', [
    lambda data, path: torch.save(data, path),
    lambda data, path: torch.save(dict(Net().state_dict(), meta=data), path),
    lambda data, path: torch.save(data, path, _use_new_zipfile_serialization=False),
    lambda data, path: path.write_bytes(pickle.dumps(data, protocol=2)),
])
def test_a_planted_payload_does_not_run(tmp_path, save):
    planted = tmp_path / 'planted'
    save(Payload(planted), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='refused') as error:
        load_weights(Net(), tmp_path / 'a.pth')
    assert not planted.exists()
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('share', [0, .3, .9])
def test_damaged(tmp_path, share):
    torch.save(Net().state_dict(), tmp_path / 'a.pth')
    data = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'a.pth').write_bytes(data[:int(len(data) * share)])
    with pytest.raises(ValueError, match='refused'):
        load_weights(Net(), tmp_path / 'a.pth')


def test_not_a_checkpoint(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'junk')
    with pytest.raises(ValueError, match='refused'):
        load_weights(Net(), tmp_path / 'a.pth')


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        load_weights(Net(), tmp_path / 'a.pth')


@pytest.mark.parametrize('path', ['http://localhost/x.pth', 'open-mmlab://x', 'torchvision://x'])
def test_remote_checkpoints_are_refused(path):
    """MMEngine's loaders for these unpickle anything."""
    setup()
    with pytest.raises(ValueError, match='not a local file'):
        CheckpointLoader.load_checkpoint(path)
