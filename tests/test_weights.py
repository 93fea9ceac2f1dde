"""What is shipped in checkpoints/: its names, sizes and cards, and that it fits its models."""
import hashlib
from pathlib import Path

import pytest
import torch
import yaml

from mmvos.apis import load_config, load_weights, setup
from mmvos.compat import load_checkpoint_file
from mmvos.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = [entry for path in sorted((ROOT / 'configs').rglob('metafile.yml'))
           for entry in yaml.safe_load(path.read_text())['Models'] if entry.get('Weights')]
FILES = sorted((ROOT / 'checkpoints').glob('*.pth'))


def test_every_file_belongs_to_a_model():
    assert sorted(ROOT / entry['Weights'] for entry in SHIPPED) == FILES
    assert sum(file.stat().st_size for file in FILES) < 40e6


@pytest.mark.parametrize('entry', SHIPPED, ids=lambda entry: entry['Name'])
def test_weights(entry):
    path = ROOT / entry['Weights']
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"{entry['Name']}_{digest[:8]}.pth"
    assert path.stat().st_size < 14e6
    card = (path.parent / f"{entry['Name']}.md").read_text()
    assert path.name in card.splitlines()[0]
    assert entry['Config'] in card
    for word in ('terms', 'tools/train.py', 'publish_model.py', 'J&F'):
        assert word in card, f'the card says nothing of {word}'
    setup()
    model = MODELS.build(load_config(ROOT / entry['Config']).model)
    count = sum(p.numel() for p in model.parameters())
    assert f'{count:,} parameters' in card
    load_weights(model, path)
    stored = load_checkpoint_file(path)
    assert all(torch.equal(model.state_dict()[key], value.to(model.state_dict()[key].dtype))
               for key, value in stored.items())
    assert all(value.dtype == torch.float16 for value in stored.values()
               if value.is_floating_point())
