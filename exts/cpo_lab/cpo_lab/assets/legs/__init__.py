# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Robots on legs: their number tables and how they stand in a scene."""
