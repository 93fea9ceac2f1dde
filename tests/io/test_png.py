"""Oracle: Pillow, on everything that is a PNG and on much that is none."""
import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmvos.io import InputError, encode_mask, read_ids
from mmvos.io.png import Damaged, decode_labels

RNG = np.random.default_rng(0)
BLOBS = np.kron(RNG.integers(0, 5, (7, 9)), np.ones((5, 6))).astype(np.uint8)
NOISE = RNG.integers(0, 256, (31, 47), np.uint8)


def chunk(kind, content):
    return struct.pack('>I', len(content)) + kind + content + struct.pack(
        '>I', zlib.crc32(kind + content))


def write(labels, filters, colour=0, *, cut=(), extra=b'', interlaced=0, depth=8):
    """A PNG whose rows have the filters given (0 to 2), IDAT cut at some bytes."""
    height, width = labels.shape
    left = np.pad(labels, ((0, 0), (1, 0)))[:, :-1]
    above = np.pad(labels, ((1, 0), (0, 0)))[:-1]
    rows = [labels, labels - left, labels - above]
    data = zlib.compress(b''.join(bytes([kind]) + rows[kind][y].tobytes()
                                  for y, kind in enumerate(filters)))
    parts = [data[a:b] for a, b in zip((0, *cut), (*cut, len(data)), strict=True)]
    head = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, interlaced)
    table = chunk(b'PLTE', bytes(range(256)) * 3) if colour == 3 else b''
    return b''.join([b'\x89PNG\r\n\x1a\n', chunk(b'IHDR', head), table, extra,
                     *(chunk(b'IDAT', part) for part in parts), chunk(b'IEND', b'')])


def pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


@pytest.mark.parametrize('labels', [BLOBS, NOISE, BLOBS * 0, BLOBS[:1], BLOBS[:, :1],
                                    np.full((3, 3), 255, np.uint8)])
@pytest.mark.parametrize('kind', [0, 1])
@pytest.mark.parametrize('colour', [0, 3])
def test_usual_label_maps_are_read_as_pillow_reads_them(labels, kind, colour):
    data = write(labels, [kind] * len(labels), colour, cut=(3, 9))
    np.testing.assert_array_equal(pillow(data), labels)
    np.testing.assert_array_equal(decode_labels(data), labels)


def test_our_own_masks_are_usual():
    np.testing.assert_array_equal(decode_labels(encode_mask(BLOBS)), BLOBS)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from('LP'))
def test_what_pillow_writes(height, width, seed, mode):
    labels = np.random.default_rng(seed).integers(0, 3, (height, width), np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(labels)
    if mode == 'P':
        image.putpalette(bytes(range(256)) * 3)
    image.save(buffer, 'PNG')
    np.testing.assert_array_equal(read_ids(buffer.getvalue(), 'mask'), labels)


UNUSUAL = {
    'filter up': write(BLOBS, [2] * len(BLOBS)),
    'two filters': write(BLOBS, [0, *[1] * (len(BLOBS) - 1)]),
    'interlaced': write(BLOBS, [0] * len(BLOBS), interlaced=1),
    'animated': write(BLOBS, [0] * len(BLOBS), extra=chunk(b'acTL', bytes(8))),
    'palette without colours': write(BLOBS, [0] * len(BLOBS), 3).replace(
        chunk(b'PLTE', bytes(range(256)) * 3), b''),
    'colours': write(BLOBS, [0] * len(BLOBS), 2),
    'four bits': write(BLOBS, [0] * len(BLOBS), depth=4),
    'too few rows': write(BLOBS, [0] * (len(BLOBS) - 1)),
    'no PNG': b'GIF89a',
    'nothing': b'',
}


@pytest.mark.parametrize('name', UNUSUAL)
def test_what_is_unusual_is_left_to_pillow(name):
    assert decode_labels(UNUSUAL[name]) is None


@pytest.mark.parametrize('name', ['filter up', 'two filters'])
def test_unusual_filters_are_read_all_the_same(name):
    np.testing.assert_array_equal(read_ids(UNUSUAL[name], 'mask'), BLOBS)


def test_more_rows_than_the_header_says():
    data = write(np.vstack([BLOBS, BLOBS]), [0] * 2 * len(BLOBS))
    head = struct.pack('>IIBBBBB', BLOBS.shape[1], len(BLOBS), 8, 0, 0, 0, 0)
    data = data[:8] + chunk(b'IHDR', head) + data[33:]
    assert decode_labels(data) is None


@pytest.mark.parametrize('kind', [0, 1])
def test_no_damage_goes_unnoticed(kind):
    """A changed byte gives the same labels (it was in the palette, say) or none."""
    data = write(BLOBS, [kind] * len(BLOBS), 3)
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x41
        for damaged in (bytes(broken), data[:position]):
            with suppress(InputError):
                np.testing.assert_array_equal(read_ids(damaged, 'mask'), BLOBS, str(position))
            with suppress(Damaged):
                assert decode_labels(damaged) is None, position
