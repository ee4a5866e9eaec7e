# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab play`` for people who run scripts; works from a checkout that is only on PYTHONPATH."""

from __future__ import annotations

import sys

import cpo_lab.tasks  # noqa: F401  registers the tasks where the entry points are not installed
from cpo_lab.cli import main

if __name__ == "__main__":
    sys.exit(main(["play", *sys.argv[1:]]))
