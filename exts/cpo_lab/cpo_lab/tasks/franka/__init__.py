# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Franka's arm pushes and stacks cubes: what the tasks share, and one file per task."""
