"""A sound video, and everything that can be wrong with one."""

import numpy as np
from PIL import Image

from mmvos.io import encode_mask, palette
from mmvos.io.doctor import (
    check_dataset,
    find_layout,
)

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (5, 32, 40, 3), np.uint8)
LABELS = np.zeros((5, 32, 40), np.uint8)
for _index in range(5):
    LABELS[_index, 4:14, 4 + _index:16 + _index] = 1
    LABELS[_index, 18:30, 20:34 - _index] = 2
COLOURS = np.frombuffer(palette(), np.uint8).reshape(-1, 3)
# an edge of three grey levels around a square
SOFT = np.zeros((32, 40), np.uint8)
for _index, _level in enumerate((60, 120, 190, 255)):
    SOFT[5 + _index:25 - _index, 8 + _index:30 - _index] = _level


def make_video(folder, labels=LABELS, frames=FRAMES):
    """<folder>/frames/00000.png, ..., <folder>/masks/00000.png, ..."""
    for name in ('frames', 'masks'):
        (folder / name).mkdir(parents=True)
    for index, image in enumerate(frames):
        Image.fromarray(image).save(folder / 'frames' / f'{index:05d}.png')
    for index, ids in enumerate(labels):
        (folder / 'masks' / f'{index:05d}.png').write_bytes(encode_mask(ids))
    return folder


def check(root):
    """{kind: finding} of all videos; every kind once."""
    layout = find_layout(root)
    findings = layout.findings + [f for report in check_dataset(layout) for f in report.findings]
    kinds = {finding.kind: finding for finding in findings}
    assert len(kinds) == len(findings), [finding.line() for finding in findings]
    return kinds


def save(root, index, values, name=None, **options):
    path = root / 'bear/masks' / (name or f'{index:05d}.png')
    Image.fromarray(values).save(path, **options)
    return path


def save_all(root, make):
    for index, ids in enumerate(LABELS):
        save(root, index, make(ids))


def rgb(ids):
    return COLOURS[ids]


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


# --- defects: what is done, the kind of finding, its severity, the file, --fix, a word of it

def _cut_frame(root):
    cut(root / 'bear/frames/00002.png')


def _cut_mask(root):
    cut(root / 'bear/masks/00002.png')


def _text_mask(root):
    (root / 'bear/masks/00002.png').write_text('no image')


def _empty_frame_file(root):
    (root / 'bear/frames/00002.png').write_bytes(b'')


def _same_name(root):
    Image.fromarray(FRAMES[0]).save(root / 'bear/frames/00002.jpg')


def _same_mask_name(root):
    save(root, 2, LABELS[2], '00002.bmp')


def _frame_of_another_size(root):
    Image.fromarray(FRAMES[2, :, 1:]).save(root / 'bear/frames/00002.png')
    save(root, 2, LABELS[2, :, 1:])


def _duplicated(root):
    Image.fromarray(FRAMES[1]).save(root / 'bear/frames/00002.png', compress_level=0)


def _narrow(root):
    save(root, 2, LABELS[2, :, 1:])


def _tall(root):
    save(root, 2, np.pad(LABELS[2], ((0, 2), (0, 0))))


def _small(root):
    save(root, 2, LABELS[2, 3:])


def _without_frame(root):
    save(root, 9, LABELS[2])


def _mask_missing(root):
    (root / 'bear/masks/00002.png').unlink()


def _begins_late(root):
    for index in (0, 2, 4):
        (root / f'bear/masks/0000{index}.png').unlink()


def _empty_first(root):
    save(root, 0, LABELS[0] * 0)


def _gap(root):
    save_all(root, lambda ids: ids * np.uint8(3))


def _late_object(root):
    save(root, 0, LABELS[0] % 2)


def _void(root):
    save(root, 2, np.where(LABELS[2] == 2, 255, LABELS[2]).astype(np.uint8))


def _black_and_white(root):
    save_all(root, lambda ids: (ids > 0) * np.uint8(255))


def _one_black_and_white(root):
    save(root, 2, (LABELS[2] > 0) * np.uint8(255))


def _some_black_and_white(root):
    save_all(root, lambda ids: (ids > 0).astype(np.uint8))
    save(root, 2, (LABELS[2] > 0) * np.uint8(255))


def _rgb(root):
    save_all(root, rgb)


def _rgb_beside_ids(root):
    save(root, 2, rgb(LABELS[2]))


def _jpeg_ids(root):
    (root / 'bear/masks/00002.png').unlink()
    save(root, 2, LABELS[2] * np.uint8(90), '00002.jpg')


