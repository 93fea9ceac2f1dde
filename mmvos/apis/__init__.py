"""Front doors."""
from ..io.command_line import exit_with_message
from ..models.segmentors import VOSSession
from ..structures import LabelMaps
from .checkpoint import load_weights
from .command_line import load_config, setup
from .inferencer import VOSInferencer, VOSResult
from .model_zoo import ModelFiles, find_checkpoint, list_models, resolve_model
from .precision import use_dtype

__all__ = [
    'LabelMaps', 'ModelFiles', 'VOSInferencer', 'VOSResult', 'VOSSession', 'exit_with_message',
    'find_checkpoint', 'list_models', 'load_config', 'load_weights', 'resolve_model', 'setup',
    'use_dtype'
]
