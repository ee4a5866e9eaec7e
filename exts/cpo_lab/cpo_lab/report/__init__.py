# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Comparison of training runs: statistics, figures, one HTML file. Needs no simulator and no torch."""
