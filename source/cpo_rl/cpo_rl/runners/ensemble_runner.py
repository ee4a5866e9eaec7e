# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""rsl_rl's on-policy runner with exact resume, atomic checkpoints, guards, signals and a readable run folder.

The training loop stays rsl_rl's. The runner acts in it through its logger, which the loop calls after every step and
every iteration, so an rsl_rl algorithm that trains under the stock runner trains here too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rsl_rl.env import VecEnv

from cpo_rl.contracts import Environment
from cpo_rl.distributed import PROGRESS
from cpo_rl.errors import UserError
from cpo_rl.runners.checkpointed_runner import CheckpointedRunner, refusing
from cpo_rl.runners.ensemble_watch import EnsembleWatch
from cpo_rl.runners.first_step import first_step_checked
from cpo_rl.runners.guard_watch import GuardWatch
from cpo_rl.runners.initial_weights import Taken, same_units, take_weights
from cpo_rl.runners.loop_hooks import LoopHooks
from cpo_rl.runners.rank_watch import RankWatch, meeting_place
from cpo_rl.runners.signals import GUARD_EXIT_CODE, RunOutcome, StopRequests, StopTraining, acknowledgement
from cpo_rl.runs.checkpoint_reader import read_checkpoint
from cpo_rl.runs.log import run_log
from cpo_rl.runs.provenance import git_commit
from cpo_rl.screen import forgiving_output, lost_output

_log = logging.getLogger(__name__)


