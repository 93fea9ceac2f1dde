"""How every command of mmvos ends when the user made a mistake."""
from __future__ import annotations

import difflib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection

from .files import REMEDIES


def exit_with_message(main: Callable[[], None]) -> None:
    """Run a command; a user's mistake becomes one line on stderr and exit status 2.

    With MMVOS_TRACEBACK in the environment errors stay as they are, to find where one was raised.
    """
    if os.environ.get('MMVOS_TRACEBACK'):
        return main()
    try:
        main()
        sys.stdout.flush()  # here, not while the interpreter ends
    except BrokenPipeError:
        # nobody reads on: end as programs do that are told so by a signal
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)
    except (ValueError, OSError) as error:
        print(f'error: {_one_line(error)}', file=sys.stderr)
        sys.exit(2)
    except (TypeError, KeyError) as error:
        told = config_mistake(error)
        if told is None:
            raise
        print(f'error: {told}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)


def config_mistake(error: TypeError | KeyError) -> str | None:
    """What is misspelt in a config, where MMEngine could not build a part of it; else None.

    Its registries are asked by many classes, with words of Python; the part stands in their frame.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)
              if frame.f_code.co_name == 'build_from_cfg']
    if not frames:
        return None
    part, registry = (frames[-1].f_locals[name] for name in ('cfg', 'registry'))
    kind = part['type']
    if isinstance(error, KeyError) and f'{kind} is not in the' in str(error):
        near = did_you_mean(str(kind), registry.module_dict)
        return (f'{kind} is not registered{near or "."} If it '
                'belongs to another package, install that, or name its module in custom_imports of '
                'the config')
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown is None or unknown[1] not in part:
        return None
    made = frames[-1].f_locals['obj_cls']
    kinds = [cls for cls in inspect.getmro(made) if '__init__' in vars(cls)] if inspect.isclass(
        made) else [made]
    known = {name for one in kinds for name in inspect.signature(one).parameters}
    return f'{kind} has no argument {unknown[1]!r}{did_you_mean(unknown[1], known)}'


def did_you_mean(word: str, known: Collection[str]) -> str:
    """', did you mean ...?' where a known word is near."""
    near = difflib.get_close_matches(word, known, 1)
    return f', did you mean {near[0]!r}?' if near else ''


def _one_line(error: ValueError | OSError) -> str:
    """What happened and what mends it."""
    if not isinstance(error, OSError) or error.errno is None:
        told = str(error)
        if told.startswith('Caught '):  # a loader's worker: its traceback ends with what happened
            told = told.rpartition(f'{type(error).__name__}: ')[2]
        return ' '.join(told.split('\n')).strip()
    where = f' {error.filename}' if error.filename else ''
    remedy = REMEDIES.get(error.errno, 'check the path and its permissions')
    return f'{error.strerror}{":" if where else ""}{where}; {remedy}'
