# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Experiments behind docs/why_cpo.md: commands that resume, store every finished run at once, and draw the figures.

python -m experiments.diversity --help     diversity against efficiency, three tasks without a simulator
python -m experiments.scale --help         more environments for one policy and for ensembles
python -m experiments.hands --help         couplings and learning of the hands and arms, in the simulator
"""
