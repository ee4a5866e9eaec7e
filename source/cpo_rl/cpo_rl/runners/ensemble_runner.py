# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause
"""rsl_rl's on-policy runner with exact resume, atomic checkpoints, guards, signals and a readable run folder.

The training loop stays rsl_rl's. The runner acts in it through its logger, which the loop calls after every step and
every iteration, so an rsl_rl algorithm that trains under the stock runner trains here too.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import traceback
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner

from ..checkpoint.compatibility import check_identity, env_identity
from ..checkpoint.manifest import FORMAT, CheckpointManifest, manifest_path
from ..checkpoint.migrate import migrate
from ..checkpoint.payload import from_bytes, plain_copy, to_bytes
from ..checkpoint.select import checkpoint_in
from ..checkpoint.store import CheckpointStore, read_complete, write_checkpoint
from ..errors import UserError
from .guard_watch import GuardWatch
from .options import RunnerOptions
from .rank_state import RankState, gather_ranks
from .run_folder import RunFolder, config_hash, git_commit, library_versions, now
from .run_log import run_log
from .run_logger import RunLogger
from .signals import GUARD_EXIT_CODE, RunOutcome, StopRequests, StopTraining

__all__ = ["EnsembleRunner"]

_log = logging.getLogger(__name__)

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for one that hangs; one that died is noticed at once, because its connection closes."""

_MAY_BE_NAN = ("episodes", "runner", "infos")
"""Entries of a payload that hold task metrics, which may be NaN without harm."""


