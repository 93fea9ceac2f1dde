"""An installed mmvos works from another folder, with its configs and weights."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvos.datasets import SyntheticVideo
from mmvos.io import VideoWriter, encode_mask

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_installed_package_segments_a_video_from_another_folder(tmp_path):
    site = tmp_path / 'site'
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps',
                    '--no-build-isolation', '--target', str(site), str(ROOT)], check=True)
    video = SyntheticVideo(0, 0, length=4, size=(64, 96), num_objects=1)
    with VideoWriter(tmp_path / 'video.mp4', 24, (64, 96)) as writer:
        for index in range(4):
            writer.write(video.read(index))
    (tmp_path / 'mask.png').write_bytes(encode_mask(video.labels(0)))
    code = ('import mmvos; print(mmvos.__file__);'
            'from mmvos.apis import VOSInferencer;'
            "result = VOSInferencer('mamp_r18')('video.mp4', 'mask.png', 'out', progress=False);"
            'print(len(result.masks))')
    out = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, text=True, check=True,
                         capture_output=True, env={**os.environ, 'PYTHONPATH': str(site)})
    lines = out.stdout.split('\n')
    assert Path(lines[0]).is_relative_to(site)
    assert lines[1] == '4'
    assert sorted(path.name for path in (tmp_path / 'out/masks').iterdir()) == [
        f'{index:05d}.png' for index in range(4)]
    assert np.any(video.labels(0))
