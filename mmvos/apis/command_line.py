"""What the commands that use the engine do first."""
from __future__ import annotations

import inspect
import warnings

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..compat import register_safe_loader
from ..io.command_line import did_you_mean
from ..io.freed_memory import keep_freed_memory
from ..plugins import load_plugins
from .model_zoo import resolve_model


def setup() -> None:
    """Make mmvos the default scope, load plugins, read checkpoints safely. Idempotent."""
    init_default_scope('mmvos')
    # mmcv says so when it is built without its own ops, none of which is used here
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
    keep_freed_memory()
    register_safe_loader()
    load_plugins()


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config and apply `--cfg-options`.

    Args:
        path: See `resolve_model`.
        options: {'train_cfg.max_iters': 20, ...}.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a Python config, or an option is of none of its entries.
    """
    cfg = Config.fromfile(str(resolve_model(path).config))
    known = {*cfg.keys(), *inspect.signature(Runner.__init__).parameters}
    for key in options or {}:
        if (name := key.split('.')[0]) not in known:
            raise ValueError(f'--cfg-options {key}: a config has no {name!r}'
                             f'{did_you_mean(name, known)}')
    cfg.merge_from_dict(options or {})
    return cfg
