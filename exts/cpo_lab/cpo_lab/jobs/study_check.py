# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What must hold before the runs of a study start: equal budgets, and folders that hold nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cpo_lab.jobs.record import Record
from cpo_lab.jobs.study import Study, StudyRun
from cpo_rl.errors import UserError
from cpo_rl.runs.files import shown
from cpo_rl.runs.find import contents_of
from cpo_rl.runs.folder import RunFolder, plain_task


@dataclass(frozen=True)
class Planned:
    """How long a run is."""

    iterations: int
    """Iterations in all."""

    per_iteration: int = 0
    """Environment steps of an iteration; 0 where nobody here knows it."""


def check_budgets(study: Study, planned: Mapping[str, Planned]) -> None:
    """Refuse a comparison of runs that get different numbers of environment steps on the same task.

    Less than an iteration does not count: iterations of different length cannot end at the same step.

    Raises:
        UserError: Naming two runs of one task.
    """
    if study.unequal_budgets:
        return
    first: dict[str, StudyRun] = {}
    for run in study.runs:
        other = first.setdefault(run.task, run)
        a, b = planned[other.name], planned[run.name]
        if not a.per_iteration or not b.per_iteration:
            same = a.iterations == b.iterations
        else:
            steps = abs(a.iterations * a.per_iteration - b.iterations * b.per_iteration)
            same = steps < max(a.per_iteration, b.per_iteration)
        if not same:
            told = " and ".join(
                f"{r.name} {p.iterations * (p.per_iteration or 1):,}" for r, p in ((other, a), (run, b))
            )
            raise UserError(
                f"Budgets on {run.task} are not equal ({told} {'steps' if a.per_iteration else 'iterations'}); give "
                "env_steps in place of iterations, or unequal_budgets: true."
            )


def device_for_check(study: Study, launcher: str) -> list[str]:
    """Return what is added to a run's arguments where they are checked on a machine without the GPU that it gets.

    Raises:
        UserError: If the study leaves to that GPU what must be known here.
    """
    if launcher == "local" or study.device == "cpu":
        return []
    import torch

    if torch.cuda.is_available():
        return []
    open_size = next((run for run in study.runs if not any(a.startswith("--num_envs=") for a in run.arguments)), None)
    if open_size is not None:
        raise UserError(
            f"Study field num_envs is missing for {open_size.task}: this machine has no GPU from which the number of "
            "environments could follow; give it, or device: cpu."
        )
    return ["--device", "cpu"]


def is_complete(folder: Path, iterations: int) -> bool:
    """Return whether a run has nothing left to do.

    Args:
        folder: Its folder.
        iterations: Iterations that it should have.
    """
    run = RunFolder.read(folder)
    return run.health() == "finished" and run.iteration >= iterations


def check_folders(study: Study, planned: Mapping[str, Planned], record: Record) -> None:
    """Refuse a folder that holds something else than the run that the study asks for.

    Raises:
        UserError: Naming the first such folder and what differs.
    """
    for study_run in study.runs:
        folder = study.folder / study_run.name
        why = _difference(study_run, planned[study_run.name].iterations, folder, record)
        if why:
            raise UserError(
                f"Folder {shown(folder)!r} is incompatible with the study: {why}; move it away, or name another study "
                "folder."
            )


def _difference(study_run: StudyRun, iterations: int, folder: Path, record: Record) -> str | None:
    """Return what makes a folder's run another one, in words; None if it is the one, or there is none yet."""
    if not folder.exists() or not contents_of(folder).files:
        return None
    run = RunFolder.read(folder)
    if run.iteration > iterations:
        return f"its run has {run.iteration} iterations and the study says {iterations}"
    before, now = record.arguments(study_run.name), list(study_run.arguments)
    if before is not None:
        changed = [*(f"without {a}" for a in before if a not in now), *(f"with {a}" for a in now if a not in before)]
        return f"the study is now {', '.join(changed)}" if changed else None
    known = {"task": (run.task, plain_task(study_run.task)), "agent": (run.agent, study_run.agent)}
    known["seed"] = (run.launch.get("seed"), study_run.seed)  # type: ignore[assignment]
    other = [f"its {name} is {a}, not {b}" for name, (a, b) in known.items() if a != b]
    return ", ".join(other) or "it was trained without this study, so its settings are not known to be the study's"
