"""Names of models, their configs and the weights that are shipped with mmvos."""
from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mmengine.fileio import load


class ModelFiles(NamedTuple):
    """Files of a model.

    Args:
        config: Its config.
        weights: Its shipped weights; None where it has none.
    """

    config: Path
    weights: Path | None


def data_root() -> Path:
    """Folder of `configs` and `checkpoints`: the checkout, or `mmvos/.mim` once installed."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    return checkout if (checkout / 'configs/mamp/metafile.yml').is_file() else package / '.mim'


def list_models() -> list[str]:
    """Sorted names that `VOSInferencer` and `demo/video_demo.py --model` take."""
    return sorted(_zoo())


def resolve_model(model: str | Path) -> ModelFiles:
    """Config and weights of a model.

    Args:
        model: A name of `list_models`, or the path of a config; a relative one may also start
            at mmvos' own files ('configs/mamp/mamp_r18_davis2016.py' works from any folder).

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: There is no such name; near ones and all of them are listed.
    """
    if str(model) in _zoo():
        return _zoo()[str(model)]
    if Path(model).suffix != '.py':
        raise ValueError(_unknown(str(model), 'the path of a config (.py)'))
    for path in (Path(model).expanduser(), data_root() / model):
        if path.is_file():
            return ModelFiles(path, None)
    raise FileNotFoundError(f'config {model} does not exist here or in {data_root()}; give the '
                            f'path of a config, or one of the models {", ".join(list_models())}')


def find_checkpoint(checkpoint: str | Path) -> Path:
    """The file of a path or of the name of a model with shipped weights.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no such model, or it has no weights.
    """
    for path in (Path(checkpoint).expanduser(), data_root() / checkpoint):
        if path.is_file():
            return path
    if str(checkpoint) in _zoo():
        weights = _zoo()[str(checkpoint)].weights
        if weights is None:
            raise ValueError(f'model {checkpoint} has no weights; leave the checkpoint out')
        return weights
    if Path(checkpoint).suffix or Path(checkpoint).parent != Path('.'):
        raise FileNotFoundError(
            f'checkpoint {checkpoint} does not exist; give the path of a .pth file')
    raise ValueError(_unknown(str(checkpoint), 'the path of a .pth file'))


@cache
def _zoo() -> dict[str, ModelFiles]:
    """All models of all metafiles."""
    root, zoo = data_root(), {}
    for path in sorted(root.glob('configs/*/metafile.yml')):
        for entry in load(str(path))['Models']:
            weights = entry.get('Weights')
            zoo[entry['Name']] = ModelFiles(root / entry['Config'],
                                            root / weights if weights else None)
    return zoo


def _unknown(name: str, instead: str) -> str:
    near = get_close_matches(name, list_models(), n=3, cutoff=.4)
    hint = f'did you mean {" or ".join(near)}? ' if near else ''
    return (f'there is no model {name!r}; {hint}Models: {", ".join(list_models())}; '
            f'or give {instead}')
