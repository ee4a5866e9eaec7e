# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What ``policy.json`` says of a policy besides its network: where it comes from, and how it drives a robot.

Everything is taken from the run's own settings, so that what counts is what was trained. Starts no simulator.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cpo_lab.launch.registry import tasks
from cpo_rl.errors import UserError
from cpo_rl.runs.provenance import config_hash
from cpo_rl.runs.records import is_number

if TYPE_CHECKING:
    from pathlib import Path

    from cpo_lab.tasks.layout import ObservationTerm
    from cpo_rl.runs.checkpoint_reader import Checkpoint
    from cpo_rl.runs.folder import RunFolder

DEFAULTS, OWN = "the task's defaults, because the run keeps none", "the run's params"
"""Where a description takes a task's settings from."""


def describe_origin(checkpoint: Checkpoint, file: Path, run: RunFolder, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Say where a policy comes from.

    Args:
        checkpoint: Its checkpoint.
        file: The checkpoint's file.
        run: The folder that it lies in.
        settings: The agent's settings.
    """
    return {
        "task": run.task,
        "algorithm": section(settings, "algorithm").get("algorithm"),
        "iteration": checkpoint.payload["iter"],
        "checkpoint": {"file": file.name, "sha256": checkpoint.sha256},
        "config_hash": run.manifest.get("config_hash") or config_hash(dict(settings)),
        "git_commit": run.manifest.get("git_commit"),
    }


def describe_driving(checkpoint: Checkpoint, run: RunFolder, clip_actions: Any, num_obs: int) -> dict[str, Any]:
    """Say how a policy drives a robot.

    Args:
        checkpoint: Its checkpoint.
        run: The folder that it lies in.
        clip_actions: The agent's setting of that name.
        num_obs: Size of the observation.

    Returns:
        ``control_period_s``, ``observation_clip``, ``observation_layout`` and ``action``; where the task says how,
        ``sensors``, ``robot`` and ``rules`` as well, else ``not_drivable`` with the reason.
    """
    stored = run.env_settings
    action: dict[str, Any] = {"clip_before_environment": clip_actions}
    found: dict[str, Any] = {"settings_from": OWN if "scene" in stored else DEFAULTS}
    config = task_config(run.task)
    if config is None:
        found["not_drivable"] = f"task {run.task} is not of a kind that tells how a robot is driven"
    else:
        action |= {
            "clip": [-1.0, 1.0],
            "note": "the environment clips to this range and maps it to joint targets as the task's page says",
        }
        found |= _driving(config, stored, run.task, _environment_state(checkpoint), num_obs)
    settings = found.pop("settings", stored)
    step, decimation = section(settings, "sim").get("dt"), settings.get("decimation")
    period = step * decimation if is_number(step) and is_number(decimation) else None
    return {
        "control_period_s": period,
        "control_rate_hz": 1.0 / period if period else None,
        "physics": {"engine": run.launch.get("physics") or run.manifest.get("physics"), "step_s": step},
        "observation_clip": settings.get("observation_clip"),
        **found,
        "action": {**action, **found.get("action", {})},
    }


def _driving(
    config: Any, stored: Mapping[str, Any], task: str | None, state: Mapping[str, Any], num_obs: int
) -> dict[str, Any]:
    """Let a task describe how a robot is driven, with the run's settings or else its own."""
    terms = _terms(config, num_obs)
    if terms is None:
        return {"not_drivable": f"no layout of task {task} has the {num_obs} observations of this policy"}
    settings = dict(stored)
    try:
        for last in (False, True):
            try:
                described = config.deployment(settings, terms, state)
                break
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                if last:
                    raise
                settings = _completed(stored, task)
    except UserError as error:
        return {"not_drivable": str(error), "observation_layout": _plain(terms), "settings": settings}
    except Exception as error:  # settings of an older version, or damaged ones
        why = f"the settings in the run's params cannot be read ({type(error).__name__}: {error})"
        return {"not_drivable": why, "observation_layout": _plain(terms)}
    if not described:
        why = f"task {task} does not tell how a robot is driven (docs/export.md)"
        return {"not_drivable": why, "observation_layout": _plain(terms)}
    return {**described, "settings": settings}


def _completed(stored: Mapping[str, Any], task: str | None) -> dict[str, Any]:
    """The task's settings, with those of a run in their place as far as it has them."""
    from isaaclab.utils import to_dict

    from cpo_lab.launch.resolution import apply_settings

    presets = ["presets=nucleus_assets"] if stored.get("assets") == "nucleus" else []
    config, _ = apply_settings(str(task), next(iter(_agents(task))), presets)
    defaults: dict[str, Any] = to_dict(config)
    whole = {name: value for name, value in stored.items() if name not in ("scene", "sim")}
    return {**defaults, **whole, **{n: {**defaults[n], **section(stored, n)} for n in ("scene", "sim")}}


def _agents(task: str | None) -> list[str]:
    from cpo_lab.launch.registry import agents_of, find_task

    return list(agents_of(find_task(str(task))).values())


def _terms(config: Any, num_obs: int) -> tuple[ObservationTerm, ...] | None:
    """The layout of a task that has as many observations as a policy."""
    from cpo_lab.tasks.layout import layout_size

    return next((terms for terms in config.layouts() if layout_size(terms) == num_obs), None)


def _plain(terms: tuple[ObservationTerm, ...]) -> list[dict[str, Any]]:
    from cpo_lab.tasks.layout import layout_slices

    starts = layout_slices(terms)
    return [
        {"name": t.name, "offset": starts[t.name].start, "size": t.size, "description": t.description, "unit": t.unit,
         "scale": t.scale}
        for t in terms
    ]  # fmt: skip


def task_config(task: str | None) -> Any:
    """The configuration class of one of our tasks, or of one made like ours; None for another or without Isaac Lab."""
    spec = tasks().get(task or "")
    if spec is None or str(spec.entry_point).startswith("isaaclab"):
        return None
    where = spec.kwargs.get("env_cfg_entry_point")
    try:
        if isinstance(where, str):
            module, _, name = where.partition(":")
            where = getattr(importlib.import_module(module), name)
        from cpo_lab.tasks.base_env import TaskEnvCfg
    except ImportError:  # no Isaac Lab on this machine
        return None
    return where if isinstance(where, type) and issubclass(where, TaskEnvCfg) else None


def _environment_state(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """What the environment itself kept in a checkpoint; empty if nothing."""
    ranks = checkpoint.runner.get("ranks")
    first = ranks[0] if isinstance(ranks, list | tuple) and ranks else {}
    return section(first, "env") if isinstance(first, Mapping) else {}


def section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of some settings, empty if it is not there or no table."""
    part = settings.get(name)
    return dict(part) if isinstance(part, Mapping) else {}
