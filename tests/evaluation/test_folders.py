"""Which files are compared, and what is said of those that cannot be."""
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from mmvos.evaluation import build_protocol, evaluate_pairs, find_ground_truth, pair_folders
from mmvos.evaluation.folders import find_videos
from mmvos.evaluation.protocols import PROTOCOLS, find_protocol
from mmvos.io import InputError, encode_mask


def frames(length=5, ids=(1, 2), size=(20, 30)):
    maps = np.zeros((length, *size), np.uint8)
    for row, label in enumerate(ids):
        maps[:, 2 + 8 * row:8 + 8 * row, 4:24] = label
    return maps


def put(folder, maps):
    folder.mkdir(parents=True)
    for t, labels in enumerate(maps):
        (folder / f'{t:05d}.png').write_bytes(encode_mask(labels))


def evaluate(root, protocol='davis2017', allow_missing=False, list_file=None):
    truth, protocol = (find_ground_truth(root / 'truth', find_protocol(protocol), list_file),
                       build_protocol(protocol))
    pairs = pair_folders(root / 'results', truth, protocol, allow_missing=allow_missing)
    return evaluate_pairs(pairs, protocol)


@pytest.fixture
def root(tmp_path):
    """Results that equal the truth: 3 videos, one of them a folder deeper."""
    for folder in ('truth', 'results'):
        for name in ('dog', 'ant', 'car/0003'):
            put(tmp_path / folder / name, frames())
    return tmp_path


def test_every_video_of_the_truth_by_name(root):
    (root / 'truth/notes.txt').write_text('no mask')
    (root / 'truth/empty').mkdir()
    put(root / 'results/zebra', frames())  # the truth knows neither this video
    (root / 'results/dog/00009.png').write_bytes(b'')  # nor this frame
    found = evaluate(root)
    assert list(found.rows) == ['ant', 'car/0003', 'dog']
    assert found.summary['J&F'] == 1
    assert [video.frames for video in found.videos] == [[f'{t:05d}' for t in range(5)]] * 3


def test_videos_that_are_links(root, tmp_path):
    for folder in ('truth', 'results'):
        (root / folder / 'dog').rename(root / f'{folder}-dog')
        (root / folder / 'dog').symlink_to(root / f'{folder}-dog')
    assert list(evaluate(root).rows) == ['ant', 'car/0003', 'dog']
    links = tmp_path / 'links'
    (links / 'results').mkdir(parents=True)
    (links / 'truth').symlink_to(root / 'truth')
    for name in ('ant', 'dog', 'car'):
        (links / 'results' / name).symlink_to(root / 'results' / name)
    assert list(evaluate(links).rows) == ['ant', 'car/0003', 'dog']


def test_frames_are_in_natural_order(tmp_path):
    for folder in ('truth', 'results'):
        put(tmp_path / folder / 'a', frames(12))
        for t in range(12):
            (tmp_path / folder / f'a/{t:05d}.png').rename(tmp_path / folder / f'a/frame{t}.png')
    assert evaluate(tmp_path).videos[0].frames == [f'frame{t}' for t in range(12)]


def test_frames_in_the_folder_itself(tmp_path):
    for folder in ('truth', 'results'):
        put(tmp_path / folder, frames())
    assert list(evaluate(tmp_path).rows) == ['.']


def test_hidden_files_are_no_frames(root):
    (root / 'truth/dog/._00000.png').write_bytes(b'of another system')
    assert evaluate(root).videos[2].frames == [f'{t:05d}' for t in range(5)]


@pytest.mark.parametrize(('text', 'expected'), [
    ('dog\nant\n\n', ['dog', 'ant']), ('car/0003\n', ['car/0003']), ('dog\ndog', ['dog']),
    ('\ufeffdog/\r\n./ant', ['dog', 'ant']),
    ('/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png 1 0\n'
     '/JPEGImages/480p/dog/00001.jpg /Annotations/480p/dog/00001.png\n', ['dog'])])
