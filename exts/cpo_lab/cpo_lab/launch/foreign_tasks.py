# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tasks of others: which engine they run on here, and what an ensemble cannot train or this machine cannot have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from cpo_rl import contracts
from cpo_rl.errors import UserError

CPU_NUM_ENVS = 252
"""Most environments on a CPU unless ``--num_envs`` says otherwise, as of our own tasks; a multiple of 6."""


def suited_engine(known: Collection[str], suited: str) -> str | None:
    """Return which of a task's engines to use where none was asked for; None where it offers no choice.

    Args:
        known: Names of the task's physics presets.
        suited: The engine that suits the device, which comes first; then the other one that needs no Isaac Sim, a
            Newton with another solver, and what may need it.
    """
    order = [suited, "newton_mjwarp", "ovphysx", *(name for name in known if name.startswith("newton")), *sorted(known)]
    return next((name for name in order if name in known), None)


def check_foreign(task: str, env_cfg: Any, agent_cfg: Any) -> None:
    """Refuse a task that an ensemble cannot train.

    Args:
        task: Its Gym id.
        env_cfg: Its environment configuration, presets chosen.
        agent_cfg: The agent's configuration, presets chosen.

    Raises:
        UserError: If its actions or observations are no vectors of numbers.
    """
    if contracts.num_policies(agent_cfg.algorithm) is None:
        return  # another algorithm may do more
    spaces = _spaces(env_cfg)
    for name in ("action_space", "action_spaces"):
        for space in spaces.get(name, ()):
            if not _is_vector(space):
                raise UserError(
                    f"Task {task} has discrete actions (env.{name}={space!r}), and an ensemble acts with numbers."
                )
    for name in ("observation_space", "observation_spaces"):
        for space in spaces.get(name, ()):
            if _is_image(space):
                raise UserError(
                    f"Task {task} observes images (env.{name}={space!r}), and an ensemble's network reads vectors."
                )


def _spaces(env_cfg: Any) -> dict[str, list[Any]]:
    """Return the spaces that a direct task's configuration states; those of agents one by one."""
    found: dict[str, list[Any]] = {}
    for name in ("action_space", "observation_space"):
        value = vars(env_cfg).get(name)
        found[name] = [] if value is None else [value]
        several = vars(env_cfg).get(f"{name}s")
        found[f"{name}s"] = list(several.values()) if isinstance(several, Mapping) else []
    return found


def _is_vector(space: Any) -> bool:
    """Whether actions are a vector of numbers: a size, a shape or a box; a set or a list of sets counts choices."""
    if isinstance(space, set | frozenset) or type(space).__name__ in ("Discrete", "MultiDiscrete", "MultiBinary"):
        return False
    if isinstance(space, list | tuple):
        return all(not isinstance(entry, set | frozenset) for entry in space)
    return True


def _is_image(space: Any) -> bool:
    """Whether observations have a height and a width."""
    shape = space if isinstance(space, list | tuple) else getattr(space, "shape", None) or ()
    return len(shape) > 1 and all(isinstance(size, int) for size in shape)


def told_derivation(agent_cfg: Any) -> dict[str, str]:
    """Return what to tell about settings that were derived from the task's PPO: heading to text; empty for others.

    Args:
        agent_cfg: The agent's configuration.
    """
    source = vars(agent_cfg).get("derived_from")
    if not source:
        return {}
    model, learner = agent_cfg.model, agent_cfg.algorithm
    network = f"{list(model.hidden_dims)} {model.activation}"
    if model.rnn_type != "none":
        network = f"{model.rnn_type} of {model.rnn_hidden_dim} and {network}"
    parts = [
        f"network {network}",
        f"observations {'' if model.normalize_observations else 'not '}normalized",
        f"actor reads {', '.join(agent_cfg.obs_groups['actor'])}",
        f"critic reads {', '.join(agent_cfg.obs_groups['critic'])}",
        f"{agent_cfg.num_steps_per_env} steps",
        f"{learner.num_learning_epochs} passes",
        f"learning rate {learner.learning_rate:g} {learner.learning_rate_schedule}",
        f"desired KL {learner.desired_kl:g}",
        f"gamma {learner.gamma:g}",
        f"lambda {learner.lam:g}",
        f"clip {learner.clip_param:g}",
        f"entropy {learner.entropy_coef:g}",
    ]
    told = {"settings": f"taken from the task's PPO ({source}): {', '.join(parts)}"}
    if agent_cfg.derived_otherwise:
        told["otherwise"] = "; ".join(agent_cfg.derived_otherwise)
    return told


# -- files -------------------------------------------------------------------------------------------------------------


def check_foreign_files(env_cfg: Any) -> None:
    """Check that the files that an environment is built from are there.

    Raises:
        UserError: Naming the setting, the file, why it cannot be had and what helps.
    """
    from cpo_lab.assets.availability import check_paths

    check_paths(sorted(set(needed_files(env_cfg, "env"))), "go online")


_NEEDED = ("usd_path", "network_file", "file_path", "urdf_path")
"""Fields that name a file without which nothing can be built."""


def needed_files(node: Any, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the files that a configuration names and that are needed to build what it describes.

    Markers that a viewer draws and textures are left out: without them everything can be built.

    Args:
        node: The configuration.
        path: Where it stands, such as ``env``.
        depth: How deep that is.

    Yields:
        Setting that names the file, and the path or URL.
    """
    if depth > 12:
        return
    if is_dataclass(node) and not isinstance(node, type):
        for name, value in vars(node).items():
            if name in _NEEDED and isinstance(value, str) and value:
                yield f"{path}.{name}", value
            elif "visualizer" not in name and "marker" not in name:
                yield from needed_files(value, f"{path}.{name}", depth + 1)
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from needed_files(value, f"{path}.{name}", depth + 1)
    elif isinstance(node, list | tuple) and not (node and isinstance(node[0], int | float)):
        for index, value in enumerate(node):
            if isinstance(value, str) and path.endswith(_NEEDED):
                yield f"{path}.{index}", value
            else:
                yield from needed_files(value, f"{path}.{index}", depth + 1)
