# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Whether training can start on this machine and account: the folders, the engine and the configuration it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from cpo_lab.assets.cache import CACHE_VARIABLE
from cpo_lab.launch.caches import cache_folders, kernel_cache, notice, remove_damaged_kernels, why_not_writable
from cpo_lab.launch.configuration import Request, resolve
from cpo_lab.launch.machine import check_folder
from cpo_lab.launch.registry import DEFAULT_AGENT, DEFAULT_TASK
from cpo_rl.errors import UserError
from cpo_rl.runs.find import LOG_ROOT

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    level: Level
    """``ok``, ``note`` (works, but less well) or ``problem`` (something will fail)."""

    topic: str
    """What was looked at."""

    text: str
    """What was found."""

    fix: str = ""
    """What to do about it; empty when nothing."""


TOPICS = {CACHE_VARIABLE: "Generated models", "WARP_CACHE_PATH": "Kernel cache", "TMPDIR": "Temporary files"}
"""What is kept in the folder that a variable names."""

LEAST_GB = 2.0
"""Free disk below which a folder is a problem [GB]."""

_LOAD = """\
import importlib
import sys

import warp

warp.init()
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def check_places() -> list[Finding]:
    """Write into every folder that training writes to."""
    found = []
    told = notice()
    if told is not None:
        found.append(Finding("note", "Caches", told, "set CPO_LAB_CACHE to a folder that stays"))
    try:
        folders = cache_folders()
    except UserError as error:
        return [*found, Finding("problem", "Temporary files", str(error), "set TMPDIR to a writable folder")]
    for variable, folder in folders.items():
        problem = why_not_writable(folder)
        if problem is not None:
            text = f"{folder} cannot be written ({problem})"
            chosen = CACHE_VARIABLE if folder.is_relative_to(folders[CACHE_VARIABLE]) else variable
            found.append(Finding("problem", TOPICS[variable], text, f"set {chosen} to a writable folder"))
        else:
            found.append(_room(TOPICS[variable], folder))
    try:
        logs = check_folder(LOG_ROOT, "the folder of runs")
        found.append(_room("Runs", next(path for path in (logs, *logs.parents) if path.exists())))
    except UserError as error:
        found.append(Finding("problem", "Runs", str(error), "work in another folder, or give train --log_root DIR"))
    return [*found, *_kernels()]


def _room(topic: str, folder: Path) -> Finding:
    """Return how much room there is in a folder that can be written."""
    free = shutil.disk_usage(folder).free / 1024**3
    if free < LEAST_GB:
        text = f"only {free:.1f} GB free in {folder}"
        return Finding("problem", topic, text, "make room: a long run writes 1 GB or more")
    return Finding("ok", topic, f"{free:.0f} GB free in {folder}")


def _kernels() -> list[Finding]:
    """Look at the compiled kernels."""
    damaged = remove_damaged_kernels(kernel_cache())
    if damaged:
        text = f"{len(damaged)} damaged modules were removed; the next start compiles them again"
        return [Finding("note", "Kernel cache", text)]
    if not any(kernel_cache().glob("*/wp_*")):
        return [Finding("note", "Kernel cache", "empty: the first start compiles kernels for one to three minutes")]
    return []


def check_engine() -> list[Finding]:
    """Load the engines' compiled libraries in a process of its own, because one that does not fit can abort it."""
    modules = {"newton": "newton", **({"ovphysx": "ovphysx._bindings"} if find_spec("ovphysx") else {})}
    command = [sys.executable, "-c", _LOAD, *modules.values()]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return [Finding("ok", "Engines", f"{' and '.join(modules)} can be loaded")]
    said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return [
        Finding(
            "problem",
            "Engines",
            f"cannot be loaded: {said}",
            "if nothing else here is a problem, install anew in a new .venv",
        )
    ]


def check_configuration() -> list[Finding]:
    """Make the configuration of the default task, which also writes its models: the first that training does."""
    try:
        resolved = resolve(Request(DEFAULT_TASK, DEFAULT_AGENT))
    except UserError as error:
        return [Finding("problem", "Training", str(error), "as the sentence says")]
    request = resolved.request
    return [Finding("ok", "Training", f"{request.task} with {request.physics} on {request.device} can be set up")]


def try_training() -> list[Finding]:
    """Train one iteration of the default task in a process of its own and a folder that is removed again."""
    with tempfile.TemporaryDirectory(prefix="cpo_lab_doctor_") as folder:
        command = ["train", "--num_envs", "12", "--iterations", "1", "--log_root", folder]
        done = subprocess.run(
            [sys.executable, "-m", "cpo_lab.cli", *command], capture_output=True, text=True, errors="replace",
            check=False,
        )  # fmt: skip
    if done.returncode == 0:
        return [Finding("ok", "Training", "one iteration was trained")]
    said = " / ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
    return [
        Finding("problem", "Training", f"ended with status {done.returncode}: {said}", "as the message says; the "
                "whole of it: cpo-lab train --num_envs 12 --iterations 1")
    ]  # fmt: skip
