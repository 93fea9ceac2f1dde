"""Oracles: closed forms (a copied mask), sessions driven by hand, `predict`, what was written."""
import copy
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from PIL import Image

from mmvos.apis import VOSInferencer, load_config, resolve_model, setup
from mmvos.datasets.synthetic import SyntheticMasks, SyntheticVideo
from mmvos.io import InputError, VideoReader, VideoWriter, encode_mask, read_mask
from mmvos.registry import MODELS
from mmvos.structures import FrameFolder, MaskFiles, VOSDataSample, open_video

SIZE = (41, 56)
MAMP = dict(
    type='MAMP', backbone=dict(type='VOSResNet18'),
    matching_head=dict(type='LocalMatching', radius=3, topk=9),
    memory=dict(type='FrameBank', anchors=(0, 5), recent=3, gap=2),
    motion_estimator=dict(type='ZeroFlow'), geometry=dict(divisor=8, value=.467))


@pytest.fixture
def video():
    return SyntheticVideo(1, 0, length=5, size=SIZE, num_objects=2)


@pytest.fixture
def copier():
    return VOSInferencer('first_mask')


@pytest.fixture
def weights(tmp_path):
    setup()
    torch.manual_seed(0)
    torch.save(MODELS.build(MAMP).state_dict(), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth'


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def as_folder(video, folder):
    folder.mkdir()
    for index, name in enumerate(video.frame_names):
        Image.fromarray(video.read(index)).save(folder / f'{name}.jpg')
    return folder


def test_the_first_mask_is_copied(copier, video):
    result = copier(video, video.labels(0), progress=False)
    assert result.video_name == video.name
    assert result.frame_names == video.frame_names
    assert len(result.masks) == len(video)
    for labels in result.masks:
        np.testing.assert_array_equal(labels, video.labels(0))


def test_session_gives_what_a_video_gives(video, weights):
    inferencer = VOSInferencer(MAMP, checkpoint=weights, device='cpu')
    result = inferencer(video, SyntheticMasks(video, first=True), progress=False)
    session = inferencer.session()
    for index, labels in enumerate(result.masks):
        given = video.labels(0) if index == 0 else None
        np.testing.assert_array_equal(session.step(video.read(index), given), labels)


def test_native_size_gives_what_predict_gives(video, weights):
    inferencer = VOSInferencer(MAMP, checkpoint=weights, device='cpu')
    result = inferencer(video, video.labels(0), progress=False)
    sample = VOSDataSample(metainfo=dict(video_name=video.name, frame_names=video.frame_names,
                                         given=SyntheticMasks(video, first=True), truth=None))
    inferencer.model.predict([video], [sample])
    assert result.masks.pngs == sample.pred_masks


def test_works_at_its_size_and_returns_native_maps(video):
    seen = []
    inferencer = VOSInferencer('first_mask', size=20)
    segment = inferencer.model.segment

    def spy(frame, state):
        seen.append(tuple(frame.image.shape))
        return segment(frame, state)
    inferencer.model.segment = spy
    result = inferencer(video, video.labels(0), progress=False)
    assert set(seen) == {(1, 3, 20, 27)}  # 56 * 20 / 41 = 27.3
    assert all(labels.shape == SIZE for labels in result.masks)
    np.testing.assert_array_equal(result.masks[0], video.labels(0))


def test_a_copy_of_a_bf16_model_is_its_own(video, weights):
    model = VOSInferencer(MAMP, checkpoint=weights, device='cpu', dtype='bf16').model
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(torch.nan)
    session = twin.session()
    session.step(video.read(0), video.labels(0))
    assert twin.backbone(torch.zeros(1, 3, 16, 16))[-1].isnan().all()
    found = []
    twin.backbone.register_forward_hook(lambda module, args, out: found.append(out[-1]))
    with pytest.raises(ValueError, match='predicts NaN on frame 1'):
        session.step(video.read(1))
    assert [(x.dtype, bool(x.isnan().all())) for x in found] == [(torch.bfloat16, True)]
    with pytest.raises(ValueError, match="was turned to 'bf16'"):
        VOSInferencer(model, device='cpu')


def test_bf16_runs_each_step_under_autocast(video, weights):
    inferencer = VOSInferencer(MAMP, checkpoint=weights, device='cpu', dtype='bf16')
    dtypes = []
    inferencer.model.backbone.register_forward_hook(
        lambda module, args, out: dtypes.append(out[-1].dtype))
    result = inferencer(video, video.labels(0), progress=False)
    assert dtypes == [torch.bfloat16] * len(video)
    plain = VOSInferencer(MAMP, checkpoint=weights, device='cpu')
    fuse_conv_bn(plain.model.backbone)
    plain = plain.session()
    with torch.autocast('cpu', torch.bfloat16):
        for index, labels in enumerate(result.masks):
            given = video.labels(0) if index == 0 else None
            np.testing.assert_array_equal(plain.step(video.read(index), given), labels)


def test_every_form_of_a_model(weights, tmp_path):
    cfg = load_config(str(resolve_model('first_mask').config))
    config = tmp_path / 'mine.py'
    config.write_text(f'model = {MAMP!r}\n')
    built = VOSInferencer(MAMP, checkpoint=weights).model
    for model in (MAMP, dict(model=MAMP), config, str(config)):
        other = VOSInferencer(model, checkpoint=weights).model
        assert torch.equal(other.backbone.conv1.weight, built.backbone.conv1.weight)
    assert MAMP['type'] == 'MAMP'  # passed dicts stay whole
    assert VOSInferencer(built).model is built
    for model in (cfg, cfg.model, 'first_mask'):
        assert type(VOSInferencer(model).model).__name__ == 'FlowPropagation'


@pytest.mark.parametrize(('change', 'text'), [
    (dict(dtype='fp16'), "one of .'fp32', 'bf16'"), (dict(size=0), 'should be 1 or more'),
    (dict(device='gpu'), "got 'gpu'"), (dict(device='cuda:99'), 'is not there'),
    (dict(checkpoint=None), 'needs weights'), (dict(checkpoint='nope'), 'no model')])
def test_wrong_arguments(weights, change, text):
    with pytest.raises(ValueError, match=text):
        VOSInferencer(MAMP, **{'checkpoint': weights, **change})


def test_needs_a_mask(copier, video):
    with pytest.raises(ValueError, match='needs the mask of the first frame'):
        copier(video)


def test_empty_first_mask(copier, video):
    with pytest.warns(UserWarning, match='no object'):
        result = copier(video, np.zeros(SIZE, np.uint8), progress=False)
    assert not any(labels.any() for labels in result.masks)


def test_late_object_after_an_empty_mask(copier, video):
    masks = {0: np.zeros(SIZE, np.uint8), 2: np.where(video.labels(2) == 1, 7, 0)}
    with pytest.warns(UserWarning, match='no object'):
        result = copier(video, masks, progress=False)
    assert [sorted(np.unique(labels)) for labels in result.masks] == [[0], [0], *[[0, 7]] * 3]


def test_files(copier, video, tmp_path):
    with VideoWriter(tmp_path / 'in.mp4', 24, SIZE) as writer:
        for index in range(len(video)):
            writer.write(video.read(index))
    (tmp_path / 'first.png').write_bytes(
        encode_mask(np.pad(video.labels(0), ((0, 1), (0, 0)), 'edge')))
    out = tmp_path / 'new' / 'out'
    result = copier(tmp_path / 'in.mp4', tmp_path / 'first.png', out, progress=False)
    assert sorted(path.name for path in out.iterdir()) == [
        'contact_sheet.png', 'masks', 'overlay.mp4']
    names = [f'{index:05d}' for index in range(5)]
    assert result.frame_names == names
    assert sorted(path.stem for path in (out / 'masks').iterdir()) == names
    for name, labels in zip(names, result.masks, strict=True):
        np.testing.assert_array_equal(read_mask(out / 'masks' / f'{name}.png'), labels)
    with av.open(str(out / 'overlay.mp4')) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ('h264', 'yuv420p')
        assert len(list(film.decode(stream))) == 5
    with Image.open(out / 'contact_sheet.png') as sheet:
        assert sheet.width == 1280


def test_results_replace_those_of_a_longer_video(copier, video, tmp_path):
    copier(video, video.labels(0), tmp_path / 'out', progress=False)
    shorter = SyntheticVideo(1, 1, length=3, size=SIZE, num_objects=1)
    copier(shorter, shorter.labels(0), tmp_path / 'out', progress=False)
    copier(shorter, shorter.labels(0), tmp_path / 'fresh', progress=False)
    assert snapshot(tmp_path / 'out') == snapshot(tmp_path / 'fresh')


def test_a_damaged_frame_keeps_earlier_results(copier, video, tmp_path):
    frames = as_folder(video, tmp_path / 'frames')
    copier(frames, video.labels(0), tmp_path / 'out', progress=False)
    before = snapshot(tmp_path)
    damaged = frames / '00003.jpg'
    damaged.write_bytes(damaged.read_bytes()[:-200])
    before['frames/00003.jpg'] = damaged.read_bytes()
    for out in ('out', 'fresh'):
        with pytest.raises(InputError, match=r'00003\.jpg'):
            copier(frames, video.labels(1), tmp_path / out, progress=False)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / 'fresh').exists()
    assert not list((tmp_path / 'out').glob('.*'))


