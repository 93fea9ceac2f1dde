"""DAVIS-2016 and DAVIS-2017, semi-supervised."""
from __future__ import annotations

from itertools import islice
from pathlib import Path

from ..io import InputError, read_names
from ..io.doctor import refuse_broken_start
from ..registry import DATASETS
from ..structures import FrameFolder, MaskFiles, MaskSource, VideoSource
from .base import VideoDataset


@DATASETS.register_module()
class DAVIS(VideoDataset):
    """Videos of a split; the model sees the first frame's mask.

    Layout: JPEGImages/<resolution>/<video>/*.jpg, <annotations>/<resolution>/<video>/*.png and
    ImageSets/<year>/<split>.txt under `data_root`, in the archive of 2016
    ImageSets/<resolution>/<split>.txt with a line for each frame. DAVIS-2016 has one object per
    video: the ids of the given mask are merged. `truth` is as stored.

    Args:
        data_root: Folder of the data.
        year: '2016' or '2017'.
        split: Name of the list in ImageSets/<year>.
        resolution: '480p' or 'Full-Resolution' ('1080p' in the archive of 2016).
        annotations: Folder of the masks; DAVIS-2017's unsupervised ones, which know other objects,
            are a download of their own and lie in 'Annotations_unsupervised'.
        indices: See `VideoDataset`.
    """

    def __init__(self, data_root: str, year: str = '2017', *, split: str = 'val',
                 resolution: str = '480p', annotations: str = 'Annotations',
                 indices: int | list[int] | None = None) -> None:
        if str(year) not in ('2016', '2017'):
            raise ValueError(f"year of DAVIS should be '2016' or '2017', got {year!r}")
        self.year = str(year)
        self.split = split
        self.resolution = resolution
        self.annotations = annotations
        super().__init__(data_root, indices=indices)

    def load_data_list(self) -> list[dict]:
        """Names of the split, each with frames and masks that exist.

        Raises:
            FileNotFoundError: The list or a video is not where it should be.
            InputError: The list is empty.
        """
        root = Path(self.data_root)
        names_file = root / 'ImageSets' / self.year / f'{self.split}.txt'
        older = root / 'ImageSets' / self.resolution / f'{self.split}.txt'
        if self.year == '2016' and older.is_file() and not names_file.is_file():
            names_file = older  # the archive of 2016 itself
        if not names_file.is_file():
            lists = sorted(str(path.relative_to(root))
                           for path in root.glob('ImageSets/201[67]/*.txt'))
            raise FileNotFoundError(
                f'DAVIS-{self.year} is not at {root.resolve()}: no {names_file.relative_to(root)}'
                + (f', but {", ".join(lists)}; set year and split of the dataset to one of these'
                   if lists else '. Get DAVIS-2017 "TrainVal, 480p" (it has 2016, too) from '
                   "https://davischallenge.org and set data_root of the config's DAVIS "
                   '(--cfg-options test_dataloader.dataset.data_root=..., '
                   'train_dataloader.dataset.source.data_root=... to train) to the folder that '
                   'holds JPEGImages'))
        infos = [self._describe(root, name) for name in read_names(names_file)]
        # test-dev and challenge splits publish first masks alone: there is nothing to score
        scored = any(len(list(islice(Path(info['masks']).glob('*.png'), 2))) > 1 for info in infos)
        return [dict(info, scored=scored) for info in infos]

    def _describe(self, root: Path, name: str) -> dict:
        folders = [root / kind / self.resolution / name
                   for kind in ('JPEGImages', self.annotations)]
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(
                    f'{folder.resolve()} does not exist, but ImageSets/{self.year}/{self.split}.txt'
                    f' names {name}; unpack DAVIS again or take the line out')
        return dict(video_name=name, images=str(folders[0]), masks=str(folders[1]))

    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """Frames, the first frame's mask and all masks.

        The first frame and its mask are decoded once more than needed, to refuse broken ones with a
        remedy.
        """
        video = FrameFolder.from_dir(info['images'])
        masks = {index: path for index, name in enumerate(video.frame_names)
                 if (path := Path(info['masks']) / f'{name}.png').is_file()}
        if 0 not in masks:
            raise InputError(f'{info["masks"]} has no mask {video.frame_names[0]}.png for the '
                             'first frame; unpack DAVIS again')
        refuse_broken_start(Path(info['images']), Path(info['masks']), video.frame_names[0])
        given = MaskFiles({0: masks[0]}, video.size, merge=self.year == '2016')
        truth = MaskFiles(masks, raw=True) if info['scored'] else None
        return video, given, truth
