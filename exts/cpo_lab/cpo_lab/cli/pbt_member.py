# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab train --pbt``: a training process as one member of a population (``docs/pbt.md``)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpo_lab.cli.parser import natural_int, positive_int
from cpo_lab.launch.ranks import Rank
from cpo_rl import contracts
from cpo_rl.errors import UserError
from cpo_rl.pbt.settings import LEAST_MEMBERS, PREFIX, PbtCfg, pbt_settings
from cpo_rl.pbt.workspace import OWN_ENGINE, Workspace
from cpo_rl.runs.files import expanded

if TYPE_CHECKING:
    from cpo_lab.launch.configuration import Resolved
    from cpo_rl.runners import EnsembleRunner


DEFAULT_AGENT = "ppo"
"""Agent of a population unless told otherwise."""

RAY_ENGINE = "ray"
"""Engine of a population whose members are told by Ray Tune what to do (:mod:`cpo_lab.jobs.ray_population`)."""

ENGINES = (OWN_ENGINE, RAY_ENGINE)
"""What can decide in a population."""

CPU_INTERVALS = 50
"""Decisions of a run on the CPU unless told otherwise; the default interval is longer than such a run."""


@dataclass
class PopulationMember:
    """A training process as one member of a population."""

    workspace: Workspace
    """The shared folder."""

    index: int
    """Number of the member, from 0."""

    given: dict[str, Any]
    """Settings that the user gave, by field of :class:`~cpo_rl.pbt.PbtCfg`."""

    engine: str = OWN_ENGINE
    """What decides: the members themselves, or Ray Tune."""

    cfg: PbtCfg = field(default_factory=PbtCfg)
    """Complete settings, once :meth:`complete` was called."""

    @property
    def folder(self) -> Path:
        """Run folder of this member."""
        return self.workspace.folder(self.index)

    def complete(self, resolved: Resolved) -> list[str]:
        """Fill in the settings that were not given, from the length of the run where it is short.

        Args:
            resolved: What will run, with its final number of iterations.

        Returns:
            Names of the settings that were chosen for the machine.

        Raises:
            UserError: If a setting is out of range, or the agent is none whose settings can change.
        """
        if contracts.num_policies(resolved.agent_cfg.algorithm) is None:
            raise UserError(
                f"The settings of --agent {resolved.request.agent} cannot change while it trains; "
                "use ppo or another agent of this project."
            )
        values, chosen = dict(self.given), []
        if "interval_steps" not in values and resolved.request.device == "cpu":
            per_iteration = resolved.agent_cfg.num_steps_per_env * (resolved.request.num_envs or 1)
            values["interval_steps"] = max(per_iteration * resolved.agent_cfg.max_iterations // CPU_INTERVALS, 1)
            chosen.append("interval_steps")
        interval = PbtCfg(**values).interval_steps
        values.setdefault("start_after", 5 * interval // 2)  # the reference's proportions
        values.setdefault("initial_delay", 10 * interval)
        self.cfg = PbtCfg(**values)
        return chosen

    def join(self, resolved: Resolved) -> None:
        """Join the population; the run folder's lock is what reserves the member.

        Raises:
            UserError: If the workspace belongs to another population.
        """
        self.workspace.join(task=resolved.request.task, agent=resolved.request.agent, engine=self.engine)

    def mutated(self) -> list[str]:
        """Return the settings that the population changes, and a checkpoint therefore brings, by their full names."""
        latest = self.workspace.latest(self.index)
        published = latest.parameters if latest else {}  # among them those of the reward, which only the task knows
        rewards = [name for name in published if name.startswith("env.")]
        return [*(f"agent.algorithm.{name}" for name in PbtCfg(**self.given).parameters), *rewards]

    @staticmethod
    def label(preset: str | None) -> str:
        """Return the name of a member's algorithm for records."""
        return "pbt" if preset == "ppo" else f"pbt_{preset}"

    def make_runner(self, env: Any, cfg: dict[str, Any], **fields: Any) -> EnsembleRunner:
        """Return the runner that trains this member; arguments as for :class:`~cpo_rl.runners.EnsembleRunner`."""
        from cpo_rl.pbt.runner import PbtRunner

        fields["algorithm"] = self.label(cfg["algorithm"].get("algorithm"))
        fields["pbt_member"], fields["pbt_members"] = self.index, self.workspace.members
        orders = self.engine != OWN_ENGINE
        return PbtRunner(
            env, cfg, workspace=self.workspace, member=self.index, pbt=self.cfg, takes_orders=orders, **fields
        )

    def __str__(self) -> str:
        """Return what will be shown before the start."""
        last = self.workspace.members - 1
        decides = "" if self.engine == OWN_ENGINE else ", told by Ray Tune what to do"
        return f"member {self.index} of 0 to {last}, intervals of {self.cfg.interval_steps:,} steps{decides}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a member to the parser of ``cpo-lab train``."""
    group = parser.add_argument_group("population-based training (cpo-lab pbt starts all members at once)")
    group.add_argument("--pbt", metavar="WORKSPACE", help="train as a member of the population in this folder")
    group.add_argument("--pbt_member", type=natural_int, metavar="I", help="number of this member, from 0")
    group.add_argument("--pbt_members", type=positive_int, metavar="P", help="members of the population, 3 or more")
    group.add_argument("--pbt_engine", choices=ENGINES, help="what decides: the members, or cpo-lab pbt --engine ray")


def take_member(args: argparse.Namespace, rest: list[str]) -> tuple[PopulationMember | None, list[str]]:
    """Take the member's options and settings out of what was typed.

    Args:
        args: Parsed options of ``cpo-lab train``; run folder, resume and agent are set to those of the member.
        rest: Tokens that the parser does not know.

    Returns:
        The member, None without ``--pbt``, and the tokens without settings such as ``pbt.interval_steps=2e6``.

    Raises:
        UserError: If options are missing, contradict each other or are out of range.
    """
    tokens = [token for token in rest if token.startswith(PREFIX)]
    rest = [token for token in rest if not token.startswith(PREFIX)]
    if args.pbt is None:
        stray = next(
            (f"--{n}" for n in ("pbt_member", "pbt_members", "pbt_engine") if getattr(args, n) is not None), None
        )
        stray = stray or (tokens[0] if tokens else None)
        if stray:
            raise UserError(f"{stray} means something together with --pbt WORKSPACE only.")
        return None, rest
    if args.pbt_member is None or args.pbt_members is None:
        raise UserError("--pbt needs --pbt_member I and --pbt_members P; cpo-lab pbt starts all members by itself.")
    check_members(args.pbt_members, "--pbt_members")
    if args.pbt_member >= args.pbt_members:
        raise UserError(f"--pbt_member {args.pbt_member} must be below --pbt_members {args.pbt_members}.")
    if args.log_dir or args.run_name or args.resume not in (None, "auto"):
        raise UserError(
            "A member's run folder is inside the workspace and is continued by itself; "
            "leave out --log_dir, --run_name and --resume."
        )
    if Rank.of_this_process().several:
        raise UserError("A member of a population is one process; start it without torchrun.")
    given = pbt_settings(tokens)
    PbtCfg(**given)  # checked before anything is read or made
    workspace = Workspace(expanded(args.pbt).absolute(), args.pbt_members)
    member = PopulationMember(workspace, args.pbt_member, given, args.pbt_engine or OWN_ENGINE)
    args.log_dir, args.resume, args.agent = str(member.folder), "auto", args.agent or DEFAULT_AGENT
    return member, rest


def check_members(count: int, option: str) -> None:
    """Refuse a population in which nobody could ever be replaced.

    Raises:
        UserError: If it is too small.
    """
    if count < LEAST_MEMBERS:
        raise UserError(
            f"{option} {count} is too small: a member decides only if more than two scores are known; "
            f"use {LEAST_MEMBERS} or more."
        )
