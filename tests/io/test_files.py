"""Oracles: what is on the disk after a success and after each failure."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest

from mmvos.io import InputError, atomic_path, atomic_write, make_dir


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def no_file_above(size):
    """Let no file grow beyond ``size`` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_write_and_replace(tmp_path):
    atomic_write(tmp_path / 'new' / 'deep' / 'a.bin', b'one')
    atomic_write(tmp_path / 'new' / 'deep' / 'a.bin', b'two')
    assert (tmp_path / 'new' / 'deep' / 'a.bin').read_bytes() == b'two'
    assert names(tmp_path / 'new' / 'deep') == ['a.bin']


def test_nothing_under_the_final_name_until_the_end(tmp_path):
    with atomic_path(tmp_path / 'a.mp4') as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == '.mp4'
        temporary.write_bytes(b'half')
        assert not (tmp_path / 'a.mp4').exists()
    assert names(tmp_path) == ['a.mp4']


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, InputError])
def test_failure_keeps_the_earlier_file(tmp_path, error):
    (tmp_path / 'a.txt').write_text('earlier')

    def fail():
        with atomic_path(tmp_path / 'a.txt') as temporary:
            temporary.write_text('half')
            raise error('stop')

    with pytest.raises(error, match='stop'):
        fail()
    assert names(tmp_path) == ['a.txt']
    assert (tmp_path / 'a.txt').read_text() == 'earlier'


def test_full_disk(tmp_path):
    (tmp_path / 'a.bin').write_bytes(b'earlier')
    with no_file_above(1000), pytest.raises(InputError, match=r'a\.bin.*free some space'):
        atomic_write(tmp_path / 'a.bin', bytes(5000))
    assert names(tmp_path) == ['a.bin']
    assert (tmp_path / 'a.bin').read_bytes() == b'earlier'


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_dev_full(tmp_path):
    (tmp_path / 'a.png').symlink_to('/dev/full')
    for path in ('/dev/full', tmp_path / 'a.png'):
        with pytest.raises(InputError, match='No space left on device; free some space'):
            atomic_write(path, b'data')
    with pytest.raises(InputError, match='one of its parents is a file'):
        atomic_write('/dev/full/a.png', b'data')
    assert not os.path.isfile('/dev/full')


def test_path_under_a_file(tmp_path):
    (tmp_path / 'file').write_text('kept')
    for path in (tmp_path / 'file' / 'a.png', tmp_path / 'file' / 'deep' / 'a.png'):
        with pytest.raises(InputError, match='one of its parents is a file'):
            atomic_write(path, b'data')
    for path in (tmp_path / 'file', tmp_path / 'file' / 'out'):
        with pytest.raises(InputError, match='file'):
            make_dir(path)
    assert (tmp_path / 'file').read_text() == 'kept'


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match='a folder has this name'):
        atomic_write(tmp_path, b'data')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_forbidden(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match='may write to'):
        atomic_write(tmp_path / 'a.bin', b'data')


def test_a_link_keeps_its_target(tmp_path):
    (tmp_path / 'real.txt').write_text('old')
    (tmp_path / 'link.txt').symlink_to(tmp_path / 'real.txt')
    atomic_write(tmp_path / 'link.txt', b'new')
    assert (tmp_path / 'link.txt').is_symlink()
    assert (tmp_path / 'real.txt').read_text() == 'new'


def test_errors_about_other_files_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / 'a.txt'):
        open(tmp_path / 'missing')  # noqa: SIM115
    with pytest.raises(OSError, match='elsewhere') as caught, atomic_path(tmp_path / 'a.txt'):
        raise OSError('elsewhere')
    assert caught.value.errno is None
    with pytest.raises(InputError, match='Disk quota'), atomic_path(tmp_path / 'a.txt'):
        raise OSError(errno.EDQUOT, 'quota')
    assert names(tmp_path) == []
