# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab benchmark``: measure environments and updates on this machine; each benchmark is a module of its own."""

from __future__ import annotations

import importlib

from cpo_lab.cli.parser import CommandParser

BENCHMARKS = {
    "env": ("cpo_lab.cli.benchmark_env", "environment steps per second against the number of environments"),
    "update": ("cpo_lab.cli.benchmark_update", "seconds per update by algorithm and phase, without a simulator"),
}
"""Benchmarks by name: module and summary."""

_EPILOG = """\
benchmarks:
{summaries}

examples:
  cpo-lab benchmark env --num_envs 64 256
  cpo-lab benchmark update --shape kuka
  cpo-lab benchmark env --help          options and more examples"""


def _parser() -> CommandParser:
    summaries = "\n".join(f"  {name:<8}{summary}" for name, (_, summary) in BENCHMARKS.items())
    parser = CommandParser(
        prog="cpo-lab benchmark",
        usage="cpo-lab benchmark WHAT [options]",
        description="Measure this machine.",
        epilog=_EPILOG.format(summaries=summaries),
    )
    parser.add_argument("what", choices=BENCHMARKS, metavar="WHAT", help=" or ".join(BENCHMARKS))
    return parser


def run(argv: list[str]) -> int:
    """Hand over to a benchmark.

    Raises:
        UserError: If there is no such benchmark.
    """
    what = _parser().read(argv[:1] or ["--help"]).what
    return importlib.import_module(BENCHMARKS[what][0]).run(argv[1:])
