"""Oracle: the dictionaries that were written as JSON."""

import json
import re

import pytest

from mmvos.io import InputError
from mmvos.io.youtube_vos import ObjectMeta, read_meta


def write(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def test_objects_frames_and_categories(tmp_path):
    dog = dict(objects={'3': dict(category='dog', frames=['00010', '00000', '00005']),
                        '1': dict(frames=['00005'])})
    cat = dict(objects={'2': dict(category=None, frames=['00000']),
                        '7': dict(category='cat', frames=[])})
    got = read_meta(write(tmp_path / 'meta.json', dict(videos=dict(a=dog, b=cat))))
    assert got == {'a': {3: ObjectMeta(['00000', '00005', '00010'], 'dog'),
                         1: ObjectMeta(['00005'], '')}, 'b': {2: ObjectMeta(['00000'], '')}}


@pytest.mark.parametrize(('text', 'told'), [
    ('{"videos": {', 'Expecting'), ('{}', "it has no 'videos'"), ('[]', 'list'),
    ('{"videos": []}', 'items'), ('{"videos": {"a": {}}}', "it has no 'objects'"),
    ('{"videos": {"a": {"objects": {"1": {}}}}}', "it has no 'frames'"),
    ('{"videos": {"a": {"objects": {"x": {"frames": ["0"]}}}}}', "'x'"),
    ('{"videos": {"a": {"objects": {"1": {"frames": 3}}}}}', 'int'),
    ('{"videos": {"a": {"objects": {"1": {"frames": "00000"}}}}}', 'list of names, got 00000'),
    ('{"videos": {"a": {"objects": {"1": {"frames": [0, 5]}}}}}', 'list of names, got [0, 5]')])
def test_malformed_is_named(tmp_path, text, told):
    with pytest.raises(InputError, match=r'meta\.json is not a meta\.json of YouTube-VOS \(.*'
                                         + re.escape(told)) as error:
        read_meta(write(tmp_path / 'meta.json', text))
    assert 'expected {"videos": {name: {"objects": {id: {"frames": [...]}}}}}' in str(error.value)
    assert '\n' not in str(error.value)


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / 'meta.json'):
        with pytest.raises(FileNotFoundError, match=rf'{path} is no file; expected the meta\.json'):
            read_meta(path)
