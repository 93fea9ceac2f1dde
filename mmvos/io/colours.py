"""The colours of label maps: the DAVIS palette, and colours a user maps to objects."""

from __future__ import annotations

import re
from itertools import combinations

import cv2
import numpy as np

from .errors import InputError

Colour = tuple[int, int, int]
# An unlisted colour is an anti-aliased edge if it is this close (levels) to a mix of two others.
_EDGE_TOLERANCE = 8.0
_MAX_EDGE_COLOURS = 4096


def palette() -> bytes:
    """Return the palette of the DAVIS annotations, 256 RGB triples in 768 bytes.

    Entries 0 to 21 follow the bit pattern of PASCAL VOC with 191 in the place of 192; entry i
    from 22 on is the grey (i, i, i).
    """
    table = bytearray()
    for index in range(256):
        levels = voc_colour(index) if index < 22 else (index, index, index)
        table += bytes(191 if level == 192 and index < 22 else level for level in levels)
    return bytes(table)


def voc_colour(index: int) -> Colour:
    """Return PASCAL VOC's RGB colour of a label (bits 3j, 3j+1, 3j+2 give R, G, B, high first)."""
    red = green = blue = 0
    for bit in range(8):
        red |= (index >> 3 * bit & 1) << 7 - bit
        green |= (index >> 3 * bit + 1 & 1) << 7 - bit
        blue |= (index >> 3 * bit + 2 & 1) << 7 - bit
    return red, green, blue


def hex_colour(colour: Colour) -> str:
    """Return a colour as '#rrggbb'."""
    return '#' + ''.join(f'{int(level):02x}' for level in colour)


def parse_palette(text: str) -> dict[Colour, int]:
    """Return {(r, g, b): id} from text such as ``'#ff0000=1,#00ff00=2'``.

    Raises:
        InputError: An entry is not '#rrggbb=ID' with ID from 0 to 255, or a colour comes twice.
    """
    table: dict[Colour, int] = {}
    for entry in filter(None, (part.strip() for part in text.split(','))):
        match = re.fullmatch(r'#?([0-9a-fA-F]{6})\s*=\s*(\d{1,3})', entry)
        if not match or int(match[2]) > 255:
            raise InputError(
                f"--mask-palette: expected entries '#rrggbb=ID' with ID 0 to 255, got '{entry}'; "
                "write for example '#ff0000=1,#00ff00=2'"
            )
        red, green, blue = bytes.fromhex(match[1])
        if (red, green, blue) in table:
            raise InputError(f'--mask-palette: colour #{match[1]} is given twice; keep one')
        table[red, green, blue] = int(match[2])
    if not table:
        raise InputError("--mask-palette is empty; write for example '#ff0000=1,#00ff00=2'")
    return table


def main_colours(image: np.ndarray, limit: int = 5) -> list[Colour]:
    """Return the most frequent colours of (H, W, 3) uint8, at most ``limit``, black left out."""
    codes, counts = np.unique(_pack(image), return_counts=True)
    order = codes[np.argsort(-counts, kind='stable')]
    return [_unpack(code) for code in order if code][:limit]


def map_colours(image: np.ndarray, table: dict[Colour, int], where: str) -> np.ndarray:
    """Return the (H, W) uint8 ids of an (H, W, 3) uint8 image's colours.

    Black is background unless ``table`` lists it. A colour that is not listed is taken for an
    anti-aliased edge, and for the nearer of the two colours it mixes, when it lies between two
    listed ones and nowhere fills a 3x3 block.

    Raises:
        InputError: There are other colours; names them.
    """
    table = {(0, 0, 0): 0, **table}
    packed = _pack(image)
    codes, inverse = np.unique(packed, return_inverse=True)
    listed = {_pack_colour(colour): number for colour, number in table.items()}
    unlisted = [int(code) for code in codes if int(code) not in listed]
    thin = len(unlisted) <= _MAX_EDGE_COLOURS
    solid = set(filled_values(packed).tolist()) if unlisted and thin else set()
    unknown = []
    for code in unlisted:
        source = None if not thin or code in solid else _edge_of(_unpack(code), list(table))
        if source is None:
            unknown.append(code)
        else:
            listed[code] = table[source]
    if unknown:
        _refuse_unknown(packed, unknown, where)
    lookup = np.array([listed[int(code)] for code in codes], np.uint8)
    return lookup[inverse].reshape(packed.shape)


def filled_values(values: np.ndarray) -> np.ndarray:
    """Return the sorted values of an (H, W) integer map that fill some 3x3 block of it.

    A value that fills none belongs to a thin line: the mark of an anti-aliased edge.
    """
    # float32 holds whole numbers up to 2**24
    exact = values if values.dtype == np.uint8 else values.astype(np.float32)
    block = np.ones((3, 3), np.uint8)
    constant = cv2.dilate(exact, block) == cv2.erode(exact, block)
    return present_values(values[1:-1, 1:-1][constant[1:-1, 1:-1]])


def present_values(values: np.ndarray) -> np.ndarray:
    """Return the sorted distinct values of an array, as `numpy.unique` does, 8 bits quickly."""
    if values.dtype != np.uint8 or not values.size:
        return np.unique(values)
    flat = np.ascontiguousarray(values).reshape(1, -1)
    counts = cv2.calcHist([flat], [0], None, [256], [0, 256])
    return np.flatnonzero(counts).astype(np.uint8)


def _pack(image: np.ndarray) -> np.ndarray:
    image = image.astype(np.int32)
    return image[..., 0] << 16 | image[..., 1] << 8 | image[..., 2]


def _pack_colour(colour: Colour) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _unpack(code: int) -> Colour:
    code = int(code)
    return code >> 16, code >> 8 & 255, code & 255


def _edge_of(colour: Colour, listed: list[Colour]) -> Colour | None:
    """Return the nearer end of the closest mix of two listed colours, None if none is close."""
    point = np.array(colour, float)
    best, source = _EDGE_TOLERANCE, None
    for one, other in combinations(listed, 2):
        start, along = np.array(one, float), np.subtract(other, one, dtype=float)
        share = float(np.clip((point - start) @ along / (along @ along), 0, 1))
        distance = float(np.linalg.norm(point - start - share * along))
        if distance <= best:
            best, source = distance, other if share > 0.5 else one
    return source


def _refuse_unknown(packed: np.ndarray, unknown: list[int], where: str) -> None:
    """Raise the error that lists the most frequent unknown colours."""
    codes, counts = np.unique(packed[np.isin(packed, unknown)], return_counts=True)
    order = codes[np.argsort(-counts, kind='stable')][:5]
    names = ', '.join(hex_colour(_unpack(code)) for code in order)
    more = f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''
    raise InputError(
        f'{where} has colours that --mask-palette does not list: {names}{more}; '
        "add them (for example '#ff0000=1'; '=0' makes one background)"
    )
