# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab benchmark env``: environment steps per second against the number of environments.

Every point is a process of its own, because one process can hold one simulation. It steps a task with random actions,
first untouched (the rate), then with a clock around its parts (the split, whose clocks make a GPU wait).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpo_lab.cli.parser import SHARED, CommandParser, output_file, positive_int
from cpo_lab.launch.configuration import Request, Resolved, resolve
from cpo_lab.launch.registry import DEFAULT_TASK, find_task, plain_agent

if TYPE_CHECKING:
    from rich.table import Table

PHYSICS = (("sim", "step"), ("scene", "write_data_to_sim"), ("scene", "update"))
"""Calls of an environment's parts that are the engine's."""

OURS = ("_pre_physics_step", "_apply_action", "_get_dones", "_get_rewards", "_reset_idx", "_get_observations")
"""Methods of an environment that are the task's own tensor code."""

_EPILOG = """\
examples:
  cpo-lab benchmark env           Shadow Hand, 64, 256 and 1024 environments
  cpo-lab benchmark env --num_envs 64 256 --physics ovphysx newton_mjwarp
  cpo-lab benchmark env presets=nucleus_assets --num_envs 252
  cpo-lab benchmark env --device cuda:0 --num_envs 4096 24576 --output gpu

beside Isaac Lab's own task:
  cpo-lab benchmark env --num_envs 252 --task \\
      CpoLab-Reorient-Cube-Shadow-Direct Isaac-Reorient-Cube-Shadow-Direct"""


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="cpo-lab benchmark env",
        description="Measure environment steps per second with random actions, and where the time goes. Settings such "
        "as presets=nucleus_assets come first and apply to our tasks.",
        epilog=_EPILOG,
    )
    parser.add_shared(
        "--task", nargs="+", default=[DEFAULT_TASK], help=f"task ids, ours or Isaac Lab's (default: {DEFAULT_TASK})"
    )
    parser.add_shared("--num_envs", nargs="+", default=[64, 256, 1024], help="environments (default: 64 256 1024)")
    parser.add_shared("--physics", nargs="+", default=[None], help=SHARED["--physics"]["help"])
    parser.add_shared("--device")
    parser.add_argument(
        "--steps", type=positive_int, default=100, metavar="N", help="timed steps per point (default: 100)"
    )
    parser.add_argument(
        "--warmup", type=positive_int, default=20, metavar="N", help="steps before, so that objects land (default: 20)"
    )
    parser.add_argument(
        "--timeout", type=positive_int, default=900, metavar="S", help="seconds allowed per point (default: 900)"
    )
    parser.add_argument("--output", metavar="PREFIX", help="write PREFIX.json and PREFIX.svg")
    parser.add_argument("--point", type=Path, default=None, help=argparse.SUPPRESS)
    return parser


def run(argv: list[str]) -> int:
    """Measure as the arguments say.

    Returns:
        0, or 1 if a point could not be measured.

    Raises:
        UserError: On input that the user can correct, before anything is measured.
    """
    args, settings = _parser().read_with_settings(argv)
    prefix = args.output and args.output.removesuffix(".json").removesuffix(".svg")
    files = [output_file("--output", prefix and f"{prefix}{ending}") for ending in (".json", ".svg")]
    if args.point is not None:
        measure(args, settings)
        return 0
    wanted = [(task, physics, n) for task in args.task for physics in args.physics for n in args.num_envs]
    for task, physics, num_envs in wanted:
        _resolve(args, settings, task, physics, num_envs)
    from rich.console import Console

    console = Console(highlight=False)
    points = []
    for task, physics, num_envs in wanted:
        console.print(f"{task}, {physics or 'default engine'}, {num_envs} environments ...", markup=False)
        points.append(_in_own_process(args, settings, task, physics, num_envs))
    for table in _tables(points):
        console.print()
        console.print(table)
    failed = [point for point in points if "error" in point]
    for point in failed:
        reason = point["error"].splitlines()[-1]
        console.print(f"{point['task']}, {point['physics']}, {point['num_envs']}: {reason}", markup=False)
    if files[0] is not None and files[1] is not None:
        _write(files[0], files[1], points)
        console.print(f"Wrote {files[0]} and {files[1].name}", markup=False, soft_wrap=True)
    return 1 if failed else 0


