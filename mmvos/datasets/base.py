"""Test datasets: an item is one video, not pixels."""
from __future__ import annotations

from abc import ABC, abstractmethod

from mmengine.dataset import BaseDataset

from ..structures import MaskSource, VideoSource, VOSDataSample


class VideoDataset(BaseDataset, ABC):
    """Item i is dict(inputs=VideoSource, data_samples=VOSDataSample), sources and no pixels.

    A dataset writes `load_data_list`, cheap descriptions of its videos (dicts with paths), and
    `sources`, which turns one of them into lazy sources.

    Args:
        data_root: Folder of the data; '' where there is none.
        indices: The first n videos (an int), or the videos at these positions. All if None.
    """

    example: dict | None = None

    def __init__(self, data_root: str = '', *, indices: int | list[int] | None = None) -> None:
        super().__init__(data_root=data_root, indices=indices)

    @abstractmethod
    def load_data_list(self) -> list[dict]:
        """One description per video, each with its 'video_name'."""

    @abstractmethod
    def sources(self, info: dict) -> tuple[VideoSource, MaskSource, MaskSource | None]:
        """Frames, masks the model may see and masks for the metric (or None) of one video."""

    def full_init(self) -> None:
        """Read the list of videos; MMEngine calls this.

        Raises:
            ValueError: `indices` names a video that is not there.
        """
        try:
            super().full_init()
        except IndexError as error:
            raise ValueError(f'{type(self).__name__} has {len(self.load_data_list())} videos, '
                             f'counted from 0, got indices={self._indices}') from error

    def prepare_data(self, idx: int) -> dict:
        """The item; MMEngine's `__getitem__` calls this."""
        video, given, truth = self.sources(self.get_data_info(idx))
        sample = VOSDataSample(metainfo=dict(
            video_name=video.name, frame_names=video.frame_names, given=given, truth=truth))
        return dict(inputs=video, data_samples=sample)

    def all_sources(self) -> list[tuple[VideoSource, MaskSource, MaskSource | None]]:
        """`sources` of every video, in order."""
        return [self.sources(self.get_data_info(index)) for index in range(len(self))]

    @property
    def videos(self) -> list[VideoSource]:
        """Frames of every video, in order."""
        return [video for video, _, _ in self.all_sources()]
