# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Environments of other libraries as rsl_rl's vector environment."""

from __future__ import annotations
