# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab report``: learning curves, divergence of policies and worth of shared data, for any runs, in one file."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from rich.console import Console

from cpo_lab.cli.parser import CommandParser
from cpo_lab.launch.machine import check_folder, prepare_folder

_EPILOG = """\
examples:
  cpo-lab report logs/rsl_rl/shadow_hand_reorient_cube   all runs below a folder
  cpo-lab report logs/rsl_rl/*/2026-01-0*_cpo --out cpo-report

Seeds are grouped by themselves. Reads what a run has written so far
(docs/run_folder.md), so it also works while training goes on. Missing or
damaged files are listed in the report. docs/report.md explains every figure."""


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="cpo-lab report", description="Compare training runs in one self-contained HTML file.", epilog=_EPILOG
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder, folder of run folders, or glob pattern")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for report.html, figures/ and data/ (default: logs/reports/<date and time>)",
    )
    parser.add_argument("--title", default="Training report", help="heading of the page (default: %(default)s)")
    return parser


def run(argv: list[str]) -> int:
    """Build a report.

    Args:
        argv: Arguments after the command's name.

    Returns:
        0.

    Raises:
        UserError: If a RUN matches no run or the output folder cannot be written.
    """
    args = _parser().read(argv)
    out = check_folder(args.out or Path("logs", "reports", datetime.now().strftime("%Y-%m-%d_%H-%M-%S")), "--out")
    # Reading and drawing needs a second to import; usage errors should not wait for it.
    from cpo_lab.report.build import build_report, write_report
    from cpo_rl.runs.files import shown
    from cpo_rl.runs.find import named_runs

    started = time.perf_counter()
    folders = [found.path for found in named_runs(args.runs)]
    prepare_folder(out, "--out")
    console = Console(stderr=True)
    with console.status("") as status:
        report = build_report(folders, args.title, progress=lambda text: status.update(f"{text} ..."))
        status.update("writing ...")
        page = write_report(report, out)
    groups = sum(len(task.groups) for task in report.tasks)
    console.print(f"{len(folders)} runs in {groups} groups, {time.perf_counter() - started:.1f} s.", highlight=False)
    broken = sum(bool(entry.problems) for entry in report.runs)
    if broken:
        console.print(
            f"{broken} runs have missing or damaged files; the report lists them.", style="yellow", highlight=False
        )
    Console().print(shown(page), markup=False, highlight=False, soft_wrap=True)
    return 0
