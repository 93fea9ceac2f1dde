"""Reading and writing images, masks and videos; imports neither torch nor MMEngine."""

from .background import InBackground
from .colours import map_colours, palette, parse_palette, voc_colour
from .errors import InputError
from .files import (
    atomic_folders,
    atomic_path,
    atomic_write,
    folders_below,
    make_dir,
    natural_order,
    read_names,
    write_error,
)
from .images import IMAGE_SUFFIXES, image_files, image_size, read_image, shrunk_size
from .masks import as_labels, decode_mask, encode_mask, fit_mask, read_ids, read_mask
from .video import VIDEO_SUFFIXES, VideoReader, VideoWriter

__all__ = [
    'IMAGE_SUFFIXES',
    'InBackground',
    'InputError',
    'VIDEO_SUFFIXES',
    'VideoReader',
    'VideoWriter',
    'as_labels',
    'atomic_folders',
    'atomic_path',
    'atomic_write',
    'decode_mask',
    'encode_mask',
    'fit_mask',
    'folders_below',
    'image_files',
    'image_size',
    'make_dir',
    'map_colours',
    'natural_order',
    'palette',
    'parse_palette',
    'read_ids',
    'read_image',
    'read_mask',
    'read_names',
    'shrunk_size',
    'voc_colour',
    'write_error',
]
