"""Reading, checking, encoding and decoding label maps: (H, W) uint8, 0 background, k object k."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from .colours import Colour, filled_values, hex_colour, main_colours, map_colours, present_values
from .colours import palette as davis_palette
from .errors import InputError
from .images import open_image
from .png import Damaged, decode_labels, few_grey_levels

#: Largest difference of a side, in pixels, that is repaired and not refused.
SIZE_TOLERANCE = 2
_MAX_GREY_OBJECTS = 64
# The values of black and white maps in 8 and 16 bits: one object, not object 255.
_ONE_OBJECT = ({255}, {0, 255}, {65535}, {0, 65535})


def read_mask(
    path: str | Path,
    size: tuple[int, int] | None = None,
    palette: dict[Colour, int] | None = None,
) -> np.ndarray:
    """Return the object ids of a mask file as (H, W) uint8.

    Palette images (mode P) give their indices. Grey images (8 or 16 bits, or with an opaque
    alpha) give their values. A map of 0 and 255 only is one object, id 1, in both. A grey image,
    or a palette image that shows only greys, is refused as anti-aliased when more than half of
    its grey levels from 1 to 254 nowhere fill a 3x3 block and it also has the level 255, or has
    more than 64 levels. JPEG and colour images need ``palette``.

    Args:
        path: The file, PNG for preference.
        size: (H, W) of the frame. A mask of another size is cropped, or extended by repeating
            its last row and column, when each side differs by at most 2 pixels.
        palette: Ids of RGB colours, see `parse_palette`. When given, every image is read by its
            colours, palette images too; black is background unless it is listed, anti-aliased
            edges between listed colours go to the nearer one.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is damaged, no label map, has unlisted colours, ids above 255 or
            another size.
    """
    with open_image(path, f'mask {path}') as image:
        image.load()
        if palette is not None:
            labels = map_colours(_rgb(image), palette, f'mask {path}')
        else:
            labels = labels_of(image, f'mask {path}')
    return labels if size is None else fit_mask(labels, size, f'mask {path}')


def read_ids(source: str | Path | bytes, where: str) -> np.ndarray:
    """Return the values of a grey or palette image as they are stored, (H, W) uint8.

    Unlike `read_mask` it interprets nothing, as scoring needs: 255 stays 255 (void, say), also
    beside 0 only, and no edge is judged. An image of one bit gives 0 and 1.

    Args:
        source: The file, or what it holds; PNG for preference.
        where: What the error names: 'mask a/00000.png'.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is damaged, no image, a JPEG, a colour image, grey of 2 or 4 bits, or has
            values above 255.
    """
    try:
        data = _bytes_of(source)
        labels = decode_labels(data)
    except Damaged as error:
        raise InputError(f'{where} is damaged (wrong checksum); copy or export it again') from error
    if labels is not None:
        return labels
    if few_grey_levels(data):
        raise InputError(f'{where} is a grey image of 2 or 4 bits, whose values image libraries '
                         'change; save it with 8 bits or with a palette')
    with open_image(source, where) as image:
        values = np.array(_without_colours(image, where, _repair_hint))
    if values.dtype in (np.uint8, bool):
        return values.astype(np.uint8, copy=False)
    return _whole_ids(values, np.unique(values), where)


def as_labels(values: np.ndarray, where: str = 'mask') -> np.ndarray:
    """Return an array of object ids as (H, W) uint8.

    Args:
        values: (H, W) of any type that holds whole numbers; a map of 0 and 255 only (or 65535,
            white in 16 bits) and a boolean one hold one object, id 1.
        where: What the error names.

    Raises:
        InputError: It has another shape, fractions, or ids outside 0 to 255.
    """
    values = np.asarray(values)
    if values.ndim != 2:
        raise InputError(f'{where}: expected a map of shape (H, W), got {values.shape}')
    if values.dtype == bool:
        return values.astype(np.uint8)
    present = present_values(values)
    if set(present.tolist()) in _ONE_OBJECT:
        return (values > 0).astype(np.uint8)
    return _whole_ids(values, present, where)


def fit_mask(labels: np.ndarray, size: tuple[int, int], where: str = 'mask') -> np.ndarray:
    """Return ``labels`` cropped or edge-padded at the bottom and right to ``size`` (H, W).

    Raises:
        InputError: A side differs by more than 2 pixels.
    """
    height, width = labels.shape
    if (height, width) == tuple(size):
        return labels
    told = f'{where} is {width}x{height} (width x height) but its frame is {size[1]}x{size[0]}'
    if max(abs(height - size[0]), abs(width - size[1])) > SIZE_TOLERANCE:
        raise InputError(f'{told}; give a mask drawn on that frame, at its size')
    warnings.warn(f'{told}: cropped or extended at its right and bottom edge', stacklevel=2)
    labels = labels[: size[0], : size[1]]
    return np.pad(
        labels, ((0, size[0] - labels.shape[0]), (0, size[1] - labels.shape[1])), mode='edge'
    )


def encode_mask(labels: np.ndarray) -> bytes:
    """Return (H, W) uint8 labels as a PNG file with the DAVIS palette, in memory."""
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(f'labels must be (H, W) uint8, got {labels.shape} {labels.dtype}')
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(davis_palette())
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', compress_level=3)
    return buffer.getvalue()


def decode_mask(data: bytes) -> np.ndarray:
    """Return the (H, W) uint8 labels of a PNG that `encode_mask` made."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


