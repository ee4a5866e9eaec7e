# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Checkpoints that are complete or absent: atomic writing, safe reading, rotation, selection and migration.

* :mod:`~cpo_rl.runs.files`: files that appear whole or not at all.
* :mod:`~cpo_rl.runs.checkpoint_manifest`: the sidecar that says what a checkpoint is and proves that it is complete.
* :mod:`~cpo_rl.runs.checkpoints`: the checkpoints of one run: newest, best, rotation.
* :mod:`~cpo_rl.runs.payload`: tensors to bytes and back without executing anything.
* :mod:`~cpo_rl.runs.migrate`: older format versions.
* :mod:`~cpo_rl.runs.compatibility`: refusing the checkpoint of another task, robot or layout.
* :mod:`~cpo_rl.runs.select`: ``latest``, ``best`` and paths to checkpoints below a log folder.
* :mod:`~cpo_rl.runs.random_state`: the global random generators.
* :mod:`~cpo_rl.runs.dump`: reading what the finite guard left behind.

Only ``payload``, ``random_state`` and ``dump`` import torch, so that listing runs stays instant.
"""

from __future__ import annotations
