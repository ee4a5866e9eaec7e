# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What is on the disk: run folders, their tables and their checkpoints. Nothing trains here.

* :mod:`~cpo_rl.runs.folder`: THE run: what a folder says about one, whoever wrote it.
* :mod:`~cpo_rl.runs.find`: where runs are, and ``latest``, ``best`` and paths to checkpoints.
* :mod:`~cpo_rl.runs.records`: the fields of its JSON files.
* :mod:`~cpo_rl.runs.configs`: its YAML files, read safely and compared.
* :mod:`~cpo_rl.runs.tables`: its growing files: metrics and diagnostics.
* :mod:`~cpo_rl.runs.curves`: the same for pictures, bounded in time and memory.
* :mod:`~cpo_rl.runs.provenance`: versions, machine and commit that a result came from.
* :mod:`~cpo_rl.runs.log`: its messages.
* :mod:`~cpo_rl.runs.metric_names`: what its metrics are called.
* :mod:`~cpo_rl.runs.files`: files that appear whole or not at all.
* :mod:`~cpo_rl.runs.checkpoint_manifest`: the sidecar that says what a checkpoint is and proves that it is complete.
* :mod:`~cpo_rl.runs.checkpoints`: the checkpoints of one run: newest, best, rotation.
* :mod:`~cpo_rl.runs.checkpoint_reader`: from a file to its content, for whoever loads one.
* :mod:`~cpo_rl.runs.payload`: tensors to bytes and back without executing anything.
* :mod:`~cpo_rl.runs.migrate`: older format versions.
* :mod:`~cpo_rl.runs.compatibility`: refusing the checkpoint of another task, robot or layout.
* :mod:`~cpo_rl.runs.random_state`: the global random generators.
* :mod:`~cpo_rl.runs.dump`: reading what the finite guard left behind.

Only ``checkpoint_reader``, ``payload``, ``random_state`` and ``dump`` import torch, only ``curves`` NumPy and only
``configs`` YAML, so that listing runs stays instant.
"""

from __future__ import annotations
