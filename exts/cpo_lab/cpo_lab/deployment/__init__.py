# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What stands in an exported folder besides the networks: their description, a driver for a robot, a model card."""
