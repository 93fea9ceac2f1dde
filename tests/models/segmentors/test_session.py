"""Sessions: given masks, late objects, ids and sizes."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmvos.io import InputError
from mmvos.models import STM, FlowPropagation
from mmvos.models.segmentors import merge_given
from mmvos.testing.construction_contracts import build


def copier(**memory):
    bank = dict(memory=dict(type='FrameBank', **memory)) if memory else {}
    return FlowPropagation(**FlowPropagation.example | bank).eval()


def one_hot(labels, channels):
    return torch.nn.functional.one_hot(torch.tensor(labels), channels).movedim(-1, 0)[None].float()


IMAGE = np.zeros((2, 3, 3), np.uint8)


def test_annotation_wins_over_prediction():
    probs = one_hot([[1, 1, 0], [0, 1, 0]], 2)
    masks = one_hot([[0, 2, 2], [0, 0, 0]], 3)[:, 1:]
    merged = merge_given(probs, masks, torch.tensor([[False, True]]))
    assert merged.argmax(1)[0].tolist() == [[1, 2, 2], [0, 1, 0]]
    assert torch.equal(merged.sum(1), torch.ones(1, 2, 3))


def test_correction_clears_the_old_mask():
    probs = one_hot([[1, 1, 0], [0, 2, 0]], 3)
    masks = torch.zeros(1, 2, 2, 3)
    masks[0, 0, 1, 2] = 1
    merged = merge_given(probs, masks, torch.tensor([[True, False]]))
    assert merged.argmax(1)[0].tolist() == [[0, 0, 0], [0, 2, 1]]


def test_late_object_enters_the_memory_with_the_others():
    session = copier().session()
    assert session.step(IMAGE, np.array([[1, 1, 0], [0, 1, 0]], np.uint8)).tolist() == [
        [1, 1, 0], [0, 1, 0]]
    merged = [[1, 2, 2], [0, 1, 0]]
    assert session.step(IMAGE, np.array([[0, 2, 2], [0, 0, 0]], np.uint8)).tolist() == merged
    assert session.step(IMAGE).tolist() == merged  # copied from frame 1, which knows both


def test_ids_survive():
    session = copier().session()
    mask = np.array([[7, 7, 0], [0, 200, 255]], np.uint8)
    session.step(IMAGE, mask)
    assert session.ids == [7, 200, 255]
    assert session.step(IMAGE).tolist() == mask.tolist()


def test_frames_before_the_first_object_are_background():
    session = copier().session()
    assert (session.step(IMAGE) == 0).all()
    assert not session.state.banks['frames'].items
    session.step(IMAGE, {5: np.ones((2, 3), bool)})
    assert session.state.banks['frames'].start == 1
    assert (session.step(IMAGE) == 5).all()


def test_empty_mask_says_absent():
    session = copier().session()
    session.step(IMAGE, np.array([[1, 2, 0], [0, 2, 0]], np.uint8))
    out = session.step(IMAGE, {2: np.zeros((2, 3), bool)})
    assert out.tolist() == [[1, 0, 0], [0, 0, 0]]


def test_given_masks_come_back_unchanged_at_native_size():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (31, 50)).astype(np.uint8)
    session = copier().session(size=16)
    out = session.step(np.zeros((31, 50, 3), np.uint8), mask)
    assert np.array_equal(out, mask)
    later = session.step(np.zeros((31, 50, 3), np.uint8))
    assert later.shape == (31, 50)
    assert session.state.banks['frames'].read('mask', 2).shape[-2:] == (16, 26)


@pytest.mark.parametrize(('size', 'short_side', 'expected'), [
    (None, None, (31, 50)), (16, None, (16, 26)), (None, 16, (16, 26)), (20, 16, (16, 26)),
    (16, 20, (16, 26)), (None, 40, (31, 50))])
def test_the_model_works_at_the_smaller_of_both_sizes(size, short_side, expected):
    example = FlowPropagation.example
    model = FlowPropagation(**example | dict(geometry=dict(short_side=short_side))).eval()
    session = model.session(size=size)
    assert session.step(np.zeros((31, 50, 3), np.uint8), np.eye(31, 50, dtype=np.uint8)
                        ).shape == (31, 50)
    assert session.state.banks['frames'].read('mask', 1).shape[-2:] == expected


def test_dropped_object_is_gone():
    session = copier().session()
    session.step(IMAGE, np.array([[1, 2, 0], [0, 2, 3]], np.uint8))
    session.state.drop([1])
    session.ids.remove(2)
    assert session.step(IMAGE).tolist() == [[1, 0, 0], [0, 0, 3]]


@pytest.mark.parametrize(('image', 'masks', 'message'), [
    (np.zeros((2, 3)), None, 'image should be'),
    (np.zeros((2, 3, 3)), None, 'uint8'),
    (IMAGE, np.zeros((3, 3), np.uint8) + 1, 'size of its frame'),
    (IMAGE, np.full((2, 3), 256), 'renumber'),
    (IMAGE, {0: np.zeros((2, 3), bool)}, '1-255')])
def test_bad_input(image, masks, message):
    with pytest.raises(ValueError, match=message):
        copier().session().step(image, masks)


def test_frames_of_another_size():
    session = copier().session()
    session.step(IMAGE)
    with pytest.raises(ValueError, match='new session'):
        session.step(np.zeros((4, 4, 3), np.uint8))


def test_where_masks_overlap_the_first_wins_now_and_later():
    both = np.ones((2, 3), bool)
    session = copier().session()
    assert (session.step(IMAGE, {4: both, 2: both}) == 4).all()
    assert (session.step(IMAGE) == 4).all()


def test_white_mask_is_one_object():
    session = copier().session()
    out = session.step(IMAGE, np.array([[255, 0, 0], [255, 255, 0]], np.uint8))
    assert session.ids == [1]
    assert out.max() == 1


def one_object(shift=0):
    mask = np.zeros((24, 32), np.uint8)
    mask[4:12, 4 + shift:14 + shift] = 7
    return mask


def test_a_saved_session_goes_on_in_a_new_process(tmp_path):
    video = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), np.uint8)
    session = copier(anchors=(0,)).session()
    session.step(video[0], one_object())
    session.step(video[1])
    session.save(tmp_path / 'session.safetensors')
    expected = [session.step(image) for image in video[2:]]
    np.save(tmp_path / 'video.npy', video)
    code = (f'import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n'
            'import numpy as np\nfrom test_session import copier\n'
            'session = copier(anchors=(0,)).session()\nsession.load("session.safetensors")\n'
            'found = [session.step(image) for image in np.load("video.npy")[2:]]\n'
            'np.save("found.npy", found)')
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / 'found.npy'), expected)


def test_saved_before_the_first_frame(tmp_path):
    copier().session().save(tmp_path / 'session.safetensors')
    session = copier().session()
    session.load(tmp_path / 'session.safetensors')
    assert session.step(np.zeros((24, 32, 3), np.uint8), one_object()).max() == 7


def test_files_that_are_no_session_of_this_method(tmp_path):
    session = copier().session()
    with pytest.raises(FileNotFoundError, match='none does not exist'):
        session.load(tmp_path / 'none')
    for data in (b'', b'text', b'\x80\x04N.'):  # the last is a pickle
        (tmp_path / 'file').write_bytes(data)
        with pytest.raises(InputError, match=r'file is no saved session \(.*VOSSession.save wrote'):
            session.load(tmp_path / 'file')
    model = json.dumps(session._model())
    for facts in ('[]', '{}', f'{{"model": {model}}}', f'{{"model": {model}, "state": {{"frames": '
                  '{"start": 0, "items": [[0, true]]}}, "ids": [1], "index": 1, "native": [2, 3], '
                  '"size": null}'):  # the last has an id without an object
        save_file({'banks/frames/0/__class__/x': torch.zeros(1)} if facts == '{}' else {},
                  tmp_path / 'file', dict(mmvos=facts))
        with pytest.raises(InputError, match='is no saved session'):
            session.load(tmp_path / 'file')
    assert session.step(IMAGE, one_object()[:2, :3] + 1).max() == 1  # as it was
    save_file({'a': torch.zeros(1)}, tmp_path / 'file')
    with pytest.raises(InputError, match='is no saved session'):
        session.load(tmp_path / 'file')
    build(STM).session().save(tmp_path / 'stm')
    other = build(STM)
    with torch.no_grad():
        next(other.query_encoder.parameters()).mul_(1.001)
    with pytest.raises(InputError, match="another model, .*'weights'"):
        other.session().load(tmp_path / 'stm')
    with pytest.raises(InputError, match="another model, .*'STM'.*, not .*'FlowPropag"):
        session.load(tmp_path / 'stm')


def test_wrong_things_at_the_door():
    session = copier().session()
    for image, masks, told in (
            ([[0]], None, r'an \(H,W,3\) array, got list; give numpy.asarray'),
            (IMAGE, torch.ones(2, 3), 'masks should be .*, got Tensor; give numpy'),
            (IMAGE, {1.5: np.ones((2, 3), bool)}, 'ids should lie in 1-255, got 1.5')):
        with pytest.raises(ValueError, match=told):
            session.step(image, masks)
    assert (session.native, session.ids) == (None, [])  # it may begin with another size
    with pytest.raises(ValueError, match='FlowPropagation is in training mode.* eval'):
        copier().train().session()
    with pytest.raises(ValueError, match='size of 1 or more, got 0'):
        copier().session(size=0)


def test_weights_that_are_not_finite():
    model = build(STM)
    with torch.no_grad():
        next(model.decoder.parameters())[0] = torch.nan
    session, image = model.session(), np.zeros((16, 32, 3), np.uint8)
    session.step(image, np.ones((16, 32), np.uint8))
    with pytest.raises(ValueError, match='STM predicts NaN on frame 1; its weights are not finite'):
        session.step(image)


def test_a_mask_too_small_for_the_working_size():
    session, masks = copier().session(size=8), np.zeros((64, 64), np.uint8)
    masks[:16, :16], masks[33, 33] = 1, 2
    with pytest.warns(UserWarning, match='object 2 on frame 0 has no pixel left .* of 8x8'):
        session.step(np.zeros((64, 64, 3), np.uint8), masks)


def test_removed_objects():
    session = copier().session()
    mask = np.array([[7, 7, 0], [0, 200, 255]], np.uint8)
    session.step(IMAGE, mask)
    with pytest.raises(ValueError, match=r'no object 8 to remove; there are \[7, 200, 255\]'):
        session.remove([7, 8])
    session.remove([200])
    assert session.ids == [7, 255]
    assert session.step(IMAGE).tolist() == [[7, 7, 0], [0, 0, 255]]
    session.remove([7, 255])
    assert not session.step(IMAGE).any()
    assert session.step(IMAGE, mask).tolist() == mask.tolist()  # given again
    assert session.step(IMAGE).tolist() == mask.tolist()


class Swapped(torch.nn.Module):
    """What was background is the object."""

    def forward(self, image, probs):
        assert probs.shape == (2, *image.shape[:2])
        return probs[::-1].copy()


def test_postprocessing_changes_what_is_shown_and_not_what_is_remembered():
    shown, plain = copier(), copier()
    shown.postprocessor = Swapped()
    mask = np.array([[1, 1, 0], [0, 1, 0]], np.uint8)
    found = [[model.step(IMAGE, given) for given in (mask, None, None)]
             for model in (shown.session(), plain.session())]
    for swapped, labels in zip(found[0][1:], found[1][1:], strict=True):
        assert np.array_equal(labels, mask)
        assert np.array_equal(swapped, 1 - mask)
    assert np.array_equal(found[0][0], mask), 'a given mask comes back'
