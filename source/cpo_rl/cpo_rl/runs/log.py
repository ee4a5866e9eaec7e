# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``run.log``: the messages of both packages while a run trains, kept in its folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from cpo_rl.runs.folder import RunFolder

_PACKAGES = ("cpo_rl", "cpo_lab")


class _RunLog(logging.FileHandler):
    """Appends to ``run.log``; a line that cannot be written is lost without a traceback on the screen."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Do nothing."""


@contextmanager
def run_log(folder: RunFolder | None) -> Iterator[None]:
    """Append the messages of level INFO and above to ``run.log``; a folder of None or a full disk writes nothing."""
    if folder is None:
        yield
        return
    handler: logging.Handler
    try:
        handler = _RunLog(folder.path / RunFolder.LOG, encoding="utf-8", errors="backslashreplace")
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        handler.close()
