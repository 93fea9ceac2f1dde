"""What travels beside the frames through a runner."""
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


class VOSDataSample(BaseDataElement):
    """One video's annotations and predictions.

    Meta information (set by the dataset): `video_name`, `frame_names` (one per frame, without
    suffix), `given` (MaskSource the model may see), `truth` (MaskSource for the metric, or None).

    Data of a training clip: `gt_masks` (T,H,W) uint8; its first frame shows all ids, 1 to n.
    Class heads also read `gt_classes` (n,) long, which no dataset of this package gives.

    Data (set by `predict`): `pred_masks`, one palette PNG as bytes per frame, so that no sample
    ever holds the full maps of a long video.

    Example:
        >>> sample = VOSDataSample(metainfo=dict(video_name='dog', frame_names=['00000']))
        >>> sample.video_name
        'dog'
    """


def true_masks(data_samples: list[VOSDataSample], device: torch.device) -> Tensor:
    """(B,T,H,W) uint8 of a batch of clips.

    Raises:
        ValueError: A clip has no masks.
    """
    if not all('gt_masks' in sample for sample in data_samples):
        raise ValueError('expected clips with masks, got data samples without gt_masks; set '
                         'train_dataloader.dataset.type to MaskedClipDataset or StillClipDataset')
    return torch.stack([sample.gt_masks for sample in data_samples]).to(device)
