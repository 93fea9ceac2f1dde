"""Many pictures on one page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 6
_PAGE = (24, 24, 24)
_INK = (240, 240, 240)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return at most ``count`` different indices of 0..length-1, first and last included."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int)).tolist()


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int = 4,
    *,
    width: int = 1280,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Return the images in rows of equal cells, each above its caption, as (H, W, 3) uint8.

    Args:
        images: (H, W, 3) RGB uint8, shrunk or grown to fit the cell; the first one gives the
            cells' shape.
        columns: Cells per row, fewer when there are fewer images.
        width: Of the page, in pixels.
        captions: One line per image, shortened to the cell's width.

    Raises:
        ValueError: There are no images, or not one caption per image.
    """
    if not len(images):
        raise ValueError('a contact sheet needs at least one image')
    if captions is not None and len(captions) != len(images):
        raise ValueError(f'expected {len(images)} captions, one per image, got {len(captions)}')
    columns = max(1, min(columns, len(images)))
    cell_w = max(1, (width - _GAP * (columns + 1)) // columns)
    cell_h = max(1, round(cell_w * images[0].shape[0] / images[0].shape[1]))
    font = ImageFont.load_default(size=min(22, max(13, cell_w // 16)))
    strip = 0 if captions is None else round(font.size * 1.6)
    rows = -(-len(images) // columns)
    page = Image.new('RGB', (width, _GAP + rows * (cell_h + strip + _GAP)), _PAGE)
    draw = ImageDraw.Draw(page)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (cell_w + _GAP), _GAP + row * (cell_h + strip + _GAP)
        _paste(page, image, (left, top), (cell_w, cell_h))
        if captions is not None:
            text = _shortened(captions[number], font, cell_w)
            middle = (left + cell_w / 2, top + cell_h + strip / 2)
            draw.text(middle, text, _INK, font, anchor='mm')
    return np.array(page)


def _paste(
    page: Image.Image, image: np.ndarray, corner: tuple[int, int], cell: tuple[int, int]
) -> None:
    """Paste an image in the middle of its cell, whole and undistorted."""
    height, width = image.shape[:2]
    scale = min(cell[0] / width, cell[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    page.paste(
        small, (corner[0] + (cell[0] - size[0]) // 2, corner[1] + (cell[1] - size[1]) // 2)
    )


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text, its end replaced by dots where it would be wider than ``width``."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + '...') > width:
        text = text[:-1]
    return text + '...'
