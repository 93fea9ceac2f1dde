"""Train a model: python tools/train.py CONFIG [--work-dir DIR] [--resume] [--cfg-options ...]."""
import argparse
from pathlib import Path

from mmengine.config import DictAction
from mmengine.runner import find_latest_checkpoint

from mmvos.apis import exit_with_message, load_config, setup
from mmvos.engine import VOSRunner


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description='Train a model of mmvos.')
    parser.add_argument('config', help='config file, configs/mamp/mamp_r18_clips.py for example')
    parser.add_argument('--work-dir', help='logs and checkpoints (default: work_dirs/<config>)')
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='K=V',
                        help='change entries of the config: optim_wrapper.optimizer.lr=1e-4')
    return parser.parse_args()


def main() -> None:
    """Build the runner and train."""
    args = parse_args()
    setup()
    cfg = load_config(args.config, args.cfg_options)
    if cfg.get('train_dataloader') is None:
        raise ValueError(f'{args.config} has no train_dataloader; it is for tools/test.py')
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    if args.resume:
        if find_latest_checkpoint(cfg.work_dir) is None:
            raise FileNotFoundError(f'nothing to resume: no checkpoint in {cfg.work_dir}; give the '
                                    '--work-dir of the run, or leave --resume out')
        cfg.resume = True
        cfg.load_from = None  # MMEngine would resume from there, the end of another stage
    VOSRunner.from_cfg(cfg).train()


if __name__ == '__main__':
    exit_with_message(main)
