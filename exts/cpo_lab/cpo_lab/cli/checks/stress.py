# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab doctor --task T --stress``: step a task with random actions and show what became absurd."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cpo_lab.cli.parser import output_file
from cpo_lab.launch.configuration import Request, Resolved, resolve
from cpo_lab.launch.registry import find_task, plain_agent
from cpo_rl.errors import UserError
from cpo_rl.runs.files import write_json

if TYPE_CHECKING:
    from cpo_lab.tasks.stress import StressResult

STEPS = 1_000_000
"""Environment steps of ``--stress`` without a number."""


def run_stress(args: argparse.Namespace, settings: list[str]) -> int:
    """Measure, print and write what the arguments of ``cpo-lab doctor`` ask for.

    Returns:
        0, or 1 if more became absurd than is allowed.

    Raises:
        UserError: If the task, a setting or the file is unusable.
    """
    output = output_file("--json", args.json, ".json")
    if args.num_envs is not None and args.num_envs < 3:
        raise UserError(f"--num_envs {args.num_envs} must be at least 3, one for each kind of actions.")
    resolved = _resolve(args, settings)
    from cpo_lab.launch.simulation import end_with, make_env, simulation

    with simulation(resolved), make_env(resolved) as wrapped:
        from cpo_lab.tasks.stress import stress

        result = stress(wrapped, args.stress, seed=args.seed, report=_Progress(args.stress))
        record = _record(args, settings, resolved, result)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_json(output, record)
        _print(args.task, resolved, result)
        return end_with(0 if result.passed else 1)


def _resolve(args: argparse.Namespace, settings: list[str]) -> Resolved:
    """Make the configurations of a task of ours, of a user or of Isaac Lab."""
    agent = plain_agent(find_task(args.task))
    return resolve(
        Request(args.task, agent, device=args.device, num_envs=args.num_envs, seed=args.seed, overrides=settings)
    )


class _Progress:
    """Shows on one line how far the test is; in a file, a line every tenth."""

    def __init__(self, env_steps: int) -> None:
        self._goal, self._start, self._shown, self._tenth = env_steps, time.perf_counter(), 0.0, 0

    def __call__(self, done: int, counts: dict[str, int]) -> None:
        now, screen = time.perf_counter(), sys.stderr.isatty()
        tenth = 10 * done // self._goal
        if done < self._goal and (now - self._shown < 1.0 if screen else tenth == self._tenth):
            return
        self._shown, self._tenth = now, tenth
        rate = done / max(now - self._start, 1e-9)
        left = max(self._goal - done, 0) / rate
        pace = f"{done:,} of {self._goal:,} env-steps, {rate:,.0f} per second, {left:.0f} s left"
        begin, end = ("\r", "\x1b[K") if screen else ("", "")
        sys.stderr.write(f"{begin}{pace}, {sum(counts.values())} absurd{end}")
        sys.stderr.write("\n" if done >= self._goal or not screen else "")
        sys.stderr.flush()


def _record(args: argparse.Namespace, settings: list[str], resolved: Resolved, result: StressResult) -> dict[str, Any]:
    """Return everything measured, with how."""
    request = resolved.request
    return {
        "task": args.task,
        "physics": request.physics,
        "device": request.device,
        "num_envs": request.num_envs,
        "seed": request.seed,
        "settings": settings,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "passed": result.passed,
        **asdict(result),
    }


def _print(task: str, resolved: Resolved, result: StressResult) -> None:
    """Print the table and the first events."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from cpo_lab.tasks.stress import CRITERIA, MAXIMA

    request = resolved.request
    console = Console()
    table = Table(title=f"{task}, {request.physics}, {request.device}, {request.num_envs} environments")
    table.add_column("environment steps")
    rows = [*result.kinds, result.total]
    for row in rows:
        table.add_column(row.kind, justify="right")
    table.add_row("all", *(f"{row.env_steps:,}" for row in rows))
    for name, words in CRITERIA.items():
        table.add_row(words, *(f"{row.counts[name]:,}" for row in rows), end_section=name == list(CRITERIA)[-1])
    for name in MAXIMA:
        table.add_row(f"largest {name}".replace("[", "\\["), *(f"{row.maxima[name]:.3g}" for row in rows))
    console.print(table)
    console.print(
        f"{result.episodes:,} episodes ended; {result.limited_joints} of {result.joints} joints have a velocity limit; "
        f"{result.total.env_steps / max(result.seconds, 1e-9):,.0f} env-steps per second.",
        highlight=False,
    )
    for sentence in result.events.values():
        console.print(f"[red]first[/]  {escape(sentence)}.", highlight=False, soft_wrap=True)
    console.print("[green]The physics holds.[/]" if result.passed else "[red]The physics does not hold.[/]")
