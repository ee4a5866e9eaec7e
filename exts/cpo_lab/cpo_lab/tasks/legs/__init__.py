# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Locomotion on legs: what robots share, and one file per robot."""
