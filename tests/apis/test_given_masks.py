"""Oracle: the arrays that were given; `read_mask`'s own rules are tested with it."""
import numpy as np
import pytest
from PIL import Image

from mmvos.apis.given_masks import read_given
from mmvos.datasets.synthetic import SyntheticMasks, SyntheticVideo
from mmvos.io import decode_mask, encode_mask


@pytest.fixture
def video():
    return SyntheticVideo(0, 0, length=6, size=(40, 56), num_objects=2, late=True)


def maps(given):
    return {index: decode_mask(png) for index, png in given.items()}


def assert_same(given, expected):
    got = maps(given)
    assert list(got) == sorted(expected)
    for index in expected:
        np.testing.assert_array_equal(got[index], expected[index])


def test_every_form_of_a_first_mask(video, tmp_path):
    labels = video.labels(0)
    (tmp_path / 'first.png').write_bytes(encode_mask(labels))
    for masks in (tmp_path / 'first.png', str(tmp_path / 'first.png'), labels,
                  labels.astype(np.int64), {0: labels}):
        assert_same(read_given(masks, video), {0: labels})
    assert_same(read_given(labels > 0, video), {0: (labels > 0).astype(np.uint8)})


def test_late_objects(video, tmp_path):
    source = SyntheticMasks(video, first=True)
    expected = {index: source.read(index) for index in source.indices}
    assert list(expected) == [0, 2]
    for index, labels in expected.items():
        (tmp_path / f'{index:05d}.png').write_bytes(encode_mask(labels))
    (tmp_path / 'notes.txt').touch()
    for masks in (tmp_path, expected, source):
        assert_same(read_given(masks, video), expected)


def test_colours(video, tmp_path):
    labels = video.labels(0)
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    Image.fromarray(colours[labels]).save(tmp_path / 'a.png')
    for palette in ('#ff0000=1,#0000ff=2', {(255, 0, 0): 1, (0, 0, 255): 2}):
        assert_same(read_given(tmp_path / 'a.png', video, palette), {0: labels})
    with pytest.raises(ValueError, match='--mask-palette'):
        read_given(tmp_path / 'a.png', video)


def test_size(video, tmp_path):
    labels = video.labels(0)
    with pytest.warns(UserWarning, match='cropped or extended'):
        assert_same(read_given(np.pad(labels, ((0, 1), (0, 2))), video), {0: labels})
    (tmp_path / 'a.png').write_bytes(encode_mask(labels[:-3]))
    for masks in (labels[:-3], tmp_path / 'a.png'):
        with pytest.raises(ValueError, match='56x37 .* its frame is 56x40'):
            read_given(masks, video)


def test_empty_first_mask_warns_once(video):
    empty = np.zeros((40, 56), np.uint8)
    with pytest.warns(UserWarning, match='first mask .* has no object') as caught:
        read_given({0: empty, 1: empty, 2: video.labels(2)}, video)
    assert len(caught) == 1


def test_frames_that_do_not_exist(video, tmp_path):
    with pytest.raises(ValueError, match='frame 6, but video .* has frames 0 to 5'):
        read_given({0: video.labels(0), 6: video.labels(0)}, video)
    (tmp_path / '00007.png').write_bytes(encode_mask(video.labels(0)))
    with pytest.raises(ValueError, match='00007.png has the name of no frame'):
        read_given(tmp_path, video)


def test_nothing(video, tmp_path):
    with pytest.raises(ValueError, match='holds no mask'):
        read_given(tmp_path, video)
    with pytest.raises(ValueError, match='no mask is given'):
        read_given({}, video)
    with pytest.raises(FileNotFoundError, match='a.png does not exist'):
        read_given(tmp_path / 'a.png', video)
