"""The files that a segmented video leaves."""
from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..io import InputError, VideoWriter, atomic_write, make_dir, write_error
from ..structures import FrameFolder, MaskFiles, VideoFile, VideoSource
from ..visualization import contact_sheet, evenly_spaced, overlay
from .map_writer import MapWriter, foreign_to_maps, map_writer

MASKS, OVERLAY, SHEET, MAPS = 'masks', 'overlay.mp4', 'contact_sheet.png', 'maps'
_SHEET_FRAMES = 8
_FPS = 24.  # of the overlay when the video states a rate that no video has
_THUMBNAIL = 640  # px, width at which frames wait for the contact sheet


class ResultWriter:
    """Masks, overlay and contact sheet of one video; use it through `result_writer`.

    Args:
        mask_dir: Folder of the masks.
        film: The overlay.
        maps: Writer of the maps.
        video: The video.
    """

    def __init__(self, mask_dir: Path, film: VideoWriter, maps: MapWriter,
                 video: VideoSource) -> None:
        self.mask_dir = mask_dir
        self.film = film
        self.maps = maps
        self.frame_names = video.frame_names
        self._shown = set(evenly_spaced(len(video), _SHEET_FRAMES))
        self._thumbnails: dict[int, np.ndarray] = {}

    def write(self, index: int, image: np.ndarray, labels: np.ndarray, png: bytes,
              maps: Mapping[str, np.ndarray]) -> None:
        """Add the next frame: (H,W,3) RGB uint8, its (H,W) ids, these as a PNG, and its maps."""
        atomic_write(self.mask_dir / f'{self.frame_names[index]}.png', png)
        drawn = overlay(image, labels)
        self.film.write(drawn)
        self.maps.write(self.frame_names[index], image, maps)
        if index in self._shown:
            self._thumbnails[index] = _shrunk(drawn)

    def sheet(self) -> bytes:
        """The contact sheet of the frames written, as a PNG."""
        captions = [f'frame {self.frame_names[index]}' for index in self._thumbnails]
        page = contact_sheet(list(self._thumbnails.values()), captions=captions)
        buffer = io.BytesIO()
        Image.fromarray(page).save(buffer, 'PNG')
        return buffer.getvalue()


@contextmanager
def result_writer(out_dir: str | Path, video: VideoSource, map_names: Sequence[str] = ()
                  ) -> Iterator[ResultWriter]:
    """Write OUT/masks/<frame>.png, OUT/overlay.mp4, OUT/contact_sheet.png and, if any, OUT/maps.

    They appear together when the block succeeds, in the place of an earlier video's results; a
    block that fails changes nothing. Maps of an earlier video go even where there are no new ones.

    Raises:
        InputError: Something cannot be written there.
    """
    out_dir = Path(out_dir).expanduser()
    _check_targets(out_dir, with_maps=bool(map_names))
    with _staged(out_dir) as staging:
        fps = _playable(video.fps)
        with ExitStack() as stack:
            film = stack.enter_context(VideoWriter(staging / OVERLAY, fps, video.size))
            maps = stack.enter_context(map_writer(staging / MAPS, map_names, fps, video.size))
            writer = ResultWriter(staging / MASKS, film, maps, video)
            yield writer
        atomic_write(staging / SHEET, writer.sheet())


def check_inputs_kept(out_dir: str | Path, *inputs: object) -> None:
    """Refuse to replace what is read, or to mix results with frames.

    Raises:
        InputError: An input path is `out_dir`, or is or lies in what `result_writer` replaces.
    """
    out_dir = Path(out_dir).expanduser().resolve()
    for given in (path for one in inputs for path in _files_of(one)):
        path = Path(given).expanduser().resolve()
        replaced = any(path.is_relative_to(out_dir / name)
                       for name in (MASKS, OVERLAY, SHEET, MAPS))
        if path == out_dir or replaced:
            raise InputError(f'{given} is read, and results in {out_dir} would replace it or mix '
                             'with it; choose another output folder')


def _files_of(given: object) -> list[str | Path]:
    """What is read of a video or of masks, where they are files."""
    if isinstance(given, str | Path):
        return [given]
    if isinstance(given, VideoFile):
        return [given.path]
    if isinstance(given, FrameFolder):
        return list(given.paths)
    return list(given.paths.values()) if isinstance(given, MaskFiles) else []


def _check_targets(out_dir: Path, *, with_maps: bool) -> None:
    """Refuse to replace anything but results."""
    for target in (out_dir / OVERLAY, out_dir / SHEET):
        if target.exists() and not target.is_file():
            raise _taken(target)
    masks = out_dir / MASKS
    if masks.is_dir():
        for path in masks.iterdir():
            if path.suffix != '.png':
                raise _taken(path)
    elif masks.exists():
        raise _taken(masks)
    if with_maps and (foreign := foreign_to_maps(out_dir / MAPS)):
        raise _taken(foreign)


def _taken(path: Path) -> InputError:
    return InputError(f'{path} is no result of mmvos and would be replaced; move it away or '
                      'choose another output folder')


@contextmanager
def _staged(out_dir: Path) -> Iterator[Path]:
    """A hidden folder in `out_dir` whose contents move there when the block succeeds."""
    fresh = not out_dir.exists()
    make_dir(out_dir)
    try:
        staging = Path(tempfile.mkdtemp(prefix='.unfinished-', dir=out_dir))
    except OSError as error:
        raise write_error(out_dir, error) from error
    try:
        yield staging
        _publish(staging, out_dir)
    except InputError as error:
        if str(staging) not in str(error):
            raise
        raise InputError(str(error).replace(str(staging), str(out_dir))) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if fresh:
            with suppress(OSError):  # it holds results
                out_dir.rmdir()


def _publish(staging: Path, out_dir: Path) -> None:
    """Move the results into their places, or none of them."""
    # beside `staging`, which goes in any case: results that cannot be put back are still there
    earlier = staging.with_name(staging.name.replace('unfinished', 'earlier'))
    moves: list[tuple[Path, Path]] = []
    try:
        earlier.mkdir()
        for name in _replaced(out_dir, staging):
            for source, target in ((out_dir / name, earlier / name),
                                   (staging / name, out_dir / name)):
                if source.exists():
                    moves.append((source, target))
                    source.rename(target)
    except BaseException as error:
        _take_back(moves, earlier)
        if isinstance(error, OSError):
            raise write_error(out_dir, error) from error
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _replaced(out_dir: Path, staging: Path) -> list[str]:
    """Names of what is published or was by an earlier run; a folder `maps` may be the user's."""
    maps = out_dir / MAPS
    earlier = maps.is_dir() and any(maps.iterdir()) and not foreign_to_maps(maps)
    return [MASKS, OVERLAY, SHEET] + [MAPS] * (earlier or (staging / MAPS).exists())


def _take_back(moves: list[tuple[Path, Path]], earlier: Path) -> None:
    with suppress(OSError):  # what cannot be moved back stays in `earlier`
        for source, target in reversed(moves):
            if not source.exists():  # the last move may not have happened
                target.rename(source)
        earlier.rmdir()


def _playable(fps: float) -> float:
    """Frames per second that can be written; damaged headers state 0, 90000 or no number."""
    return fps if .001 <= fps <= 1000 else _FPS


def _shrunk(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if width <= _THUMBNAIL:
        return image
    size = (_THUMBNAIL, max(1, round(height * _THUMBNAIL / width)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
