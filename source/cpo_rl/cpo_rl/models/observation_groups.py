# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Which observation groups of an environment the actor reads, and which the critic."""

from __future__ import annotations

from collections.abc import Mapping

from tensordict import TensorDict

from cpo_rl.errors import UserError


def groups_to_read(obs_groups: Mapping[str, list[str]] | None, obs: TensorDict) -> tuple[list[str], list[str]]:
    """Observation groups that actor and critic concatenate.

    Args:
        obs_groups: The runner's setting: groups of the set ``actor``, ``["policy"]`` if it names none, and of the set
            ``critic``, those of the actor if it names none.
        obs: Observations by group.

    Returns:
        The actor's groups, and the critic's; the latter empty if it reads what the actor reads.

    Raises:
        UserError: If a set is named that the model does not read, a group that the environment does not give, or one
            that is no matrix of numbers.
    """
    sets = obs_groups or {}
    unread = [name for name in sets if name not in ("actor", "critic")]
    if unread:
        raise UserError(f"obs_groups names {unread[0]!r}, but the model reads 'actor' and 'critic'; leave it out.")
    actor = list(sets.get("actor") or ["policy"])
    critic = list(sets.get("critic") or actor)
    missing = [name for name in (*actor, *critic) if name not in obs.keys()]  # noqa: SIM118  (a TensorDict is no mapping)
    if missing:
        raise UserError(f"obs_groups names {missing[0]!r}, but the environment gives {', '.join(obs.keys())}.")
    for name in (*actor, *critic):
        if not (obs[name].dim() == 2 and obs[name].is_floating_point()):
            raise UserError(
                f"observation group {name!r} must hold a row of floating point numbers per environment, not "
                f"{str(obs[name].dtype).removeprefix('torch.')} of shape {list(obs[name].shape)}; leave it out of "
                "obs_groups."
            )
    return actor, [] if critic == actor else critic
