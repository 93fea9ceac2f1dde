"""mmvos: plugin-based video object segmentation on MMEngine conventions."""
from importlib.util import find_spec

__version__ = '0.1.0'

_missing = [name for name in ('mmengine', 'mmcv', 'mmseg') if find_spec(name) is None]
if _missing:
    raise ImportError(
        f'mmvos needs {", ".join(_missing)}, not installed here. '
        "Type: pip install 'mmvos[engine]' (onedl-mmengine, onedl-mmcv, onedl-mmsegmentation)")
