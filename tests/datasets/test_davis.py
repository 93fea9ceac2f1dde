"""The DAVIS layout: what is given and what is compared, against the arrays that were written."""
import shutil

import numpy as np
import pytest
from PIL import Image

from mmvos.datasets import DAVIS
from mmvos.evaluation.folders import find_ground_truth, pair_folders
from mmvos.evaluation.metrics import VOSMetric
from mmvos.evaluation.offline import evaluate_pairs
from mmvos.io import InputError, encode_mask

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (4, 24, 32, 3), np.uint8)
LABELS = RNG.integers(0, 3, (4, 24, 32), np.uint8)


@pytest.fixture
def root(tmp_path):
    """Two videos, 'bear' and 'cat'; the lists of the two years differ."""
    for name in ('bear', 'cat'):
        images = tmp_path / 'JPEGImages/480p' / name
        masks = tmp_path / 'Annotations/480p' / name
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index, (frame, labels) in enumerate(zip(FRAMES, LABELS, strict=True)):
            Image.fromarray(frame).save(images / f'{index:05d}.jpg', quality=95)
            (masks / f'{index:05d}.png').write_bytes(encode_mask(labels))
    for year, names in (('2016', 'cat\n'), ('2017', 'bear\ncat\n')):
        (tmp_path / 'ImageSets' / year).mkdir(parents=True)
        (tmp_path / 'ImageSets' / year / 'val.txt').write_text(names)
    return tmp_path


def test_the_archive_of_2016_lists_frames(root):
    (root / 'ImageSets/2016/val.txt').unlink()
    (root / 'ImageSets/480p').mkdir()
    (root / 'ImageSets/480p/val.txt').write_text(''.join(
        f'/JPEGImages/480p/{name}/{t:05d}.jpg /Annotations/480p/{name}/{t:05d}.png \n'
        for name in ('cat', 'bear') for t in range(4)))
    data = DAVIS(str(root), '2016')
    names = [data[number]['data_samples'].video_name for number in range(len(data))]
    assert names == ['cat', 'bear']
    shutil.rmtree(root / 'ImageSets/2017')
    with pytest.raises(FileNotFoundError, match='Get DAVIS-2017 "TrainVal, 480p"'):
        DAVIS(str(root), '2017')


def test_2017_keeps_the_objects(root):
    data = DAVIS(str(root), '2017')
    assert len(data) == 2
    item = data[0]
    sample = item['data_samples']
    assert sample.video_name == item['inputs'].name == 'bear'
    assert sample.frame_names == ['00000', '00001', '00002', '00003']
    assert sample.given.indices == [0]
    assert np.array_equal(sample.given.read(0), LABELS[0])
    assert sample.truth.indices == [0, 1, 2, 3]
    assert np.array_equal(sample.truth.read(2), LABELS[2])
    assert item['inputs'].size == (24, 32)
    assert np.array_equal(item['inputs'].read(1),
                          Image.open(root / 'JPEGImages/480p/bear/00001.jpg'))


def test_annotations_of_another_task(root):
    with pytest.raises(FileNotFoundError, match='Annotations_unsupervised/480p/bear does not'):
        DAVIS(str(root), '2017', annotations='Annotations_unsupervised')
    (root / 'Annotations').rename(root / 'Annotations_unsupervised')
    data = DAVIS(str(root), '2017', annotations='Annotations_unsupervised')
    assert np.array_equal(data[0]['data_samples'].truth.read(2), LABELS[2])


def test_2016_gives_one_object(root):
    data = DAVIS(str(root), '2016')
    sample = data[0]['data_samples']
    assert len(data) == 1
    assert sample.video_name == 'cat'
    assert np.array_equal(sample.given.read(0), LABELS[0] > 0)
    assert np.array_equal(sample.truth.read(3), LABELS[3])  # as stored: the protocol merges


def test_2016_black_and_white_masks_are_one_object(root):
    path = root / 'Annotations/480p/cat/00000.png'
    Image.fromarray((LABELS[0] > 0).astype(np.uint8) * 255).save(path)
    sample = DAVIS(str(root), '2016')[0]['data_samples']
    assert np.array_equal(sample.given.read(0), LABELS[0] > 0)


