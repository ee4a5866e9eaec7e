# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From what somebody asked for to a running environment: tasks, settings, the machine, the simulator.

Knows no command line; the commands and the tests that start a simulator build on it.
"""
