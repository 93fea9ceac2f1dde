"""Oracles: label maps written by Pillow in every mode, and the stated rules on tiny maps."""

import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from mmvos.io import InputError, as_labels, decode_mask, encode_mask, palette, read_mask
from mmvos.io.colours import voc_colour


def blobs(height=24, width=30, ids=(1, 2)):
    labels = np.zeros((height, width), np.uint8)
    for number, value in enumerate(ids):
        labels[4 + number : 12, 3 + 10 * number : 11 + 10 * number] = value
    return labels


def soft(levels=255):
    """Return an anti-aliased 0/255 disk."""
    disk = cv2.circle(np.zeros((60, 60), np.uint8), (29, 31), 17, 255, -1, cv2.LINE_AA)
    return (disk // 255 if levels == 1 else disk).astype(np.uint8)


def save(path, array, **options):
    Image.fromarray(np.ascontiguousarray(array)).save(path, **options)
    return path


def rgb(labels, colours):
    return np.array(colours, np.uint8)[labels]


def test_palette_png_gives_indices_whatever_its_palette(tmp_path):
    image = Image.fromarray(blobs())
    image.putpalette([7, 7, 7, 9, 9, 9, 11, 11, 11])
    image.save(tmp_path / 'a.png')
    assert np.array_equal(read_mask(tmp_path / 'a.png'), blobs())


def test_grey_png_gives_values(tmp_path):
    assert np.array_equal(read_mask(save(tmp_path / 'a.png', blobs(ids=(7, 250)))),
                          blobs(ids=(7, 250)))


@pytest.mark.parametrize('array', [blobs(ids=(255,)), blobs(ids=(1,)).astype(bool),
                                   blobs(ids=(1,)).astype(np.uint16) * 65535])
def test_black_and_white_is_one_object(tmp_path, array):
    assert np.array_equal(read_mask(save(tmp_path / 'a.png', array)), blobs(ids=(1,)))


def as_palette_png(path, labels, colours):
    image = Image.fromarray(labels)
    image.putpalette(colours)
    image.save(path)
    return path


@pytest.mark.parametrize('low', [0, 255])
@pytest.mark.parametrize('colours', [palette(), bytes(i for i in range(256) for _ in 'rgb')])
def test_black_and_white_palette_png_is_one_object(tmp_path, colours, low):
    labels = np.where(blobs(), 255, low).astype(np.uint8)
    got = read_mask(as_palette_png(tmp_path / 'a.png', labels, colours))
    assert np.array_equal(got, labels == 255)


@pytest.mark.parametrize('colours', [
    palette(), [level for i in range(256) for level in voc_colour(i)]], ids=['davis', 'voc'])
def test_void_lines_and_thin_objects_of_palette_png(tmp_path, colours):
    labels = blobs(ids=(255, 5))
    labels[2], labels[3, 5], labels[13, ::2] = 255, 3, 4
    labels[labels == 5] = np.arange((labels == 5).sum()) % 2 * 15  # no id fills a 3x3 block
    got = read_mask(as_palette_png(tmp_path / 'a.png', labels, colours))
    assert np.array_equal(got, labels)


@pytest.mark.parametrize('convert', [
    lambda image: image.convert('P'), lambda image: image.quantize(),
    lambda image: image.convert('P', palette=Image.Palette.ADAPTIVE, colors=8),
    lambda image: image.convert('RGB').convert('P')],
    ids=['convert', 'quantize', 'adaptive', 'web'])
def test_soft_mask_made_a_palette_png_is_refused_and_mapped(tmp_path, convert):
    convert(Image.fromarray(soft())).save(tmp_path / 'a.png')
    with pytest.raises(InputError, match=r"anti-aliased.*--mask-palette '#ffffff=1'"):
        read_mask(tmp_path / 'a.png')
    got = read_mask(tmp_path / 'a.png', palette={(255, 255, 255): 1})
    assert np.mean(got != (soft() > 127)) < .02


def test_opaque_alpha_is_ignored(tmp_path):
    Image.fromarray(blobs(ids=(255,))).convert('LA').save(tmp_path / 'a.png')
    assert np.array_equal(read_mask(tmp_path / 'a.png'), blobs(ids=(1,)))


def test_empty_is_legal(tmp_path):
    assert not read_mask(save(tmp_path / 'a.png', np.zeros((5, 6), np.uint8))).any()


def test_sixteen_bit_ids(tmp_path):
    labels = blobs(ids=(3, 200))
    assert np.array_equal(read_mask(save(tmp_path / 'a.png', labels.astype(np.uint16))), labels)
    with pytest.raises(InputError, match=r'must be 0 to 255, got 256, 1000'):
        read_mask(save(tmp_path / 'a.png', np.uint16([0, 256, 1000])[blobs()]))


def test_colours_are_named_and_mapped(tmp_path):
    path = save(tmp_path / 'a.png', rgb(blobs(), [(0, 0, 0), (255, 0, 0), (0, 255, 0)]))
    with pytest.raises(InputError, match=r'#ff0000, #00ff00.*--mask-palette') as caught:
        read_mask(path)
    assert '\n' not in str(caught.value)
    table = {(255, 0, 0): 2, (0, 255, 0): 9}
    assert np.array_equal(read_mask(path, palette=table), blobs(ids=(2, 9)))
    with pytest.raises(InputError, match='does not list: #00ff00'):
        read_mask(path, palette={(255, 0, 0): 1})


def test_at_most_five_colours_are_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    with pytest.raises(InputError) as caught:
        read_mask(save(tmp_path / 'a.png', noise))
    assert 5 <= str(caught.value).count('#') <= 6  # five, and one in the remedy


def test_soft_grey_edge_is_refused_and_mapped(tmp_path):
    path = save(tmp_path / 'a.png', soft())
    with pytest.raises(InputError, match=r"anti-aliased.*--mask-palette '#ffffff=1'"):
        read_mask(path)
    got = read_mask(path, palette={(255, 255, 255): 1})
    assert np.array_equal(got, soft() > 127)


def test_soft_colour_edge_goes_to_the_nearer_colour(tmp_path):
    share = soft()[..., None] / 255
    mixed = np.rint(share * (255, 0, 0) + (1 - share) * (0, 0, 255)).astype(np.uint8)
    got = read_mask(save(tmp_path / 'a.png', mixed), palette={(255, 0, 0): 1, (0, 0, 255): 2})
    assert np.array_equal(got, np.where(soft() > 127, 1, 2))


def test_solid_mixture_is_no_edge(tmp_path):
    path = save(tmp_path / 'a.png', rgb(blobs(), [(0, 0, 0), (254, 0, 0), (127, 0, 0)]))
    with pytest.raises(InputError, match='does not list: #7f0000'):
        read_mask(path, palette={(254, 0, 0): 1})


def test_void_lines_and_thin_objects_are_no_soft_edges(tmp_path):
    labels = blobs()
    labels[2], labels[3, 5], labels[13, ::2] = 255, 3, 4  # ids 1 and 2 are solid, 3 and 4 thin
    assert np.array_equal(read_mask(save(tmp_path / 'a.png', labels)), labels)


def test_photograph_is_no_mask(tmp_path):
    noise = np.random.default_rng(0).integers(0, 250, (64, 64), np.uint8)
    photo = cv2.GaussianBlur(noise, (3, 3), 0)
    with pytest.raises(InputError, match='anti-aliased'):
        read_mask(save(tmp_path / 'a.png', photo))


def test_jpeg_is_refused(tmp_path):
    with pytest.raises(InputError, match='is a JPEG'):
        read_mask(save(tmp_path / 'a.jpg', blobs(ids=(255,))))


@pytest.mark.parametrize(('height', 'width'), [(24, 29), (23, 30), (26, 32), (22, 28), (25, 29)])
def test_two_pixels_are_repaired_with_one_warning(tmp_path, height, width):
    path = save(tmp_path / 'a.png', blobs()[:height, :width] if height <= 24 and width <= 30
                else np.pad(blobs(), ((0, 2), (0, 2)))[:height, :width])
    with pytest.warns(UserWarning, match=f'{width}x{height}.*30x24') as told:
        got = read_mask(path, size=(24, 30))
    assert len(told) == 1
    assert np.array_equal(got, blobs())


def test_repair_repeats_the_last_column(tmp_path):
    labels = np.tile(np.uint8([[1], [2], [0]]), (1, 4))
    with pytest.warns(UserWarning, match='cropped or extended'):
        got = read_mask(save(tmp_path / 'a.png', labels), size=(3, 6))
    assert got.tolist() == [[1] * 6, [2] * 6, [0] * 6]


@pytest.mark.parametrize('size', [(24, 33), (21, 30), (30, 24), (48, 60)])
def test_other_sizes_are_refused(tmp_path, size):
    with pytest.raises(InputError, match=rf'30x24.*{size[1]}x{size[0]}'):
        read_mask(save(tmp_path / 'a.png', blobs()), size=size)


def test_the_right_size_does_not_warn(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        read_mask(save(tmp_path / 'a.png', blobs()), size=(24, 30))


def test_missing_unreadable_truncated(tmp_path):
    with pytest.raises(FileNotFoundError, match='mask .* does not exist'):
        read_mask(tmp_path / 'none.png')
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(InputError, match='is not an image'):
        read_mask(tmp_path / 'text.png')
    data = encode_mask(np.random.default_rng(0).integers(0, 9, (90, 90), np.uint8))
    (tmp_path / 'cut.png').write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match='cannot be read'):
        read_mask(tmp_path / 'cut.png')
    with pytest.raises(InputError, match='cannot be read'):
        read_mask(tmp_path)


def test_arrays():
    assert as_labels(np.array([[0.0, 3.0]])).tolist() == [[0, 3]]
    for full in (255, 65535):
        assert as_labels(np.array([[0, full]], np.uint16)).tolist() == [[0, 1]]
    assert as_labels(np.array([[True, False]])).tolist() == [[1, 0]]
    for bad, told in [([[0, 0.5]], 'whole numbers'), ([[-1, 0]], 'got -1'), ([[256]], 'got 256'),
                      ([0, 1], r'shape \(H, W\)'), ([[np.nan]], 'whole numbers')]:
        with pytest.raises(InputError, match=told):
            as_labels(np.array(bad))


def test_encode_round_trip_and_palette(tmp_path):
    labels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    data = encode_mask(labels)
    assert np.array_equal(decode_mask(data), labels)
    (tmp_path / 'a.png').write_bytes(data)
    assert np.array_equal(read_mask(tmp_path / 'a.png'), labels)
    with Image.open(tmp_path / 'a.png') as image:
        assert image.mode == 'P'
        assert bytes(image.getpalette()) == palette()
    # The encoder must not keep a view's memory order.
    assert np.array_equal(decode_mask(encode_mask(labels.T)), labels.T)


def test_encode_refuses_other_types():
    with pytest.raises(ValueError, match='uint8'):
        encode_mask(np.zeros((2, 2), np.int64))
