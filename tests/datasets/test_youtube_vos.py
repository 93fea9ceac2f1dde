"""The YouTube-VOS layout: frame lists and first masks, against what was written."""
import json

import numpy as np
import pytest
from PIL import Image

from mmvos.datasets import YouTubeVOS
from mmvos.io import InputError, encode_mask

RNG = np.random.default_rng(0)
RAW = [f'{index:05d}' for index in range(0, 30, 5)]  # 00000, 00005, ..., 00025
LABELS = RNG.integers(0, 5, (6, 24, 32), np.uint8)
# ids out of order of appearance; 2 and 4 begin together; nothing lists the last frame
OBJECTS = {'3': RAW[:4], '1': RAW[2:5], '2': RAW[1:3], '4': RAW[1:5]}


@pytest.fixture
def root(tmp_path):
    valid = tmp_path / 'valid'
    images, masks = valid / 'JPEGImages/ab12', valid / 'Annotations/ab12'
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for index, name in enumerate(RAW):
        Image.fromarray(np.full((24, 32, 3), 40 * index, np.uint8)).save(images / f'{name}.jpg')
        if index in (0, 1, 2):
            (masks / f'{name}.png').write_bytes(encode_mask(LABELS[index]))
    objects = {key: dict(category='dog', frames=frames) for key, frames in OBJECTS.items()}
    (valid / 'meta.json').write_text(json.dumps(dict(videos={'ab12': dict(objects=objects)})))
    return tmp_path


def test_frames_are_the_union_of_the_objects_frames(root):
    item = YouTubeVOS(str(root))[0]
    assert item['data_samples'].video_name == 'ab12'
    assert item['data_samples'].frame_names == RAW[:5]
    assert abs(int(item['inputs'].read(3)[0, 0, 0]) - 120) <= 2
    assert item['data_samples'].truth is None


def test_only_objects_that_begin_are_given(root):
    given = YouTubeVOS(str(root))[0]['data_samples'].given
    assert given.indices == [0, 1, 2]
    for index, ids in ((0, [3]), (1, [2, 4]), (2, [1])):
        expected = LABELS[index] * np.isin(LABELS[index], ids)
        assert np.array_equal(given.read(index), expected)
    with pytest.raises(KeyError):
        given.read(3)


def test_frames_of_one_object_may_come_unsorted(root):
    meta = root / 'valid/meta.json'
    data = json.loads(meta.read_text())
    data['videos']['ab12']['objects']['3']['frames'] = RAW[3::-1]
    meta.write_text(json.dumps(data))
    sample = YouTubeVOS(str(root))[0]['data_samples']
    assert sample.frame_names == RAW[:5]
    assert set(np.unique(sample.given.read(0))) == {0, 3}


def test_absent_data_says_where_and_how(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        YouTubeVOS(str(tmp_path / 'nowhere'))
    for text in (str(tmp_path / 'nowhere'), 'valid/meta.json', 'https://youtube-vos.org',
                 'data_root'):
        assert text in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(('text', 'told'), [
    ('{"videos": {', 'Expecting'), ('{}', "it has no 'videos'"), ('[]', 'list'),
    ('{"videos": []}', 'items'), ('{"videos": {"a": {}}}', "it has no 'objects'"),
    ('{"videos": {"a": {"objects": {"1": {}}}}}', "it has no 'frames'"),
    ('{"videos": {"a": {"objects": {"x": {"frames": ["0"]}}}}}', "'x'"),
    ('{"videos": {"a": {"objects": {"1": {"frames": 3}}}}}', 'int')])
def test_malformed_meta_is_named(root, text, told):
    (root / 'valid/meta.json').write_text(text)
    with pytest.raises(InputError, match=r'valid/meta\.json is not a meta\.json') as error:
        YouTubeVOS(str(root))
    assert told in str(error.value)
    assert '\n' not in str(error.value)


def test_objects_without_frames_are_left_out(root):
    meta = root / 'valid/meta.json'
    data = json.loads(meta.read_text())
    data['videos']['ab12']['objects']['9'] = dict(category='cat', frames=[])
    meta.write_text(json.dumps(data))
    assert YouTubeVOS(str(root))[0]['data_samples'].given.indices == [0, 1, 2]


def test_absent_mask_is_named(root):
    (root / 'valid/Annotations/ab12/00005.png').unlink()
    data = YouTubeVOS(str(root))
    with pytest.raises(InputError, match=r'00005\.png does not exist'):
        data[0]


def test_absent_frame_is_named(root):
    (root / 'valid/JPEGImages/ab12/00010.jpg').unlink()
    video = YouTubeVOS(str(root))[0]['inputs']
    with pytest.raises(FileNotFoundError, match=r'00010\.jpg'):
        video.read(2)