def _jpegs_of_one_object(root):
    for index, ids in enumerate(LABELS):
        (root / f'bear/masks/{index:05d}.png').unlink()
        save(root, index, (ids == 1) * np.uint8(255), f'{index:05d}.jpg', quality=90)


def _soft(root):
    save_all(root, lambda ids: SOFT)


def _soft_shades(root):
    save_all(root, lambda ids: np.concatenate([SOFT[:16], SOFT[16:] // 2]))


def _soft_beside_ids(root):
    save(root, 2, SOFT)


def _transparent(root):
    save_all(root, lambda ids: np.dstack([rgb(ids), (ids > 0) * np.uint8(255)]))


def _opaque(root):
    Image.fromarray(LABELS[2]).convert('LA').save(root / 'bear/masks/00002.png')


def _deep(root):
    save(root, 2, LABELS[2].astype(np.uint16))


def _large(root):
    save(root, 2, LABELS[2].astype(np.uint16) * 300)


def _no_frames(root):
    for path in (root / 'bear/frames').iterdir():
        path.unlink()


def _no_masks(root):
    for path in (root / 'bear/masks').iterdir():
        path.unlink()


DEFECTS = [
    (_cut_frame, 'unreadable-frame', 'error', 'frames/00002.png', False, 'cannot be read'),
    (_empty_frame_file, 'unreadable-frame', 'error', 'frames/00002.png', False, 'not an image'),
    (_cut_mask, 'unreadable-mask', 'error', 'masks/00002.png', False, 'export it again'),
    (_text_mask, 'unreadable-mask', 'error', 'masks/00002.png', False, 'not an image'),
    (_same_name, 'same-frame-name', 'error', 'frames/00002.png', False, '00002.jpg'),
    (_same_mask_name, 'same-mask-name', 'error', 'masks/00002.png', False, '00002.bmp'),
    (_frame_of_another_size, 'frame-size', 'error', 'frames/00002.png', False, '39x32'),
    (_duplicated, 'duplicated-frame', 'warning', 'frames/00002.png', False, '1 frame of 5'),
    (_narrow, 'mask-size', 'warning', 'masks/00002.png', True, 'is 39x32'),
    (_tall, 'mask-size', 'warning', 'masks/00002.png', True, 'is 40x34'),
    (_small, 'mask-size', 'error', 'masks/00002.png', False, 'its frame is 40x32'),
    (_without_frame, 'mask-without-frame', 'error', 'masks/00009.png', False, '00000 to 00004'),
    (_mask_missing, 'frame-without-mask', 'warning', 'frames/00002.png', False, '1 frame of 5'),
    (_begins_late, 'late-first-mask', 'warning', 'masks/00001.png', False, 'frame 00000'),
    (_empty_first, 'empty-first-mask', 'error', 'masks/00000.png', False, 'no object'),
    (_gap, 'id-gap', 'warning', 'masks/00000.png', False, '3, 6 and leave out 1, 2, 4, 5'),
    (_late_object, 'late-object', 'note', 'masks/00001.png', False, '2 in 00001.png'),
    (_void, 'void', 'warning', 'masks/00002.png', False, '255 beside ids'),
    (_black_and_white, 'black-and-white', 'note', 'masks/00000.png', True, 'ONE object'),
    (_one_black_and_white, 'mixed-masks', 'error', 'masks/00002.png', False, '4 with ids'),
    (_some_black_and_white, 'mixed-masks', 'error', 'masks/00002.png', True, '1 black and white'),
    (_rgb, 'colour-mask', 'error', 'masks/00000.png', True, 'DAVIS palette'),
    (_jpeg_ids, 'jpeg-mask', 'error', 'masks/00002.jpg', False, 'blurs labels'),
    (_jpegs_of_one_object, 'jpeg-mask', 'error', 'masks/00000.jpg', True, 'blurs labels'),
    (_soft, 'soft-mask', 'error', 'masks/00000.png', True, 'anti-aliased'),
    (_soft_shades, 'soft-mask', 'error', 'masks/00000.png', False, 'anti-aliased'),
    (_transparent, 'transparent-mask', 'error', 'masks/00000.png', False, 'without alpha'),
    (_opaque, 'alpha-mask', 'warning', 'masks/00002.png', True, 'alpha channel'),
    (_deep, 'deep-mask', 'warning', 'masks/00002.png', True, '8 bits'),
    (_large, 'large-ids', 'error', 'masks/00002.png', False, '300, 600'),
    (_no_frames, 'no-frames', 'error', 'frames', False, 'holds no frame'),
    (_no_masks, 'no-masks', 'error', 'masks', False, 'holds no mask'),
]
