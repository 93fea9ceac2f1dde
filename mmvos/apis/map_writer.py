"""Files of what a model saw besides objects."""
from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from ..io import VideoWriter, atomic_write, make_dir
from ..registry import MODELS
from ..visualization import map_overlay, map_picture


class MapWriter:
    """Pictures and films of the maps of one video; use it through `map_writer`.

    Args:
        folder: Where to write.
        films: One for each map, by name.
    """

    def __init__(self, folder: Path, films: Mapping[str, VideoWriter]) -> None:
        self.folder = folder
        self.films = films

    def write(self, frame_name: str, image: np.ndarray, maps: Mapping[str, np.ndarray]) -> None:
        """Add the next frame: (H,W,3) RGB uint8 and its maps (H,W,C), see `VideoSegmentor.maps`.

        A frame without a map gets no picture, and goes into the film as it is.
        """
        for name, film in self.films.items():
            if name not in maps:
                film.write(image)
                continue
            buffer = io.BytesIO()
            Image.fromarray(map_picture(maps[name])).save(buffer, 'PNG')
            atomic_write(self.folder / name / f'{frame_name}.png', buffer.getvalue())
            film.write(map_overlay(image, maps[name]))


@contextmanager
def map_writer(folder: Path, names: Sequence[str], fps: float,
               size: tuple[int, int]) -> Iterator[MapWriter]:
    """Write FOLDER/<name>/<frame>.png, see `map_picture`, and FOLDER/<name>.mp4, `map_overlay`.

    Without names nothing is written, and no folder.

    Raises:
        InputError: Something cannot be written there.
    """
    with ExitStack() as stack:
        for name in names:
            make_dir(folder / name)
        films = {name: VideoWriter(folder / f'{name}.mp4', fps, size) for name in names}
        yield MapWriter(folder, {name: stack.enter_context(film) for name, film in films.items()})


def foreign_to_maps(folder: Path) -> Path | None:
    """What is not of `map_writer` in a folder that it would replace; None where all is.

    Its own have names that a registered method gives its maps.
    """
    names = {name for cls in MODELS.module_dict.values() for name in getattr(cls, 'map_names', ())}
    if not folder.is_dir():
        return folder if folder.exists() or folder.is_symlink() else None
    for path in sorted(folder.iterdir()):
        pictures, film = path.with_suffix(''), path.with_suffix('.mp4')
        pair = path in (pictures, film) and pictures.is_dir() and film.is_file()
        if not pair or pictures.name not in names:
            return path
    return next((path for path in sorted(folder.glob('*/*')) if path.suffix != '.png'), None)
