# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""rsl_rl's on-policy runner with a run folder, atomic checkpoints, safe loading and resume."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner

from cpo_rl.algorithms.class_name import algorithm_class, construction
from cpo_rl.config import RunnerOptions
from cpo_rl.contracts import Algorithm
from cpo_rl.errors import UserError
from cpo_rl.runners.loop_hooks import LoopHooks
from cpo_rl.runners.new_settings import NewSettings, keep_generators, set_learning_rate
from cpo_rl.runners.online_log import check_logger
from cpo_rl.runners.rank_state import RankState, gather_ranks
from cpo_rl.runs.checkpoint_manifest import FORMAT, CheckpointManifest
from cpo_rl.runs.checkpoint_reader import read_checkpoint
from cpo_rl.runs.checkpoints import CheckpointStore, write_checkpoint
from cpo_rl.runs.compatibility import env_identity
from cpo_rl.runs.files import plain_config, reason
from cpo_rl.runs.find import checkpoint_in, contents_of, make_way
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.lock import FolderLock, own_folder
from cpo_rl.runs.payload import first_not_finite, plain_copy, to_bytes
from cpo_rl.runs.provenance import config_hash, differing, git_commit, hardware, library_versions, now
from cpo_rl.threads import limit_torch_threads

_log = logging.getLogger(__name__)

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for one that hangs; one that died is noticed at once, because its connection closes."""

_ORIGIN = ("ancestor", "initialized_from")
"""Entries of a manifest that say what a run began with; another start in its folder does not inherit them."""

_MAY_BE_NAN = ("episodes", "runner", "infos")
"""Entries of a payload that hold task metrics, which may be NaN without harm."""


class CheckpointedRunner(OnPolicyRunner):
    """What saves and restores a run; :class:`~cpo_rl.runners.EnsembleRunner` adds how it is trained.

    Args:
        env: rsl_rl environment.
        train_cfg: rsl_rl's runner configuration; :class:`RunnerOptions` lists the fields it may hold besides.
        log_dir: Run folder, made if missing; None keeps no records (playing, evaluating).
        device: Device of the algorithm.
        **run_fields: Fields for the run's manifest, such as ``task``, ``algorithm`` and ``physics``.

    Attributes:
        changes: What is asked for now and was not before, by key: the value before and now. Training adds it to the
            manifest's history when it starts.

    Raises:
        UserError: If a setting is wrong or the folder cannot be written.
    """

    logger: LoopHooks

    def __init__(
        self, env: VecEnv, train_cfg: dict, log_dir: str | None = None, device: str = "cpu", **run_fields: Any
    ) -> None:
        self.options = RunnerOptions.from_cfg(train_cfg)
        self._given_cfg = plain_config(train_cfg)
        class_name = train_cfg["algorithm"]["class_name"]
        algorithm_class(class_name)  # refused before anything is allocated
        if log_dir:
            check_logger(train_cfg)
        # The algorithm's constructor takes entries out of what it is given. rsl_rl's own check costs a host sync per
        # step and does not see infinities; the finite guard replaces it.
        with construction(class_name):
            super().__init__(env, {**copy.deepcopy(train_cfg), "check_for_nan": False}, log_dir, device)
        self.offers = Algorithm(self.alg)
        self._algorithm_name, self._configured_rate = self.offers.name, float(self.alg.learning_rate)
        self.identity = env_identity(env, env.get_observations(), run_fields.get("task"), self.offers.num_policies)
        self.completed_iterations = 0
        self._rank_state = RankState(env, self.offers, device, self.is_distributed)
        self._in_loop = False
        self._exact = True
        self._by_guard = False
        self._restored_env = False
        self._pending_random: Mapping[str, Any] | None = None
        cores = limit_torch_threads(str(device))
        self._notes = [] if cores is None else [f"torch runs on 1 of {cores} cores (OMP_NUM_THREADS=N chooses another)"]
        self._lock: FolderLock | None = None
        self._others: tuple[str, ...] = ()
        self._goes_on = False
        self._facts: dict[str, Any] = {}
        self.changes: dict[str, list[Any]] = {}
        self.folder = self._open_folder(log_dir, run_fields) if log_dir and self.gpu_global_rank == 0 else None
        self.store = CheckpointStore(log_dir, self.options.keep_last, self.options.keep_best) if log_dir else None

    def _busy(self) -> contextlib.AbstractContextManager[None]:
        """While a disk may be slow, so that nobody who watches takes this process for one that hangs."""
        return contextlib.nullcontext()

    def save_checkpoint(self) -> bool:
        """Write ``model_<n>.pt`` into the run folder; when that fails say so and go on.

        Every rank has to call this, because each contributes its random generators and environments.

        Weights that are not finite, or whose answers are absurd, are never written, so whatever checkpoint exists is
        sound.

        Returns:
            Whether the checkpoint is on the disk (True on ranks that do not write and without a run folder).
        """
        if self.store is None:
            return True
        store, folder, payload, state = self.store, self.folder, self._payload(None), self.offers.sound_state
        ruined = state is not None and not state.is_sound()
        if folder is None:
            return True
        if self._is_unsound(payload, ruined):
            return False
        name = f"model_{self.completed_iterations}.pt"
        with self._busy():
            data, manifest = to_bytes(payload), self._manifest(payload)
            saved = self.logger.try_write("the checkpoint", lambda: store.save(data, manifest))
        if saved:
            path, number = str(store.path(self.completed_iterations)), self.completed_iterations
            self.logger.try_write("the copy for the logger", lambda: self.logger.save_model(path, number))
        else:
            self.logger.try_write(folder.MANIFEST, lambda: folder.note("checkpoint failed", file=name))
        return saved

    def save_beginning(self) -> None:
        """Write what the run begins with, so that it can go on wherever it is killed; every rank has to call this."""
        if self.store is None:
            return
        store, payload = self.store, self._payload(None)
        if self.folder is not None and not self._is_unsound(payload):
            with self._busy():
                data, manifest = to_bytes(payload), self._manifest(payload)
                self.logger.try_write("the checkpoint", lambda: store.begin(data, manifest))

    def _is_unsound(self, payload: Mapping[str, Any], ruined: bool = False) -> bool:
        """Whether a state must not be written, which is told."""
        broken = first_not_finite({name: payload.get(name) for name in payload if name not in _MAY_BE_NAN})
        if broken is None and not ruined:
            return False
        why = "the network says absurd things" if broken is None else f"{broken} holds a number that is not finite"
        sentence = f"No checkpoint was written, because {why}."
        self.logger.progress.message(sentence)
        _log.error(sentence)
        return True

    def save(self, path: str, infos: dict | None = None) -> None:
        """Write a checkpoint and its sidecar to any path; calls of rsl_rl's loop are ignored, the schedule is ours.

        Raises:
            OSError: If the disk is full or read-only. A file that was there before is intact.
        """
        if self._in_loop:
            return
        payload = self._payload(infos)
        if self.gpu_global_rank == 0:
            write_checkpoint(path, to_bytes(payload), self._manifest(payload))
            self.logger.save_model(path, self.completed_iterations)

    def load(
        self,
        path: str,
        load_cfg: dict | None = None,
        strict: bool = True,
        map_location: str | None = None,
        *,
        force: bool = False,
        asked: Collection[str] = (),
    ) -> dict:
        """Load a checkpoint of this runner or of rsl_rl's, executing nothing it contains.

        Args:
            path: The ``.pt`` file.
            load_cfg: Parts to load, as the algorithm defines them; None loads everything and continues the run exactly.
            strict: Whether parameters must match by name.
            map_location: Device of the tensors; the runner's by default.
            force: Load a checkpoint of another task, robot or observation layout as far as it fits.
            asked: Fields of the algorithm's settings that act although the checkpoint brings a value of its own. Those
                that differ from what the checkpoint was trained with always do.

        Returns:
            The ``infos`` given when saving.

        Raises:
            UserError: If the file is missing, damaged, hostile, too new, or belongs to something else.
        """
        checkpoint = read_checkpoint(path, map_location or self.device)
        name, payload = checkpoint.name, checkpoint.payload
        if checkpoint.manifest is None:
            self._notes.append(f"{name} has no sidecar, so its integrity was not checked.")
        for difference in checkpoint.check_identity(self.identity, force=force):
            self._notes.append(f"{name} has {difference}; loaded nevertheless.")
        new = NewSettings(checkpoint.manifest.config if checkpoint.manifest else {}, self._given_cfg, asked)
        reseeds = load_cfg is None and self._agreed(new.reseeds)
        with refusing(name):
            if reseeds:
                keep_generators(payload, self.offers, self.gpu_global_rank)
            counts = self.alg.load(payload, load_cfg, strict)
        if counts:
            self.completed_iterations = self.current_learning_iteration = payload["iter"]
        if load_cfg is None:
            self.changes.update(new.changes)
            if new.sets_learning_rate:
                self._apply_learning_rate()
            with refusing(name):
                self._restore_run(checkpoint.runner, name)
            if reseeds:
                self._pending_random = None
                self._notes.append("The seed is another one: random generators start from it.")
            if self.store is not None and Path(path).resolve().parent == self.store.folder.resolve():
                self._others, self._goes_on = (), True  # what the folder holds goes on now
        return payload.get("infos") or {}

    def _apply_learning_rate(self) -> None:
        """Go on with the configured learning rate where the checkpoint brought another one."""
        brought, name = f"the checkpoint's {float(self.alg.learning_rate):.3g}", self.offers.class_name
        if set_learning_rate(self.offers, self._configured_rate):
            self._notes.append(f"The learning rate is {self._configured_rate:g}, as asked for, in place of {brought}.")
        else:
            self._notes.append(f"The learning rate stays {brought}: {name} offers no way to change it.")

    def _agreed(self, answer: bool) -> bool:
        """Return rank 0's answer, where several train together."""
        if not self.is_distributed:
            return answer
        flag = torch.tensor([float(answer)], device=self.device)
        torch.distributed.broadcast(flag, 0)
        return bool(flag.item())

    def resume(self, *, force: bool = False, asked: Collection[str] = ()) -> bool:
        """Continue the run in this run folder from its newest complete checkpoint, or from rsl_rl's newest.

        Args:
            force: As in :meth:`load`.
            asked: As in :meth:`load`.

        Returns:
            False if there is none, so that training starts from the beginning.
        """
        latest = checkpoint_in(self.store.folder) if self.store else None
        if latest is None:
            return False
        self.load(str(latest), force=force, asked=asked)
        if self.folder is not None:
            self.store.clean()  # type: ignore[union-attr]
            self.folder.note("resumed", iteration=self.completed_iterations, file=latest.name)
        self._notes.append(f"Continuing after iteration {self.completed_iterations} from {latest.name}.")
        return True

    def _restore_run(self, runner: Mapping[str, Any], name: str) -> None:
        """Restore what belongs to the run rather than to the algorithm, and say what could not be."""
        if not runner:
            self._notes.append(f"{name} is rsl_rl's own: random generators, counters and environments start anew.")
            return
        self.logger.load_state_dict(runner["logger"])
        report = self._rank_state.restore(runner, self.gpu_global_rank, self.gpu_world_size)
        self._pending_random, self._restored_env = report.random, report.env_restored
        self._notes += [f"Resuming {name}: {sentence}" for sentence in report.sentences]

    def _payload(self, infos: dict | None) -> dict[str, Any]:
        """Return everything a checkpoint holds; all ranks take part."""
        ranks = gather_ranks(self._rank_state.capture(), self.is_distributed, self.device)
        return {
            **self.alg.save(),
            "iter": self.completed_iterations,
            "infos": plain_copy(infos),
            "format": FORMAT,
            "runner": {
                "identity": self.identity,
                "num_envs": self.env.num_envs,
                "world_size": self.gpu_world_size,
                "exact": self._exact,
                "logger": self.logger.state_dict(),
                "ranks": ranks,
            },
        }

    def _manifest(self, payload: Mapping[str, Any]) -> CheckpointManifest:
        """Return the sidecar of a payload."""
        best = self.logger.best or {}
        return CheckpointManifest(
            iteration=payload["iter"],
            env_steps=self.logger.tot_timesteps,
            score=None if self._by_guard else self.logger.score,
            metric=best.get("metric"),
            exact=self._exact,
            stopped_by_guard=self._by_guard,
            identity=self.identity,
            scale={"num_envs": self.env.num_envs, "world_size": self.gpu_world_size},
            config=self._given_cfg,
            git_commit=self.folder.manifest["git_commit"] if self.folder else git_commit(),
            versions=self.folder.manifest["versions"] if self.folder else library_versions(),
            created=now(),
        )

    def _open_folder(self, log_dir: str, fields: Mapping[str, Any]) -> RunFolder:
        """Open the run folder, or make it, and complete its manifest with what only the runner knows."""
        known = {
            "task": self.identity["task"],
            "algorithm": self._algorithm_name,
            "algorithm_class": self.offers.class_name,
            "seed": self._given_cfg.get("seed"),
            "num_envs": self.env.num_envs,
            "num_policies": self.identity["num_policies"],
            "world_size": self.gpu_world_size,
            "device": str(self.device),
            "config_hash": config_hash(self._given_cfg),
            **fields,
        }
        self._lock = own_folder(log_dir)
        if self._lock.note:
            self._notes.append(self._lock.note)
        make_way(Path(log_dir))
        found = contents_of(Path(log_dir))
        self._others = found.files if found.trained else ()
        machine = hardware()
        if torch.device(self.device).type == "cuda":
            machine["gpu"] = torch.cuda.get_device_name(self.device)
        self._facts = {**known, "versions": library_versions(), "hardware": machine, "git_commit": git_commit()}
        if not RunFolder.holds_run(log_dir):
            return RunFolder.create(log_dir, **self._facts)
        folder = RunFolder.open_or_renew(log_dir, **self._facts)
        folder.update(**{name: value for name, value in known.items() if folder.manifest.get(name) is None})
        return folder

    def _record_facts(self) -> None:
        """Let the manifest say what trains from now on, and its history what that changes."""
        folder = self.folder
        if folder is None:
            return
        old = () if self._goes_on else (name for name in _ORIGIN if folder.manifest.get(name) is not None)
        facts = {**dict.fromkeys(old), **self._facts}
        found = {**self.changes, **differing(folder.manifest, facts)}
        self.changes = {}
        if found:
            self.logger.try_write(folder.MANIFEST, lambda: folder.note("changed", changes=found))
        self.logger.try_write(folder.MANIFEST, lambda: folder.update(**facts))

    @contextlib.contextmanager
    def _owning(self) -> Iterator[None]:
        """Keep other processes out of the run folder; a launcher that owns it besides keeps it afterwards."""
        if self.folder is not None:
            self._lock = self._lock or own_folder(self.folder.path)
        try:
            yield
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _configure_multi_gpu(self) -> None:
        """Join the ranks as rsl_rl does on GPUs; on CPUs over gloo, which rsl_rl does not offer."""
        world_size = int(os.getenv("WORLD_SIZE", "1"))
        if world_size == 1 or torch.device(self.device).type != "cpu":
            super()._configure_multi_gpu()
            return
        self.is_distributed, self.gpu_world_size = True, world_size
        self.gpu_local_rank, self.gpu_global_rank = int(os.getenv("LOCAL_RANK", "0")), int(os.getenv("RANK", "0"))
        self.cfg["multi_gpu"] = {
            "global_rank": self.gpu_global_rank,
            "local_rank": self.gpu_local_rank,
            "world_size": world_size,
        }
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group(
                "gloo", rank=self.gpu_global_rank, world_size=world_size, timeout=COLLECTIVE_TIMEOUT
            )


@contextlib.contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn what a checkpoint of other content makes readers raise into a sentence.

    Raises:
        UserError: Instead of it.
    """
    try:
        yield
    except UserError:
        raise
    except (LookupError, RuntimeError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        sentence = f"{name} does not fit this agent ({reason(error)}); use the agent it was trained with."
        raise UserError(sentence) from error
