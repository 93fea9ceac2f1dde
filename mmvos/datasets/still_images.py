"""Still images with masks."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from ..io import InputError, image_files, read_image
from ..registry import DATASETS
from ..structures import FrameFolder, MaskFiles, MaskSource, VideoSource
from .base import VideoDataset


class SaliencyMap(MaskSource):
    """The mask of one image as a grey picture of any kind; what is bright is object 1.

    Args:
        path: The picture.
        threshold: Least grey level of the object.
    """

    def __init__(self, path: str, threshold: int) -> None:
        self.path = path
        self.threshold = threshold

    @property
    def indices(self) -> list[int]:
        """The one image."""
        return [0]

    def read(self, index: int) -> np.ndarray:
        """(H,W) uint8, 0 and 1."""
        return (read_image(self.path).max(-1) >= self.threshold).astype(np.uint8)


@DATASETS.register_module()
class StillImages(VideoDataset):
    """Images as videos of one frame: MSRA10K, ECSSD, PASCAL-S, DUTS and others.

    Layout: <images>/<name>.jpg and <masks>/<name>.png, where both may be one folder. Images without
    a mask are left out.

    Args:
        data_root: Folder of the data.
        images: Folder of the images in it.
        masks: Folder of the masks in it.
        threshold: None: masks hold ids, or 0 and 255; soft edges are refused. A number: they are
            grey pictures with one object, all that is at least so bright (128 for the saliency
            sets, whose masks have soft edges).
        indices: See `VideoDataset`.
    """

    def __init__(self, data_root: str, *, images: str = 'images', masks: str = 'masks',
                 threshold: int | None = None, indices: int | list[int] | None = None) -> None:
        self.images = images
        self.masks = masks
        self.threshold = threshold
        super().__init__(data_root, indices=indices)

    def load_data_list(self) -> list[dict]:
        """Names of the images that have a mask.

        Raises:
            FileNotFoundError: A folder does not exist.
            InputError: No image has a mask.
        """
        root = Path(self.data_root)
        images, masks = root / self.images, root / self.masks
        for folder in (images, masks):
            if not folder.is_dir():
                raise FileNotFoundError(f'{folder.resolve()} does not exist; set data_root, images '
                                        'and masks of StillImages to where the images are')
        drawn = {path.stem: path for path in image_files(masks, ['.png'])}
        found = {path.stem: dict(video_name=path.stem, image=str(path), mask=str(drawn[path.stem]))
                 for path in image_files(images)
                 if path.stem in drawn and path != drawn[path.stem]}
        if not found:
            raise InputError(f'no image in {images} has a mask of its name, .png, in {masks}')
        return list(found.values())

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """The image and its mask, twice."""
        masks = (MaskFiles({0: info['mask']}) if self.threshold is None
                 else SaliencyMap(info['mask'], self.threshold))
        return FrameFolder([info['image']], info['video_name']), masks, masks
