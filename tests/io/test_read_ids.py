"""Oracle: the arrays that Pillow wrote; `read_mask`, which interprets them, is tested beside."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmvos.io import InputError, encode_mask, read_ids, read_mask
from mmvos.io.colours import present_values

LABELS = np.uint8([[0, 1, 2], [255, 254, 7]])
TWO = np.uint8([[0, 255, 0], [255, 255, 0]])


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


def as_mode(labels, mode):
    return Image.open(io.BytesIO(encode_mask(labels))) if mode == 'P' else Image.fromarray(labels)


@pytest.mark.parametrize('mode', ['P', 'L'])
@pytest.mark.parametrize('labels', [LABELS, TWO, TWO * 0, np.full((2, 2), 255, np.uint8)])
def test_values_stay_as_they_are(tmp_path, mode, labels):
    data = png(as_mode(labels, mode))
    (tmp_path / 'a.png').write_bytes(data)
    for source in (data, tmp_path / 'a.png', str(tmp_path / 'a.png')):
        got = read_ids(source, 'a')
        assert got.dtype == np.uint8
        assert np.array_equal(got, labels)


def test_one_bit_gives_zero_and_one():
    got = read_ids(png(Image.fromarray(TWO > 0)), 'a')
    assert got.dtype == np.uint8
    assert np.array_equal(got, TWO // 255)


@pytest.mark.parametrize('depth', [2, 4])
@pytest.mark.parametrize('colour', [0, 3])
def test_few_bits_are_ids_in_a_palette_and_refused_as_grey(depth, colour):
    """Pillow would make 85 or 17 of a grey 1."""
    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack(
            '>I', zlib.crc32(kind + content))
    row = bytes([0, int(''.join(f'{value:0{depth}b}' for value in range(8 // depth)), 2)])
    data = b''.join([
        b'\x89PNG\r\n\x1a\n', chunk(b'IHDR', struct.pack('>IIBBBBB', 8 // depth, 1, depth, colour,
                                                         0, 0, 0)),
        chunk(b'PLTE', bytes(3 * 2**depth)) if colour == 3 else b'', chunk(b'IDAT', zlib.compress(
            row)), chunk(b'IEND', b'')])
    if colour == 3:
        assert read_ids(data, 'a').tolist() == [[*range(8 // depth)]]
    else:
        with pytest.raises(InputError, match='mask a is a grey image of 2 or 4 bits, .*8 bits'):
            read_ids(data, 'mask a')


def test_sixteen_bits_and_opaque_alpha():
    assert np.array_equal(read_ids(png(Image.fromarray(LABELS.astype(np.uint16))), 'a'), LABELS)
    assert np.array_equal(read_ids(png(Image.fromarray(LABELS).convert('LA')), 'a'), LABELS)
    with pytest.raises(InputError, match='mask b: object ids must be 0 to 255, got 65535'):
        read_ids(png(Image.fromarray(TWO.astype(np.uint16) * 257)), 'mask b')


def test_soft_edges_are_not_judged(tmp_path):
    shades = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(shades).save(tmp_path / 'a.png')
    assert np.array_equal(read_ids(tmp_path / 'a.png', 'a'), shades)
    with pytest.raises(InputError, match='anti-aliased'):
        read_mask(tmp_path / 'a.png')


@pytest.mark.parametrize(('mode', 'kind', 'told'), [
    ('RGB', 'PNG', 'is a colour image'), ('RGBA', 'PNG', 'is a colour image'),
    ('L', 'JPEG', 'is a JPEG'), ('RGB', 'JPEG', 'is a JPEG')])
def test_colours_are_refused_with_a_remedy(mode, kind, told):
    buffer = io.BytesIO()
    Image.fromarray(LABELS).convert(mode).save(buffer, kind)
    with pytest.raises(InputError, match=rf'^truth x\.png {told}') as caught:
        read_ids(buffer.getvalue(), 'truth x.png')
    text = str(caught.value)
    assert 'tools/analysis_tools/check_dataset.py --fix' in text
    assert '--mask-palette' not in text
    assert '\n' not in text


def test_damaged_and_missing(tmp_path):
    data = encode_mask(np.random.default_rng(0).integers(0, 9, (90, 90), np.uint8))
    for broken, told in [(data[: len(data) // 2], 'm cannot be read'), (b'text', 'm is not an im'),
                         (b'', 'm is not an image')]:
        with pytest.raises(InputError, match=told):
            read_ids(broken, 'm')
    with pytest.raises(InputError, match='m cannot be read'):
        read_ids(tmp_path, 'm')
    with pytest.raises(FileNotFoundError, match='m does not exist'):
        read_ids(tmp_path / 'none.png', 'm')


@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.float32])
def test_present_values_against_numpy(dtype):
    rng = np.random.default_rng(1)
    for size in [(0, 4), (1, 1), (7, 5), (64, 64)]:
        for values in (rng.integers(0, 256, size), rng.choice([0, 3, 255], size)):
            for view in (values.astype(dtype), values.astype(dtype).T[:, ::-1]):
                got = present_values(view)
                assert got.dtype == dtype
                assert np.array_equal(got, np.unique(view))
