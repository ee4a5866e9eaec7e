# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The extension in the real Kit kernel, where the user has it and accepted its license; nothing is accepted here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cpo_lab.report.synthetic_runs import write_run

from cpo_rl.formatting import format_number
from cpo_rl.runs.tables import read_metrics

pytestmark = [
    pytest.mark.kit,
    pytest.mark.skipif(find_spec("isaacsim") is None, reason="needs the Kit kernel: the wheel isaacsim-kernel"),
    pytest.mark.skipif(
        os.environ.get("OMNI_KIT_ACCEPT_EULA", "").lower() not in ("y", "yes", "1"),
        reason="needs NVIDIA's EULA, which only you can accept: OMNI_KIT_ACCEPT_EULA in your environment",
    ),
]

ROOT = Path(__file__).parents[3]
STAND_IN = """
from tests.cpo_lab.ui.kit_stand_in import omni_ui
globals().update(vars(omni_ui()))
"""


def seen_in_kernel(tmp_path: Path, run: Path, *stand_ins: Path) -> dict:
    """What the job wrote; the kernel's exit status says nothing."""
    output = tmp_path / "seen.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.cpo_lab.ui.kit_kernel_job", str(output), str(tmp_path / "kit"), str(run),
         *map(str, stand_ins)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert output.is_file(), done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(output.read_text())


def test_the_search_path_alone_suffices_and_without_a_gui_nothing_fails(tmp_path):
    seen = seen_in_kernel(tmp_path, write_run(tmp_path, "cpo"))
    assert seen == {"enabled": True, "imported": True, "library": True, "disabled": True}


def test_the_window_follows_the_run_from_kits_loop_and_is_closed(tmp_path):
    extension = tmp_path / "stand_ins/omni.ui"
    (extension / "config").mkdir(parents=True)
    (extension / "config/extension.toml").write_text(
        '[package]\nversion = "2.30.0"\n[[python.module]]\nname = "omni.ui"\n'
    )
    (extension / "omni/ui").mkdir(parents=True)
    (extension / "omni/ui/__init__.py").write_text(STAND_IN)
    run = write_run(tmp_path, "cpo")
    seen = seen_in_kernel(tmp_path, run, extension.parent)
    assert seen["imported"] and seen["disabled"] and seen["windows_left"] == 0
    table = read_metrics(run / "metrics.csv")
    for policy in range(6):
        assert format_number(table[f"Policy_{policy}/return"][-1]) in seen["texts"]
