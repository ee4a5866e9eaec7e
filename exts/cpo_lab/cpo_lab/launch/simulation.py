# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Starting and ending what a configuration describes, through Isaac Lab's own entry points."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cpo_lab.launch.configuration import Resolved
from cpo_rl.contracts import EnvironmentSettings
from cpo_rl.errors import UserError

_log = logging.getLogger(__name__)


class _Ending:
    """How the simulation of this process ends."""

    status = 0
    """Exit status of the command."""


class _Left(SystemExit):
    """Leaves the launcher's block with a status, which it hands to Isaac Sim's app."""


@contextmanager
def simulation(resolved: Resolved, launcher: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Run the engine that the configuration needs; Isaac Sim's app only if physics or a viewer asks for it.

    Leaving Isaac Sim's app ends the process. So the body prints and writes all there is to say, and tells its status
    with :func:`end_with`; what comes after it is reached without that app only.

    Args:
        resolved: Configurations from :func:`resolve`.
        launcher: Arguments of Isaac Lab's launcher besides the device, such as ``visualizer``, a list of viewers (None
            for those of the configuration); without any, nothing is shown.

    Raises:
        UserError: What the body raised, without the launcher's traceback; its sentence was printed already.
    """
    from isaaclab.app import launch_simulation

    correctable: UserError | None = None
    _Ending.status = 0
    try:
        arguments = {"device": resolved.request.device, "visualizer": [], **(launcher or {})}
        with launch_simulation(resolved.env_cfg, arguments):
            try:
                yield
            except UserError as error:
                correctable, _Ending.status = error, 2
                tell(error)
            sys.stdout.flush()
            sys.stderr.flush()
            if _Ending.status:
                raise _Left(_Ending.status)
    except _Left:
        pass
    if correctable is not None:
        raise correctable


def end_with(status: int) -> int:
    """Set the exit status that the process gets if it ends with Isaac Sim's app; for the body of :func:`simulation`.

    Args:
        status: The status.

    Returns:
        The same, for the command to return.
    """
    _Ending.status = status
    return status


def tell(error: UserError) -> None:
    """Print the sentence of an error, unless that was done."""
    if not error.told:
        sys.stderr.write(f"cpo-lab: {error}\n")
        error.told = True


@contextmanager
def make_env(resolved: Resolved) -> Iterator[Any]:
    """Create the task's environment, wrapped for rsl_rl, and close it at the end.

    Raises:
        UserError: If it cannot be built and settings of it were changed, which kinds and ranges cannot rule out: an
            engine may refuse what every field by itself allows.
    """
    import gymnasium
    from isaaclab_rl.entrypoints.common import close_env
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

    if EnvironmentSettings(resolved.env_cfg).cpu_num_envs is None:  # a task that does not suit the machine itself
        _suit_machine(resolved)
    try:
        env = _single_agent(gymnasium.make(resolved.request.task, cfg=resolved.env_cfg))
    except UserError:
        raise
    except Exception as error:
        changed = [token for token in resolved.request.overrides if token.startswith("env.")]
        if not changed:
            raise  # nothing that was asked for; where it happened is what helps
        _log.debug("The environment could not be built.", exc_info=True)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"The environment cannot be built with {', '.join(changed)} ({reason}); correct or leave out one of them."
        ) from None
    try:
        yield RslRlVecEnvWrapper(env, clip_actions=resolved.agent_cfg.clip_actions)
    finally:
        close_env(env)


def _suit_machine(resolved: Resolved) -> None:
    """Do for tasks of others what ours do themselves: threads, and memory where there is no CUDA driver."""
    from cpo_lab.physics.defaults import limit_torch_threads
    from cpo_lab.physics.no_cuda import allow_pinned_without_cuda

    allow_pinned_without_cuda()
    for line in limit_torch_threads(resolved.request.device or "cpu"):
        _log.warning(line)


def _single_agent(env: Any) -> Any:
    """Return an environment of several agents as one of a single agent, as Isaac Lab's launcher does."""
    from isaaclab.envs import DirectMARLEnvCfg, multi_agent_to_single_agent

    return multi_agent_to_single_agent(env) if isinstance(env.unwrapped.cfg, DirectMARLEnvCfg) else env
