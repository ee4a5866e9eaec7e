# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Our agents for tasks of others: derived from the rsl_rl PPO configuration that a task registers."""
