# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Physics engines: presets for every engine that Isaac Lab offers, and what running without a GPU takes."""
