"""Make a small file of weights to share out of a training state.

python tools/model_converters/publish_model.py work_dirs/X/iter_1700.pth mamp_r18 checkpoints

writes checkpoints/mamp_r18_<hash8>.pth: the model's tensors alone, floating point ones in half
precision; hash8 begins the SHA-256 of the file.
"""
import argparse
import hashlib
import io
from pathlib import Path

import torch

from mmvos.apis import exit_with_message
from mmvos.compat import load_checkpoint_file
from mmvos.io import atomic_write


def half_state(checkpoint: dict) -> dict[str, torch.Tensor]:
    """The state dict of a training state with floats in fp16.

    Raises:
        ValueError: It has no weights, or one does not fit into half precision.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise ValueError(f'expected a training state or a state dict, got {_told(checkpoint)}; '
                         'give a file written by tools/train.py')
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError('the checkpoint holds no tensors; give a training state or a state dict')
    half = {key: value.half() if value.is_floating_point() else value
            for key, value in tensors.items()}
    for key, value in half.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f'{key} does not fit into half precision; the training diverged')
    return {key: value.contiguous() for key, value in half.items()}


def _told(checkpoint: object) -> str:
    if isinstance(checkpoint, dict):
        return f"a {type(checkpoint['state_dict']).__name__} as its 'state_dict'"
    return f'a {type(checkpoint).__name__}'


def publish(source: str, name: str, out_dir: str) -> Path:
    """Write <out_dir>/<name>_<hash8>.pth and return its path."""
    checkpoint = load_checkpoint_file(source)
    try:
        half = half_state(checkpoint)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None
    buffer = io.BytesIO()
    torch.save(half, buffer)
    data = buffer.getvalue()
    path = Path(out_dir) / f'{name}_{hashlib.sha256(data).hexdigest()[:8]}.pth'
    atomic_write(path, data)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='training state written by tools/train.py')
    parser.add_argument('name', help='name of the model: mamp_r18')
    parser.add_argument('out_dir', help='folder for the weights: checkpoints')
    args = parser.parse_args()
    path = publish(args.checkpoint, args.name, args.out_dir)
    print(f'{path}: {path.stat().st_size / 2**20:.1f} MiB')


if __name__ == '__main__':
    exit_with_message(main)
