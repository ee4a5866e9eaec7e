# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Franka's arm with its gripper: the number table, and how it stands at a bench with cubes."""
