"""A runner with little to say before it starts."""
from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

# MMEngine's own CheckpointHook calls what MMEngine deprecates; nobody who trains can mend it
OF_NO_USE = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


class VOSRunner(Runner):
    """MMEngine's runner; environment, config and hooks go to the log file alone, not the terminal.

    Args:
        *args: See mmengine's Runner.
        **kwargs: See mmengine's Runner.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for handler, level in self._terminal.items():
            handler.setLevel(level)
        self.logger.info(f'log: {self.logger.log_file}')

    def build_logger(self, log_level: int | str = 'INFO', log_file: str | None = None,
                     **kwargs: Any) -> MMLogger:
        """The logger; its terminal shows warnings only, as long as the runner is being built."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        self._terminal = {handler: handler.level for handler in logger.handlers
                          if not isinstance(handler, logging.FileHandler)}
        for handler, level in self._terminal.items():
            handler.setLevel(max(level, logging.WARNING))
            handler.addFilter(lambda record: not record.getMessage().startswith(OF_NO_USE))
        return logger