class EnsembleRunner(CheckpointedRunner):
    """Trains an rsl_rl algorithm and keeps the promises of ``docs/reliability.md``.

    Args:
        env: rsl_rl environment.
        train_cfg: rsl_rl's runner configuration; :class:`RunnerOptions` lists the fields it may hold besides.
        log_dir: Run folder, made if missing; None keeps no records (playing, evaluating).
        device: Device of the algorithm.
        **run_fields: Fields for the run's manifest, such as ``task``, ``algorithm`` and ``physics``.

    Attributes:
        outcome: How the last call of :meth:`learn` ended.

    Raises:
        UserError: If a setting is wrong or the folder cannot be written.
    """

    def __init__(
        self, env: VecEnv, train_cfg: dict, log_dir: str | None = None, device: str = "cpu", **run_fields: Any
    ) -> None:
        super().__init__(env, train_cfg, log_dir, device, **run_fields)
        self.outcome = RunOutcome("running", 0, "")
        self._requests = StopRequests()
        self._ranks_watch: RankWatch | None = None
        self._goal = 0
        facts = {
            "task": self.identity["task"],
            "algorithm": self._algorithm_name,
            "seed": self._given_cfg.get("seed"),
            "config": self._given_cfg,
            "git_commit": git_commit(),
        }
        self._guard = GuardWatch(self.offers, facts)
        self._watch = EnsembleWatch(self.offers)
        self.logger = LoopHooks(
            self.folder,
            self.options,
            on_start=self._before_first_rollout,
            on_step=self._after_step,
            on_iteration=self._after_iteration,
            diagnostics=self.offers.diagnostics,
            void=lambda: self.offers.void,
            log_dir=log_dir,
            cfg=self.cfg,
            env_cfg=Environment(env).cfg or {},
            num_envs=env.num_envs,
            is_distributed=self.is_distributed,
            gpu_world_size=self.gpu_world_size,
            gpu_global_rank=self.gpu_global_rank,
            device=device,
        )
        self._rank_state.episodes = self.logger.episodes

    def learn(self, num_learning_iterations: int, init_at_random_ep_len: bool = False) -> None:
        """Train for so many more iterations, or until a stop request; :attr:`outcome` says how it ended.

        Args:
            num_learning_iterations: Iterations to add, 0 or more.
            init_at_random_ep_len: Start the environments at random points of their episodes; left out when their state
                was restored from a checkpoint.

        Raises:
            UserError: If the run folder holds what another run trained, or a later checkpoint than the state that
                would be trained, or if another process trains in it.
        """
        with self._owning():
            self._refuse_to_fork()
            self._goal = self.completed_iterations + num_learning_iterations
            self.current_learning_iteration = self.completed_iterations
            with (
                forgiving_output(),
                run_log(self.folder),
                self._watching_ranks(),
                StopRequests(self._acknowledge) as self._requests,
            ):
                for stream in lost_output():
                    stream.tell()  # what was lost before there was a log
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

    def init_from(self, path: str, own: Collection[str] = ()) -> Taken:
        """Begin with the weights of another run, also of another task, as far as they fit, and record which.

        Args:
            path: Its checkpoint.
            own: Parameters that stay as they are, because a setting given now says how they begin.

        Raises:
            UserError: If the file is missing, damaged or hostile, or none of its weights fit.
        """
        checkpoint = read_checkpoint(path, self.device)
        config = checkpoint.manifest.config if checkpoint.manifest else {}
        found = checkpoint.check_identity(self.identity, force=True)
        with refusing(checkpoint.name):
            values = same_units(config, self._given_cfg, found)
            taken = take_weights(self.alg, checkpoint, Path(path).resolve(), found, own, values)
        self._notes += taken.sentences()
        if self.folder is not None:
            self._facts["initialized_from"] = taken.record()
            self.folder.update(initialized_from=taken.record())
        return taken

    def _learn(self, iterations: int, init_at_random_ep_len: bool) -> RunOutcome:
        """Run rsl_rl's loop; return how it ended."""
        self._record_facts()
        self.logger.start_at(self.completed_iterations)
        self.logger.write_manifest(
            self.completed_iterations, status="running", pid=os.getpid(), error=None, max_iterations=self._goal
        )
        self._tell_notes()
        self.logger.progress.start(str(self.identity["task"]))
        self._in_loop, self._by_guard = True, False
        try:
            with first_step_checked(self.env, self.identity["observations"]):
                super().learn(iterations, init_at_random_ep_len)
        except StopTraining as stop:
            self._exact = stop.exact
            if not stop.exact:
                self.offers.reset_episodes()  # a begun rollout is discarded, should training go on in this process
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
        """Save a last checkpoint, close the records and announce the outcome.

        Where the very last update ruined the network, which no rollout has shown yet, the state before it is saved. The
        weights of an algorithm without a guard that had to be stopped may be damaged and are not saved.
        """
        state = self.offers.sound_state
        if outcome.exit_code != GUARD_EXIT_CODE and state is not None and state.recover(entirely=False):
            self._exact = False
            message = f"{outcome.message} Its last update ruined the network; the checkpoint is the state before it."
            outcome = RunOutcome("stopped", GUARD_EXIT_CODE, message)
        self._by_guard = outcome.exit_code == GUARD_EXIT_CODE
        saved = (self._by_guard and not self.offers.is_guarded) or self.save_checkpoint()
        if not saved:
            outcome = RunOutcome(
                outcome.status, outcome.exit_code or 1, f"{outcome.message} The last checkpoint could not be written."
            )
        self.outcome = outcome
        error = outcome.message if outcome.exit_code in (1, GUARD_EXIT_CODE) else None
        self.logger.write_manifest(self.completed_iterations, status=outcome.status, error=error)
        _log.info(outcome.message)
        if outcome.status != "finished":
            self.logger.progress.message(outcome.message)
        self.logger.close()

    def _report_crash(self, error: BaseException) -> None:
        """Write why the run ended into its log and manifest; the last checkpoint stays as it is."""
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        first = self._ranks_watch.first_failure(error) if self._ranks_watch else None
        reason = f"{first} (here: {reason})" if first else reason
        status = "stopped" if isinstance(error, KeyboardInterrupt) else "crashed"
        _log.error(
            "%s\nThe run ended in iteration %d by %s", traceback.format_exc(), self.completed_iterations + 1, reason
        )
        self.outcome = RunOutcome(status, 1, reason)
        self.logger.write_manifest(self.completed_iterations, status=status, error=reason)

    @contextlib.contextmanager
    def _watching_ranks(self) -> Iterator[None]:
        """Watch the processes that train together, if there are several."""
        if not self.is_distributed:
            yield
            return
        self._ranks_watch = RankWatch(
            meeting_place(),
            self.gpu_global_rank,
            self.gpu_world_size,
            timeout_s=self.options.rank_timeout_s,
            grace_s=self.options.stop_grace_s,
            end=self._end_at_once,
        )
        try:
            with self._ranks_watch:
                yield
        finally:
            self._ranks_watch = None

    def _busy(self) -> contextlib.AbstractContextManager[None]:
        return self._ranks_watch.busy() if self._ranks_watch else super()._busy()

    def _end_at_once(self, outcome: RunOutcome) -> None:
        """End the process although its main thread hangs in a call that cannot be interrupted."""
        _log.error(outcome.message)
        sys.stderr.write(f"rank {self.gpu_global_rank}: {outcome.message}\n")
        sys.stderr.flush()
        self.logger.write_manifest(self.completed_iterations, status=outcome.status, error=outcome.message)
        if self.folder is None:
            time.sleep(2.0)  # the first process has records to write before a launcher ends it because of us
        os._exit(outcome.exit_code)

    # -- inside rsl_rl's loop ----------------------------------------------------------------------------------------

    def _before_first_rollout(self) -> None:
        """Restore the random generators as the very last thing, after all set-up that may have drawn from them.

        A run that begins is saved as it is now.
        """
        if self._pending_random is not None:
            for missing in self._rank_state.restore_random(self._pending_random):
                _log.warning("Not restored: %s.", missing)
            self._pending_random = None
        if not self._goes_on:
            self.save_beginning()
            self._goes_on = True

    def _after_step(self) -> None:
        """Cut a rollout short when a stop request cannot wait for the end of the iteration."""
        PROGRESS.moves += 1
        if self._requests.number is None or self.is_distributed:
            return
        if self._requests.seconds_since + self.logger.last_learn_time > self.options.stop_grace_s:
            raise StopTraining(RunOutcome.of_signal(self._requests.number), exact=False)

    def _after_iteration(self, iteration: int, metrics: dict[str, float]) -> None:
        """Count the iteration, check guard and ensemble, save on schedule and obey a stop request."""
        self.completed_iterations = iteration
        self._exact = True
        if self._ranks_watch:
            self._ranks_watch.started()
        self._obey_guard(metrics)
        for alarm in self._watch.check(iteration, metrics):
            if self.gpu_global_rank == 0:
                self._tell(alarm, "ensemble alarm")
        self._between_iterations()
        number = self._agreed_signal()
        if number is not None:
            raise StopTraining(RunOutcome.of_signal(number))
        if iteration % self.options.save_interval == 0 and iteration < self._goal:
            self.save_checkpoint()

    def _between_iterations(self) -> None:
        """Do what a kind of training does after a sound iteration, before it may be saved; nothing here."""

    def _obey_guard(self, metrics: Mapping[str, float]) -> None:
        """Report an update that the finite guard held back; stop when it asks for it."""
        skipped, stop = self._guard.check(
            self.completed_iterations,
            self.logger.tot_timesteps,
            metrics,
            self.folder.path if self.folder else None,
            self.logger.try_write,
        )
        if stop is not None:
            raise StopTraining(RunOutcome("stopped", GUARD_EXIT_CODE, stop), exact=False)
        if skipped is not None:
            self._tell(skipped, "skipped update")
        void = self._guard.name_void(metrics)
        if void is not None:
            self._tell(void, "void steps")

    def _acknowledge(self, number: int) -> None:
        """Say at once that a stop signal came and what happens now; called in a thread of its own."""
        if self._ranks_watch:
            self._ranks_watch.stop_requested(number)
        sentence = acknowledgement(number, self.options.stop_grace_s, cuts_rollouts=not self.is_distributed)
        sentence = f"rank {self.gpu_global_rank}: {sentence}" if self.is_distributed else sentence
        _log.info(sentence)
        self.logger.progress.message(sentence)

    def _tell(self, sentence: str, event: str) -> None:
        """Say something about the run into its log, on the screen and in the history of its manifest."""
        _log.warning(sentence)
        self.logger.progress.message(sentence)
        folder = self.folder
        if folder is not None:
            self.logger.try_write(folder.MANIFEST, lambda: folder.note(event, message=sentence))

    def _agreed_signal(self) -> int | None:
        """Return the stop signal of this rank or, when several train together, of any rank."""
        number = self._requests.number or 0
        if self.is_distributed:
            PROGRESS.moves += 1
            flag = torch.tensor([number], device=self.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            number = int(flag.item())
        return number or None

    def _refuse_to_fork(self) -> None:
        """Refuse to train from an earlier state than the run folder already holds."""
        if self.store is None or self.folder is None:
            return
        later = list(self.store.complete(after=self.completed_iterations))
        if later:
            raise UserError(
                f"log_dir {str(self.store.folder)!r} already holds model_{later[-1]}.pt; "
                "resume that run or choose another run name."
            )
        if self._others:
            raise UserError(
                f"log_dir {str(self.store.folder)!r} holds records of a run ({', '.join(self._others[:3])}), which "
                "would be mixed with another one's; resume that run or choose another folder."
            )
