# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab benchmark``: measure environments, updates and learning on this machine."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from cpo_rl.errors import UserError, suggestion

BENCHMARKS = {
    "env": ("cpo_lab.cli.benchmark_env", "environment steps per second against the number of environments"),
    "update": ("cpo_lab.cli.benchmark_update", "seconds per update by algorithm and phase, without a simulator"),
}
"""Benchmarks by name: module and summary."""


def run(argv: list[str]) -> int:
    """Hand over to a benchmark.

    Raises:
        UserError: If there is no such benchmark.
    """
    known = {name: entry for name, entry in BENCHMARKS.items() if importlib.util.find_spec(entry[0])}
    if not argv or argv[0] in ("-h", "--help"):
        lines = ["usage: cpo-lab benchmark <what> [options]", ""]
        lines += [f"  {name:<8}{summary}" for name, (_, summary) in known.items()]
        sys.stdout.write("\n".join([*lines, "", "cpo-lab benchmark <what> --help shows options and examples", ""]))
        return 0
    if argv[0] not in known:
        raise UserError(f"Unknown benchmark {argv[0]!r}; {suggestion(argv[0], known)}")
    return importlib.import_module(known[argv[0]][0]).run(argv[1:])