def test_lists_of_videos(root, text, expected):
    (root / 'list.txt').write_text(text, 'utf-8')
    truth = find_ground_truth(root / 'truth', find_protocol('folder'), root / 'list.txt')
    assert truth.names == expected
    assert list(evaluate(root, list_file=root / 'list.txt').rows) == sorted(expected)


def test_list_with_an_unknown_name(root):
    (root / 'list.txt').write_text('dog\nmouse\n')
    with pytest.raises(FileNotFoundError, match='truth/mouse holds no PNG, but its list .* mouse;'):
        evaluate(root, list_file=root / 'list.txt')


@pytest.mark.parametrize(('text', 'told'), [
    (None, 'list.txt cannot be read: No such file'), (b' \n', 'list.txt is empty; '),
    (b'\x89PNG', 'list.txt is no text; '), (b'../dog', r"expected names .*, got '../dog'; write"),
    (b'/data/dog', 'expected names of folders'), (b'.', 'expected names of folders')])
def test_list_that_is_no_list(root, text, told):
    if text is not None:
        (root / 'list.txt').write_bytes(text)
    with pytest.raises((FileNotFoundError, InputError), match=told):
        evaluate(root, list_file=root / 'list.txt')


@pytest.mark.parametrize('protocol', [name for name, cls in PROTOCOLS.items() if cls.layout])
def test_root_of_a_dataset(tmp_path, protocol):
    """Its own list says which videos count; an explicit one wins."""
    cls = find_protocol(protocol)
    folder, beside = (tmp_path / part for part in cls.layout)
    for name in ('ant', 'dog'):
        put(folder / name, frames())
    assert find_ground_truth(tmp_path, cls).names is None
    if not cls.layout[1]:
        return
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text('dog\n' if beside.suffix == '.txt' else json.dumps({'videos': {
        'dog': {'objects': {'1': {'frames': ['00000']}}}}}))
    found = find_ground_truth(tmp_path, cls)
    assert found.folder == folder
    assert find_ground_truth(folder, cls).names is None  # the annotations alone: all of them
    if beside.suffix == '.json':
        assert (found.names, found.meta) == (['dog'], beside)
    else:
        assert (found.names, found.meta) == (['dog'], None)
        (tmp_path / 'other.txt').write_text('ant\n')
        assert find_ground_truth(tmp_path, cls, tmp_path / 'other.txt').names == ['ant']


def test_folder_of_the_frames(tmp_path):
    cls = find_protocol('davis2017')
    put(tmp_path / 'Annotations/480p/dog', frames())
    assert find_ground_truth(tmp_path, cls).frames is None
    (tmp_path / 'JPEGImages/480p').mkdir(parents=True)
    for path in (tmp_path, tmp_path / 'Annotations/480p'):
        assert find_ground_truth(path, cls).frames == tmp_path / 'JPEGImages/480p'
    other = tmp_path / 'Annotations_unsupervised/480p/dog'
    put(other, frames())
    found = find_ground_truth(tmp_path, find_protocol('davis2017-unsupervised'))
    assert found.frames == tmp_path / 'JPEGImages/480p'


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()


MASK = frames()[0]
BROKEN = {
    'colours': (png(np.stack([MASK * 80] * 3, -1)), InputError,
                r'00002.png is a colour image \(RGB\) .*check_dataset.py --fix'),
    'cut off': (encode_mask(MASK)[:-40], InputError, r'00002.png cannot be read .*; copy or '),
    'empty file': (b'', InputError, r'00002.png is not an image; give'),
    'text': (b'no image', InputError, r'00002.png is not an image; give'),
    'ids above 255': (png(MASK.astype(np.uint16) * 300), InputError,
                      r'00002.png: object ids must be 0 to 255, got 300, 600; renumber'),
}


