"""Oracle: the metafiles and the files of the repository."""
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvos.apis import find_checkpoint, list_models, resolve_model
from mmvos.apis.model_zoo import data_root


def test_names_resolve_to_configs_that_load():
    assert {'mamp_r18', 'first_mask', 'dis', 'lab'} <= set(list_models())
    for name in list_models():
        assert 'model' in Config.fromfile(resolve_model(name).config)


def test_weights_of_a_name_are_shipped():
    for name in list_models():
        weights = resolve_model(name).weights
        assert weights is None or weights.is_file()
    assert find_checkpoint('mamp_r18') == resolve_model('mamp_r18').weights


def test_config_path_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = 'configs/mamp/mamp_r18_davis2016.py'
    assert resolve_model(path) == (data_root() / path, None)
    mine = Path('configs/mamp/mamp_r18_davis2016.py')
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert resolve_model(path) == (mine, None)  # the user's own file comes first


@pytest.mark.parametrize(('name', 'near'), [('mamp_r81', 'mamp_r18'), ('firstmask', 'first_mask')])
def test_unknown_name_lists_near_names_and_all(name, near):
    with pytest.raises(ValueError, match=f'did you mean {near}') as error:
        resolve_model(name)
    assert ', '.join(list_models()) in str(error.value)


def test_unlike_any_name():
    with pytest.raises(ValueError, match="no model 'zzzz'; Models: "):
        resolve_model('zzzz')


def test_missing_files():
    with pytest.raises(FileNotFoundError, match=r'configs/no\.py does not exist'):
        resolve_model('configs/no.py')
    with pytest.raises(FileNotFoundError, match=r'no\.pth does not exist'):
        find_checkpoint('no.pth')
    with pytest.raises(ValueError, match='did you mean mamp_r18'):
        find_checkpoint('mamp_r8')
    with pytest.raises(ValueError, match='model dis has no weights'):
        find_checkpoint('dis')
