"""Reading still images, refusing the broken ones."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .errors import InputError
from .files import natural_order

#: Suffixes of the images that count as frames.
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')

# What Pillow raises for damaged files, depending on the format and on where the damage is.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def image_files(folder: Path | None, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the images right in a folder, in natural order, hidden ones left out.

    Args:
        folder: Nothing is found where it is no folder, or None.
        suffixes: Those that count, in lower case.
    """
    if folder is None or not folder.is_dir():
        return []
    paths = (path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    return sorted((path for path in paths if not path.name.startswith('.')), key=natural_order)


@contextmanager
def open_image(source: str | Path | bytes, where: str) -> Iterator[Image.Image]:
    """Open an image with Pillow; whatever its decoding raises names the file.

    Args:
        source: The file, or what it holds.
        where: What the messages call it: 'frame a/00000.jpg'.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is not an image, or is damaged or incomplete.
    """
    if not isinstance(source, bytes) and not os.path.exists(source):
        raise FileNotFoundError(f'{where} does not exist; check the path')
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError as error:
        raise InputError(f'{where} is not an image; give a JPEG or PNG file') from error
    except _DECODE_ERRORS as error:
        reason = ' '.join(str(error).split())
        raise InputError(
            f'{where} cannot be read ({reason}); copy or export it again'
        ) from error


def read_image(path: str | Path) -> np.ndarray:
    """Return an image as (H, W, 3) RGB uint8, turned upright by its EXIF orientation.

    A file that ends too early is an error (OpenCV may fill what is missing with grey and go on).

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is not an image, or is damaged or incomplete.
    """
    with open_image(path, f'frame {path}') as image:
        image.load()
        if image.mode.startswith('I;16'):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(ImageOps.exif_transpose(image).convert('RGB'))


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (H, W) of an image as `read_image` would give it, from its header only.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is not an image.
    """
    with open_image(path, f'frame {path}') as image:
        width, height = image.size
        sideways = image.getexif().get(0x0112, 1) >= 5
        return (width, height) if sideways else (height, width)


def shrunk_size(size: tuple[int, int], short: int | None) -> tuple[int, int]:
    """(H, W) brought to a shorter side of so many pixels, never enlarged; as it is for None."""
    scale = 1. if short is None else min(1., short / min(size))
    return round(size[0] * scale), round(size[1] * scale)
