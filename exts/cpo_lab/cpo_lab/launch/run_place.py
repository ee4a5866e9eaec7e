# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Where a run begins and which folder it is written into: a new one, that of the run it continues, or one named.

A folder that holds records of a run is continued, refused, or moved aside because that was asked for by name. It is
never cut back to nothing and never gets a second run's records.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cpo_lab.launch.configuration import Resolved
from cpo_lab.launch.ranks import Rank
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoints import iteration_of
from cpo_rl.runs.files import expanded
from cpo_rl.runs.find import SELECTORS, Contents, contents_of, find_runs, is_newest, resolve_checkpoint
from cpo_rl.runs.folder import RunFolder, plain_task
from cpo_rl.runs.lock import LOCK_FILE, make_run_folder, move_aside, own_folder

AUTO = "auto"
"""Value of ``--resume`` for jobs that are started again and again with the same command."""


# -- where it begins ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beginning:
    """What a run begins with."""

    checkpoint: Path | None = None
    """Checkpoint to continue from; None for a new run."""

    newest: bool = False
    """Whether that is its run's newest checkpoint, as far as its folder told then."""

    found: str = ""
    """What ``--resume auto`` found, and without a checkpoint also what it does, a sentence without its end."""

    weights: Path | None = None
    """Checkpoint whose weights a new run begins with; None for new ones."""

    def told(self, place: RunPlace) -> str:
        """Return what ``--resume auto`` found and does; empty for any other start.

        Args:
            place: The folder that the run is written into.
        """
        if not self.found or self.checkpoint is None:
            return self.found
        return f"{self.found} and " + ("continues it" if place.continues else "goes on from it in a folder of its own")


def find_beginning(
    resume: str | None,
    log_dir: str | None,
    log_root: str,
    task: str | None,
    init_from: str | None = None,
    may_move: bool = False,
) -> Beginning:
    """Return what ``--resume`` and ``--init_from`` mean.

    Args:
        resume: Its value; None for a new run.
        log_dir: Value of ``--log_dir``, the folder that is looked into where a word is given.
        log_root: Folder of all runs, where there is no ``log_dir``.
        task: Task that was named.
        init_from: Whose weights a new run begins with; without meaning for one that ``--resume auto`` continues.
        may_move: Whether records that cannot be continued may be moved aside.

    Raises:
        UserError: If there is nothing to continue, or records that cannot be continued, or no such weights.
    """
    if init_from is not None and resume not in (None, AUTO):
        raise UserError("--init_from begins a new run, and --resume goes on with one; give one of them.")
    begin = _continued(resume, log_dir, log_root, task, may_move)
    if init_from is None or begin.checkpoint is not None:
        return begin
    from cpo_rl.runs.checkpoint_reader import read_checkpoint  # torch, which other input need not wait for

    try:
        weights = resolve_checkpoint(init_from, log_root)
    except UserError as error:
        raise UserError(str(error).replace("--checkpoint", "--init_from", 1)) from None
    read_checkpoint(weights)  # refused before the simulator starts
    return replace(begin, weights=weights)


def _continued(resume: str | None, log_dir: str | None, log_root: str, task: str | None, may_move: bool) -> Beginning:
    if resume is None:
        return Beginning()
    place = expanded(log_dir).absolute() if log_dir else None
    if resume == AUTO:
        return _begin_in(place, may_move) if place else _begin_below(log_root, task)
    selector = f"{place}:{resume}" if place and resume in SELECTORS else resume
    checkpoint = resolve_checkpoint(selector, log_root, task=task)
    return Beginning(checkpoint, is_newest(checkpoint))


def _begin_in(folder: Path, may_move: bool) -> Beginning:
    contents = contents_of(folder)
    if contents.checkpoint is not None:
        return Beginning(contents.checkpoint, True, f"found {contents.checkpoint}")
    if not contents.files:
        return Beginning(found=f"found no run in {folder} and starts a new one")
    if not contents.trained:
        return Beginning(found=f"found a run without a finished iteration in {folder} and starts it again")
    if may_move:
        return Beginning(found=f"found records without a complete checkpoint in {folder}, moves them aside and starts")
    raise UserError(
        f"--resume auto cannot continue {str(folder)!r}: it holds records ({_some(contents)}) but no complete "
        "checkpoint; add --move_aside to put them aside and start anew, or name another --log_dir."
    )


