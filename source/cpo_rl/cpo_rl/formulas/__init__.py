# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every formula of ``docs/algorithms.md`` as a pure function of tensors, and nothing else."""
