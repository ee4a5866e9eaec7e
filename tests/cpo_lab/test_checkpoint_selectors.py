# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Our checkpoint selectors and Isaac Lab's choose alike among our runs and its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import json, sys, time
from pathlib import Path
from isaaclab_rl.entrypoints.common import resolve_checkpoint_selector, write_run_manifest
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.find import resolve_checkpoint
from cpo_rl.runs.checkpoints import CheckpointStore

root = Path(sys.argv[1])

def both(task):
    pattern = r"model_.*\\.pt"
    stock = resolve_checkpoint_selector(str(root), "latest", library="rsl_rl", task=task, checkpoint_pattern=pattern)
    assert stock == str(resolve_checkpoint("latest", root, task=task)), (stock, task)
    return Path(stock).relative_to(root).as_posix()

for name, task, iterations in (("a", "T", (9, 100, 20)), ("b", "T", (3,)), ("c", "U", (4,))):
    write_run_manifest(str(root / name), library="rsl_rl", task=task)
    (root / name / "manifest.json").write_text(json.dumps({"format": 1, "created": "2026-01-01T00:00:00+00:00"}))
    for iteration in iterations:
        CheckpointStore(root / name).save(b"x", CheckpointManifest(iteration))
    time.sleep(0.01)
found = [both("T"), both("U")]
write_run_manifest(str(root / "stock"), library="rsl_rl", task="T")
for name in ("model_9.pt", "model_150.pt"):
    (root / "stock" / name).write_bytes(b"x")
found.append(both("T"))
assert found == ["b/model_3.pt", "c/model_4.pt", "stock/model_150.pt"], found
"""


def test_latest_is_the_same_file(tmp_path):
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
