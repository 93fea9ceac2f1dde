"""A model that learns one clip by heart: the least that training has to be able to do."""
import numpy as np
import torch

from mmvos.datasets import SyntheticVOS
from mmvos.structures import Frame, VOSDataSample


def clip_of(videos, length):
    """Inputs (B,T,3,H,W) and samples with masks, of the first frames of videos."""
    frames = np.stack([[video.read(t) for t in range(length)] for video in videos])
    samples = [VOSDataSample(metainfo=dict(video_name=video.name)) for video in videos]
    for video, sample in zip(videos, samples, strict=True):
        sample.gt_masks = torch.from_numpy(np.stack([video.labels(t) for t in range(length)]))
    return torch.from_numpy(frames).movedim(-1, 2).float() / 255, samples


def learns_one_clip(model, *, length, steps):
    """Train on a clip of one object until J of the later frames is above 0.95.

    Raises:
        AssertionError: It is not after so many steps of Adam at 1e-3.
    """
    video = SyntheticVOS(1, length, size=(64, 96), num_objects=(1, 1), seed=3).videos[0]
    inputs, samples = clip_of([video], length)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    scores = []
    for step in range(steps):
        loss = model.train().loss(inputs, samples)['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 19:
            scores.append(score(model.eval(), inputs, samples[0].gt_masks))
            if scores[-1] > 0.95:
                return
    raise AssertionError(f'J after every 20 steps: {scores}')


@torch.no_grad()
def score(model, inputs, labels):
    """Mean J of the frames after the first, as a session would give them."""
    state, values = model.init_state(None), []
    for t in range(inputs.shape[1]):
        given = dict(masks=(labels[None, None, 0] > 0).float(),
                     given=torch.ones(1, 1, dtype=torch.bool)) if t == 0 else {}
        mask = model.step(Frame(t, inputs[:, t], **given), state)[0, 1] > 0.5
        truth = labels[t] > 0
        values.append(((mask & truth).sum() / (mask | truth).sum()).item())
    return sum(values[1:]) / len(values[1:])