def test_a_video_with_its_first_mask_alone_is_not_scored(root):
    """Beside others that are: the table is that of the folder of results."""
    for index in (1, 2, 3):
        (root / f'Annotations/480p/bear/{index:05d}.png').unlink()
    metric = VOSMetric('davis2017', num_workers=0)
    for item in DAVIS(str(root), '2017'):
        sample = item['data_samples']
        result = root / 'results' / sample.video_name
        result.mkdir(parents=True)
        sample.pred_masks = [encode_mask(LABELS[0])] * 4
        for name, png in zip(sample.frame_names, sample.pred_masks, strict=True):
            (result / f'{name}.png').write_bytes(png)
        metric.process({}, [sample.to_dict()])
    found = metric.evaluate(2)
    protocol = metric.protocol
    pairs = pair_folders(root / 'results', find_ground_truth(root, type(protocol)), protocol)
    assert found == evaluate_pairs(pairs, protocol, num_workers=0).summary
    assert found['J'] > 0


def test_first_mask_alone_is_given_but_no_truth(root):
    for path in (root / 'Annotations/480p').glob('*/0000[123].png'):
        path.unlink()
    sample = DAVIS(str(root), '2017', indices=1)[0]['data_samples']
    assert sample.given.indices == [0]
    assert sample.truth is None


def test_absent_data_says_where_and_how(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        DAVIS(str(tmp_path / 'nowhere'), '2017')
    for text in (str(tmp_path / 'nowhere'), 'ImageSets/2017/val.txt', 'https://davischallenge.org',
                 'data_root'):
        assert text in str(error.value)
    assert '\n' not in str(error.value)


def test_absent_video_is_named(root):
    shutil.rmtree(root / 'JPEGImages/480p/cat')
    with pytest.raises(FileNotFoundError, match='JPEGImages/480p/cat does not exist'):
        DAVIS(str(root), '2017')


def test_absent_first_mask_is_named(root):
    (root / 'Annotations/480p/cat/00000.png').unlink()
    data = DAVIS(str(root), '2016')
    with pytest.raises(InputError, match=r'no mask 00000\.png'):
        data[0]


def test_empty_list_and_unknown_year(root):
    (root / 'ImageSets/2016/val.txt').write_text('\n')
    with pytest.raises(InputError, match='is empty; write one name'):
        DAVIS(str(root), '2016')
    with pytest.raises(ValueError, match="'2018'"):
        DAVIS(str(root), '2018')


@pytest.mark.parametrize(('year', 'name'), [('2016', 'cat'), ('2017', 'bear')])
@pytest.mark.parametrize(('file', 'labels', 'told'), [
    ('Annotations/480p/{}/00000.png', LABELS[0] * 0, 'has no object'),
    ('Annotations/480p/{}/00000.png', LABELS[0, 3:], '32x21 .* its frame is 32x24'),
    ('Annotations/480p/{}/00007.png', LABELS[0], 'has the name of no frame'),
    ('Annotations/480p/{}/00000.png', None, 'cannot be read'),
    ('JPEGImages/480p/{}/00000.jpg', None, 'cannot be read')])
def test_broken_start_is_refused_in_one_line(root, year, name, file, labels, told):
    """As `mmvos.io.doctor` finds it; with no labels the file is cut short."""
    path = root / file.format(name)
    path.write_bytes(path.read_bytes()[:-30] if labels is None else encode_mask(labels))
    data = DAVIS(str(root), year)
    with pytest.raises(InputError, match=f'{path.name}.*{told}') as error:
        data[0]
    assert '\n' not in str(error.value)


def test_what_comes_after_the_first_frame_is_not_decoded(root):
    for path in (*root.glob('JPEGImages/480p/bear/00001.jpg'),
                 *root.glob('Annotations/480p/bear/00001.png')):
        path.write_bytes(b'no image')
    assert len(DAVIS(str(root), '2017')[0]['inputs']) == 4
