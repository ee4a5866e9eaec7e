# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an environment's first step returns, checked once: what is wrong is named, and later steps cost nothing.

rsl_rl and the algorithms index, add and concatenate what a step returns; a list where a tensor belongs ends there in an
error that names neither the key nor the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from cpo_rl.errors import UserError
from cpo_rl.runners.extras import number, reported


@contextmanager
def first_step_checked(env: Any, sizes: Mapping[str, list[int]]) -> Iterator[None]:
    """Check the first step that an environment takes in here.

    Args:
        env: rsl_rl environment; its method ``step`` is replaced until the first call.
        sizes: Shape of an observation at the start without its first dimension, by group.
    """
    step, own = env.step, vars(env).get("step")

    def put_back() -> None:
        if vars(env).get("step") is checked:
            vars(env).pop("step")
            if own is not None:
                env.step = own

    def checked(actions: Any) -> Any:
        put_back()
        result = step(actions)
        check_step(result, env.num_envs, sizes)
        return result

    env.step = checked
    try:
        yield
    finally:
        put_back()


def check_step(result: Any, num_envs: int, sizes: Mapping[str, list[int]]) -> None:
    """Check what a step returned.

    Args:
        result: Observations, rewards, dones and extras.
        num_envs: Environments N.
        sizes: Shape of an observation at the start without its first dimension, by group.

    Raises:
        UserError: Naming the first part or key that is not what rsl_rl, the runner and the algorithms read.
    """
    if not (isinstance(result, tuple | list) and len(result) == 4):
        raise UserError("The environment's step() must return four things: observations, rewards, dones and extras.")
    obs, rewards, dones, extras = result
    _check_observations(obs, num_envs, sizes)
    for name, value in (("rewards", rewards), ("dones", dones)):
        if not (isinstance(value, torch.Tensor) and value.shape == (num_envs,)):
            raise _refusal(f"{name} of step()", num_envs, value)
    if not isinstance(extras, Mapping):
        raise UserError(f"The environment's extras must be a dictionary, not a {type(extras).__name__}.")
    for key in ("time_outs", "quarantined", "idle"):
        if key in extras and not (key != "time_outs" and extras[key] is None):
            _check_per_env(f"extras[{key!r}]", extras[key], num_envs, exactly=True)
    for key in ("quarantine_reasons", "episode_metrics"):
        found = extras.get(key)
        if found is not None and not isinstance(found, Mapping):
            raise UserError(f"The environment's extras[{key!r}] must be a dictionary of tensors by name.")
        for name, value in (found or {}).items():
            _check_per_env(f"extras[{key!r}][{name!r}]", value, num_envs)
    if extras.get("final_observations") is not None:
        _check_observations(extras["final_observations"], num_envs, sizes, "extras['final_observations']")
    for name, value in reported(extras).items():
        number(name, value)


def _check_observations(
    obs: Any, num_envs: int, sizes: Mapping[str, list[int]], what: str = "observations of step()"
) -> None:
    """Refuse observations that have other groups or sizes than those at the start."""
    groups = set(obs.keys()) if isinstance(obs, Mapping) or "keys" in dir(obs) else set()
    for name, size in sizes.items():
        if name not in groups:
            raise UserError(f"The {what} lack the group {name!r}, which those at the start have.")
        if list(obs[name].shape) != [num_envs, *size]:
            raise UserError(
                f"The {what} in group {name!r} have the shape {list(obs[name].shape)}, and not "
                f"{[num_envs, *size]} as at the start."
            )


def _check_per_env(what: str, value: Any, num_envs: int, *, exactly: bool = False) -> None:
    fits = isinstance(value, torch.Tensor) and value.dim() >= 1 and value.shape[0] == num_envs
    if not fits or (exactly and value.dim() != 1):
        raise _refusal(what, num_envs, value)


def _refusal(what: str, num_envs: int, value: Any) -> UserError:
    found = f"shape {list(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
    return UserError(
        f"The environment's {what} must be a tensor with one entry per environment, [{num_envs}], not {found}."
    )
