"""Where the mask doctor finds videos: the sound one of the fixture, moved to every layout."""
import numpy as np
import pytest
from PIL import Image

from mmvos.io import InputError, VideoWriter, encode_mask
from mmvos.io.doctor import check_dataset, find_layout

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 32, 40, 3), np.uint8)
LABELS = np.zeros((5, 32, 40), np.uint8)
LABELS[:, 4:14, 4:16], LABELS[:, 18:30, 20:34] = 1, 2


@pytest.fixture
def root(tmp_path):
    """data/bear/frames/00000.png, ..., data/bear/masks/00000.png, ..."""
    folder = tmp_path / 'data/bear'
    for name in ('frames', 'masks'):
        (folder / name).mkdir(parents=True)
    for index, (image, ids) in enumerate(zip(FRAMES, LABELS, strict=True)):
        Image.fromarray(image).save(folder / f'frames/{index:05d}.png')
        (folder / f'masks/{index:05d}.png').write_bytes(encode_mask(ids))
    return folder.parent


def check(root):
    """{kind: finding} of all videos; every kind once."""
    layout = find_layout(root)
    findings = layout.findings + [f for report in check_dataset(layout) for f in report.findings]
    kinds = {finding.kind: finding for finding in findings}
    assert len(kinds) == len(findings), [finding.line() for finding in findings]
    return kinds


def move(root, kind):
    """The sound video in another layout; returns its root and the name of the video."""
    new = root.parent / 'other'
    frames, masks = {
        'davis': ('JPEGImages/480p/bear', 'Annotations/480p/bear'),
        'youtube': ('JPEGImages/bear', 'Annotations/bear'),
        'youtube below': ('train/JPEGImages/bear', 'train/Annotations/bear'),
        'one video': ('frames', 'masks'), 'videos below': ('bear/frames', 'bear/masks'),
        'bare masks': ('', '.'), 'masks below': ('', 'bear')}[kind]
    for name, place in (('frames', frames), ('masks', masks)):
        if place:
            (new / place).parent.mkdir(parents=True, exist_ok=True)
            (root / 'bear' / name).rename(new / place)
    return new


@pytest.mark.parametrize(('kind', 'name', 'frames'), [
    ('davis', '480p/bear', 5), ('youtube', 'bear', 5), ('youtube below', 'train/bear', 5),
    ('one video', 'other', 5), ('videos below', 'bear', 5), ('bare masks', 'other', 0),
    ('masks below', 'bear', 0)])
def test_layouts(root, kind, name, frames):
    layout = find_layout(move(root, kind))
    assert layout.findings == []
    [report] = check_dataset(layout)
    assert (report.video.name, report.frames, len(report.masks)) == (name, frames, 5)
    assert report.findings == []


@pytest.fixture
def clip(root):
    """videos/bear.mp4 with masks/bear/."""
    with VideoWriter(root / 'videos/bear.mp4', 24, (32, 40)) as writer:
        for image in FRAMES:
            writer.write(image)
    (root / 'masks').mkdir()
    (root / 'bear/masks').rename(root / 'masks/bear')
    for path in (root / 'bear/frames').iterdir():
        path.unlink()
    (root / 'bear/frames').rmdir()
    return root


def test_video_files(clip):
    [report] = check_dataset(find_layout(clip))
    assert (report.frames, len(report.masks), report.findings) == (5, 5, [])


def test_video_file_defects(clip):
    Image.fromarray(LABELS[0]).save(clip / 'masks/bear/00007.png')
    Image.fromarray(LABELS[0, 1:]).save(clip / 'masks/bear/00001.png')
    assert set(check(clip)) == {'mask-without-frame', 'mask-size'}
    video = clip / 'videos/bear.mp4'
    video.write_bytes(video.read_bytes()[:200])
    found = check(clip)['unreadable-frame']
    assert found.path == video
    assert 'bear.mp4' not in found.message


def test_video_file_without_masks_and_masks_without_video_file(clip):
    (clip / 'masks/bear').rename(clip / 'masks/cat')
    assert {'no-masks', 'no-frames'} == set(check(clip))


@pytest.mark.parametrize('absent', ['JPEGImages', 'Annotations'])
def test_half_a_dataset_is_checked_with_a_warning(root, absent):
    new = move(root, 'youtube')
    (new / absent).rename(new / 'elsewhere')
    findings = check(new)
    assert set(findings) == {'half-a-dataset'}
    assert findings['half-a-dataset'].severity == 'warning'


def test_video_without_masks_and_without_frames(root):
    new = move(root, 'davis')
    (new / 'JPEGImages/480p/cat').mkdir()
    (new / 'Annotations/480p/bear').rename(new / 'Annotations/480p/dog')
    lines = sorted(finding.line(new) for report in check_dataset(find_layout(new))
                   for finding in report.findings)
    assert [line.split(':')[0] for line in lines] == [
        'Annotations/480p/dog', 'JPEGImages/480p/bear', 'JPEGImages/480p/cat',
        'JPEGImages/480p/cat']
    assert 'dog has no frames' in lines[0]
    assert 'bear has no masks' in lines[1]


def test_resolution_that_one_folder_lacks_is_one_finding(root):
    new = move(root, 'davis')
    for name in ('cat', 'dog'):
        (new / 'JPEGImages/1080p' / name).mkdir(parents=True)
    findings = check(new)
    assert set(findings) == {'resolution-missing'}
    assert findings['resolution-missing'].path == new / 'Annotations/1080p'


def test_masks_alone_of_several_sizes(root):
    new = move(root, 'bare masks')
    Image.fromarray(LABELS[2, 5:]).save(new / '00002.png')
    Image.fromarray(LABELS[3, 1:]).save(new / '00003.png')
    found = [f for report in check_dataset(find_layout(new)) for f in report.findings]
    assert [(f.kind, f.severity, f.path.name) for f in found] == [
        ('mask-size', 'error', '00002.png'), ('mask-size', 'warning', '00003.png')]
    assert 'most masks of the video are 40x32' in found[0].message


def test_unknown_layout_says_what_was_looked_for(tmp_path):
    (tmp_path / 'something').mkdir()
    with pytest.raises(InputError, match=r'JPEGImages/ and Annotations/.*masks/<video>') as error:
        find_layout(tmp_path)
    assert '\n' not in str(error.value)
    with pytest.raises(FileNotFoundError, match='is not a folder'):
        find_layout(tmp_path / 'nowhere')


def test_hidden_files_are_left_out(root):
    (root / 'bear/masks/._00000.png').write_bytes(b'x')
    (root / 'bear/frames/.DS_Store').write_bytes(b'x')
    (root / '.cache/masks').mkdir(parents=True)
    assert check(root) == {}