@pytest.mark.parametrize('folder', ['results', 'truth'])
@pytest.mark.parametrize('kind', BROKEN)
def test_files_that_are_no_label_map(root, folder, kind):
    data, error, told = BROKEN[kind]
    (root / folder / 'dog/00002.png').write_bytes(data)
    with pytest.raises(error, match=f'mask .*{folder}/dog/{told}') as caught:
        evaluate(root)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('change', 'told'), [
    (lambda maps: maps[:, :, :-1], r'results/dog/00001.png is 29x20 \(width x height\), but mask '
                                   r'.*truth/dog/00001.png is 30x20; predict at'),
    (lambda maps: maps[:, ::2, ::2], '00001.png is 15x10 .* is 30x20'),
    (lambda maps: maps * 2, r'results/dog/00001.png has ids \[4\], .* has \[1, 2\]; predict'),
    (lambda maps: (maps > 0) * np.uint8(255), r'results/dog/00001.png has the value 255, object '
     r'ids 1, 2, ... are expected by protocol davis2017; for 0/255 masks take davis2016')])
def test_predictions_that_do_not_fit(root, change, told):
    for t, labels in enumerate(change(frames())):
        (root / f'results/dog/{t:05d}.png').write_bytes(encode_mask(labels))
    with pytest.raises(InputError, match=told):
        evaluate(root)


def test_white_masks_never_become_255_objects(root):
    white = encode_mask((MASK > 0) * np.uint8(255))
    for path in (root / 'results').rglob('*.png'):
        path.write_bytes(white)
    found = evaluate(root, 'davis2016')
    assert [len(video.objects) for video in found.videos] == [1, 1, 1]
    assert found.summary['J&F'] == 1


@pytest.mark.parametrize('protocol', ['davis2017', 'davis2016', 'folder'])
def test_truth_without_objects(root, protocol):
    for path in (root / 'truth/dog').iterdir():
        path.write_bytes(encode_mask(MASK * 0))
    with pytest.raises(InputError, match=r'truth/dog/00000.png: .* leave the video out'):
        evaluate(root, protocol)


def test_missing_folders(root):
    with pytest.raises(FileNotFoundError, match=r'results .*/none is not a folder; check'):
        pair_folders(root / 'none', find_ground_truth(root / 'truth', find_protocol('folder')),
                     build_protocol('folder'))
    with pytest.raises(FileNotFoundError, match=r'ground truth .*/none is not a folder; check'):
        find_ground_truth(root / 'none', find_protocol('davis2017'))


def test_folders_without_pngs(root):
    for folder in ('results', 'truth'):
        for path in (root / folder).rglob('*.png'):
            path.unlink()
        told = (r'results .*/results holds no PNG; expected .*/results/\w.*/<frame>.png'
                if folder == 'results' else r'ground truth .*/truth holds no PNG; expected <video>')
        with pytest.raises(InputError, match=told):
            evaluate(root)
        with pytest.raises(InputError, match=told):
            evaluate(root, allow_missing=True)
    with pytest.raises(InputError, match='holds no PNG'):
        find_videos(root / 'truth')


@pytest.mark.parametrize('allow_missing', [False, True])
def test_folders_of_other_videos(root, allow_missing):
    (root / 'truth').rename(root / 'Annotations')
    (root / 'truth').mkdir()
    (root / 'Annotations').rename(root / 'truth/Annotations')
    with pytest.raises(FileNotFoundError, match=r'results .*/results and ground truth .*/truth '
                                                r'have no video in common, expected .*/results/Anno'
                                                r'tations/ant/\*.png'):
        evaluate(root, allow_missing=allow_missing)


def test_root_of_a_dataset_that_the_protocol_does_not_know(root):
    (root / 'truth/JPEGImages').mkdir()
    for protocol in ('folder', 'lvos', 'davis2017'):
        with pytest.raises(FileNotFoundError, match=f'truth is the root .* protocol {protocol}; g'):
            find_ground_truth(root / 'truth', find_protocol(protocol))


def test_root_of_davis_without_the_list_of_its_year(root):
    (root / 'truth').rename(root / '480p')
    (root / 'Annotations').mkdir()
    (root / '480p').rename(root / 'Annotations/480p')
    cls = find_protocol('davis2017')
    assert find_ground_truth(root, cls).names is None  # only annotations: all of them
    (root / 'ImageSets/2016').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r'ImageSets/2017/val.txt does not exist.*--list'):
        find_ground_truth(root, cls)


