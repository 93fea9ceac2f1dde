"""The masks a user gives for a video, in any of the forms a user has them in."""
from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..io import InputError, encode_mask, fit_mask, image_files, parse_palette
from ..structures import MaskArrays, MaskFiles, MaskSource, VideoSource

GivenMasks = str | Path | np.ndarray | Mapping[int, np.ndarray] | MaskSource
Palette = str | Mapping[tuple[int, int, int], int]


def read_given(masks: GivenMasks, video: VideoSource,
               palette: Palette | None = None) -> dict[int, bytes]:
    """All given masks, read and checked before the first frame is segmented.

    Args:
        masks: The PNG or the (H,W) id map of the first frame, a folder of PNGs named like their
            frames, {frame index: (H,W) id map}, or a mask source.
        video: Their video.
        palette: Ids of the colours of masks that are colour images, as {(r, g, b): id} or as
            '#ff0000=1,#00ff00=2'.

    Returns:
        {frame index: palette PNG}, in order.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: A mask cannot be used.
        ValueError: A mask is for a frame that the video does not have.
    """
    if isinstance(palette, str):
        palette = parse_palette(palette)
    source = _source(masks, video, None if palette is None else dict(palette))
    given = {}
    for index in source.indices:
        if not 0 <= index < len(video):
            raise ValueError(f'a mask is given for frame {index}, but video {video.name} has '
                             f'frames 0 to {len(video) - 1}')
        labels = fit_mask(source.read(index), video.size, f'mask of frame {index}')
        if not given and not labels.any():
            warnings.warn(f'the first mask (frame {index}) has no object: all is background until '
                          'a mask brings one', stacklevel=3)
        given[index] = encode_mask(labels)
    if not given:
        raise ValueError('no mask is given; give the mask of the first frame')
    return given


def _source(masks: GivenMasks, video: VideoSource, palette: dict | None) -> MaskSource:
    if isinstance(masks, MaskSource):
        return masks
    if isinstance(masks, str | Path):
        path = Path(masks).expanduser()
        files = _files(path, video) if path.is_dir() else {0: path}
        return MaskFiles(files, video.size, palette=palette)
    return MaskArrays(masks if isinstance(masks, Mapping) else {0: masks})


def _files(folder: Path, video: VideoSource) -> dict[int, Path]:
    """The PNGs of a folder by the index of the frame whose name they have."""
    files = image_files(folder, ['.png'])
    if not files:
        raise InputError(f'folder {folder} holds no mask; expected PNGs named like their frames')
    names = {name: index for index, name in enumerate(video.frame_names)}
    for path in files:
        if path.stem not in names:
            raise InputError(f'mask {path} has the name of no frame; give it the name of its '
                             f'frame, those of {video.name} go from {video.frame_names[0]} to '
                             f'{video.frame_names[-1]}')
    return {names[path.stem]: path for path in files}
