# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Weights & Biases, Neptune and other writers of rsl_rl's kind: checked before anything starts, opened beside a run.

The writers are rsl_rl's. Each also writes TensorBoard's files. What they raise costs their record, not the run.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsl_rl.utils import resolve_callable
from rsl_rl.utils.log_writer import LogWriter

from cpo_rl.errors import UserError, suggestion

LOGGERS = ("tensorboard", "wandb", "neptune")
"""Values of the runner's setting ``logger``; besides, a dictionary with the ``class_name`` of a writer."""

_WRITERS = {"wandb": "WandbLogWriter", "neptune": "NeptuneLogWriter"}
_NEPTUNE_VARIABLES = ("NEPTUNE_API_TOKEN", "NEPTUNE_USERNAME")
_WANDB_OFFLINE = ("offline", "disabled", "dryrun")


def check_logger(cfg: Mapping[str, Any]) -> None:
    """Check that what a runner's configuration names as its logger can be used here.

    Args:
        cfg: Runner configuration with ``logger``, and ``wandb_project`` or ``neptune_project``.

    Raises:
        UserError: If the name is unknown, a package is missing, or nobody is logged in to the service.
    """
    logger = "tensorboard" if cfg.get("logger") is None else cfg["logger"]
    if isinstance(logger, Mapping):
        _check_writer(logger)
    elif logger not in LOGGERS:
        raise UserError(f"agent.logger={logger!r} is unknown; {suggestion(str(logger), LOGGERS)}")
    elif logger != "tensorboard":
        _check_service(logger, cfg)


def _check_writer(logger: Mapping[str, Any]) -> None:
    """Check a writer that is named by its class."""
    name = logger.get("class_name")
    try:
        found = resolve_callable(name)  # type: ignore[arg-type]
    except (TypeError, ImportError, AttributeError, ValueError) as error:
        raise UserError(f"agent.logger.class_name={name!r} cannot be imported ({error}); name a LogWriter.") from None
    if not (isinstance(found, type) and issubclass(found, LogWriter)):
        raise UserError(f"agent.logger.class_name={name!r} is no rsl_rl.utils.LogWriter; name one.")


def _check_service(logger: str, cfg: Mapping[str, Any]) -> None:
    """Check package, project and login of an online service."""
    if importlib.util.find_spec(logger) is None:
        raise UserError(f"agent.logger={logger} needs the package {logger}, which is missing: pip install {logger}.")
    project = cfg.get(f"{logger}_project")
    if not isinstance(project, str) or not project.strip():
        raise UserError(f"agent.{logger}_project={project!r} must be the name of a project.")
    if logger == "neptune":
        missing = [name for name in _NEPTUNE_VARIABLES if not os.environ.get(name)]
        if missing:
            raise UserError(f"agent.logger=neptune needs the environment variable {' and '.join(missing)}.")
    elif os.environ.get("WANDB_MODE") not in _WANDB_OFFLINE and not _knows_wandb():
        raise UserError(
            "agent.logger=wandb finds no login: run wandb login, set WANDB_API_KEY, or set WANDB_MODE=offline."
        )


def _knows_wandb() -> bool:
    """Return whether Weights & Biases has a key for this account."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    try:
        return bool(wandb.api.api_key)
    except Exception:  # it reads files of the account, which may be anything
        return False


def open_online_log(cfg: Mapping[str, Any], folder: Path) -> LogWriter:
    """Return the writer that a runner's configuration names, opened beside a run.

    Weights & Biases keeps its own files in the run folder and leaves standard output alone, unless ``WANDB_DIR`` and
    ``WANDB_CONSOLE`` say otherwise.

    Args:
        cfg: Runner configuration that :func:`check_logger` accepts.
        folder: The run folder.

    Raises:
        Exception: Whatever the writer raises, for example without a network.
    """
    logger = cfg["logger"]
    if isinstance(logger, str):
        logger = {"class_name": _WRITERS[logger], "project_name": cfg[f"{logger}_project"]}
    os.environ.setdefault("WANDB_DIR", str(folder))
    os.environ.setdefault("WANDB_CONSOLE", "off")
    arguments = {name: value for name, value in logger.items() if name != "class_name"}
    return resolve_callable(logger["class_name"])(log_dir=str(folder), **arguments)