@pytest.mark.parametrize('name', ['encode', 'sheet'])
def test_a_full_disk_keeps_earlier_results(copier, video, tmp_path, monkeypatch, name):
    copier(video, video.labels(0), tmp_path / 'out', progress=False)
    before = snapshot(tmp_path)

    def full(*args):
        raise OSError(28, 'No space left on device')
    target = 'mmvos.io.video.VideoWriter.write' if name == 'encode' else 'pathlib.Path.write_bytes'
    monkeypatch.setattr(target, full)
    with pytest.raises(InputError, match=r'cannot write .*out/.*: No space left .*free some space'):
        copier(video, video.labels(1), tmp_path / 'out', progress=False)
    monkeypatch.undo()
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize('name', ['masks', 'overlay.mp4', 'contact_sheet.png'])
@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), KeyboardInterrupt()])
def test_half_published_results_are_taken_back(copier, video, tmp_path, monkeypatch, name, error):
    copier(video, video.labels(0), tmp_path / 'out', progress=False)
    before = snapshot(tmp_path)
    real = Path.replace  # on the systems we know, the same as rename

    def move(self, target):
        if '.unfinished' in str(self) and Path(target) in places:
            raise error
        return real(self, target)
    monkeypatch.setattr(Path, 'rename', move)
    monkeypatch.setattr(Path, 'replace', move)
    for out in ('out', 'fresh'):
        places = [tmp_path / out / name]
        with pytest.raises((InputError, KeyboardInterrupt)):
            copier(video, video.labels(1), tmp_path / out, progress=False)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / 'fresh').exists()
    assert not list((tmp_path / 'out').glob('.*'))


