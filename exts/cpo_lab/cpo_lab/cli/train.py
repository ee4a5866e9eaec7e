# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab train``: train an ensemble of policies.

Does what ``isaaclab train --rl_library rsl_rl`` does, with :class:`cpo_rl.runners.EnsembleRunner` in place of rsl_rl's
runner, sizes chosen for the machine, and every mistake reported before the simulator starts.
"""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from cpo_lab.cli.parser import SHARED, CommandParser, add_screen_options, logger_settings, positive_int, run_name
from cpo_lab.cli.pbt_member import PopulationMember, add_options, take_member
from cpo_lab.launch.chatter import startup_output
from cpo_lab.launch.configuration import Resolved, resolve, suit_cpu, unequal_objects
from cpo_lab.launch.continuation import (
    asked_of_algorithm,
    keep_names,
    refuse_what_stays,
    request_of,
    total_iterations,
)
from cpo_lab.launch.ending import told_end
from cpo_lab.launch.foreign_tasks import told_derivation
from cpo_lab.launch.machine import check_folder
from cpo_lab.launch.options import ITERATIONS, take_options
from cpo_lab.launch.ranks import Rank
from cpo_lab.launch.registry import DEFAULT_AGENT, DEFAULT_TASK, find_task, public_key
from cpo_lab.launch.run_place import (
    AUTO,
    Beginning,
    RunPlace,
    ancestor_of,
    choose_place,
    find_beginning,
    ray_lines,
    reasons_for_another_run,
)
from cpo_lab.launch.settings import names_of
from cpo_lab.launch.simulation import end_with, make_env, simulation
from cpo_lab.viewing.screen import Screen, screen_of
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoints import iteration_of
from cpo_rl.runs.compatibility import check_task_of
from cpo_rl.runs.folder import RunFolder

_EPILOG = """\
settings:
  physics=NAME                 engine: newton_mjwarp, ovphysx, isaacsim_physx
                               (cpo-lab list --task shows a task's)
  presets=nucleus_assets       NVIDIA's hand in place of ours
  env.FIELD=VALUE              any field of the environment, for example
                               env.success_tolerance=0.4
  agent.algorithm.FIELD=VALUE  any field of the algorithm, for example
                               agent.algorithm.awac_coef=0.002
  agent.model.FIELD=VALUE      any field of the network, for example
                               agent.model.hidden_dims=[256,128]

examples:
  cpo-lab train                       Shadow Hand, CPO, sized for this machine
  cpo-lab train --agent sapg --iterations 100 --seed 3
  cpo-lab train --num_policies 4 --num_envs 128 --run_name small
  cpo-lab train --resume latest       continue the newest run to its end
  cpo-lab train --resume latest --iterations 2000
  cpo-lab train --task T2 --init_from logs/rsl_rl/T1/RUN:best   from its weights
  cpo-lab train --device cuda:1 --physics newton_mjwarp

four GPUs, 6144 environments on each:
  torchrun --nproc_per_node 4 scripts/train.py \\
      --log_dir logs/rsl_rl/hand/four --num_envs 6144

The run folder, logs/rsl_rl/<experiment>/<time>[_<run name>], holds checkpoints,
metrics.csv, TensorBoard events and the configuration."""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab train", description="Train an ensemble of policies on a task.", epilog=_EPILOG)
    parser.add_shared("--task", help=f"task id (default: {DEFAULT_TASK})")
    parser.add_shared("--agent", help=f"{SHARED['--agent']['help']} (default: {DEFAULT_AGENT})")
    parser.add_shared("--num_envs", help=f"{SHARED['--num_envs']['help']} (default: suits the device)")
    parser.add_argument(
        "--num_policies",
        type=positive_int,
        metavar="M",
        help="policies of the ensemble (default: the agent's, 6 for cpo)",
    )
    parser.add_argument(
        "--iterations",
        "--max_iterations",
        type=positive_int,
        metavar="I",
        help="iterations of the run in all, also when resumed (default: the agent's; 1000 on the CPU)",
    )
    parser.add_shared("--seed", help="seed of everything random (default: the agent's)")
    parser.add_shared("--device")
    parser.add_shared("--physics")
    parser.add_argument(
        "--resume",
        "--checkpoint",
        metavar="WHAT",
        help="continue a run: latest, best, a run folder, a checkpoint file, or auto (latest if there is one)",
    )
    parser.add_shared("--init_from")
    parser.add_shared("--trust")
    parser.add_shared("--force", help="resume a checkpoint of another task, robot or layout as far as it fits")
    parser.add_argument(
        "--run_name", type=run_name, default="", metavar="NAME", help="added to the name of the run folder"
    )
    parser.add_shared("--log_root")
    parser.add_argument(
        "--log_dir", metavar="DIR", help="exact run folder, for jobs that are started again (with --resume auto)"
    )
    parser.add_argument(
        "--move_aside", action="store_true", help="rename a --log_dir whose records cannot be continued, and start anew"
    )
    for name in ("--logger", "--log_project_name", "--verbose"):
        parser.add_shared(name)
    add_screen_options(parser, films=True)
    add_options(parser)
    return parser


@dataclass
class Plan:
    """A run that was checked and can start."""

    resolved: Resolved
    """What to run."""

    place: RunPlace
    """The folder it is written into."""

    checkpoint: Path | None
    """Checkpoint to continue from."""

    weights: Path | None
    """Checkpoint whose weights a new run begins with."""

    found: str
    """What ``--resume auto`` found and does, a sentence without its end."""

    screen: Screen
    """Viewers and films."""

    force: bool
    """Whether the checkpoint of something else is loaded as far as it fits."""

    member: PopulationMember | None
    """Place in a population, if it is part of one."""

    verbose: bool
    """Whether what the engine prints while it starts is shown."""

    asked: list[str]
    """Fields of the algorithm's settings that act although the checkpoint brings a value of its own."""

    @property
    def log_dir(self) -> Path | None:
        """The run folder; None for a new one that is not made yet."""
        return self.place.folder


def run(argv: list[str]) -> int:
    """Train as the arguments say.

    Raises:
        UserError: On input that the user can correct, before the simulator starts.
    """
    plan = make_plan(argv)
    if plan is None:
        return 0
    with contextlib.ExitStack() as stack:
        if plan.member:
            plan.member.join(plan.resolved)
        stack.enter_context(plan.place.own())
        stack.callback(plan.place.tidy)
        if plan.place.has_changed:  # another process trained there until now
            before, plan = plan.log_dir, make_plan(argv)
            if plan is None:
                return 0
            if plan.log_dir != before:
                raise UserError(f"The run in {str(before)!r} changed during the start; give the command again.")
        stack.enter_context(plan.place.clear())
        rank, resolved = Rank.of_this_process(), plan.resolved
        if rank.is_first:
            _show(plan)
        number = rank.rank + (plan.member.index if plan.member else 0)
        # or all processes and members would meet the same goals and noise
        resolved.agent_cfg.seed = resolved.env_cfg.seed = resolved.agent_cfg.seed + number
        return _train(plan)


def make_plan(argv: list[str]) -> Plan | None:
    """Check the arguments and make the configuration they ask for; nothing is made or written.

    Returns:
        The run, or None if a run that is to be continued automatically has all its iterations, which is said.

    Raises:
        UserError: On input that the user can correct.
    """
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    member, rest = take_member(args, rest)
    given = [*parser.settings_among(rest), *logger_settings(args)]
    taken, overrides = take_options(given, {"iterations": args.iterations}, ITERATIONS)
    args.iterations = taken.get("iterations")
    begin = find_beginning(args.resume, args.log_dir, args.log_root, args.task, args.init_from, args.move_aside)
    checkpoint = begin.checkpoint
    if args.move_aside and not args.log_dir:
        raise UserError("--move_aside needs --log_dir, the folder whose records are put aside.")
    rank = Rank.of_this_process()
    request = request_of(args, overrides, checkpoint)
    if rank.several:  # the GPU of a continued run's first process is not that of the others
        request.device = rank.device(args.device or ("cpu" if request.device == "cpu" else None))
    find_task(request.task)
    screen = screen_of(args)
    if not rank.is_first:  # all would write the same files
        screen.video = None
    log_root = check_folder(args.log_dir or args.log_root, "--log_dir" if args.log_dir else "--log_root")

    resolved = resolve(request)
    screen.give(resolved.env_cfg, resolved.request.physics)
    from cpo_rl.runners.online_log import check_logger  # torch, which mistyped input need not wait for

    cfg = resolved.agent_cfg
    if args.run_name:
        cfg.run_name = args.run_name
    check_logger(vars(cfg))
    suit_cpu(resolved)
    cfg.max_iterations = total_iterations(args, cfg.max_iterations, checkpoint)
    if checkpoint is not None:
        if not args.force:
            check_task_of(checkpoint, request.task, resolved.num_policies)
        refuse_what_stays(checkpoint, resolved, overrides, member.mutated() if member else ())
    if checkpoint is not None and args.resume == AUTO and iteration_of(checkpoint) >= cfg.max_iterations:
        Console().print(
            f"--resume auto found {checkpoint}, which has all {cfg.max_iterations} iterations: nothing to do.",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        return None
    place = _place(args, begin, resolved, log_root, member)
    if checkpoint is not None and place.continues:
        keep_names(checkpoint, resolved, args.run_name, overrides)
    if member is not None:
        resolved.chosen += member.complete(resolved)
    # a command that is given again and again by a scheduler asks for the same; only what differs is meant
    asked = asked_of_algorithm(overrides) if args.resume != AUTO else []
    found = begin.told(place)
    return Plan(resolved, place, checkpoint, begin.weights, found, screen, args.force, member, args.verbose, asked)


def _place(
    args: argparse.Namespace, begin: Beginning, resolved: Resolved, log_root: Path, member: PopulationMember | None
) -> RunPlace:
    """Return the folder that the run is written into: that of the run it continues, unless it becomes another one."""
    reasons = []
    run = RunFolder.read(begin.checkpoint.parent) if begin.checkpoint is not None else None
    if run is not None and run.is_known:
        algorithm = member.label(resolved.algorithm) if member else resolved.algorithm
        reasons = reasons_for_another_run(run, resolved, algorithm)
    new = RunPlace(None, log_root, resolved.agent_cfg.experiment_name, args.run_name)
    named = log_root if args.log_dir else None
    return choose_place(begin, reasons, named, new, may_move=args.move_aside)


def _show(plan: Plan) -> None:
    """Tell what will run and what of it was chosen automatically."""
    resolved = plan.resolved
    request, cfg, policies = resolved.request, resolved.agent_cfg, resolved.num_policies
    num_envs = request.num_envs or 0
    rows = {
        "task": request.task,
        "agent": f"{resolved.algorithm}, {policies} {'policy' if policies == 1 else 'policies'}",
        "num_envs": f"{num_envs}, {num_envs // policies} per policy",
        "iterations": f"{cfg.max_iterations} of {cfg.num_steps_per_env * num_envs} transitions",
        "device": request.device,
        "physics": request.physics or "the task's own",
        "seed": request.seed,
        "run folder": plan.log_dir,
        **told_derivation(cfg),
    }
    if plan.member is not None:
        rows["population"] = str(plan.member)
    if plan.checkpoint is not None:
        rows["continues"] = plan.checkpoint
    if plan.weights is not None:
        rows["begins with"] = plan.weights
    if plan.place.reasons:
        rows["own folder"] = f"because {' and '.join(plan.place.reasons)}"
    if plan.place.moved_to is not None:
        rows["moved aside"] = plan.place.moved_to
    chosen_rows = {"population" if name == "interval_steps" else name for name in resolved.chosen} - {"seed"}
    console = Console(highlight=False)
    if plan.found:
        console.print(f"--resume auto {plan.found}.", markup=False, soft_wrap=True)
    for name, value in rows.items():
        chosen = "  [dim](chosen for this machine)[/]" if name in chosen_rows else ""
        console.print(f"[bold]{name:<11}[/] {escape(str(value))}{chosen}", soft_wrap=True)
    if plan.log_dir is not None and not console.is_terminal:  # what Isaac Lab's Ray scripts read to find a run
        for line in ray_lines(plan.log_dir):
            console.print(line, style="dim", markup=False, soft_wrap=True)
    unequal = unequal_objects(resolved.env_cfg, policies, num_envs)
    if unequal:
        console.print(f"[bold yellow]{'warning':<11}[/] {escape(unequal)}", soft_wrap=True)
    if not plan.verbose:
        console.print(f"[bold]{'starting':<11}[/] what the engine prints goes to {RunFolder.LOG} (--verbose shows it)")
    for line in resolved.fitted:
        console.print(f"[bold]{'fitted':<11}[/] {escape(line)}", soft_wrap=True)


def _train(plan: Plan) -> int:
    """Start the simulator and train; return the exit status that tells how the run ended."""
    from isaaclab.utils import to_dict
    from isaaclab_rl.entrypoints.common import scoped_torch_backend_flags
    from isaaclab_rl.rsl_rl import check_rsl_rl_version, handle_deprecated_rsl_rl_cfg

    resolved, log_dir, checkpoint = plan.resolved, plan.log_dir, plan.checkpoint
    request, continues = resolved.request, plan.place.continues
    assert log_dir is not None, "made before training"
    cfg = handle_deprecated_rsl_rl_cfg(resolved.agent_cfg, check_rsl_rl_version())
    resolved.env_cfg.log_dir = str(log_dir)
    # the settings of Isaac Lab's own launcher, so that both train alike
    backend = scoped_torch_backend_flags(
        cuda_matmul_allow_tf32=True, cudnn_allow_tf32=True, cudnn_deterministic=False, cudnn_benchmark=True
    )
    output = startup_output(resolved, plan.screen.viewers, verbose=plan.verbose)
    plan.screen.film(resolved.env_cfg, log_dir, resolved.num_policies)
    launcher = plan.screen.arguments(request.device)
    with output, backend, simulation(resolved, launcher), make_env(resolved) as env:
        from cpo_rl.runners import EnsembleRunner

        output.release(log_dir / RunFolder.LOG if Rank.of_this_process().is_first else None)
        make_runner = plan.member.make_runner if plan.member else EnsembleRunner
        runner = make_runner(
            env, to_dict(cfg), log_dir=str(log_dir), device=cfg.device, task=request.task, physics=request.physics,
            **({} if continues or checkpoint is None else {"ancestor": ancestor_of(checkpoint, plan.place.reasons)}),
        )  # fmt: skip
        if continues:
            runner.resume(force=plan.force, asked=plan.asked)
        elif checkpoint is not None:
            runner.load(str(checkpoint), force=plan.force, asked=plan.asked)
        elif plan.weights is not None:
            given = names_of(resolved.request.overrides)
            runner.init_from(str(plan.weights), ["log_std"] if "agent.model.init_log_std" in given else [])
        if Rank.of_this_process().is_first:  # not earlier: the records of a run that is refused stay what they were
            _write_settings(plan, runner, {"env": to_dict(resolved.env_cfg), "agent": to_dict(cfg)})
        if plan.screen.shows:
            from cpo_lab.ui.live import show_training

            show_training(env, resolved.num_policies, request.task, log_dir)
        with told_end(log_dir if Rank.of_this_process().is_first and not plan.member else None):
            runner.learn_until(cfg.max_iterations, init_at_random_ep_len=cfg.init_at_random_ep_len)
        if Rank.of_this_process().several:
            import torch

            torch.distributed.destroy_process_group()  # or gloo's threads may outlive the interpreter and abort it
        return end_with(runner.outcome.exit_code)


def _write_settings(plan: Plan, runner: Any, settings: dict[str, Any]) -> None:
    """Keep in the run folder what was asked for and what came of it, and tell the runner what of it is new."""
    from isaaclab_rl.entrypoints.common import write_run_manifest

    from cpo_rl.runs.configs import changes, plain, write_params

    folder, resolved = runner.folder, plan.resolved
    if plan.checkpoint is not None:
        before = RunFolder.read(plan.checkpoint.parent).env_settings
        runner.changes.update(changes("env", before, plain(settings["env"])))
    writing = {
        folder.LAUNCH: lambda: resolved.request.keep(folder.path, resolved.agent_cfg.max_iterations),
        "params": lambda: write_params(folder.path, settings),
    }
    if plan.place.moved_to is not None:
        writing[folder.MANIFEST] = lambda: folder.note("moved aside", folder=str(plan.place.moved_to))
    if not plan.place.continues:
        key = {"agent": public_key(resolved.request.task, resolved.agent_key)}
        writing[folder.LAUNCHER] = lambda: write_run_manifest(
            str(folder.path), library="rsl_rl", task=resolved.request.task, metadata=key
        )
    for name, write in writing.items():
        runner.logger.try_write(name, write)
