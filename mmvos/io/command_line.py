"""How every command of mmvos ends when the user made a mistake."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable

from .files import REMEDIES


def exit_with_message(main: Callable[[], None]) -> None:
    """Run a command; a user's mistake becomes one line on stderr and exit status 2."""
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
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)


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