@pytest.mark.parametrize(('fps', 'written'), [
    (90000., 24), (0., 24), (-5., 24), (float('nan'), 24), (1e-9, 24), (1000., 1000), (.5, .5)])
def test_any_frame_rate(copier, video, tmp_path, fps, written):
    video.fps = fps
    copier(video, video.labels(0), tmp_path, progress=False)
    with VideoReader(tmp_path / 'overlay.mp4') as film:
        assert (len(film), film.fps) == (5, pytest.approx(written))


def test_output_that_cannot_be(copier, video, tmp_path):
    (tmp_path / 'file').write_text('mine')
    for out in (tmp_path / 'file', tmp_path / 'file' / 'deeper', '/dev/full'):
        with pytest.raises(InputError, match='cannot write .* choose another output folder'):
            copier(video, video.labels(0), out, progress=False)
    assert (tmp_path / 'file').read_text() == 'mine'


@pytest.mark.parametrize('name', ['masks/notes.txt', 'overlay.mp4/x', 'contact_sheet.png/x'])
def test_only_results_are_replaced(copier, video, tmp_path, name):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text('mine')
    with pytest.raises(InputError, match='no result of mmvos'):
        copier(video, video.labels(0), tmp_path, progress=False)
    assert snapshot(tmp_path) == {name: b'mine'}


def test_inputs_are_not_replaced(copier, video, tmp_path):
    frames = as_folder(video, tmp_path / 'frames')
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'masks' / '00000.png').write_bytes(encode_mask(video.labels(0)))
    before = snapshot(tmp_path)
    for masks in (tmp_path / 'masks', tmp_path / 'masks' / '00000.png',
                  MaskFiles({0: tmp_path / 'masks' / '00000.png'}, video.size)):
        with pytest.raises(InputError, match='choose another output folder'):
            copier(frames, masks, tmp_path, progress=False)
    with pytest.raises(InputError, match='mix'):
        copier(frames, tmp_path / 'masks', frames, progress=False)
    assert snapshot(tmp_path) == before
    copier(frames, video.labels(0), tmp_path / 'out', progress=False)
    before = snapshot(tmp_path)
    for again in (open_video(tmp_path / 'out/overlay.mp4'), open_video(tmp_path / 'out/masks')):
        with pytest.raises(InputError, match='choose another output folder'):
            copier(again, video.labels(0), tmp_path / 'out', progress=False)
    assert snapshot(tmp_path) == before


def test_progress_counts_frames(copier, video, capsys):
    copier(video, video.labels(0))
    shown = capsys.readouterr().out
    assert '5/5 frames' in shown
    assert 's/frame' in shown
    assert 'ETA' in shown
    copier(video, video.labels(0), progress=False)
    assert capsys.readouterr().out.strip() == ''


def test_frames_are_not_kept(copier):
    """A long video is read frame by frame: at most the few read ahead are alive."""
    alive = []

    class Counted(FrameFolder):
        def __init__(self):
            self.name, self.fps = 'long', 24.
            self.frame_names = [f'{index:05d}' for index in range(40)]

        @property
        def size(self):
            return 16, 16

        def read(self, index):
            image = np.zeros((16, 16, 3), np.uint8)
            alive.append(weakref.ref(image))
            most.append(sum(ref() is not None for ref in alive))
            return image
    import weakref
    most = []
    mask = np.ones((16, 16), np.uint8)
    copier(Counted(), mask, progress=False)
    assert len(alive) == 40
    assert max(most) <= 8
