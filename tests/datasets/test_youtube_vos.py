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


def test_malformed_meta_is_named(root):
    (root / 'valid/meta.json').write_text('{}')
    with pytest.raises(InputError, match=r'valid/meta\.json is not a meta\.json'):
        YouTubeVOS(str(root))


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
    (root / 'valid/JPEGImages/ab12/00015.jpg').unlink()
    video = YouTubeVOS(str(root))[0]['inputs']
    with pytest.raises(FileNotFoundError, match=r'00015\.jpg'):
        video.read(3)


def test_broken_start_is_refused_when_the_video_is_taken(root):
    (root / 'valid/Annotations/ab12/00000.png').write_bytes(encode_mask(np.zeros_like(LABELS[0])))
    with pytest.raises(InputError, match=r'00000\.png: is the first mask .* no object'):
        YouTubeVOS(str(root))[0]


def complete(root, split='valid'):
    """Masks on every frame that meta.json lists, as in train."""
    for index in range(5):
        mask = encode_mask(LABELS[index])
        (root / f'{split}/Annotations/ab12/{RAW[index]}.png').write_bytes(mask)


def test_truth_where_every_listed_frame_has_a_mask(root):
    complete(root)
    sample = YouTubeVOS(str(root))[0]['data_samples']
    assert sample.truth.indices == [0, 1, 2, 3, 4]
    assert all(np.array_equal(sample.truth.read(index), LABELS[index]) for index in range(5))
    assert sample.given.indices == [0, 1, 2]
    (root / 'valid/Annotations/ab12/00020.png').unlink()
    assert YouTubeVOS(str(root))[0]['data_samples'].truth is None


def test_first_masks_alone_are_no_truth(root):
    """All listed frames have a mask, and all these masks are given to the model."""
    meta = root / 'valid/meta.json'
    objects = {'1': dict(frames=RAW[:2]), '2': dict(frames=RAW[1:2])}
    meta.write_text(json.dumps(dict(videos={'ab12': dict(objects=objects)})))
    assert YouTubeVOS(str(root))[0]['data_samples'].truth is None


@pytest.fixture
def all_frames(root):
    """Raw frames 00000 to 00027, of which meta.json lists five."""
    folder = root / 'valid_all_frames/JPEGImages/ab12'
    folder.mkdir(parents=True)
    for index in range(28):
        Image.fromarray(np.full((24, 32, 3), 9 * index, np.uint8)).save(folder / f'{index:05d}.jpg')
    return root


def test_all_frames(all_frames):
    complete(all_frames)
    item = YouTubeVOS(str(all_frames), use_all_frames=True)[0]
    sample = item['data_samples']
    assert sample.frame_names == [f'{index:05d}' for index in range(28)]
    assert abs(int(item['inputs'].read(11)[0, 0, 0]) - 99) <= 2
    assert sample.given.indices == [0, 5, 10]
    assert set(np.unique(sample.given.read(5))) == {0, 2, 4}
    assert sample.truth.indices == [0, 5, 10, 15, 20]
    assert np.array_equal(sample.truth.read(15), LABELS[3])


def test_absent_raw_frames_say_how(all_frames):
    root, folder = str(all_frames), all_frames / 'valid_all_frames'
    (folder / 'JPEGImages/ab12/00020.jpg').unlink()
    with pytest.raises(InputError, match=r'frame 00020 of ab12.*unpack valid_all_frames again'):
        YouTubeVOS(root, use_all_frames=True)[0]
    folder.rename(all_frames / 'elsewhere')
    with pytest.raises(FileNotFoundError, match='valid_all_frames/JPEGImages does not exist'
                                                '.*https://youtube-vos.org.*use_all_frames=False'):
        YouTubeVOS(root, use_all_frames=True)
    YouTubeVOS(root)


@pytest.fixture
def three(root):
    """Videos c, ab12 and b of the same objects; only ab12 has files."""
    meta = root / 'valid/meta.json'
    video = json.loads(meta.read_text())['videos']['ab12']
    meta.write_text(json.dumps(dict(videos=dict(c=video, ab12=video, b=video))))
    return root


def names(dataset):
    return [dataset.get_data_info(index)['video_name'] for index in range(len(dataset))]


def test_chosen_videos(three):
    assert names(YouTubeVOS(str(three))) == ['ab12', 'b', 'c']
    assert names(YouTubeVOS(str(three), videos=['c', 'ab12', 'c'])) == ['ab12', 'c']
    (three / 'held_out.txt').write_text('c\nb\n\n')
    chosen = str(three / 'held_out.txt')
    assert names(YouTubeVOS(str(three), videos=chosen)) == ['b', 'c']
    assert names(YouTubeVOS(str(three), videos=chosen, indices=1)) == ['b']


@pytest.mark.parametrize(('videos', 'told'), [
    (['c', 'd', 'e'], r"videos names 'd' \(and 1 more\), which .*meta\.json does not list"),
    ([], 'videos names no video'), ('names.txt', r"names\.txt names 'x', which"),
    ('empty.txt', r'empty\.txt is empty; write one name')])
def test_wrong_choice_is_one_line(three, monkeypatch, videos, told):
    monkeypatch.chdir(three)
    (three / 'names.txt').write_text('b\nx\n')
    (three / 'empty.txt').write_text('\n')
    with pytest.raises(InputError, match=told) as error:
        YouTubeVOS(str(three), videos=videos)
    assert '\n' not in str(error.value)


def test_absent_file_of_names(three):
    with pytest.raises(FileNotFoundError, match='list of videos b cannot be read'):
        YouTubeVOS(str(three), videos='b')
