# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A task in a real engine: a module of checks drives it in a process of its own, and tests read what was seen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.processes import run_python


def seen_by(module: str, engine: str, folder: Path, timeout: float) -> dict[str, Any]:
    """Run a module of checks that calls :func:`drive`.

    Args:
        module: Its name from the root of the repository, such as ``tests.cpo_lab.tasks.legs.anymal_checks``.
        engine: Preset of the physics.
        folder: Where to write.
        timeout: Seconds it may take.

    Returns:
        What each check returned, by name.
    """
    output = folder / "seen.json"
    run_python("-m", module, engine, output, cwd=Path(__file__).parents[1], timeout=timeout)
    return json.loads(output.read_text())


def drive(task: str, num_envs: int, checks: Mapping[str, Callable[[Any], Any]]) -> None:
    """Put a task through checks in the engine of the command line, ``ENGINE OUTPUT.json``.

    Args:
        task: Its id.
        num_envs: Environments.
        checks: Each takes the environment and returns what JSON can hold. What the checks of the physics measure and
            which of them failed is added as ``physics`` and ``failed``.
    """
    engine, output = sys.argv[1:]
    import gymnasium
    import torch
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401
    from cpo_lab.tasks.physical_checks import physical_checks

    cfg, _ = resolve_task_config(task, None, overrides=[f"physics={engine}"])
    cfg.scene.num_envs, cfg.seed = num_envs, 7
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}), torch.inference_mode():
        env = gymnasium.make(task, cfg=cfg).unwrapped
        seen = {name: check(env) for name, check in checks.items()}
        physics = physical_checks(env)
        seen["physics"] = {check.name: check.value for check in physics}
        seen["failed"] = [check.name for check in physics if not check.passed]
        env.close()
    Path(output).write_text(json.dumps(seen))
