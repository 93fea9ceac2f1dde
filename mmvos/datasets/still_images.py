"""Still images with masks."""
from __future__ import annotations

from pathlib import Path

from ..io import IMAGE_SUFFIXES, InputError
from ..registry import DATASETS
from ..structures import FrameFolder, MaskFiles, MaskSource, VideoSource
from .base import VideoDataset


@DATASETS.register_module()
class StillImages(VideoDataset):
    """Images as videos of one frame: MSRA10K, ECSSD, PASCAL-S, DUTS and others.

    Layout: <images>/<name>.jpg and <masks>/<name>.png, where both may be one folder. Images without
    a mask are left out.

    Args:
        data_root: Folder of the data.
        images: Folder of the images in it.
        masks: Folder of the masks in it: ids, or 0 and 255.
        indices: See `VideoDataset`.
    """

    def __init__(self, data_root: str, *, images: str = 'images', masks: str = 'masks',
                 indices: int | list[int] | None = None) -> None:
        self.images = images
        self.masks = masks
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
        found = [dict(video_name=path.stem, image=str(path), mask=str(mask))
                 for path in sorted(images.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES
                 and (mask := masks / f'{path.stem}.png').is_file() and mask != path]
        if not found:
            raise InputError(f'no image in {images} has a mask of its name, .png, in {masks}')
        return found

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """The image, its mask, and its mask as stored."""
        return (FrameFolder([info['image']], info['video_name']), MaskFiles({0: info['mask']}),
                MaskFiles({0: info['mask']}, raw=True))
