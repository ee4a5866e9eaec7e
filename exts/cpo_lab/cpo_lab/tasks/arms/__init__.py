# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Arm-and-hand tasks of DexPBT and CPO: regrasping, reorientation, throwing, with one arm or two."""
