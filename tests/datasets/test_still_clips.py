"""Clips from still images, folders of them, and mixtures."""
import cv2
import numpy as np
import pytest

from mmvos.datasets import (
    ClipIndex,
    ClipMixture,
    ClipSampler,
    MaskedClipDataset,
    StillClipDataset,
    StillImages,
    SyntheticVOS,
)
from mmvos.io import InputError

PACK = [dict(type='ChooseObjects', area=1), dict(type='PackClip')]


@pytest.fixture
def folder(tmp_path):
    """Images a, b and c of different sizes; c has no mask."""
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
    for number, (name, size) in enumerate(dict(a=(20, 30), b=(24, 16), c=(9, 9)).items()):
        image = np.full((*size, 3), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f'images/{name}.jpg'), image)
        mask = np.zeros(size, np.uint8)
        mask[4:12, 5:9] = 255
        if name != 'c':
            cv2.imwrite(str(tmp_path / f'masks/{name}.png'), mask)
    for name in ('images/._a.jpg', 'masks/._a.png'):  # macOS leaves these
        (tmp_path / name).write_bytes(b'')
    return tmp_path


def test_images_with_masks_are_videos_of_one_frame(folder):
    data = StillImages(str(folder))
    assert [info['inputs'].name for info in data] == ['a', 'b']
    item = data[1]
    assert item['inputs'].read(0).shape == (24, 16, 3)
    assert len(item['inputs']) == 1
    assert item['data_samples'].truth.read(0).sum() == 8 * 4  # white is object 1


def test_wrong_folders(folder):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist; set data_root, images'):
        StillImages(str(folder), images='nowhere')
    (folder / 'none').mkdir()
    with pytest.raises(InputError, match='no image in .* has a mask of its name'):
        StillImages(str(folder), masks='none')


def test_soft_masks_need_a_threshold(folder):
    rows, columns = np.mgrid[:20, :30]
    soft = (400 - 30 * np.hypot(rows - 10, columns - 15)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / 'masks/a.png'), soft)
    with pytest.raises(InputError, match='anti-aliased'):
        StillImages(str(folder))[0]['data_samples'].truth.read(0)
    masks = StillImages(str(folder), threshold=128)[0]['data_samples'].truth
    assert np.array_equal(masks.read(0), soft >= 128)
    (folder / 'masks/a.png').rename(folder / 'masks/a.PNG')
    assert len(StillImages(str(folder))) == 2


def test_a_still_clip_is_one_image_again_and_again(folder):
    data = StillClipDataset(StillImages(str(folder)), PACK, length=4, clips_per_video=3)
    clips = data.epoch(np.random.default_rng(0))
    assert sorted(clips) == [(v, (0,) * 4) for v in (0, 0, 0, 1, 1, 1)]
    clip = data[ClipIndex(0, (0,) * 4, (0,))]
    labels = clip['data_samples'].gt_masks
    assert (clip['inputs'] == clip['inputs'][0]).all()
    assert (labels == labels[0]).all()
    assert labels[0].sum() == 8 * 4  # white is object 1


def test_frames_of_videos_are_still_images_too():
    data = StillClipDataset(SyntheticVOS(num_videos=2, length=12, size=(32, 48)), PACK,
                            clips_per_video=60)
    clips = data.epoch(np.random.default_rng(0))
    assert all(len(set(frames)) == 1 for _, frames in clips)
    assert {frames[0] for _, frames in clips} == {*range(12)}


def test_frames_move_on_their_own(folder):
    moving = dict(type='PerFrame', transforms=[
        dict(type='RandomAffine', prob=1., rotate=0, shear=0, translate=.2, scale=(1, 1))])
    data = StillClipDataset(StillImages(str(folder)), [moving, *PACK], length=3)
    labels = data[ClipIndex(0, (0,) * 3, (1,))]['data_samples'].gt_masks.numpy()
    boxes = [(rows.min(), columns.min(), np.ptp(rows), np.ptp(columns))
             for rows, columns in map(np.nonzero, labels)]
    assert len({box[:2] for box in boxes}) == 3
    assert {box[2:] for box in boxes} == {(7, 3)}  # shifted, not changed


def parts(**options):
    video = MaskedClipDataset(SyntheticVOS(num_videos=3, length=12, size=(32, 48)), PACK, **options)
    still = StillClipDataset(SyntheticVOS(num_videos=2, length=12, size=(40, 40)), PACK, **options)
    return video, still


def test_a_mixture_reads_from_all_its_parts():
    data = ClipMixture(parts(), repeats=(3, 1))
    clips = data.epoch(np.random.default_rng(0))
    assert len(data) == len(clips) == 11
    assert np.bincount([video for video, _ in clips]).tolist() == [3, 3, 3, 1, 1]
    for item in [item for item, _ in zip(ClipSampler(data, seed=0), range(11), strict=False)]:
        size = (40, 40) if item.video > 2 else (32, 48)
        assert data[item]['inputs'].shape == (3, 3, *size)
    assert data[ClipIndex(3, (5,) * 3, (0,))]['data_samples'].video_name == 'synthetic_000'


@pytest.mark.parametrize(('datasets', 'repeats'), [
    (parts(), (1,)), (parts(), (1, 0)), ((parts()[0], parts(length=4)[1]), (1, 1)), ((), ())])
def test_wrong_mixtures(datasets, repeats):
    with pytest.raises(InputError, match='expected datasets of clips of one length and a number'):
        ClipMixture(datasets, repeats)
