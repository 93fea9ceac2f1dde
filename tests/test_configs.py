"""Every config loads, dumps, reloads the same and builds; metafiles name what exists."""
import copy
import inspect
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvos import registry
from mmvos.models import MemoryManager, VideoSegmentor

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.relative_to(ROOT) for path in (ROOT / 'configs').rglob('*.py')
                 if '_base_' not in path.parts)
METAFILES = sorted((ROOT / 'configs').rglob('metafile.yml'))
# where a config names a class: path of keys -> registry
SLOTS = {
    ('train_dataloader', 'dataset'): 'DATASETS',
    ('train_dataloader', 'sampler'): 'DATA_SAMPLERS',
    ('test_dataloader', 'dataset'): 'DATASETS',
    ('test_dataloader', 'sampler'): 'DATA_SAMPLERS',
    ('train_cfg',): 'LOOPS',
    ('optim_wrapper',): 'OPTIM_WRAPPERS',
    ('optim_wrapper', 'optimizer'): 'OPTIMIZERS',
    ('param_scheduler',): 'PARAM_SCHEDULERS',
    ('test_evaluator',): 'METRICS',
}
LATER = {'dataset', 'dataloader', 'runner', 'params', 'optimizer'}  # the runner passes these
BESIDE = {'OPTIM_WRAPPERS': {'paramwise_cfg', 'constructor'}}  # MMEngine reads these itself
KNOWN_KEYS = {'model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler',
              'test_dataloader', 'test_evaluator', 'test_cfg', 'default_scope', 'default_hooks',
              'custom_hooks', 'env_cfg', 'log_processor', 'log_level', 'randomness', 'load_from',
              'resume'}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmvos'):
        yield


def without_weights(part):
    """The config with every checkpoint of a component set to None: the files are not shipped."""
    part = copy.deepcopy(part)
    for key, value in part.items():
        if isinstance(value, dict):
            part[key] = without_weights(value)
        elif key == 'checkpoint':
            part[key] = None
    return part


def assert_accepts(name, part):
    """The class exists in this registry and its constructor takes these arguments."""
    cls = getattr(registry, name).get(part['type'])
    assert cls is not None, f"{part['type']} is not in {name}"
    parameters = inspect.signature(cls).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    given = set(part) - {'type'} - BESIDE.get(name, set())
    assert given <= {p.name for p in parameters}, f"{part['type']} does not take {given}"
    needed = {p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL}
    assert needed - LATER <= given, f"{part['type']} needs {needed - given}"


def shapes(model):
    """Of all weights."""
    with torch.device('meta'):
        built = registry.MODELS.build(model)
    return {name: tensor.shape for name, tensor in built.state_dict().items()}


def test_there_are_configs():
    assert len(CONFIGS) >= 8


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_loads_dumps_and_reloads_equal(path, tmp_path):
    cfg = Config.fromfile(ROOT / path)
    unknown = set(cfg.keys()) - KNOWN_KEYS
    assert not unknown, f'misspelt, or to be added here: {unknown}'
    cfg.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py')
    assert again.to_dict() == cfg.to_dict()


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_model_builds(path):
    model = without_weights(Config.fromfile(ROOT / path).model)
    before = copy.deepcopy(model)
    with torch.device('meta'):
        built = registry.MODELS.build(model)
    assert model == before, 'building changed the config'
    assert isinstance(built, VideoSegmentor)
    assert all(p.is_meta for p in built.parameters())
    state = built.init_state(None)  # memories are built here
    assert all(isinstance(bank, MemoryManager) for bank in state.banks.values())


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_everything_else_can_be_built(path):
    cfg = Config.fromfile(ROOT / path)
    for keys, name in SLOTS.items():
        part = cfg
        for key in keys:
            part = part.get(key) if part else None
        for one in part if isinstance(part, list) else [part] if part else []:
            assert_accepts(name, one)
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        assert_accepts('HOOKS', hook)
    data = cfg.get('train_dataloader', {}).get('dataset', {})
    for part in data.get('datasets', [data] if data else []):
        assert_accepts('DATASETS', part)
        assert_accepts('DATASETS', part.source)
        for transform in part.pipeline:
            registry.TRANSFORMS.build(transform)


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_a_stage_starts_where_another_config_ends(path):
    cfg = Config.fromfile(ROOT / path)
    if not cfg.load_from:
        return
    name, file = Path(cfg.load_from).parts[-2:]
    before = [Config.fromfile(ROOT / other) for other in CONFIGS if other.stem == name]
    assert len(before) == 1, f'{cfg.load_from}: {len(before)} configs are called {name}'
    assert file == f'iter_{before[0].train_cfg.max_iters}.pth'
    # stages may differ in how they train, and the later one have more
    free = dict(detach=None, coarse_weight=None, previous=None, geometry=None)
    if before[0].model.type == cfg.model.type:
        assert before[0].model | free == cfg.model | free
        return
    first, second = (shapes(without_weights(stage.model)) for stage in (before[0], cfg))
    assert first.items() <= second.items()


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_shipped_weights_fill_the_parts_that_take_them(path):
    """Loaders only warn where names or shapes differ."""
    for part in Config.fromfile(ROOT / path).model.values():
        init = part.get('init_cfg') if isinstance(part, dict) else None
        if init and Path(init.checkpoint).parts[0] == 'checkpoints':
            state = torch.load(ROOT / init.checkpoint, weights_only=True)
            state = state.get('state_dict', state)
            given = {name: tensor.shape for name, tensor in state.items()
                     if name.startswith(init.prefix + '.')}
            assert given == {f'{init.prefix}.{name}': shape for name, shape
                             in shapes({k: part[k] for k in part if k != 'init_cfg'}).items()}


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_model_is_whole(path):
    """Data, schedule and runtime come from `_base_` folders, the model never does."""
    text = (ROOT / path).read_text()
    if '_base_/' in text:
        assert '\nmodel = dict(\n    type=' in text


def test_methods_have_a_metafile_and_a_readme():
    folders = {path.parent for path in (ROOT / 'configs').glob('*/*.py')}
    methods = {folder for folder in folders if folder.name != '_base_'}
    missing = [str(folder / name) for folder in sorted(methods)
               for name in ('README.md', 'metafile.yml') if not (folder / name).is_file()]
    assert not missing


@pytest.mark.parametrize('path', METAFILES, ids=lambda path: path.parent.name)
def test_metafile_entries_exist(path):
    content = yaml.safe_load(path.read_text())
    assert content['Collections']
    for entry in content['Models']:
        assert Path(entry['Config']) in CONFIGS, entry['Config']
        if entry.get('Weights'):
            assert (ROOT / entry['Weights']).is_file(), entry['Weights']


def test_model_names_are_unique():
    names = [entry['Name'] for path in METAFILES
             for entry in yaml.safe_load(path.read_text())['Models']]
    assert len(names) == len(set(names))
