"""Oracle: the files and meta.json that were written, read back by the zip's own reader."""
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from mmvos.evaluation.submission import write_submission
from mmvos.io import InputError, encode_mask

OBJECTS = {'ab': {'1': ['00000', '00005'], '3': ['00005', '00015']}, 'cd': {'2': ['00010']}}
LISTED = [('ab', '00000'), ('ab', '00005'), ('ab', '00015'), ('cd', '00010')]


def labels(video, frame):
    ids = np.array([0, 1, 3] if video == 'ab' else [0, 2], np.uint8)
    rng = np.random.default_rng(int(frame))
    return rng.choice(ids, (24, 32) if video == 'ab' else (30, 20))


def encoded(array, kind='PNG', mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """results/ with frames that meta.json does not list, and meta.json."""
    monkeypatch.chdir(tmp_path)
    videos = {name: dict(objects={key: dict(frames=frames) for key, frames in objects.items()})
              for name, objects in OBJECTS.items()}
    (tmp_path / 'meta.json').write_text(json.dumps(dict(videos=videos)))
    for video, frame in [*LISTED, ('ab', '00001'), ('cd', '00011'), ('ef', '00000')]:
        path = tmp_path / 'results' / video / f'{frame}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_mask(labels(video, frame)))
    (tmp_path / 'results/log.txt').write_text('no mask')
    return tmp_path


def test_exactly_the_listed_frames_byte_for_byte(data):
    grey = encoded(labels('cd', '00010'))
    (data / 'results/cd/00010.png').write_bytes(grey)
    assert write_submission(data / 'results', data / 'meta.json', data / 'new/out.zip') == 4
    with zipfile.ZipFile(data / 'new/out.zip') as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f'Annotations/{v}/{f}.png' for v, f in LISTED]
        for video, frame in LISTED:
            stored = archive.read(f'Annotations/{video}/{frame}.png')
            assert stored == (data / f'results/{video}/{frame}.png').read_bytes()
            decoded = np.array(Image.open(io.BytesIO(stored)))
            assert np.array_equal(decoded, labels(video, frame))


def test_the_same_results_give_the_same_bytes(data):
    write_submission(data / 'results', data / 'meta.json', data / 'a.zip')
    for path in (data / 'results').rglob('*.png'):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o600)
    meta = json.loads((data / 'meta.json').read_text())
    meta['videos'] = dict(reversed(meta['videos'].items()))
    (data / 'meta.json').write_text(json.dumps(meta))
    write_submission(data / 'results', data / 'meta.json', data / 'b.zip')
    assert (data / 'a.zip').read_bytes() == (data / 'b.zip').read_bytes()
    with zipfile.ZipFile(data / 'a.zip') as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {(entry.create_system, entry.external_attr >> 16) for entry in entries} == {
        (3, 0o100644)}


def test_background_alone_is_legal(data):
    (data / 'results/ab/00015.png').write_bytes(encode_mask(np.zeros((24, 32), np.uint8)))
    assert write_submission(data / 'results', data / 'meta.json', data / 'out.zip') == 4


RGB = np.zeros((24, 32, 3), np.uint8)
SOFT = labels('ab', '00005')
WRONG = {
    'colour': (encoded(RGB), 'is a PNG image of mode RGB; expected .* palette PNG'),
    'alpha': (encoded(RGB, mode='RGBA'), 'is a PNG image of mode RGBA'),
    'jpeg': (encoded(SOFT, 'JPEG'), 'is a JPEG image of mode L'),
    '16 bits': (encoded(SOFT.astype(np.uint16)), 'is a PNG image of mode I;16'),
    '1 bit': (encoded(SOFT > 0), 'is a PNG image of mode 1;'),
    'cut': (encode_mask(SOFT)[:-60], 'cannot be read'),
    'text': (b'text', 'is not an image'),
    'size': (encode_mask(SOFT[:, :30]), 'is 30x24 .* first one of its video is 32x24'),
    '0/255': (encode_mask(np.where(SOFT, 255, 0).astype(np.uint8)),
              r'is black and white \(0 and 255\), but the ids .* are 1, 3; save object ids'),
    'ids': (encode_mask(np.where(SOFT, SOFT + 1, 0).astype(np.uint8)),
            r'has the ids 2, 4, but the ids of its video in meta.json are 1, 3'),
    'void': (encode_mask(np.where(SOFT > 1, 255, SOFT).astype(np.uint8)), 'has the ids 255, but'),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_mask_is_one_line_and_changes_nothing(data, name):
    content, told = WRONG[name]
    (data / 'results/ab/00005.png').write_bytes(content)
    (data / 'out.zip').write_bytes(b'earlier')
    with pytest.raises(InputError, match=r'^mask .*results/ab/00005\.png ' + told) as error:
        write_submission(data / 'results', data / 'meta.json', data / 'out.zip')
    assert '\n' not in str(error.value)
    assert (data / 'out.zip').read_bytes() == b'earlier'
    assert {path.name for path in data.iterdir()} == {'results', 'meta.json', 'out.zip'}


def test_missing_frames_and_videos(data):
    def refused(kind):
        with pytest.raises(kind) as error:
            write_submission(data / 'results', data / 'meta.json', data / 'out.zip')
        assert '\n' not in str(error.value)
        assert not (data / 'out.zip').exists()
        return str(error.value)

    (data / 'results/ab/00015.png').unlink()
    told = refused(InputError)
    assert 'results/ab/00015.png does not exist, but' in told
    assert 'tools/test.py --out' in told
    (data / 'results/cd/00010.png').unlink()
    assert '00015.png does not exist (and 1 more), but' in refused(InputError)
    (data / 'results/cd').rename(data / 'cd')
    assert 'results has no folder cd, which' in refused(InputError)
    (data / 'results').rename(data / 'elsewhere')
    assert 'results is no folder' in refused(FileNotFoundError)


def test_wrong_meta_and_wrong_name(data):
    with pytest.raises(InputError, match=r'expected a name that ends in \.zip'):
        write_submission(data / 'results', data / 'out.zip', data / 'meta.json')
    (data / 'meta.json').write_text('{"videos": {}}')
    with pytest.raises(InputError, match='names no video'):
        write_submission(data / 'results', data / 'meta.json', data / 'out.zip')
    (data / 'meta.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'meta\.json is no file'):
        write_submission(data / 'results', data / 'meta.json', data / 'out.zip')


def test_import_is_light():
    code = ('import sys, mmvos.evaluation.submission; '
            'sys.exit(bool({"torch", "mmengine", "scipy"} & set(sys.modules)))')
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