def _begin_below(log_root: str, task: str | None) -> Beginning:
    of_task = f" of task {task}" if task else ""
    try:
        checkpoint = resolve_checkpoint("latest", log_root, task=task)
    except UserError:
        trained = [run for run in find_runs(log_root, task=task) if contents_of(run.path).trained]
        if trained:
            raise UserError(
                f"--resume auto cannot continue {str(trained[-1].path)!r}, the newest run{of_task}: it holds no "
                "complete checkpoint; leave out --resume to start a new run."
            ) from None
        return Beginning(found=f"found no run{of_task} in {log_root} and starts a new one")
    return Beginning(checkpoint, True, f"found {checkpoint}, the newest{of_task or ' of all'},")


def _some(contents: Contents) -> str:
    return ", ".join(contents.files[:3]) + (", ..." if len(contents.files) > 3 else "")


# -- where it is written -----------------------------------------------------------------------------------------------


@dataclass
class RunPlace:
    """The folder that a run is written into."""

    folder: Path | None
    """The folder; None for a new one until :meth:`own` has made it."""

    root: Path = field(default_factory=Path)
    """Folder of all runs, for a new one."""

    experiment: str = ""
    """Folder below it."""

    run_name: str = ""
    """Added to the name of a new folder."""

    continues: bool = False
    """Whether the folder's own run goes on in it."""

    moves_aside: bool = False
    """Whether what the folder holds is moved aside first."""

    reasons: list[str] = field(default_factory=list)
    """Why a run that was continued does not go on in its own folder, a phrase each."""

    moved_to: Path | None = None
    """Where the earlier content of the folder is now."""

    _planned: Path | None = None
    _seen: Contents | None = None
    _is_new: bool = False

    def own(self) -> contextlib.AbstractContextManager[Any]:
        """Make the folder where it is missing and keep other processes out of it; of several processes the first does.

        Raises:
            UserError: If another process owns it, or it cannot be made.
        """
        rank = Rank.of_this_process()
        if not rank.is_first:
            self.folder = self.folder or Path(rank.share("run folder"))
            self.folder.mkdir(parents=True, exist_ok=True)
            return contextlib.nullcontext()
        if self.folder is None:
            self.folder, self._is_new = make_run_folder(self.root, self.experiment, self.run_name), True
            if rank.several:
                rank.share("run folder", str(self.folder))
        else:
            self._is_new = not self.folder.exists()
        return own_folder(self.folder)

    @property
    def has_changed(self) -> bool:
        """Whether another process wrote into the folder between the plan and :meth:`own`."""
        if self._seen is None or self.folder is None:
            return False
        return contents_of(self.folder) != self._seen or (self.continues and self._seen.checkpoint != self._planned)

    def clear(self) -> contextlib.AbstractContextManager[Any]:
        """Move aside what is in the way, if that was asked for; only after :meth:`own`."""
        if not self.moves_aside or self.folder is None:
            return contextlib.nullcontext()
        self.moved_to = move_aside(self.folder)
        return own_folder(self.folder)

    def tidy(self) -> None:
        """Remove the folder again if nothing was written into it, because the start failed."""
        folder = self.folder
        if folder is not None and self._is_new:
            with contextlib.suppress(OSError):
                if [file.name for file in folder.iterdir()] == [LOCK_FILE]:
                    (folder / LOCK_FILE).unlink()
                    folder.rmdir()


