"""Third-party packages that add methods: entry points of the group ``mmvos.plugins``."""

from __future__ import annotations

import functools
import warnings
from importlib import metadata

GROUP = 'mmvos.plugins'


def load_plugins() -> list[str]:
    """Names of the plugins that are loaded, each imported once per process.

    A plugin is an entry point ``name = package.module``: importing the module registers its
    classes. ``name = package.module:function`` calls the function, which then registers them.
    One that fails is left out with one warning that names it and its error, so the rest builds.

    Returns:
        The loaded names, sorted. A further call returns the same and imports nothing.
    """
    return list(_load_once())


@functools.cache
def _load_once() -> tuple[str, ...]:
    found = sorted(metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    names = []
    for entry in found:
        if _loads(entry):
            names.append(entry.name)
    return tuple(names)


def _loads(entry: metadata.EntryPoint) -> bool:
    try:
        target = entry.load()
        if entry.attr:
            target()
    except (Exception, SystemExit) as error:  # whatever a third party's import does, we go on
        package = f' of {entry.dist.name}' if entry.dist else ''
        warnings.warn(
            f'mmvos plugin {entry.name!r}{package} ({entry.value}) is left out: '
            f'{type(error).__name__}: {error}. Mend or uninstall it.',
            stacklevel=4,
        )
        return False
    return True
