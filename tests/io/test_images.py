"""Oracles: OpenCV's decoder, arrays written without loss, the EXIF table of orientations."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmvos.io import InputError, image_size, read_image


def picture(height=21, width=34):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 7, columns * 5, rows + columns], axis=-1).astype(np.uint8)


def test_png_is_exact(tmp_path):
    Image.fromarray(picture()).save(tmp_path / 'a.png')
    assert np.array_equal(read_image(tmp_path / 'a.png'), picture())
    assert image_size(tmp_path / 'a.png') == (21, 34)


def test_jpeg_equals_opencv(tmp_path):
    path = tmp_path / 'a.jpg'
    Image.fromarray(picture()).save(path)
    assert np.abs(read_image(path).astype(int) - cv2.imread(str(path))[..., ::-1]).max() <= 1


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', '1', 'LA'])
def test_every_mode_becomes_rgb(tmp_path, mode):
    grey = Image.fromarray(np.uint8([[0, 255], [255, 0]])).convert('RGB').convert(mode)
    grey.save(tmp_path / 'a.png')
    assert read_image(tmp_path / 'a.png').tolist() == [[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]]


def test_sixteen_bits_keep_the_high_byte(tmp_path):
    Image.fromarray(np.uint16([[0, 0x1234, 0xFFFF]])).save(tmp_path / 'a.png')
    assert read_image(tmp_path / 'a.png')[0, :, 0].tolist() == [0, 0x12, 0xFF]


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(picture()).save(tmp_path / 'a.png', exif=exif)
    assert np.array_equal(read_image(tmp_path / 'a.png'), np.rot90(picture(), -1))
    assert image_size(tmp_path / 'a.png') == (34, 21)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'frame .*a\.jpg does not exist'):
        read_image(tmp_path / 'a.jpg')


@pytest.mark.parametrize('content', [b'', b'no image', b'\xff\xd8\xff\xe0 no image either'])
def test_no_image(tmp_path, content):
    (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(InputError, match=r'a\.jpg (is not an image|cannot be read)'):
        read_image(tmp_path / 'a.jpg')


@pytest.mark.parametrize('kind', ['jpg', 'png', 'webp', 'bmp'])
@pytest.mark.parametrize('share', [0.5, 0.9])
def test_truncated(tmp_path, kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f'a.{kind}'
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match=rf'a\.{kind}') as caught:
        read_image(path)
    assert '\n' not in str(caught.value)


def test_jpeg_without_its_end_marker(tmp_path):
    path = tmp_path / 'a.jpg'
    Image.fromarray(picture()).save(path)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match='cannot be read'):
        read_image(path)
