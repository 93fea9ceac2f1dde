"""Builds the package, with compiled ops where a compiler is there (build_ops.py).

Configs, tools, demo and checkpoints travel inside it as ``mmvos/.mim``.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build that pip isolates does not look here
from build_ops import BuildError, build  # noqa: E402

SHIPPED = ('configs', 'tools', 'demo', 'checkpoints')


class BuildAll(build_py):
    """Adds the compiled ops and ``mmvos/.mim``; an editable install has them in the checkout."""

    def run(self):
        """Builds the Python files, then what lies beside them."""
        if self.editable_mode:
            self._link(ROOT / 'mmvos' / '.mim')
            super().run()
            self._compile(ROOT / 'mmvos' / 'ops' / 'lib')
            return
        # pip builds inside the checkout: what an earlier build left there would be shipped again.
        shutil.rmtree(Path(self.build_lib) / 'mmvos', ignore_errors=True)
        super().run()
        self._copy(Path(self.build_lib) / 'mmvos' / '.mim')
        self._compile(Path(self.build_lib) / 'mmvos' / 'ops' / 'lib')

    def _compile(self, target):
        try:
            build(target)
        except (BuildError, OSError) as error:  # setuptools hides an Exception
            raise SystemExit(f'error: {error}') from error

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


class TagForAnyPython(bdist_wheel):
    """A wheel with a library is for one platform, but for every version of Python and torch."""

    def run(self):
        """Builds first, because the name of the wheel depends on what could be compiled."""
        if not self.skip_build:
            self.run_command('build')
        lib = Path(self.get_finalized_command('build').build_lib) / 'mmvos' / 'ops' / 'lib'
        self.root_is_pure = not any(lib.glob('*.so'))
        if not self.root_is_pure:
            self.distribution.has_ext_modules = lambda: True  # installs as such
        super().run()

    def get_tag(self):
        """Returns py3-none-any, or py3-none-<platform>."""
        tag = super().get_tag()
        return tag if self.root_is_pure else ('py3', 'none', tag[2])


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
    extras_require={name: read_requirements(name) for name in ('engine', 'crf')},
    cmdclass={'build_py': BuildAll, 'bdist_wheel': TagForAnyPython},
    zip_safe=False,
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
