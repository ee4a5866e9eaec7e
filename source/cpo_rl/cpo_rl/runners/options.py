# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of :class:`~cpo_rl.runners.EnsembleRunner` that rsl_rl's runner does not have.

They are read from the top level of the runner's configuration, where rsl_rl ignores what it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cpo_rl.errors import UserError

PROGRESS_MODES = ("auto", "plain", "off")
"""``auto`` draws on terminals and prints lines elsewhere, ``plain`` always prints lines, ``off`` prints nothing."""


@dataclass
class RunnerOptions:
    """Checked settings of the runner."""

    num_steps_per_env: int
    """Steps of every environment per iteration, at least 1 (rsl_rl's field)."""

    save_interval: int
    """Iterations between checkpoints, at least 1 (rsl_rl's field)."""

    keep_last: int = 5
    """Newest checkpoints to keep; 0 keeps all."""

    keep_best: int = 1
    """Best checkpoints to keep besides the newest, 0 or more."""

    best_metric: str = "auto"
    """Metric that ranks checkpoints, higher is better; ``auto`` takes ``Leader/successes`` where it exists, else the
    leader's return."""

    progress: str = "auto"
    """How progress is shown, one of :data:`PROGRESS_MODES`."""

    progress_interval_s: float = 10.0
    """Time between progress lines where there is no terminal [s], 0 or more."""

    stop_grace_s: float = 40.0
    """How long an iteration may go on after a stop signal before its rollout is cut short [s], 0 or more."""

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> RunnerOptions:
        """Read the settings from a runner configuration.

        Raises:
            UserError: If a field is missing, of the wrong type or out of range.
        """
        values = {field.name: cfg[field.name] for field in fields(cls) if cfg.get(field.name) is not None}
        for name in ("num_steps_per_env", "save_interval"):
            if name not in values:
                raise UserError(f"the runner configuration lacks {name}; set it to an integer of 1 or more.")
        for name, least in (("num_steps_per_env", 1), ("save_interval", 1), ("keep_last", 0), ("keep_best", 0)):
            if name in values and (type(values[name]) is not int or values[name] < least):
                raise UserError(f"{name} must be an integer of {least} or more, got {values[name]!r}.")
        if cfg.get("seed") is not None and type(cfg["seed"]) is not int:
            raise UserError(f"seed must be an integer or left out, got {cfg['seed']!r}.")
        for name in ("progress_interval_s", "stop_grace_s"):
            value = values.get(name, 0.0)
            if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
                raise UserError(f"{name} must be a number of seconds, 0 or more, got {value!r}.")
        if values.get("progress", "auto") not in PROGRESS_MODES:
            raise UserError(f"progress must be one of {', '.join(PROGRESS_MODES)}, got {values['progress']!r}.")
        if not isinstance(values.get("best_metric", ""), str):
            raise UserError(f"best_metric must name a metric such as 'Leader/return', got {values['best_metric']!r}.")
        return cls(**values)


def plain_config(value: Any) -> Any:
    """Return a configuration as JSON values: callables by their names, floats that are not finite as text."""
    if isinstance(value, Mapping):
        return {str(key): plain_config(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_config(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__qualname__", None) or str(value)
