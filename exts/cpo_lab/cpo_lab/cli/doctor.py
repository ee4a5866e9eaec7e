# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab doctor``: check this machine, and say in one line each what is wrong and how to fix it.

A check is a function that returns :class:`Finding` objects; :data:`CHECKS` lists them. Checks start no simulator;
``--start`` trains an iteration.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cpo_lab.cli.checks.stress import STEPS, run_stress
from cpo_lab.cli.parser import SHARED, CommandParser, positive_int
from cpo_lab.cli.tensorboard import with_own_plugins
from cpo_lab.launch.checks import Finding, check_configuration, check_engine, check_places, try_training
from cpo_lab.launch.configuration import Request, resolve
from cpo_lab.launch.registry import find_task, plain_agent
from cpo_lab.launch.settings import names_of
from cpo_rl.contracts import EnvironmentSettings
from cpo_rl.errors import UserError
from cpo_rl.runs.files import reason
from cpo_rl.threads import usable_cores

if TYPE_CHECKING:
    from cpo_lab.tasks.physical_checks import PhysicalCheck

# The packages whose version decides whether our code fits, with what setup.py asks for.
_PINNED = ("isaaclab", "rsl-rl-lib", "torch", "newton", "warp-lang", "ovphysx", "usd-exchange")


def check_python() -> list[Finding]:
    """Check the interpreter."""
    version = platform.python_version()
    if sys.version_info[:2] != (3, 12):
        return [
            Finding(
                "problem", "Python", version, "Isaac Lab 3.0 needs Python 3.12: remove .venv, then ./cpo_lab.sh setup"
            )
        ]
    return [Finding("ok", "Python", f"{version} in {sys.prefix}")]


def check_packages() -> list[Finding]:
    """Compare the installed versions with the tested ones in ``constraints.txt``."""
    tested = _tested_versions()
    found = []
    for name in _PINNED:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            optional = name == "ovphysx" and platform.machine() != "x86_64"
            found.append(
                Finding("note", name, "has no wheel for this machine; Newton is the engine here")
                if optional
                else Finding("problem", name, "not installed", "./cpo_lab.sh setup")
            )
            continue
        if name in tested and version != tested[name]:
            found.append(
                Finding("note", name, f"{version}, tested with {tested[name]}", f"pip install {name}=={tested[name]}")
            )
        else:
            found.append(Finding("ok", name, version))
    return found


def _tested_versions() -> dict[str, str]:
    """Return the pins of a source checkout; empty in an installation without one."""
    from cpo_lab import EXTENSION_ROOT

    file = EXTENSION_ROOT.parents[1] / "constraints.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def check_tasks() -> list[Finding]:
    """Check that Isaac Lab's own commands will find our tasks."""
    names = [entry.name for entry in importlib.metadata.entry_points(group="isaaclab.tasks")]
    if "cpo_lab" not in names:
        return [
            Finding(
                "note", "Tasks", "not registered with Isaac Lab's launcher", "pip install -e . in the project's folder"
            )
        ]
    return [Finding("ok", "Tasks", "registered with Isaac Lab's launcher")]