def _bytes_of(source: str | Path | bytes) -> bytes:
    """Return what a file holds, nothing where it cannot be read."""
    if isinstance(source, bytes):
        return source
    with suppress(OSError), open(source, 'rb') as file:
        return file.read()
    return b''


def _whole_ids(values: np.ndarray, present: np.ndarray, where: str) -> np.ndarray:
    """Return ``values``, of which ``present`` are the distinct ones, as uint8 if they fit."""
    if values.dtype.kind not in 'iu' and not np.array_equal(present, np.round(present)):
        raise InputError(f'{where}: expected whole numbers as object ids, got {values.dtype}')
    wrong = present[(present < 0) | (present > 255)]
    if len(wrong):
        names = ', '.join(str(int(number)) for number in wrong[:5])
        raise InputError(f'{where}: object ids must be 0 to 255, got {names}; renumber the objects')
    return values.astype(np.uint8)


def _without_colours(
    image: Image.Image, where: str, hint: Callable[[Image.Image], str]
) -> Image.Image:
    """Return an opened palette or grey image without its alpha; refuse others with a hint."""
    if image.format == 'JPEG':
        raise InputError(
            f'{where} is a JPEG, which blurs labels; save it as PNG, or {hint(image)}'
        )
    if image.mode == 'LA' and image.getextrema()[1] == (255, 255):
        return image.getchannel('L')
    if image.mode not in ('1', 'L', 'P', 'F') and not image.mode.startswith('I'):
        names = ', '.join(hex_colour(colour) for colour in main_colours(_rgb(image)))
        raise InputError(
            f'{where} is a colour image ({image.mode}) with the colours {names or "#000000"}; '
            f'save object ids, or {hint(image)}'
        )
    return image


def labels_of(image: Image.Image, where: str) -> np.ndarray:
    """Return the ids of an opened image read by its indices or values."""
    image = _without_colours(image, where, _palette_hint)
    values = np.array(image)
    if values.dtype != np.uint8:
        values = as_labels(values, where)
    present = present_values(values)
    if set(present.tolist()) in _ONE_OBJECT:
        return (values > 0).astype(np.uint8)
    colours = _shown_colours(image)
    # Ids are shown in colours; what shows only greys may be a smooth mask made a palette image.
    if (colours[present] == colours[present, :1]).all():
        _check_not_soft(values, present, colours[:, 0], image, where)
    return values


def _shown_colours(image: Image.Image) -> np.ndarray:
    """Return the (256, 3) uint8 colours that a palette or grey image shows for its values."""
    if image.mode != 'P':
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    colours = np.zeros((256, 3), np.uint8)
    listed = np.reshape(image.getpalette() or (), (-1, 3))
    colours[: len(listed)] = listed
    return colours


def _check_not_soft(
    labels: np.ndarray, present: np.ndarray, levels: np.ndarray, image: Image.Image, where: str
) -> None:
    """Refuse a map that shows value v as grey ``levels[v]``, shades of an edge (`read_mask`)."""
    shown = np.unique(levels[present])
    between = shown[(shown > 0) & (shown < 255)]
    if shown[-1] != 255 and len(shown) <= _MAX_GREY_OBJECTS:
        return
    thin = np.setdiff1d(between, filled_values(levels[labels]))
    if 2 * len(thin) <= len(between):
        return
    names = ', '.join(str(value) for value in thin[:5]) + (', ...' if len(thin) > 5 else '')
    raise InputError(
        f'{where} looks anti-aliased: besides {shown[0]} and {shown[-1]} it has the grey '
        f'values {names} on edges only; save it without smoothing, or {_palette_hint(image)}'
    )


def _rgb(image: Image.Image) -> np.ndarray:
    """Return (H, W, 3) uint8 colours of an image of any mode, alpha ignored."""
    if image.mode.startswith('I;16'):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.array(image.convert('RGB'))


def _palette_hint(image: Image.Image) -> str:
    """Return the remedy of the front doors that have --mask-palette, with its main colour."""
    colours = main_colours(_rgb(image), 1) or [(255, 255, 255)]
    return f"map its colours with --mask-palette '{hex_colour(colours[0])}=1'"


def _repair_hint(image: Image.Image) -> str:
    """Return the remedy for files that are read as they are."""
    return 'run tools/analysis_tools/check_dataset.py --fix, which writes a repaired copy'
