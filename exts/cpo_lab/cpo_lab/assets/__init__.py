# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Robots and objects as number tables, and the generated USD files. Importing this loads no simulator."""
