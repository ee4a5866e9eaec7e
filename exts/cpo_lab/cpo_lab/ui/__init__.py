# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The ensemble on screen: one state of a run, and faces that show it. Importing it loads neither omni nor torch."""
