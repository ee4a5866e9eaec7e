# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab watch``: follow runs while they train, in the terminal or as a local web page."""

from __future__ import annotations

import sys

from cpo_lab.cli.parser import CommandParser, port_number, positive_float
from cpo_rl.errors import UserError

PORT = 8765
"""Port of the page unless told otherwise."""

_EPILOG = """\
Only reads the run folder (docs/run_folder.md), so it starts no simulator,
slows no training down, and follows a run of a cluster where its folder is
mounted or copied. In a terminal it ends when all runs have ended; into a file
or a pipe it writes one picture.

examples:
  cpo-lab watch                                    what is running now
  cpo-lab watch logs/rsl_rl/shadow_hand_reorient_cube/2026-01-31_12-00-00
  cpo-lab watch logs/rsl_rl/hand/*cpo logs/rsl_rl/hand/*ppo --web
  ssh -L 8765:localhost:8765 NODE ...              a page on another machine"""


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="cpo-lab watch",
        description="Follow runs while they train: curves and KL between policies.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="run folders, folders of runs or patterns (default: what runs below --log_root, or else the newest)",
    )
    parser.add_shared("--log_root")
    parser.add_shared("--task", help="only runs of this task")
    parser.add_argument("--web", action="store_true", help="serve a page on this machine instead, until interrupted")
    parser.add_argument(
        "--port",
        type=port_number,
        metavar="N",
        help=f"port of --web; 0 takes a free one (default: {PORT})",
    )
    parser.add_argument(
        "--interval", type=positive_float, default=2.0, metavar="S", help="seconds between looks (default: %(default)s)"
    )
    return parser


def run(argv: list[str]) -> int:
    """Watch runs.

    Args:
        argv: Arguments after the command's name.

    Returns:
        0.

    Raises:
        UserError: If there is no such run, or the port is taken.
    """
    args = _parser().read(argv)
    if args.port is not None and not args.web:
        raise UserError("--port is that of --web; add --web, or leave it out.")
    from cpo_lab.ui.state import Watch  # NumPy, which mistyped input need not wait for

    watch = Watch(args.runs, args.log_root, args.task)
    if watch.left_out:
        sys.stderr.write(f"cpo-lab: {watch.left_out} older runs are left out; name those that you want to see.\n")
    if not args.web:
        from cpo_lab.ui.terminal import follow

        follow(watch, args.interval)
        return 0
    from cpo_lab.ui.web import serve

    serve(watch, PORT if args.port is None else args.port, args.interval)
    return 0