class EnsembleRunner(OnPolicyRunner):
    """Trains an rsl_rl algorithm and keeps the promises of ``docs/reliability.md``.

    Args:
        env: rsl_rl environment.
        train_cfg: rsl_rl's runner configuration; :class:`RunnerOptions` lists the fields it may hold besides.
        log_dir: Run folder, made if missing; None keeps no records (playing, evaluating).
        device: Device of the algorithm.
        **run_fields: Fields for the run's manifest, such as ``task``, ``algorithm`` and ``physics``.

    Raises:
        UserError: If a setting is wrong or the folder cannot be written.
    """

    logger: RunLogger

    def __init__(
        self,
        env: VecEnv,
        train_cfg: dict,
        log_dir: str | None = None,
        device: str = "cpu",
        **run_fields: Any,
    ) -> None:
        self.options = RunnerOptions.from_cfg(train_cfg)
        # The algorithm's constructor takes entries out of what it is given. rsl_rl's own check costs a host sync per step
        # and does not see infinities; the finite guard replaces it.
        self._given_cfg = plain_config(train_cfg)
        super().__init__(env, {**copy.deepcopy(train_cfg), "check_for_nan": False}, log_dir, device)
        self.outcome = RunOutcome("running", 0, "")
        self.completed_iterations = 0
        alg_cfg = getattr(self.alg, "cfg", None)
        self._algorithm_name = getattr(alg_cfg, "algorithm", None)
        self.identity = env_identity(
            env, env.get_observations(), run_fields.get("task"), int(getattr(alg_cfg, "num_policies", 1))
        )
        self._notes: list[str] = []
        self._rank_state = RankState(env, self.alg, device, self.is_distributed)
        self._requests = StopRequests()
        self._goal = 0
        self._in_loop = False
        self._exact = True
        self._restored_env = False
        self._pending_random: Mapping[str, Any] | None = None
        self._guard = GuardWatch(self.alg, {
            "task": self.identity["task"], "algorithm": self._algorithm_name,
            "seed": self._given_cfg.get("seed"), "config": self._given_cfg, "git_commit": git_commit(),
        })  # fmt: skip
        self.folder = self._open_folder(log_dir, run_fields) if log_dir and self.gpu_global_rank == 0 else None
        self.store = CheckpointStore(log_dir, self.options.keep_last, self.options.keep_best) if log_dir else None
        self.logger = RunLogger(
            self.folder,
            self.options,
            on_start=self._before_first_rollout,
            on_step=self._after_step,
            on_iteration=self._after_iteration,
            diagnostics=getattr(self.alg, "diagnostics", lambda: None),
            log_dir=log_dir,
            cfg=self.cfg,
            env_cfg=getattr(env, "cfg", {}),
            num_envs=env.num_envs,
            is_distributed=self.is_distributed,
            gpu_world_size=self.gpu_world_size,
            gpu_global_rank=self.gpu_global_rank,
            device=device,
        )
        self._rank_state.episodes = self.logger.episodes

    # -- training --------------------------------------------------------------------------------------------------------

    def learn(self, num_learning_iterations: int, init_at_random_ep_len: bool = False) -> None:
        """Train for so many more iterations, or until a stop request; :attr:`outcome` says how it ended.

        Args:
            num_learning_iterations: Iterations to add, 0 or more.
            init_at_random_ep_len: Start the environments at random points of their episodes; left out when their state
                was restored from a checkpoint.

        Raises:
            UserError: If the run folder holds a later checkpoint than the state that would be trained.
        """
        self._refuse_to_fork()
        self._goal = self.completed_iterations + num_learning_iterations
        self.current_learning_iteration = self.completed_iterations
        with run_log(self.folder), StopRequests() as self._requests:
            try:
                outcome = self._learn(num_learning_iterations, init_at_random_ep_len and not self._restored_env)
            except BaseException as error:
                self._report_crash(error)
                raise
            finally:
                self.logger.progress.stop()
            self._finish(outcome)

    def learn_until(self, total_iterations: int, init_at_random_ep_len: bool = False) -> None:
        """Train until so many iterations are finished in all, which continues a requeued run to its original end."""
        self.learn(max(total_iterations - self.completed_iterations, 0), init_at_random_ep_len)

    def _learn(self, iterations: int, init_at_random_ep_len: bool) -> RunOutcome:
        """Run rsl_rl's loop; return how it ended."""
        self.logger.start_at(self.completed_iterations)
        self.logger.write_manifest(self.completed_iterations, status="running", pid=os.getpid(), error=None,
                                   max_iterations=self._goal)  # fmt: skip
        self._tell_notes()
        self.logger.progress.start(str(self.identity["task"]))
        self._in_loop = True
        try:
            super().learn(iterations, init_at_random_ep_len)
        except StopTraining as stop:
            self._exact = stop.exact
            return stop.outcome
        finally:
            self._in_loop = False
            self.current_learning_iteration = self.completed_iterations
        return RunOutcome("finished", 0, f"Finished after {self.completed_iterations} iterations.")

    def _tell_notes(self) -> None:
        """Say into the run's log, and on the screen of rank 0, what loading could not restore."""
        for note in self._notes:
            _log.warning(note)
            if self.gpu_global_rank == 0:
                self.logger.progress.message(note)
        self._notes.clear()

    def _finish(self, outcome: RunOutcome) -> None:
        """Save a last checkpoint, close the records and announce the outcome."""
        saved = self.save_checkpoint()
        if not saved:
            outcome = RunOutcome(outcome.status, outcome.exit_code or 1,
                                 f"{outcome.message} The last checkpoint could not be written.")  # fmt: skip
        self.outcome = outcome
        error = outcome.message if outcome.exit_code in (1, GUARD_EXIT_CODE) else None
        self.logger.write_manifest(self.completed_iterations, status=outcome.status, error=error)
        _log.info(outcome.message)
        if outcome.status != "finished":
            self.logger.progress.message(outcome.message)
        self._close_writer()

    def _close_writer(self) -> None:
        """Flush the event log; learning again opens a new one."""
        writer = self.logger.writer
        if writer is not None and hasattr(writer, "close"):
            self.logger.try_write("the event log", writer.close)
        self.logger.stop_logging_writer()
        self.logger.writer = None

    def _report_crash(self, error: BaseException) -> None:
        """Write why the run ended into its log and manifest; the last checkpoint stays as it is."""
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        status = "stopped" if isinstance(error, KeyboardInterrupt) else "crashed"
        _log.error("%s\nThe run ended in iteration %d by %s", traceback.format_exc(), self.completed_iterations + 1, reason)
        self.outcome = RunOutcome(status, 1, reason)
        self.logger.write_manifest(self.completed_iterations, status=status, error=reason)

    # -- inside rsl_rl's loop ----------------------------------------------------------------------------------------

    def _before_first_rollout(self) -> None:
        """Restore the random generators as the very last thing, after all set-up that may have drawn from them."""
        if self._pending_random is not None:
            for missing in self._rank_state.restore_random(self._pending_random):
                _log.warning("Not restored: %s.", missing)
            self._pending_random = None

    def _after_step(self) -> None:
        """Cut a rollout short when a stop request cannot wait for the end of the iteration."""
        if self._requests.number is None or self.is_distributed:
            return
        if self._requests.seconds_since + self.logger.last_learn_time > self.options.stop_grace_s:
            raise StopTraining(RunOutcome.of_signal(self._requests.number), exact=False)

    def _after_iteration(self, iteration: int, metrics: dict[str, float]) -> None:
        """Count the iteration, check the guard, save on schedule and obey a stop request."""
        self.completed_iterations = iteration
        self._exact = True
        self._obey_guard(metrics)
        number = self._agreed_signal()
        if number is not None:
            raise StopTraining(RunOutcome.of_signal(number))
        if iteration % self.options.save_interval == 0 and iteration < self._goal:
            self.save_checkpoint()

    def _obey_guard(self, metrics: Mapping[str, float]) -> None:
        """Report an update that the finite guard held back; stop when it asks for it."""
        skipped, stop = self._guard.check(
            self.completed_iterations, self.logger.tot_timesteps, metrics, self.folder and self.folder.path,
            self.logger.try_write,
        )  # fmt: skip
        if stop is not None:
            raise StopTraining(RunOutcome("stopped", GUARD_EXIT_CODE, stop), exact=False)
        if skipped is not None:
            _log.warning(skipped)
            self.logger.progress.message(skipped)
            if self.folder is not None:
                folder = self.folder
                self.logger.try_write(folder.MANIFEST, lambda: folder.note("skipped update", message=skipped))

    def _agreed_signal(self) -> int | None:
        """Return the stop signal of this rank or, when several train together, of any rank."""
        number = self._requests.number or 0
        if self.is_distributed:
            flag = torch.tensor([number], device=self.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            number = int(flag.item())
        return number or None

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def save_checkpoint(self) -> bool:
        """Write ``model_<n>.pt`` into the run folder; when that fails say so and go on.

        Every rank has to call this, because each contributes its random generators and environments.

        Weights that are not finite are never written, so whatever checkpoint exists is sound.

        Returns:
            Whether the checkpoint is on the disk (True on ranks that do not write and without a run folder).
        """
        if self.store is None:
            return True
        store, payload = self.store, self._payload(None)
        if self.folder is None:
            return True
        broken = first_not_finite({name: payload.get(name) for name in payload if name not in _MAY_BE_NAN})
        if broken is not None:
            self.logger.progress.message(f"No checkpoint was written, because {broken} holds a number that is not finite.")
            _log.error("%s holds a number that is not finite; no checkpoint was written.", broken)
            return False
        name = f"model_{self.completed_iterations}.pt"
        saved = self.logger.try_write("the checkpoint", lambda: store.save(to_bytes(payload), self._manifest(payload)))
        if saved:
            self.logger.save_model(str(store.path(self.completed_iterations)), self.completed_iterations)
        else:
            self.logger.try_write("manifest.json", lambda: self.folder and self.folder.note("checkpoint failed", file=name))
        return saved

    def save(self, path: str, infos: dict | None = None) -> None:
        """Write a checkpoint and its sidecar to any path; rsl_rl's loop is ignored, whose schedule this runner replaces.

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
    ) -> dict:
        """Load a checkpoint of this runner or of rsl_rl's, executing nothing it contains.

        Args:
            path: The ``.pt`` file.
            load_cfg: Parts to load, as the algorithm defines them; None loads everything and continues the run exactly.
            strict: Whether parameters must match by name.
            map_location: Device of the tensors; the runner's by default.
            force: Load a checkpoint of another task, robot or observation layout as far as it fits.

        Returns:
            The ``infos`` given when saving.

        Raises:
            UserError: If the file is missing, damaged, hostile, too new, or belongs to something else.
        """
        name = f"checkpoint {Path(path).name!r}"
        payload = self._read(path, name, map_location or self.device)
        runner = payload.get("runner") or {}
        for difference in check_identity(runner.get("identity", {}), self.identity, name, force=force):
            self._notes.append(f"{name} has {difference}; loaded as asked.")
        try:
            counts = self.alg.load(payload, load_cfg, strict)
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{name} does not fit this agent ({_first_line(error)}); use the agent it was trained with.") from error
        if counts:
            self.completed_iterations = self.current_learning_iteration = payload["iter"]
        if load_cfg is None:
            self._restore_run(runner, name)
        return payload.get("infos") or {}

    def resume(self, *, force: bool = False) -> bool:
        """Continue the run in this run folder from its newest complete checkpoint, or from rsl_rl's newest.

        Args:
            force: As in :meth:`load`.

        Returns:
            False if there is none, so that training starts from the beginning.
        """
        latest = checkpoint_in(self.store.folder) if self.store else None
        if latest is None:
            return False
        self.load(str(latest), force=force)
        if self.folder is not None:
            self.store.clean()  # type: ignore[union-attr]
            self.folder.note("resumed", iteration=self.completed_iterations, file=latest.name)
        self._notes.append(f"Continuing after iteration {self.completed_iterations} from {latest.name}.")
        return True

    def _read(self, path: str, name: str, map_location: str) -> dict[str, Any]:
        """Return the payload of a file in the current format, checked against its sidecar where it has one."""
        if manifest_path(path).exists():
            data, _ = read_complete(path)
        else:
            try:
                data = Path(path).read_bytes()
            except OSError as error:
                raise UserError(f"{name} cannot be read ({error.strerror}); choose another.") from None
            self._notes.append(f"{name} has no sidecar, so its integrity was not checked.")
        return migrate(from_bytes(data, name, map_location), name)

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
            score=self.logger.score,
            metric=best.get("metric"),
            exact=self._exact,
            identity=self.identity,
            scale={"num_envs": self.env.num_envs, "world_size": self.gpu_world_size},
            config=self._given_cfg,
            git_commit=self.folder.manifest["git_commit"] if self.folder else git_commit(),
            versions=self.folder.manifest["versions"] if self.folder else library_versions(),
            created=now(),
        )

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _open_folder(self, log_dir: str, fields: Mapping[str, Any]) -> RunFolder:
        """Open the run folder, or make it, and complete its manifest with what only the runner knows."""
        known = {
            "task": self.identity["task"],
            "algorithm": self._algorithm_name,
            "seed": self._given_cfg.get("seed"),
            "num_envs": self.env.num_envs,
            "num_policies": self.identity["num_policies"],
            "world_size": self.gpu_world_size,
            "device": str(self.device),
            "config_hash": config_hash(self._given_cfg),
            **fields,
        }
        if (Path(log_dir) / RunFolder.MANIFEST).exists():
            folder = RunFolder.open(log_dir)
            missing = {name: value for name, value in known.items() if folder.manifest.get(name) is None}
            folder.update(**missing)
        else:
            folder = RunFolder.create(log_dir, **known)
        if torch.device(self.device).type == "cuda":
            folder.update(hardware={**folder.manifest["hardware"], "gpu": torch.cuda.get_device_name(self.device)})
        return folder

    def _refuse_to_fork(self) -> None:
        """Refuse to train from an earlier state than the run folder already holds."""
        later = [i for i in self.store.manifests() if i > self.completed_iterations] if self.store and self.folder else []
        if later:
            raise UserError(
                f"log_dir {str(self.store and self.store.folder)!r} already holds model_{later[-1]}.pt; "
                "resume that run or choose another run name."
            )

    def _configure_multi_gpu(self) -> None:
        """Join the ranks as rsl_rl does on GPUs; on CPUs over gloo, which rsl_rl does not offer."""
        world_size = int(os.getenv("WORLD_SIZE", "1"))
        if world_size == 1 or torch.device(self.device).type != "cpu":
            super()._configure_multi_gpu()
            return
        self.is_distributed, self.gpu_world_size = True, world_size
        self.gpu_local_rank, self.gpu_global_rank = int(os.getenv("LOCAL_RANK", "0")), int(os.getenv("RANK", "0"))
        self.cfg["multi_gpu"] = {"global_rank": self.gpu_global_rank, "local_rank": self.gpu_local_rank,
                                 "world_size": world_size}  # fmt: skip
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group(
                "gloo", rank=self.gpu_global_rank, world_size=world_size, timeout=COLLECTIVE_TIMEOUT
            )


def first_not_finite(value: Any, path: str = "") -> str | None:
    """Return where a nested payload first holds a floating point number that is not finite, or None."""
    if isinstance(value, torch.Tensor):
        bad = value.is_floating_point() and not bool(torch.isfinite(value).all())
    elif isinstance(value, (Mapping, list, tuple)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        found = (first_not_finite(item, f"{path}.{key}".lstrip(".")) for key, item in items)
        return next((place for place in found if place is not None), None)
    else:
        bad = isinstance(value, float) and not math.isfinite(value)
    return path if bad else None


def plain_config(value: Any) -> Any:
    """Return a configuration as JSON values: callables and classes by their names, floats that are not finite as text."""
    if isinstance(value, Mapping):
        return {str(key): plain_config(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_config(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__qualname__", None) or str(value)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]
