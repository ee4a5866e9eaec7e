# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Checks of ``cpo-lab doctor`` that are too long to stand beside the others."""
