# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From a checkpoint to its policies in a running environment; play and evaluate share these steps."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from cpo_lab.cli import run_request as runs
from cpo_lab.cli.launch import Request, Resolved, resolve
from cpo_lab.cli.parser import CommandParser, positive_int, resolve_device, seed_int
from cpo_rl.errors import UserError


def add_run_options(parser: CommandParser) -> None:
    """Add the options that replace what the run folder says: task, agent, device, engine, seed, log root."""
    parser.add_argument("--seed", type=seed_int, metavar="S", help="seed (default: the run's)")
    parser.add_argument("--task", help="task (default: the run's)")
    parser.add_argument("--agent", help="agent (default: the run's)")
    parser.add_argument("--device", help="cpu, cuda or cuda:<index> (default: the first GPU if there is one)")
    parser.add_argument("--physics", metavar="NAME", help="physics engine (default: the run's, if it suits the device)")
    parser.add_argument(
        "--log_root", default=runs.LOG_ROOT, metavar="DIR", help=f"folder of all runs (default: {runs.LOG_ROOT})"
    )
    parser.add_argument(
        "--force", action="store_true", help="load a checkpoint of another task, robot or layout as far as it fits"
    )
    parser.add_argument("--num_envs", type=positive_int, metavar="N", help="environments, a multiple of the policies")


def resolve_trained(
    args: Namespace, overrides: list[str], checkpoint: Path, *, play_mode: bool, num_envs: int | None = None
) -> Resolved:
    """Return the configurations of the run behind a checkpoint.

    Args:
        args: Parsed arguments with the options of :func:`add_run_options`.
        overrides: Settings the user added.
        checkpoint: The checkpoint.
        play_mode: Whether the environment's settings for playing replace those for training.
        num_envs: Environments when ``--num_envs`` was not given; None takes one per policy.

    Raises:
        UserError: If the run and the arguments do not fit together.
    """
    trained = runs.Run.read(checkpoint.parent)
    before = trained.request(None if args.force and trained.task else args.task, args.agent)
    if args.force and args.task not in (None, before.task):  # the other task's settings mean nothing here
        before = replace(before, task=args.task, overrides=[])
    elif not args.force:
        runs.check_identity_of(checkpoint, before.task)
    device = resolve_device(args.device)
    same_kind = (before.device or device).split(":")[0] == device.split(":")[0]
    names_physics = any(override.startswith("physics=") for override in overrides)
    request: Request = replace(
        before,
        device=device,
        physics=args.physics or (before.physics if same_kind and not names_physics else None),
        num_envs=None,  # a training run's checks of its batch do not apply here
        seed=args.seed if args.seed is not None else before.seed,
        overrides=[*before.overrides, *overrides],
    )
    resolved = resolve(request, play_mode=play_mode)
    runs.restore_agent(trained, resolved.agent_cfg)
    _allocate_little(resolved.agent_cfg.algorithm)
    if args.num_envs is not None and args.num_envs % resolved.num_policies:
        raise UserError(
            f"--num_envs {args.num_envs} must be a multiple of the {resolved.num_policies} policies of the checkpoint."
        )
    resolved.env_cfg.scene.num_envs = args.num_envs or num_envs or resolved.num_policies
    return resolved


def load_policy(env: Any, resolved: Resolved, checkpoint: Path, *, force: bool = False) -> Any:
    """Return the actor-critic of a checkpoint.

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
    return runner.alg.get_policy()


def _allocate_little(algorithm: Any) -> None:
    """Shrink what an ensemble allocates for learning, which acting does not use; changes the settings."""
    from cpo_rl.config import EnsembleCfg

    if isinstance(algorithm, EnsembleCfg):
        algorithm.num_mini_batches = algorithm.discriminator_mini_batches = 1
