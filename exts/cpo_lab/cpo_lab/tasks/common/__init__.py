# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the task families share: tensor functions and tables that need torch and nothing of Isaac Lab."""