def check_cpu() -> list[Finding]:
    """Check cores, instruction set and memory."""
    found = [Finding("ok", "CPU", f"{usable_cores()} usable cores, {platform.machine()}")]
    flags = _read("/proc/cpuinfo")
    if platform.machine() == "x86_64" and flags and not re.search(r"^flags\s*:.*\bavx\b", flags, re.MULTILINE):
        found.append(Finding("problem", "CPU", "no AVX instructions", "OvPhysX needs AVX; use physics=newton_mjwarp"))
    memory = re.search(r"^MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    if memory:
        gigabytes = int(memory[1]) / 1024**2
        low = gigabytes < 4
        found.append(
            Finding(
                "note" if low else "ok", "Memory", f"{gigabytes:.1f} GB free", "training needs 2 to 4 GB" if low else ""
            )
        )
    return found


def check_cuda() -> list[Finding]:
    """Check what torch and Warp think of the GPU."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return [Finding("ok", "GPU", ", ".join(names))]
    if shutil.which("nvidia-smi") is None:
        return [Finding("note", "GPU", "none; training runs on the CPU with OvPhysX")]
    if torch.version.cuda is None:
        return [
            Finding(
                "problem",
                "GPU",
                "a driver is installed but this torch is built for the CPU",
                "./cpo_lab.sh setup in a new .venv",
            )
        ]
    return [
        Finding("problem", "GPU", f"a driver is installed but torch (CUDA {torch.version.cuda}) cannot use it",
                "update the NVIDIA driver, or pass --device cpu")
    ]  # fmt: skip


def check_pictures() -> list[Finding]:
    """Try off-screen OpenGL in a process of its own, because a broken driver can abort the process."""
    program = (
        "import pyglet; pyglet.options.headless = True\n"
        "from pyglet import gl\n"
        "window = pyglet.window.Window(visible=False)\n"
        "print(window.context.get_info().get_renderer())"
    )
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    found = []
    if done is not None and done.returncode == 0:
        found.append(Finding("ok", "Pictures", f"off-screen OpenGL: {done.stdout.strip()}"))
    else:
        fix = "apt-get install libegl1 libgl1 libgl1-mesa-dri libegl-mesa0 libglu1-mesa"
        found.append(Finding("problem", "Pictures", "off-screen OpenGL (EGL) does not work", fix))
    if importlib.util.find_spec("moviepy") and importlib.util.find_spec("imageio_ffmpeg"):
        found.append(Finding("ok", "Videos", "moviepy and ffmpeg are installed"))
    else:
        found.append(
            Finding("problem", "Videos", "moviepy is missing", 'pip install -e ".[video]" in the project\'s folder')
        )
    return found


def check_isaacsim() -> list[Finding]:
    """Say whether Isaac Sim is there; it is optional."""
    if importlib.util.find_spec("isaacsim") is None:
        return [Finding("note", "Isaac Sim", "not installed (optional: physics=isaacsim_physx, --viz kit)")]
    if not os.environ.get("OMNI_KIT_ACCEPT_EULA"):
        return [
            Finding(
                "note",
                "Isaac Sim",
                "installed; it asks for its license on first use",
                "read it and set OMNI_KIT_ACCEPT_EULA yourself",
            )
        ]
    return [Finding("ok", "Isaac Sim", "installed")]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def check_tensorboard() -> list[Finding]:
    """Check that runs can be followed in the browser."""
    try:
        with_own_plugins()
        version = importlib.metadata.version("tensorboard")
    except Exception as error:  # whatever importing a broken package raises
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        return [Finding("note", "TensorBoard", f"does not start ({told})", "./cpo_lab.sh setup")]
    return [Finding("ok", "TensorBoard", f"{version}; cpo-lab tensorboard shows runs")]


CHECKS: list[Callable[[], list[Finding]]] = [
    check_python,
    check_packages,
    check_tasks,
    check_cpu,
    check_cuda,
    check_pictures,
    check_tensorboard,
    check_isaacsim,
    check_places,
    check_engine,
    check_configuration,
]
"""Every check, in the order of the output."""


_EPILOG = """\
examples:
  cpo-lab doctor             what cpo-lab train needs, without starting it
  cpo-lab doctor --start     and one iteration, in a folder of its own
  cpo-lab doctor --task CpoLab-Regrasp-KukaAllegro-Direct physics=newton_mjwarp
  cpo-lab doctor --task CpoLab-Regrasp-KukaAllegro-Direct --stress 100000
  cpo-lab doctor --dump RUN_FOLDER/dump_120.pt"""


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="cpo-lab doctor",
        description="Check this machine and say how to fix what is missing, or check the physics of a task.",
        epilog=_EPILOG,
    )
    parser.add_argument("--start", action="store_true", help="also train one iteration of the default task")
    parser.add_argument("--dump", metavar="FILE", help="explain a dump that the finite guard left in a run folder")
    parser.add_shared("--task", help="measure the physics of this task on an engine, instead of the machine")
    parser.add_argument(
        "--stress",
        nargs="?",
        type=positive_int,
        const=STEPS,
        metavar="STEPS",
        help=f"with --task: count absurd states in so many random steps of single environments (default: {STEPS:,})",
    )
    parser.add_argument("--json", metavar="FILE", help="with --stress: write what was measured")
    parser.add_shared("--seed", help="with --stress: seed of the environment and of the actions (default: 0)")
    parser.add_shared("--device", help=f"with --task: {SHARED['--device']['help']}")
    parser.add_shared("--num_envs", help="with --task: environments (default: 8; with --stress the task's own number)")
    return parser


def run(argv: list[str]) -> int:
    """Run every check and print what it found; with ``--task``, measure or stress that task's physics instead.

    Returns:
        0, or 1 if there is a problem.

    Raises:
        UserError: If an argument is unknown.
    """
    args, settings = _parser().read_with_settings(argv)
    if args.dump:
        from cpo_rl.runs.dump import describe

        sys.stdout.write(describe(args.dump) + "\n")
        return 0
    if args.stress is None and (args.json or args.seed is not None):
        raise UserError("--json and --seed belong to a stress test; add --stress.")
    if args.task is not None and args.stress is not None:
        args.seed = args.seed or 0
        return run_stress(args, settings)
    if args.task is not None:
        return _check_task(args, settings)
    if settings or args.device or args.num_envs or args.stress:
        raise UserError("--stress, --device, --num_envs and settings belong to a task; add --task NAME.")
    return _check_machine([*CHECKS, try_training] if args.start else CHECKS)


def _check_task(args: argparse.Namespace, settings: list[str]) -> int:
    """Measure a task's physics and print a table; return 1 if a measurement is not as it should be."""
    from rich.console import Console
    from rich.table import Table

    def show(checks: list[PhysicalCheck]) -> int:
        table = Table(title=f"physics of {args.task}")
        for name in ("measured", "value", "unit", "should be", ""):
            table.add_column(name, justify="right" if name == "value" else "left")
        for check in checks:
            sign = "[green]ok[/]" if check.passed else "[red]PROBLEM[/]"
            table.add_row(check.name, f"{check.value:.4g}", check.unit, check.requirement, sign)
        Console().print(table)
        return 0 if all(check.passed for check in checks) else 1

    return _measure_physics(args, settings, show)


def _measure_physics(args: argparse.Namespace, settings: list[str], then: Callable[[list[PhysicalCheck]], int]) -> int:
    """Build a task and measure its physics; the tests make the same measurements.

    Args:
        args: The arguments.
        settings: Settings of the task.
        then: Shows what was measured, while the simulation runs still; returns the exit status.

    Raises:
        UserError: If the task or a setting is unknown, or the task does not say which joints it has.
    """
    agent = plain_agent(find_task(args.task))
    request = Request(args.task, agent, device=args.device, num_envs=args.num_envs or 8, seed=0, overrides=settings)
    resolved = resolve(request)
    offered = EnvironmentSettings(resolved.env_cfg)
    if offered.num_objects is not None and "env.num_objects" not in names_of(settings):
        resolved.env_cfg.num_objects = min(offered.num_shapes, 8)  # a few do, and are soon built
    from cpo_lab.launch.simulation import end_with, make_env, simulation

    with simulation(resolved), make_env(resolved) as wrapped:
        import torch

        from cpo_lab.tasks.physical_checks import physical_checks

        with torch.inference_mode():
            checks = physical_checks(wrapped.unwrapped)
        return end_with(then(checks))


def _check_machine(checks: Sequence[Callable[[], list[Finding]]]) -> int:
    """Run checks and print what they found."""
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    signs = {"ok": "[green]ok     ", "note": "[yellow]note   ", "problem": "[red]PROBLEM"}
    problems = 0
    for check in checks:
        try:
            findings = check()
        except Exception as error:
            findings = [
                Finding("problem", check.__name__.removeprefix("check_"), f"the check itself failed: {reason(error)}")
            ]
        for finding in findings:
            problems += finding.level == "problem"
            fix = f"\n{' ' * 10}[bold]fix:[/] {escape(finding.fix)}" if finding.fix else ""
            console.print(
                f"{signs[finding.level]}[/]  {finding.topic}: {escape(finding.text)}{fix}",
                highlight=False,
                soft_wrap=True,
            )
    console.print(
        f"[red]{problems} problem{'s' if problems > 1 else ''}.[/]" if problems else "[green]This machine is ready.[/]"
    )
    return 1 if problems else 0
