# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What happens in rsl_rl's loop besides learning: records, progress and the runner's own steps."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from rsl_rl.utils.log_writer import LogWriter
from rsl_rl.utils.logger import Logger

from cpo_rl.algorithms.episodes import EpisodeSums
from cpo_rl.config import RunnerOptions
from cpo_rl.runners.console import ProgressDisplay
from cpo_rl.runners.event_log import abandon, open_event_log
from cpo_rl.runners.extras import ExtrasMeans
from cpo_rl.runners.online_log import open_online_log
from cpo_rl.runs.files import reason
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.metric_names import HEADLINE, SCORES
from cpo_rl.runs.records import is_number, is_text, is_whole

_log = logging.getLogger(__name__)


class LoopHooks(Logger):
    """The hooks of rsl_rl's loop, which it calls as its logger.

    :meth:`init_logging_writer` before the first rollout, :meth:`process_env_step` after every step, :meth:`log` after
    every update. What comes in per step stays on the device until :meth:`log` reads it in one transfer, writes the
    iteration's records and shows progress. The three callbacks are how :class:`~cpo_rl.runners.EnsembleRunner` acts
    inside the loop.

    Args:
        folder: The run folder; None writes nothing (playing, ranks other than 0).
        options: Settings of the runner.
        on_start: Called once right before the first rollout.
        on_step: Called after every environment step.
        on_iteration: Called with the number of finished iterations and the metrics, last of all.
        diagnostics: Returns the algorithm's matrices of this iteration, or None.
        void: Returns which environments' last step the algorithm found void, bool [N], or None.
        **kwargs: Arguments of rsl_rl's logger.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        options: RunnerOptions,
        *,
        on_start: Callable[[], None],
        on_step: Callable[[], None],
        on_iteration: Callable[[int, dict[str, float]], None],
        diagnostics: Callable[[], Mapping[str, Any] | None],
        void: Callable[[], torch.Tensor | None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.options = options
        self.progress = ProgressDisplay(options.progress if folder else "off", options.progress_interval_s)
        self.best: dict[str, Any] | None = None
        self.score: float | None = None
        self.last_learn_time = 0.0
        self._on_start, self._on_step, self._on_iteration = on_start, on_step, on_iteration
        self._diagnostics, self._void = diagnostics, void
        self._episodes = EpisodeSums(self.num_envs, self.device)
        self._extras = ExtrasMeans()
        self._metrics_table = folder.metrics() if folder else None
        self._matrices_file = folder.diagnostics() if folder else None
        self._failed_writes: set[str] = set()
        self._reopens = False
        self._manifest_written = -math.inf
        self._first_iteration = 0
        self._last_metrics: dict[str, float] = {}
        self._mean_s = 0.0

    # -- what rsl_rl's loop calls --------------------------------------------------------------------------------------

    def init_logging_writer(self) -> None:
        """Open TensorBoard (or the configured writer) where the run stands, then hand over to the runner."""
        if self.folder is None:
            self.writer = None
        elif (self.cfg.get("logger") or "tensorboard") == "tensorboard":
            if self.writer is None:
                self.try_write("the event log", functools.partial(self._open_event_log, self._first_iteration))
            self._reopens = True
            self.try_write("the state of the code", self._store_code_state)
        elif self.writer is None and not self.try_write("the online log", self._open_online_log):
            self._reopens = True  # TensorBoard's files instead, with the next row
        self._on_start()

    def process_env_step(
        self, rewards: torch.Tensor, dones: torch.Tensor, extras: dict, intrinsic_rewards: torch.Tensor | None = None
    ) -> None:
        """Accumulate one step on the device: rewards [N], dones [N], scalars of ``extras``."""
        total = rewards if intrinsic_rewards is None else rewards + intrinsic_rewards
        self._episodes.step(total, dones, extras, self._void())
        self._extras.step(extras)
        self._on_step()

    def log(
        self,
        it: int,
        start_it: int,
        total_it: int,
        collect_time: float,
        learn_time: float,
        loss_dict: dict,
        learning_rate: float,
        action_std: torch.Tensor,
        rnd_weight: float | None,
        print_minimal: bool = False,
        width: int = 80,
        pad: int = 40,
    ) -> None:
        """Write everything about iteration number ``it + 1``; the last three arguments are rsl_rl's console format."""
        iteration = it + 1
        steps = self.cfg["num_steps_per_env"] * self.num_envs * self.gpu_world_size
        self.tot_timesteps += steps
        self.tot_time += collect_time + learn_time
        self.last_learn_time = learn_time
        metrics = {name if "/" in name else f"Loss/{name}": float(value) for name, value in loss_dict.items()}
        metrics.setdefault("Optimization/learning_rate", float(learning_rate))
        if rnd_weight is not None:
            metrics["Rnd/weight"] = float(rnd_weight)
        metrics.update(self._read_device(action_std))
        # a policy none of whose episodes has ended yet has no return: not available, unlike a loss that is NaN
        metrics = {n: v for n, v in metrics.items() if not (math.isnan(v) and n.startswith(("Leader/", "Policy_")))}
        seconds = max(collect_time + learn_time, 1e-9)
        metrics.update(
            {
                "Perf/env_steps_per_s": steps / seconds,
                "Perf/collection_s": collect_time,
                "Perf/update_s": learn_time,
                "Perf/total_env_steps": float(self.tot_timesteps),
            }
        )
        self._last_metrics = metrics
        self._note_score(iteration, metrics)
        self._write_records(iteration, metrics)
        left_s = self._time_left(iteration, start_it, total_it, seconds)
        self.progress.update(iteration, total_it, self.tot_timesteps, left_s, metrics)
        self._on_iteration(iteration, metrics)

    def save_model(self, path: str, it: int) -> None:
        """Give a checkpoint to an online service, if there is one."""
        self.try_write("the online copy of the checkpoint", functools.partial(super().save_model, path, it))

    def stop_logging_writer(self) -> None:
        """Do nothing: rsl_rl's loop calls it before the last checkpoint is saved; :meth:`close` comes after that."""

    # -- state ---------------------------------------------------------------------------------------------------------

    def start_at(self, iteration: int) -> None:
        """Say that the next iteration is number ``iteration + 1`` and drop table rows after ``iteration``."""
        self._first_iteration = iteration
        for file in (self._metrics_table, self._matrices_file):
            if file is not None:
                self.try_write(file.path.name, functools.partial(file.truncate_after, iteration))

    def state_dict(self) -> dict[str, Any]:
        """Return the axes and the best score, equal on all ranks."""
        return {"env_steps": self.tot_timesteps, "wall_clock_s": float(self.tot_time), "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the axes of a checkpoint.

        Raises:
            ValueError: If they are no numbers.
        """
        best = state["best"] if isinstance(state["best"], dict) else {}
        sound = state["best"] is None or (is_number(best.get("score")) and is_text(best.get("metric")))
        if not (sound and is_whole(state["env_steps"]) and is_number(state["wall_clock_s"])):
            raise ValueError("its counters are damaged")
        self.tot_timesteps, self.tot_time, self.best = state["env_steps"], state["wall_clock_s"], state["best"]

    def close(self) -> None:
        """Flush and close the event log; learning again opens a new one."""
        writer, self.writer, self._reopens = self.writer, None, False
        if writer is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        if isinstance(writer, SummaryWriter):  # rsl_rl's writers for online services are one as well
            self.try_write("the event log", writer.close)
        if isinstance(writer, LogWriter):
            self.try_write("the event log", writer.stop)

    @property
    def episodes(self) -> EpisodeSums:
        """The running episodes of this rank."""
        return self._episodes

    def try_write(self, what: str, write: Callable[[], object]) -> bool:
        """Write something, or say once per failure that it could not be written and go on.

        Args:
            what: Name of the thing, such as "metrics.csv".
            write: Does it; may raise anything, because a record is not worth a run.

        Returns:
            Whether it was written.
        """
        try:
            write()
        except Exception as error:
            if what not in self._failed_writes:
                self._failed_writes.add(what)
                sentence = f"{what} could not be written ({reason(error)}); training goes on."
                _log.error(sentence, exc_info=not isinstance(error, OSError))
                self.progress.message(sentence)
            return False
        if what in self._failed_writes:
            self._failed_writes.discard(what)
            self.progress.message(f"{what} can be written again.")
        return True

    # -- parts of log() ------------------------------------------------------------------------------------------------

    def _read_device(self, action_std: torch.Tensor) -> dict[str, float]:
        """Read everything accumulated during the iteration in one transfer."""
        values: dict[str, Any] = {"Policy/mean_std": action_std.mean(), **self._extras.read()}
        on_device = {name: v for name, v in values.items() if isinstance(v, torch.Tensor)}
        metrics = {name: float(v) for name, v in values.items() if name not in on_device}
        parts = [self._episodes.read(), *(v.to(self.device, torch.float).reshape(1) for v in on_device.values())]
        read = torch.cat(parts).tolist()
        metrics.update(zip(on_device, read[3:], strict=True))
        count, returns, lengths = read[:3]
        if count:
            metrics.update({"Train/mean_reward": returns / count, "Train/mean_episode_length": lengths / count})
        return metrics

    def _note_score(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Note the score of this iteration and whether it is the best so far."""
        wanted = self.options.best_metric
        names = SCORES if wanted == "auto" else (wanted,)
        name = next((n for n in names if n in metrics), None)
        score = metrics[name] if name else math.nan
        self.score = score if math.isfinite(score) else None
        if self.score is not None and (
            self.best is None or self.best["metric"] != name or self.score > self.best["score"]
        ):
            self.best = {"score": self.score, "iteration": iteration, "metric": name}

    def _write_records(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Write the row, the matrices, the scalars and, at most once a second, the manifest."""
        table, matrices = self._metrics_table, self._matrices_file
        if table is None or matrices is None:
            return
        self.try_write(table.path.name, lambda: table.append(iteration, self.tot_timesteps, self.tot_time, metrics))
        values = self._diagnostics()
        if values:
            self.try_write(matrices.path.name, lambda: matrices.append(iteration, self.tot_timesteps, values))
        if not self.try_write("the event log", lambda: self._log_scalars(metrics, iteration)) and self._reopens:
            abandon(self.writer)
            self.writer = None
        if time.monotonic() - self._manifest_written >= 1.0:
            self._manifest_written = time.monotonic()
            self.write_manifest(iteration)

    def _log_scalars(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Give every metric to TensorBoard or the configured writer."""
        if self.writer is None and self._reopens:
            self._open_event_log(iteration - 1)
        if self.writer is not None:
            for name, value in metrics.items():
                self.writer.add_scalar(name, value, iteration)

    def _open_event_log(self, iteration: int) -> None:
        """Open TensorBoard's file of the iterations after this one."""
        assert self.folder is not None
        self.writer = open_event_log(self.folder.path, iteration, int(self.folder.manifest.get("num_policies") or 1))

    def _open_online_log(self) -> None:
        """Open the configured writer and give it configuration and code."""
        assert self.folder is not None
        writer = self.writer = open_online_log(self.cfg, self.folder.path)
        self.try_write("the online copy of the settings", lambda: writer.store_config(self.env_cfg, self.cfg))
        for file in self._store_code_state():
            self.try_write("the online copy of the code's state", functools.partial(writer.save_file, file))

    def write_manifest(self, iteration: int, **fields: Any) -> None:
        """Update the run's manifest with the progress and further ``fields``."""
        folder = self.folder
        if folder is None:
            return
        last = {n: self._last_metrics[n] for n in HEADLINE if math.isfinite(self._last_metrics.get(n, math.nan))}
        if last:
            fields["last"] = last
        fields.update(
            iteration=iteration, env_steps=self.tot_timesteps, wall_clock_s=round(self.tot_time, 3), best=self.best
        )
        self.try_write(folder.MANIFEST, lambda: folder.update(**fields))

    def _time_left(self, iteration: int, start_it: int, total_it: int, seconds: float) -> float:
        """Return the time left [s] from a running mean of the iteration time that forgets over 20 iterations."""
        done = iteration - start_it
        # the first iteration carries the warm-up, so the second one starts the mean
        self._mean_s = seconds if done <= 2 else self._mean_s + (seconds - self._mean_s) / min(done - 1, 20)
        return self._mean_s * (total_it - iteration)

    def _store_code_state(self) -> list[str]:
        """Store git diffs as rsl_rl does, with its messages in the log instead of on the screen."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            files = super()._store_code_state()
        for line in said.getvalue().splitlines():
            _log.info(line)
        return files
