# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Files that lie beside an exported policy: the driver of a robot and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpo_lab.deployment.model_card import MARK, model_card
from cpo_rl.errors import UserError
from cpo_rl.runs.files import MAX_FILE, read_file, reason, write_text
from cpo_rl.runs.folder import RunFolder

DRIVER, CARD = "run_policy.py", "README.md"
"""Names of the files."""

_MARKS = {DRIVER: '"""Drive a robot with an exported policy: ', CARD: MARK}
"""What stands in each; a file without it is somebody's own."""


def add_companions(folder: Path, description: Mapping[str, Any], run: RunFolder) -> list[str]:
    """Write the driver, if there is an ONNX file of a policy that drives a robot, and the model card.

    Args:
        folder: Folder of the exported policy.
        description: Content of its ``policy.json``.
        run: The run that it comes from.

    Returns:
        Names of the files written. Files of these names that somebody else wrote stay.

    Raises:
        UserError: If the disk is full or read-only.
    """
    ours = [name for name, mark in _MARKS.items() if _is_ours(folder / name, mark)]
    wanted = {}
    if DRIVER in ours and "policy.onnx" in description["files"] and "not_drivable" not in description:
        wanted[DRIVER] = Path(__file__).with_name(DRIVER).read_text(encoding="utf-8")
    if CARD in ours:
        wanted[CARD] = model_card(description, run, list(wanted))
    try:
        for name, text in wanted.items():
            write_text(folder / name, text)
        if DRIVER in ours and DRIVER not in wanted:
            (folder / DRIVER).unlink(missing_ok=True)  # it belonged to the policy that was here before
    except OSError as error:
        raise UserError(f"out_dir {str(folder)!r} cannot be written ({reason(error)}); choose another.") from None
    return list(wanted)


def _is_ours(file: Path, mark: str) -> bool:
    """Whether a file may be replaced: it is missing, or an earlier export wrote it."""
    try:
        return mark.encode() in read_file(file, MAX_FILE)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
