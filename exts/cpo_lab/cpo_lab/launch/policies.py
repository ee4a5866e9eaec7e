# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From a checkpoint to its policies in a running environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cpo_lab.launch.configuration import Request, Resolved, resolve
from cpo_lab.launch.machine import resolve_device
from cpo_lab.launch.options import take_options
from cpo_lab.launch.settings import names_of
from cpo_rl.contracts import num_policies
from cpo_rl.errors import UserError
from cpo_rl.runs.compatibility import check_task_of
from cpo_rl.runs.folder import RunFolder


@dataclass
class Changes:
    """What replaces what a run's folder says; None keeps it."""

    task: str | None = None
    """Gym id of the task."""

    agent: str | None = None
    """Short name or registration key of the agent."""

    device: str | None = None
    """``cpu``, ``cuda`` or ``cuda:<index>``; None takes the first GPU if there is one."""

    physics: str | None = None
    """Name of a physics preset; None takes the run's, if it suits the device."""

    num_envs: int | None = None
    """Number of environments, a multiple of the policies; None takes one per policy."""

    seed: int | None = None
    """Seed of everything random, at least 0."""

    force: bool = False
    """Whether a checkpoint of another task, robot or layout is loaded as far as it fits."""

    overrides: list[str] = field(default_factory=list)
    """Further settings such as ``env.episode_length_s=5``."""

    trust: bool = False
    """Whether the run may name code and places to write to."""


class OnePolicy:
    """A policy of rsl_rl's kind, called as an ensemble's are.

    Args:
        policy: The model, which would take ids for the masks of a padded batch.
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def __call__(self, observations: Any, ids: Any = None, stochastic_output: bool = False) -> Any:
        """Act; the ids [N] of the policies name nothing."""
        return self.policy(observations, stochastic_output=stochastic_output)

    def eval(self) -> None:
        """Switch the model to evaluation."""
        self.policy.eval()

    def reset(self, dones: Any = None) -> None:
        """Forget what a recurrent model remembers of finished environments, [N], or of all."""
        self.policy.reset(dones)


def assumption(resolved: Resolved, checkpoint: Path, given: Sequence[str]) -> str | None:
    """Return what had to be assumed about the networks in a checkpoint, a sentence, or None.

    Args:
        resolved: Configurations that it is loaded into.
        checkpoint: The checkpoint.
        given: Settings that the user gave.
    """
    from cpo_rl.runs.find import sidecar_of

    run = RunFolder.read(checkpoint.parent)
    if run.launch or run.settings or sidecar_of(checkpoint) or "agent.actor.activation" in names_of(given):
        return None
    activation = resolved.agent_cfg.actor.activation
    return (
        f"{checkpoint.name} is alone and does not name its activation; {activation}, that of agent "
        f"{resolved.request.agent}, is assumed (agent.actor.activation=NAME says another)."
    )


def resolve_trained(checkpoint: Path, changes: Changes, *, play_mode: bool) -> Resolved:
    """Return the configurations of the run behind a checkpoint.

    Args:
        checkpoint: The checkpoint.
        changes: What replaces what the run's folder says.
        play_mode: Whether the environment's settings for playing replace those for training.

    Raises:
        UserError: If the run and the changes do not fit together.
    """
    given = {name: getattr(changes, name) for name in ("device", "num_envs", "seed")}
    options, settings = take_options(changes.overrides, given)
    changes = replace(changes, overrides=settings, **{name: options.pop(name, None) for name in given})
    if options:
        raise UserError("Setting agent.algorithm.num_policies cannot change for a checkpoint; leave it out.")
    trained = RunFolder.read(checkpoint.parent)
    task = None if changes.force and trained.task else changes.task
    before = Request.of_run(trained, task, changes.agent, checkpoint, trust=changes.trust, replaced=changes.overrides)
    if changes.force and changes.task not in (None, before.task):  # the other task's settings mean nothing here
        before = replace(before, task=changes.task, overrides=[])
    elif not changes.force:
        check_task_of(checkpoint, before.task)
    device = resolve_device(changes.device)
    same_kind = (before.device or device).split(":")[0] == device.split(":")[0]
    keeps_physics = same_kind and "physics" not in names_of(changes.overrides)
    request: Request = replace(
        before,
        device=device,
        physics=changes.physics or (before.physics if keeps_physics else None),
        num_envs=None,  # a training run's checks of its batch do not apply here
        seed=changes.seed if changes.seed is not None else before.seed,
        overrides=[*before.overrides, *changes.overrides],
    )
    resolved = resolve(request, play_mode=play_mode)
    _allocate_little(resolved.agent_cfg.algorithm)
    if changes.num_envs is not None and changes.num_envs % resolved.num_policies:
        raise UserError(
            f"--num_envs {changes.num_envs} must be a multiple of the {resolved.num_policies} policies of the "
            "checkpoint."
        )
    resolved.env_cfg.scene.num_envs = changes.num_envs or resolved.num_policies
    return resolved


def load_policy(env: Any, resolved: Resolved, checkpoint: Path, *, force: bool = False) -> Any:
    """Return what acts of a checkpoint: an ensemble's actor-critic, or one policy called like it.

    Args:
        env: Running rsl_rl environment of the checkpoint's task.
        resolved: Configurations of the checkpoint's run.
        checkpoint: The checkpoint.
        force: Load a checkpoint of another task, robot or observation layout as far as it fits.
    """
    from isaaclab.utils import to_dict
    from isaaclab_rl.rsl_rl import check_rsl_rl_version, handle_deprecated_rsl_rl_cfg

    from cpo_rl.runners import EnsembleRunner

    cfg = handle_deprecated_rsl_rl_cfg(resolved.agent_cfg, check_rsl_rl_version())
    runner = EnsembleRunner(env, to_dict(cfg), log_dir=None, device=cfg.device, task=resolved.request.task)
    runner.load(str(checkpoint), load_cfg={"actor": True, "critic": True}, force=force)
    policy = runner.alg.get_policy()
    return OnePolicy(policy) if num_policies(runner.offers.cfg) is None else policy


def _allocate_little(algorithm: Any) -> None:
    """Shrink what an ensemble allocates for learning, which acting does not use; changes the settings."""
    from cpo_rl.config import EnsembleCfg

    if isinstance(algorithm, EnsembleCfg):
        algorithm.num_mini_batches = algorithm.discriminator_mini_batches = 1
