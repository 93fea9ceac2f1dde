"""What --save-maps leaves on the disk, and what it never touches."""
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvos.apis import VOSInferencer
from mmvos.apis.map_writer import map_writer
from mmvos.datasets.synthetic import SyntheticVideo
from mmvos.io import InputError, VideoReader
from mmvos.models import MUNet
from mmvos.testing.construction_contracts import build
from mmvos.visualization import map_picture

SIZE = (41, 56)
MAPS = ('displacement', 'uncertainty')


@pytest.fixture
def video():
    return SyntheticVideo(1, 0, length=4, size=SIZE, num_objects=2)


@pytest.fixture(scope='module')
def inferencer():
    return VOSInferencer(build(MUNet, sign=1, temperature=0.1), device='cpu')


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def test_pictures_are_those_of_a_session(inferencer, video, tmp_path):
    result = inferencer(video, video.labels(0), tmp_path / 'out', save_maps=True, progress=False)
    plain = inferencer(video, video.labels(0), progress=False)
    assert plain.masks.pngs == result.masks.pngs, 'masks depend on saving maps'
    session = inferencer.session(keep_maps=True)
    for index, name in enumerate(video.frame_names):
        session.step(video.read(index), video.labels(0) if index == 0 else None)
        assert set(session.maps) == (set(MAPS) if index else set())
        for key, values in session.maps.items():
            assert values.shape == (*SIZE, 2 if key == 'displacement' else 1)
            with Image.open(tmp_path / 'out' / 'maps' / key / f'{name}.png') as picture:
                np.testing.assert_array_equal(np.array(picture), map_picture(values))


def test_films_keep_step_with_the_video(inferencer, video, tmp_path):
    inferencer(video, video.labels(0), tmp_path / 'out', save_maps=True, progress=False)
    maps = tmp_path / 'out' / 'maps'
    assert sorted(path.name for path in maps.iterdir()) == [
        'displacement', 'displacement.mp4', 'uncertainty', 'uncertainty.mp4']
    for key in MAPS:
        assert sorted(path.stem for path in (maps / key).iterdir()) == video.frame_names[1:]
        with VideoReader(maps / f'{key}.mp4') as film:
            assert (len(film), film.fps) == (4, pytest.approx(video.fps))
            first = film.read(0)[:41].astype(int)
        assert np.abs(first - video.read(0)).mean() < 12, 'the first frame is not as it is'


def test_results_without_maps_do_not_keep_those_of_another_video(inferencer, video, tmp_path):
    out = tmp_path / 'out'
    inferencer(video, video.labels(0), out, save_maps=True, progress=False)
    shorter = SyntheticVideo(1, 1, length=2, size=SIZE, num_objects=1)
    inferencer(shorter, shorter.labels(0), out, save_maps=True, progress=False)
    inferencer(shorter, shorter.labels(0), tmp_path / 'fresh', save_maps=True, progress=False)
    assert snapshot(out) == snapshot(tmp_path / 'fresh')
    inferencer(shorter, shorter.labels(0), out, progress=False)
    assert sorted(path.name for path in out.iterdir()) == [
        'contact_sheet.png', 'masks', 'overlay.mp4']


@pytest.mark.parametrize('name', ['street.png', 'notes.txt', 'street/a.png', 'uncertainty/a.txt',
                                  'film.mp4', 'berlin/a.png'])
def test_a_folder_of_the_user_is_left_alone(inferencer, video, tmp_path, name):
    path = tmp_path / 'maps' / name
    path.parent.mkdir(parents=True)
    path.write_text('mine')
    for looks_alike in ('uncertainty', 'berlin'):
        if name.startswith(looks_alike):
            (tmp_path / 'maps' / f'{looks_alike}.mp4').write_text('mine')
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match='no result of mmvos'):
        inferencer(video, video.labels(0), tmp_path, save_maps=True, progress=False)
    assert snapshot(tmp_path) == before
    inferencer(video, video.labels(0), tmp_path, progress=False)
    assert snapshot(tmp_path).items() >= before.items()


def test_a_link_to_nothing_named_maps(inferencer, video, tmp_path):
    (tmp_path / 'maps').symlink_to(tmp_path / 'gone')
    with pytest.raises(InputError, match='maps is no result of mmvos'):
        inferencer(video, video.labels(0), tmp_path, save_maps=True, progress=False)
    inferencer(video, video.labels(0), tmp_path, progress=False)
    assert (tmp_path / 'maps').is_symlink()


def test_a_file_named_maps(inferencer, video, tmp_path):
    (tmp_path / 'maps').write_text('mine')
    with pytest.raises(InputError, match='no result of mmvos'):
        inferencer(video, video.labels(0), tmp_path, save_maps=True, progress=False)
    inferencer(video, video.labels(0), tmp_path, progress=False)
    assert (tmp_path / 'maps').read_text() == 'mine'


@pytest.mark.parametrize('save_maps', [True, False])
@pytest.mark.parametrize('name', ['masks', 'contact_sheet.png', 'maps'])
def test_half_published_maps_are_taken_back(inferencer, video, tmp_path, monkeypatch, name,
                                            save_maps):
    out = tmp_path / 'out'
    inferencer(video, video.labels(0), out, save_maps=True, progress=False)
    before = snapshot(tmp_path)
    rename = Path.rename

    def fail(self, target):
        if self == out / name or ('.unfinished' in str(self) and target == out / name):
            raise OSError(28, 'No space left on device')
        return rename(self, target)
    monkeypatch.setattr(Path, 'rename', fail)
    with pytest.raises(InputError, match='No space left'):
        inferencer(video, video.labels(1), out, save_maps=save_maps, progress=False)
    monkeypatch.undo()
    assert snapshot(tmp_path) == before
    assert not list(out.glob('.*'))


def test_a_model_without_maps_is_refused_before_anything(video, tmp_path):
    copier = VOSInferencer('first_mask')
    text = r'^FlowPropagation has no maps to save; .* MUNet \(configs/munet\)$'
    with pytest.raises(ValueError, match=text):
        copier('nothing.mp4', 'nothing.png', tmp_path / 'out', save_maps=True)
    with pytest.raises(ValueError, match=text):
        copier.session(keep_maps=True)
    assert not list(tmp_path.iterdir())
    assert list(Path('configs/munet').glob('*.py'))


def test_maps_need_a_folder(inferencer, video):
    with pytest.raises(ValueError, match='give out_dir'):
        inferencer(video, video.labels(0), save_maps=True, progress=False)


def test_no_names_no_folder(tmp_path):
    with map_writer(tmp_path / 'maps', (), 24., SIZE) as writer:
        writer.write('00000', np.zeros((*SIZE, 3), np.uint8), {})
    assert not list(tmp_path.iterdir())