def _resolve(args: argparse.Namespace, settings: list[str], task: str, physics: str | None, num_envs: int) -> Resolved:
    """Make the configurations of one point."""
    agent = plain_agent(find_task(task))
    return resolve(Request(task, agent, args.device, physics, num_envs=num_envs, seed=0, overrides=list(settings)))


def _in_own_process(
    args: argparse.Namespace, settings: list[str], task: str, physics: str | None, num_envs: int
) -> dict[str, Any]:
    """Measure one point in a child, so that a failure of one leaves the others."""
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "point.json", Path(folder) / "log.txt"
        command = [
            sys.executable,
            "-c",
            "import sys, cpo_lab.tasks; from cpo_lab.cli import main; sys.exit(main(sys.argv[1:]))",
        ]
        command += ["benchmark", "env", "--point", str(result), "--task", task, "--num_envs", str(num_envs)]
        command += ["--steps", str(args.steps), "--warmup", str(args.warmup)]
        command += ["--physics", physics] if physics else []
        command += ["--device", args.device] if args.device else []
        command += settings
        point: dict[str, Any] = {
            "task": task, "physics": physics, "num_envs": num_envs, "settings": settings,
        }  # fmt: skip
        with log.open("w") as out, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=args.timeout, check=False)
        if result.exists():
            return {**point, **json.loads(result.read_text())}
        return {**point, "error": "\n".join(log.read_text().strip().splitlines()[-12:]) or "no output"}


def measure(args: argparse.Namespace, settings: list[str]) -> None:
    """Build one environment, step it, time it and write what was measured to ``args.point``.

    That is its rate, milliseconds per step by part, build time, memory and what it ran on.
    """
    import torch

    from cpo_lab.launch.simulation import make_env, simulation
    from cpo_rl.benchmark import hardware

    start = time.perf_counter()
    resolved = _resolve(args, settings, args.task[0], args.physics[0], args.num_envs[0])
    with simulation(resolved), make_env(resolved) as wrapped:
        env, device = wrapped.unwrapped, torch.device(resolved.request.device or "cpu")
        built = time.perf_counter() - start
        generator = torch.Generator(device).manual_seed(1)
        shape = (16, wrapped.num_envs, wrapped.num_actions)
        actions = 2.0 * torch.rand(shape, device=device, generator=generator) - 1.0
        with torch.inference_mode():
            first = time.perf_counter()
            wrapped.step(actions[0])
            _wait(device)
            first = time.perf_counter() - first
            _step(wrapped, actions, args.warmup, device)
            seconds = _step(wrapped, actions, args.steps, device)
            split, whole = _split(env, lambda: _step(wrapped, actions, args.steps, device), device)
        per_step = 1e3 / args.steps
        point = {
            "physics": resolved.request.physics,
            "steps": args.steps,
            "env_steps_per_s": wrapped.num_envs * args.steps / seconds,
            "ms_per_step": per_step * seconds,
            "split_ms": {name: per_step * value for name, value in split.items()},
            "split_total_ms": per_step * whole,
            "build_s": built,
            "first_step_s": first,
            "peak_memory_mib": _peak_memory(device),
            "hardware": hardware(str(device)),
            "date": datetime.date.today().isoformat(),
        }
        args.point.write_text(json.dumps(point))


def _wait(device: Any) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def _step(env: Any, actions: Any, count: int, device: Any) -> float:
    """Seconds of ``count`` steps."""
    _wait(device)
    start = time.perf_counter()
    for i in range(count):
        env.step(actions[i % len(actions)])
    _wait(device)
    return time.perf_counter() - start


