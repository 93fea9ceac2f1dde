"""Builds the package; configs, tools, demo and checkpoints travel inside it as ``mmvos/.mim``."""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'demo', 'checkpoints')


class BuildWithMim(build_py):
    """Adds ``mmvos/.mim``: copies in a wheel, links into the checkout in an editable install."""

    def run(self):
        """Builds the Python files, then the shipped folders beside them."""
        if self.editable_mode:
            self._link(ROOT / 'mmvos' / '.mim')
            super().run()
            return
        # pip builds inside the checkout: what an earlier build left there would be shipped again.
        shutil.rmtree(Path(self.build_lib) / 'mmvos', ignore_errors=True)
        super().run()
        self._copy(Path(self.build_lib) / 'mmvos' / '.mim')

    def _copy(self, target):
        for name in SHIPPED:
            if (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns('__pycache__', '*.py[cod]', '.*')
                shutil.copytree(ROOT / name, target / name, ignore=ignore)

    def _link(self, target):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name in SHIPPED:
            (target / name).symlink_to(Path(os.pardir, os.pardir, name), target_is_directory=True)


def read_version():
    """Returns ``__version__`` of the package without importing it (it needs torch)."""
    text = (ROOT / 'mmvos' / '__init__.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = ['\"](.+?)['\"]", text, re.MULTILINE).group(1)


def read_requirements(name):
    """Returns the lines of ``requirements/<name>.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    stripped = [line.partition('#')[0].strip() for line in lines]
    return [line for line in stripped if line]


setup(
    name='mmvos',
    version=read_version(),
    description='Video object segmentation on MMEngine: one framework for self-supervised, '
    'semi-supervised and unsupervised methods',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='mmvos authors',
    license='Apache-2.0',
    keywords='computer vision, video object segmentation',
    python_requires='>=3.10',
    packages=find_packages(include=('mmvos', 'mmvos.*')),
    install_requires=read_requirements('runtime'),
    extras_require={'engine': read_requirements('engine')},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
