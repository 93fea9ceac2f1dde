"""From a training state to a shared file, and the loss curve."""
import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmvos.apis import load_weights
from mmvos.models import MAMP

ROOT = Path(__file__).parents[2]


def tool(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / 'tools' / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_published_weights_load_and_are_half_precision(tmp_path):
    publish = tool('model_converters/publish_model.py').publish
    model = MAMP(**MAMP.example)
    torch.save(dict(state_dict=model.state_dict(), optimizer=dict(big=torch.zeros(1000))),
               tmp_path / 'iter_1.pth')
    path = publish(tmp_path / 'iter_1.pth', 'mamp', tmp_path / 'out')
    assert path.stem == f'mamp_{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}'
    assert path.stat().st_size < 11 * 2**20
    other = MAMP(**MAMP.example)
    load_weights(other, path)
    for key, value in model.state_dict().items():
        expected = value.half().to(value.dtype) if value.is_floating_point() else value
        assert torch.equal(other.state_dict()[key], expected), key


def test_diverged_weights_are_refused(tmp_path):
    publish = tool('model_converters/publish_model.py').publish
    torch.save(dict(a=torch.tensor([1e6])), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='a does not fit'):
        publish(tmp_path / 'x.pth', 'x', tmp_path)


@pytest.mark.parametrize(('content', 'text'), [
    ([torch.zeros(1)], 'a list'), (torch.zeros(1), 'a Tensor'), (None, 'a NoneType'),
    (dict(state_dict=[torch.zeros(1)]), "a list as its 'state_dict'")], ids=str)
def test_what_is_no_dict_is_refused(tmp_path, content, text):
    publish = tool('model_converters/publish_model.py').publish
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=f'x.pth: expected a training state .* got {text};'):
        publish(tmp_path / 'x.pth', 'x', tmp_path)


def test_loss_curve_joins_resumed_runs(tmp_path):
    plot = tool('analysis_tools/plot_loss.py')
    for name, steps in (('1', (1, 2, 3)), ('2', (3, 4))):
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(''.join(
            json.dumps(dict(step=step, loss=float(name), lr=1e-3)) + '\n' for step in steps))
    rows = plot.read_scalars(tmp_path)
    assert [(row['step'], row['loss']) for row in rows] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    plot.draw(rows, tmp_path / 'loss.png')
    assert np.asarray(Image.open(tmp_path / 'loss.png')).std() > 0
    with pytest.raises(FileNotFoundError, match='work-dir'):
        plot.read_scalars(tmp_path / '1')
