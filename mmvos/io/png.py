"""Label maps out of PNGs, several times faster than an image library.

Image libraries inflate a PNG row by row. Label maps shrink a hundredfold, and inflating them in one
piece takes a tenth of the time, which is most of what scoring a frame costs. This reads what label
maps are, 8 bits of grey or palette; whatever is unusual is left to Pillow.
"""
from __future__ import annotations

import struct

import cv2
import numpy as np
from zlib_ng import zlib_ng

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_GREY, _PALETTE = 0, 3
_NONE, _SUB = 0, 1  # filters of rows
_MAX_PIXELS = 2**26  # larger ones may be meant to fill the memory: Pillow refuses some


class Damaged(ValueError):
    """A chunk of a PNG is not what its checksum says."""


def decode_labels(data: bytes) -> np.ndarray | None:
    """Return the (H, W) uint8 values of a PNG, None where Pillow should read, or refuse, it.

    Read are intact PNGs of 8-bit grey or palette values, not interlaced, not animated, whose rows
    all have the filter None, as Pillow writes palettes, or all Sub, as DAVIS's annotations.
    Source: ISO/IEC 15948, sections 5, 9 and 11.

    Raises:
        Damaged: A checksum is wrong, which Pillow would not notice.
    """
    try:
        chunks = _chunks(data)
        width, height, *kind = struct.unpack('>IIBBBBB', chunks[b'IHDR'])
    except (KeyError, struct.error):
        return None
    usual = kind in ([8, _GREY, 0, 0, 0], [8, _PALETTE, 0, 0, 0]) and b'acTL' not in chunks
    size = height * (width + 1)
    if not usual or not 0 < size <= _MAX_PIXELS or (kind[1] == _PALETTE and b'PLTE' not in chunks):
        return None
    stream = zlib_ng.decompressobj()
    try:
        rows = stream.decompress(chunks.get(b'IDAT', b''), size + 1)
    except zlib_ng.error:
        return None
    if not stream.eof or len(rows) != size:
        return None
    values = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    filters = np.unique(values[:, 0])
    if len(filters) > 1 or filters[0] not in (_NONE, _SUB):
        return None
    labels = values[:, 1:].copy()
    return labels if filters[0] == _NONE else _sum_rows(labels)


def few_grey_levels(data: bytes) -> bool:
    """Whether this is a grey PNG of 2 or 4 bits, whose values image libraries spread to 0-255."""
    return data.startswith(_SIGNATURE) and data[12:16] == b'IHDR' and data[24:26] in (
        bytes([2, _GREY]), bytes([4, _GREY]))


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return {type: content} of an intact PNG, of several chunks of a type joined."""
    if not data.startswith(_SIGNATURE):
        raise KeyError(_SIGNATURE)
    found: dict[bytes, bytes] = {}
    start, kind = len(_SIGNATURE), b''
    while kind != b'IEND':
        length, kind = struct.unpack_from('>I4s', data, start)
        checked = data[start + 4:start + 8 + length]
        if struct.unpack_from('>I', data, start + 8 + length)[0] != zlib_ng.crc32(checked):
            raise Damaged(kind)
        found[kind] = found.get(kind, b'') + checked[4:]
        start += 12 + length
    return found


def _sum_rows(differences: np.ndarray) -> np.ndarray:
    """Return the sums from the left, modulo 256: differences to the pixel on the left undone.

    In steps of 1, 2, 4, ... pixels, which is quicker than `np.cumsum`; left of the first and
    above and below the others nothing is to be done.
    """
    x, y, _, height = cv2.boundingRect(differences)
    part = differences[y:y + height, x:]
    now, step = part.copy(), 1
    before = np.empty_like(now)
    while step < now.shape[1]:
        before, now = now, before
        now[:, :step] = before[:, :step]
        np.add(before[:, step:], before[:, :-step], out=now[:, step:])
        step *= 2
    part[:] = now
    return differences