def _split(env: Any, step: Callable[[], float], device: Any) -> tuple[dict[str, float], float]:
    """Seconds spent in the engine, in the task's own code and in the rest, and their sum.

    The task's writes into the engine at a reset count as its own code.
    """
    spent = {"physics": 0.0, "task": 0.0}
    depth = [0]

    def clock(owner: Any, name: str, part: str) -> None:
        inner = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            depth[0] += 1
            _wait(device)
            start = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                _wait(device)
                depth[0] -= 1
                if depth[0] == 0:  # what is called from within another part counts once
                    spent[part] += time.perf_counter() - start

        setattr(owner, name, timed)

    for owner, name in PHYSICS:
        clock(getattr(env, owner), name, "physics")
    for name in OURS:
        clock(env, name, "task")
    whole = step()
    return {**spent, "rest": whole - sum(spent.values())}, whole


def _peak_memory(device: Any) -> float:
    import resource

    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)  # Warp allocates beside torch
        return (total - free) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _short(task: str) -> str:
    """Return a task's id without what all of ours begin and end with."""
    return task.removeprefix("CpoLab-").removesuffix("-Direct")


def _tables(points: list[dict[str, Any]]) -> list[Table]:
    """Return a table per task, at most 80 columns wide, with a row per point."""
    from rich.table import Table

    tables = []
    for task in dict.fromkeys(point["task"] for point in points):
        table = Table(title=f"{_short(task)}, random actions", title_justify="left", box=None, padding=(0, 1, 0, 0))
        table.add_column("engine", no_wrap=True)
        for name in ("envs", "env-steps/s", "ms/step", "physics", "task code", "rest", "build s", "MiB"):
            table.add_column(name, justify="right")
        for point in (point for point in points if point["task"] == task):
            row = [str(point["physics"]), f"{point['num_envs']:,}"]
            if "error" in point:
                table.add_row(*row, "failed")
                continue
            whole = point["split_total_ms"]
            shares = [f"{100 * point['split_ms'][part] / whole:.0f} %" for part in ("physics", "task", "rest")]
            numbers = [f"{point['env_steps_per_s']:,.0f}", f"{point['ms_per_step']:.1f}", *shares]
            table.add_row(*row, *numbers, f"{point['build_s']:.0f}", f"{point['peak_memory_mib']:,.0f}")
        tables.append(table)
    return tables


def _write(table: Path, plot: Path, points: list[dict[str, Any]]) -> None:
    """Write the points as JSON and as a plot with a panel per engine."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(json.dumps(points, indent=2) + "\n")
    good = [point for point in points if "error" not in point]
    tasks = list(dict.fromkeys(point["task"] for point in good))
    engines = list(dict.fromkeys(point["physics"] for point in good)) or [None]
    width = 3.4 * len(engines) + 3.4
    figure, axes = plt.subplots(1, len(engines), sharey=True, squeeze=False, figsize=(width, 4.0), layout="constrained")
    for panel, engine in zip(axes[0], engines, strict=True):
        for color, task in enumerate(tasks):
            line = sorted(
                (p["num_envs"], p["env_steps_per_s"]) for p in good if (p["task"], p["physics"]) == (task, engine)
            )
            if line:
                panel.plot(*zip(*line, strict=True), marker="o", color=f"C{color}", label=_short(task))
        counts = sorted({point["num_envs"] for point in good})
        panel.set(title=engine, xscale="log", xlabel="environments")
        panel.set_xticks(counts, [f"{count:,}" for count in counts])
        panel.set_xticks([], minor=True)
        panel.set_ylim(bottom=0.0)
        panel.grid(visible=True, alpha=0.3)
    axes[0, 0].yaxis.set_major_formatter("{x:,.0f}")
    axes[0, 0].set_ylabel("environment steps per second")
    shown = [panel.get_legend_handles_labels() for panel in axes[0]]
    entries = {label: handle for handles, labels in shown for handle, label in zip(handles, labels, strict=True)}
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside right upper", fontsize="small")
    figure.savefig(plot)
    plt.close(figure)
