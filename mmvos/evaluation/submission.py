"""The zip that YouTube-VOS's server takes, from a folder of results."""
from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mmvos.io import InputError, atomic_path
from mmvos.io.colours import present_values
from mmvos.io.images import open_image
from mmvos.io.youtube_vos import ObjectMeta, read_meta

_HOW = 'write the results again with tools/test.py --out'
Size = tuple[int, int]


def write_submission(results: Path, meta: Path, out: Path) -> int:
    """Write ``Annotations/<video>/<frame>.png`` for exactly the frames that meta.json lists.

    The PNGs are copied byte for byte, so the same results give the same zip. Other frames and
    videos of the folder are left out.

    Args:
        results: Folder of <video>/<frame>.png, palette (mode P) or grey (mode L) PNGs of ids.
        meta: meta.json of the split.
        out: The zip; it appears, or is replaced, only when complete.

    Returns:
        How many masks it holds.

    Raises:
        FileNotFoundError: There is no such folder or no such meta.json.
        InputError: A mask is missing, damaged, no map of ids, of another size than the first one
            of its video, or has ids that the video does not; or the zip cannot be written.
    """
    results, out = Path(results), Path(out)
    if out.suffix.lower() != '.zip':
        raise InputError(f'{out}: expected a name that ends in .zip; the server takes nothing else')
    videos = read_meta(meta)
    masks = _masks(results, videos, Path(meta))
    with atomic_path(out) as part, zipfile.ZipFile(part, 'w') as archive:
        for name, paths in masks.items():
            size = None
            for path in paths:
                data = path.read_bytes()
                size = _check(data, f'mask {path}', set(videos[name]), size)
                archive.writestr(_entry(name, path.name), data)
    return sum(map(len, masks.values()))


def _masks(results: Path, videos: dict[str, dict[int, ObjectMeta]],
           meta: Path) -> dict[str, list[Path]]:
    """The file of every listed frame, all of them there."""
    if not results.is_dir():
        raise FileNotFoundError(f'{results} is no folder; expected one of <video>/<frame>.png, '
                                'which tools/test.py --out writes')
    listed = {name: sorted({frame for entry in objects.values() for frame in entry.frames})
              for name, objects in sorted(videos.items())}
    masks = {name: [results / name / f'{frame}.png' for frame in frames]
             for name, frames in listed.items()}
    if not any(masks.values()):
        raise InputError(f'{meta} lists no frames; take the meta.json of valid or test')
    _refuse_missing(masks, results, meta)
    return masks


def _refuse_missing(masks: dict[str, list[Path]], results: Path, meta: Path) -> None:
    videos = [name for name, paths in masks.items() if paths and not (results / name).is_dir()]
    if videos:
        more = f' (and {len(videos) - 1} more)' if len(videos) > 1 else ''
        raise InputError(f'{results} has no folder {videos[0]}{more}, which {meta} lists; test all '
                         'videos of that split with tools/test.py --out')
    lost = [path for paths in masks.values() for path in paths if not path.is_file()]
    if lost:
        more = f' (and {len(lost) - 1} more)' if len(lost) > 1 else ''
        raise InputError(f'mask {lost[0]} does not exist{more}, but {meta} lists that frame; '
                         + _HOW)


def _check(data: bytes, where: str, objects: set[int], size: Size | None) -> Size:
    """Refuse what the server would misread; returns the (H, W) of the mask."""
    with open_image(data, where) as image:
        if image.format != 'PNG' or image.mode not in ('P', 'L'):
            raise InputError(f'{where} is a {image.format} image of mode {image.mode}; expected '
                             f'object ids in a palette PNG (mode P) or a grey one (L), {_HOW}')
        labels = np.array(image)
    if size and size != labels.shape:
        raise InputError(f'{where} is {labels.shape[1]}x{labels.shape[0]} (width x height) but the '
                         f'first one of its video is {size[1]}x{size[0]}; {_HOW}')
    _check_ids(set(present_values(labels).tolist()) - {0}, where, objects)
    return labels.shape


def _check_ids(ids: set[int], where: str, objects: set[int]) -> None:
    extra = sorted(ids - objects)
    if not extra:
        return
    expected = f'the ids of its video in meta.json are {_list(sorted(objects))}'
    if ids == {255}:
        raise InputError(f'{where} is black and white (0 and 255), but {expected}; save object ids')
    raise InputError(f'{where} has the ids {_list(extra)}, but {expected}; save 0 for what belongs '
                     'to no object')


def _list(ids: list[int]) -> str:
    return ', '.join(map(str, ids[:5])) + (', ...' if len(ids) > 5 else '')


def _entry(video: str, name: str) -> zipfile.ZipInfo:
    """Same time, rights and system whatever file the mask comes from."""
    entry = zipfile.ZipInfo(f'Annotations/{video}/{name}', (1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a file of Unix, rw-r--r--
    return entry
