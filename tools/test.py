"""Test a model: python tools/test.py CONFIG [CHECKPOINT] [--out DIR] [--dtype bf16] ..."""
import argparse
from pathlib import Path

from mmengine.config import DictAction

from mmvos.apis import (
    exit_with_message,
    find_checkpoint,
    load_config,
    load_weights,
    setup,
    use_dtype,
)
from mmvos.engine import VOSRunner


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description='Test a model of mmvos on whole videos.')
    parser.add_argument('config', help='config file: configs/mamp/mamp_r18_davis2016.py, say')
    parser.add_argument('checkpoint', nargs='?',
                        help='a .pth file, or the name of a shipped model: mamp_r18')
    parser.add_argument('--work-dir', help='logs (default: work_dirs/<config>)')
    parser.add_argument('--out', help='write the masks as palette PNGs: OUT/<video>/<frame>.png')
    parser.add_argument('--dtype', choices=['fp32', 'bf16'], default='fp32',
                        help='bf16: convolutions in bfloat16')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='K=V',
                        help='change entries of the config: test_dataloader.dataset.data_root=...')
    return parser.parse_intermixed_args()


def build_runner(args: argparse.Namespace) -> VOSRunner:
    """A runner with its weights loaded."""
    cfg = load_config(args.config, args.cfg_options)
    if cfg.get('test_dataloader') is None:
        raise ValueError(f'{args.config} has no test_dataloader; test with another config of the '
                         'method: configs/mamp/mamp_r18_davis2016.py, say')
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'load_from'):
        cfg.pop(key, None)
    if args.out:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []),
                            dict(type='MaskWriterHook', out_dir=args.out)]
    runner = VOSRunner.from_cfg(cfg)
    if args.checkpoint:
        load_weights(runner.model, find_checkpoint(args.checkpoint))
    elif any(p.requires_grad for p in runner.model.parameters()):
        raise ValueError(f'{args.config} needs weights; give them after it: a .pth file, or the '
                         'name of a shipped model of its kind')
    return runner


def main() -> None:
    """Build, load, test."""
    args = parse_args()
    setup()
    runner = build_runner(args)
    use_dtype(runner.model.eval(), args.dtype)
    runner.test()


if __name__ == '__main__':
    exit_with_message(main)