def choose_place(
    begin: Beginning, reasons: list[str], named: Path | None, new: RunPlace, *, may_move: bool
) -> RunPlace:
    """Return the folder that a run is written into; nothing is made.

    Args:
        begin: What it begins with.
        reasons: Why that becomes another run, a phrase each.
        named: Value of ``--log_dir``, absolute; None if it was not given.
        new: The folder that it gets where it needs a new one.
        may_move: Whether records in a named folder may be moved aside.

    Raises:
        UserError: If the named folder holds another run, or several processes have none and no torchrun.
    """
    rank, checkpoint = Rank.of_this_process(), begin.checkpoint
    own = checkpoint.parent if checkpoint is not None else None
    named = named.resolve() if named is not None else None
    if own is not None and not reasons:
        if not begin.newest:
            reasons = ["it is not its run's newest checkpoint"]
        elif named is None and not _is_run(own):
            reasons = ["its folder holds no run"]
        elif named not in (None, own):
            reasons = [f"--log_dir names {named}"]
        else:
            seen = contents_of(own) if rank.is_first else None
            return RunPlace(own, continues=True, _planned=checkpoint, _seen=seen)
    if named is None:
        if rank.several and not rank.can_share:
            raise UserError(
                f"{rank.world_size} processes need one run folder and cannot agree on a new one here; start them with "
                "torchrun, or name it with --log_dir."
            )
        return replace(new, reasons=reasons)
    if named == own:
        raise UserError(
            f"The run in {str(own)!r} cannot go on in its folder, because {' and '.join(reasons)}; name another "
            "--log_dir, or leave it out for a new one."
        )
    if not rank.is_first:  # the first one looks, and may have begun to write
        return RunPlace(named, reasons=reasons)
    contents = contents_of(named)
    in_the_way = contents.trained or (bool(contents.files) and checkpoint is not None)
    if in_the_way and not may_move:
        raise UserError(
            f"--log_dir {str(named)!r} holds records of a run ({_some(contents)}); continue it with --resume auto, "
            "name another folder, or add --move_aside to put them aside."
        )
    return RunPlace(named, moves_aside=in_the_way, reasons=reasons, _seen=contents)


def _is_run(folder: Path) -> bool:
    run = RunFolder.read(folder)
    return run.is_known or run.has_remains


def reasons_for_another_run(run: RunFolder, resolved: Resolved, algorithm: str) -> list[str]:
    """Return what makes a run another one than the one it continues from, a phrase each.

    Args:
        run: The run that is continued.
        resolved: What will run.
        algorithm: Name of its algorithm for records.
    """
    from cpo_rl.algorithms.class_name import algorithm_class  # imports torch, which mistyped input need not wait for

    cls = algorithm_class(resolved.agent_cfg.algorithm.class_name)
    before_and_now = {
        "task": (run.task, plain_task(resolved.request.task)),
        "algorithm": (run.algorithm, algorithm),
        "class": (run.algorithm_class, cls.__qualname__),
        "physics": _engines(run, resolved),
        "seed": (run.launch.get("seed", run.seed), resolved.request.seed),
        "number of policies": (run.manifest.get("num_policies"), resolved.num_policies),
    }
    return [
        f"its {name} is {before}, not {now}"
        for name, (before, now) in before_and_now.items()
        if before is not None and before != now
    ]


def _engines(run: RunFolder, resolved: Resolved) -> tuple[str | None, str | None]:
    """Return the engine of a run and the one that is asked for: names, or classes for a run that keeps no name."""
    name = run.manifest.get("physics") or run.launch.get("physics")
    if name is not None:
        return name, resolved.request.physics
    sim = run.env_settings.get("sim")
    physics = sim.get("physics") if isinstance(sim, dict) else None
    before = physics.get("class_type") if isinstance(physics, dict) else None
    now = str(resolved.env_cfg.sim.physics.class_type)
    return (before.rpartition(":")[2], now.rpartition(":")[2]) if isinstance(before, str) else (None, None)


def ray_lines(folder: Path) -> tuple[str, str]:
    """Return the two lines by which Isaac Lab's Ray scripts find a run.

    Source: ``scripts/reinforcement_learning/ray/util.py`` of Isaac Lab.

    Args:
        folder: The run folder.
    """
    return (
        f"[INFO] Logging experiment in directory: {folder.parent}",
        f"Exact experiment name requested from command line: {folder.name}",
    )


def ancestor_of(checkpoint: Path, reasons: list[str]) -> dict[str, Any]:
    """Return what the records of a run say about the run that it goes on from.

    Args:
        checkpoint: The checkpoint.
        reasons: Why it does not go on in that run's folder.
    """
    return {
        "run": str(checkpoint.parent),
        "file": checkpoint.name,
        "iteration": iteration_of(checkpoint),
        "reasons": reasons,
    }
