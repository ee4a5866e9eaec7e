# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a checkpoint belongs to, and refusing the checkpoint of another task, robot or observation layout."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from cpo_rl.contracts import Environment
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import manifest_path
from cpo_rl.runs.files import read_json
from cpo_rl.runs.folder import plain_task

ADVISORY = ("assets",)
"""Entries whose difference is reported but refuses nothing."""

_LABELS = {
    "num_actions": "number of actions",
    "observations": "observation layout",
    "num_policies": "number of policies",
    "assets": "robot and object files",
}


def env_identity(env: Any, observations: Mapping[str, Any], task: str | None, num_policies: int) -> dict[str, Any]:
    """Return what a checkpoint of this run belongs to.

    Args:
        env: The vectorized environment; :class:`~cpo_rl.contracts.Environment` says how it names its task and what it
            may add, such as ``robot``, ``observation_order``, and ``assets``, which is only reported when it differs.
        observations: One observation of it: group name to tensor [N, ...].
        task: Gym id, when the caller knows it better than the environment.
        num_policies: Policies M of the ensemble.
    """
    offered = Environment(env)
    identity: dict[str, Any] = {
        "task": plain_task(task or offered.task),
        "num_actions": int(env.num_actions),
        "observations": {str(name): list(value.shape[1:]) for name, value in sorted(observations.items())},
        "num_policies": num_policies,
    }
    return identity | offered.fingerprint()


def differences(stored: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return one phrase per entry that both name and that differs."""
    return [
        f"{_LABELS.get(key, key)} {stored[key]!r} instead of {current[key]!r}"
        for key in stored
        if key in current and stored[key] != current[key]
    ]


def check_identity(
    stored: Mapping[str, Any], current: Mapping[str, Any], name: str, *, force: bool = False
) -> list[str]:
    """Refuse a checkpoint that belongs to something else.

    Args:
        stored: Identity kept in the checkpoint; empty when it keeps none (rsl_rl's own).
        current: Identity of this run.
        name: What to call the file in messages.
        force: Load it regardless.

    Returns:
        The differences that may pass: those in :data:`ADVISORY`, and all with ``force``.

    Raises:
        UserError: If something else differs and ``force`` is not set, naming the differences.
    """
    binding = {key: value for key, value in stored.items() if key not in ADVISORY}
    found = differences(binding, current)
    if found and not force:
        raise UserError(f"{name} was trained with {', '.join(found)}; choose another checkpoint or add --force.")
    return differences(stored, current)


def check_task_of(checkpoint: str | os.PathLike[str], task: str, num_policies: int | None = None) -> None:
    """Refuse a checkpoint whose sidecar names another task or ensemble, before anything heavy is started.

    Args:
        checkpoint: The ``.pt`` file; one without a readable sidecar passes.
        task: Gym id.
        num_policies: Policies that are to be trained; None takes any.

    Raises:
        UserError: If it does.
    """
    identity: Any = None
    with contextlib.suppress(OSError, ValueError):
        identity = read_json(manifest_path(checkpoint)).get("identity")
    known = identity if isinstance(identity, dict) else {}
    if known.get("task") not in (None, plain_task(task)):
        raise UserError(
            f"Checkpoint {str(checkpoint)!r} was trained on task {known['task']!r}, not on {task!r}; choose another."
        )
    if num_policies is not None and known.get("num_policies") not in (None, num_policies):
        raise UserError(
            f"Checkpoint {str(checkpoint)!r} holds {known['num_policies']!r} policies, which cannot become "
            f"{num_policies}; leave that out, or start a new run from its weights with --init_from."
        )