def test_links_that_go_round_in_circles(root):
    (root / 'truth/loop').symlink_to(root / 'truth')
    assert list(evaluate(root).rows) == ['ant', 'car/0003', 'dog']


def test_missing_video(root):
    for path in (root / 'results/dog').iterdir():
        path.unlink()
    for remove in (False, True):
        if remove:
            (root / 'results/dog').rmdir()
        with pytest.raises(FileNotFoundError, match=r"video 'dog' are missing: expected .*/dog/"
                                                    r'\*.png; .*--list.*--allow-missing'):
            evaluate(root)


def test_missing_frame(root):
    for t in (1, 3):
        (root / f'results/dog/{t:05d}.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'results/dog/00001.png is missing \(2 of 3 .*'
                                                '--allow-missing'):
        evaluate(root)


def test_frames_that_do_not_count_need_no_prediction(root):
    for t in (0, 4):
        (root / f'results/dog/{t:05d}.png').unlink()
    found = evaluate(root)
    assert found.summary['J&F'] == 1
    assert [video.missing for video in found.videos] == [[], [], []]
    with pytest.raises(FileNotFoundError, match=r'dog/00000.png is missing \(2 of 5 '):
        evaluate(root, 'folder')


def test_names_of_files_may_be_in_capitals(root):
    for folder, t in (('results', 2), ('truth', 3)):
        path = root / folder / f'dog/{t:05d}.png'
        path.rename(path.with_suffix('.PNG'))
    found = evaluate(root)
    assert found.videos[2].frames == [f'{t:05d}' for t in range(5)]
    assert found.summary['J&F'] == 1


def test_allow_missing_scores_empty_masks_and_counts_them(root):
    for t in (0, 1, 3):  # the first frame does not count under DAVIS
        (root / f'results/dog/{t:05d}.png').unlink()
    for path in (root / 'results/ant').iterdir():
        path.unlink()
    found = evaluate(root, allow_missing=True)
    assert {video.name: video.missing for video in found.videos} == {
        'ant': ['00001', '00002', '00003'], 'car/0003': [], 'dog': ['00001', '00003']}
    assert found.rows['ant']['J&F'] == 0
    assert [item.j.tolist() for item in found.videos[2].objects] == [[0, 1, 0]] * 2
    assert found.summary['J'] == pytest.approx((0 + 1 + 1 / 3) / 3, abs=1e-12)
    assert found.table().splitlines()[-1] == 'note: frames without a prediction, scored ' \
                                             'as empty: 5'
    everything = evaluate(root, 'folder', allow_missing=True)
    assert 'note: frames without a prediction, scored as empty: 8' in everything.table()


def test_video_of_which_no_frame_counts_is_listed_and_left_out(root):
    for folder in ('truth', 'results'):
        put(root / folder / 'two', frames(2))
    found = evaluate(root)
    assert math.isnan(found.rows['two']['J&F'])
    row = next(line for line in found.table().splitlines() if '| two' in line)
    assert [cell.strip() for cell in row.split('|')[2:-1]] == ['0', *['-'] * 7]
    assert 'note: videos without a frame that counts, left out of all means: 1' in found.table()
    assert found.summary['J&F'] == 1


def test_nothing_counts_in_any_video(tmp_path):
    for folder in ('truth', 'results'):
        put(tmp_path / folder / 'two', frames(2))
    with pytest.raises(InputError, match='at least one frame that counts, got 1 videos without; '
                                         'protocol davis2017 counts: '):
        evaluate(tmp_path)


def test_files_are_read_anew(root):
    assert evaluate(root).summary['J'] == 1
    for t in range(5):
        (root / f'results/dog/{t:05d}.png').write_bytes(encode_mask(MASK * 0))
    assert evaluate(root).rows['dog']['J'] == 0
