# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Ray Tune's loop around the members of a population; imported only where Ray is installed."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining
from rich.live import Live

from cpo_lab.jobs.crew import LINES_S
from cpo_lab.jobs.job import Job
from cpo_lab.jobs.ray import Place
from cpo_lab.jobs.ray_member import LOOK_S, MEMBER, Keeper, MemberTrainable, member_of
from cpo_lab.jobs.record import Record
from cpo_rl.pbt.decision import DEFAULT_RULES, mutate, scale
from cpo_rl.pbt.settings import PbtCfg
from cpo_rl.pbt.workspace import Workspace

if TYPE_CHECKING:
    from cpo_lab.jobs.ray_population import Telling


FOLDER = "ray"
"""Folder in a workspace for what Tune writes itself: results, TensorBoard events, who took whose configuration."""

ANSWER_S = 30.0
"""How long a keeper may take to answer after a stop [s]."""

PLACE_S = 5.0
"""How long after a stop a keeper that was just given a place may take to say so; the others are withdrawn [s]."""


def tune_population(
    jobs: Sequence[Job],
    workspace: Workspace,
    cfg: PbtCfg,
    parameters: Sequence[Mapping[str, float]],
    place: Place,
    stopped: Sequence[int],
    *,
    retries: int,
    seed: int,
    telling: Telling,
) -> bool:
    """Run Tune's own PopulationBasedTraining to its end, for :func:`.ray_population.train_population`.

    Who copies whom is Tune's rule, how a hyper-parameter mutates ours (:func:`cpo_rl.pbt.mutate`). ``stopped`` are the
    signals that ask for a stop, added to while this runs; the other arguments are that function's.

    Returns:
        Whether a member failed for good.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # tracebacks of what is told in a sentence here
    draws = Random(f"{seed}/ray")

    def explore(config: dict[str, Any]) -> dict[str, float]:
        values = {name: value for name, value in config.items() if name != MEMBER}
        return mutate(values, {name: DEFAULT_RULES.get(name, scale) for name in values}, cfg, draws)

    scheduler = PopulationBasedTraining(
        time_attr="env_steps", metric="objective", mode="max",
        perturbation_interval=1,  # every result, because a member reports when its interval has ended
        burn_in_period=cfg.initial_delay, quantile_fraction=cfg.replace_fraction_worst, custom_explore_fn=explore,
    )  # fmt: skip
    # restarted by Ray where a worker dies; Tune's own actors cost nothing and have no place to wait for
    options = {"num_cpus": place.cpus, "num_gpus": place.gpus, "max_restarts": -1}
    keepers = [ray.remote(Keeper).options(**options).remote(job, workspace) for job in jobs]
    trainable = tune.with_parameters(MemberTrainable, jobs=list(jobs), keepers=keepers, workspace=workspace)
    space = {name: tune.sample_from(lambda spec, n=name: parameters[spec.config[MEMBER]][n]) for name in parameters[0]}
    teller = Teller(workspace, jobs, keepers, stopped, retries, telling)
    with teller.live:
        tune.Tuner(
            tune.with_resources(trainable, {"memory": 1}),  # Tune takes no trial that needs nothing
            param_space={MEMBER: tune.grid_search(list(range(workspace.members))), **space},
            tune_config=tune.TuneConfig(
                scheduler=scheduler, reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=time.strftime("%Y-%m-%d_%H-%M-%S"), storage_path=str(workspace.path.absolute() / FOLDER),
                failure_config=tune.FailureConfig(max_failures=retries), verbose=0, callbacks=[teller],
                stop=Stop(stopped),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            ),
        ).fit()  # fmt: skip
    teller.pass_on()
    for keeper in keepers:  # after a stop the last ones may still be saving
        with contextlib.suppress(ray.exceptions.RayError):
            while ray.get(keeper.runs.remote(), timeout=ANSWER_S):
                ray.get(keeper.poll.remote(), timeout=ANSWER_S)
                time.sleep(LOOK_S)
    return bool(teller.failed)


class Stop(tune.Stopper):
    """Ends the experiment after a stop signal.

    Args:
        stopped: Signals so far.
    """

    def __init__(self, stopped: Sequence[int]) -> None:
        self._stopped = stopped

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether a trial should end by itself: never."""
        return False

    def stop_all(self) -> bool:
        """Return whether all should end."""
        return bool(self._stopped)


class Teller(tune.Callback):
    """Passes stop signals on to the members while Tune's loop runs, and tells what happens to them.

    Args:
        workspace: The population.
        jobs: The members' commands.
        keepers: Their actors.
        stopped: Signals that ask for a stop, added to by their handler.
        retries: How often a member that died is started again.
        telling: How progress is told.
    """

    def __init__(
        self, workspace: Workspace, jobs: Sequence[Job], keepers: Sequence[Any], stopped: Sequence[int], retries: int,
        telling: Telling,
    ) -> None:  # fmt: skip
        self._workspace, self._jobs, self._retries, self._telling = workspace, jobs, retries, telling
        self._keepers, self._stopped = keepers, stopped
        self._ready = [keeper.__ray_ready__.remote() for keeper in keepers]
        self._due, self._passed_on = 0.0, False
        self.failed: set[int] = set()
        """Members that failed for good."""
        console = telling.console
        drawn = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.live: contextlib.AbstractContextManager[Any] = drawn or contextlib.nullcontext()
        """Context in which the members are drawn."""

    def __getstate__(self) -> dict[str, Any]:
        """Return what Tune keeps of this in its own records, of which a terminal is no part."""
        return {"failed": self.failed}

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        """Pass a stop on; show progress now and then."""
        self.pass_on()
        if time.monotonic() < self._due:
            return
        if isinstance(self.live, Live):
            self._due = time.monotonic() + 1.0
            self.live.update(self._telling.table(), refresh=True)
        else:
            self._due = time.monotonic() + LINES_S
            for line in self._telling.lines():
                self._tell(line)

    def pass_on(self) -> None:
        """Have all members save and end if that was asked for."""
        if self._stopped and not self._passed_on:
            self._passed_on = True
            self._tell("Stopping; every member saves first. Ctrl+C again to end at once.")
            placed, _ = ray.wait(self._ready, num_returns=len(self._ready), timeout=PLACE_S)
            for keeper, ready in zip(self._keepers, self._ready, strict=True):
                if ready in placed:
                    keeper.stop.remote(self._stopped[0])
                else:
                    ray.kill(keeper)

    def on_trial_recover(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Tell why a member is started again."""
        self._tell(f"{self._why(trial)}; it is started again ({trial.num_failures} of {self._retries}).")

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Note a member that died too often."""
        tried = f" after {trial.num_failures} tries" if trial.num_failures > 1 else ""
        self._fail(trial, f"{self._why(trial)}{tried}")

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Note a member that ended as another try would, too."""
        if trial.last_result.get("failed"):
            self._fail(trial, self._why(trial))

    def _fail(self, trial: Any, sentence: str) -> None:
        member = member_of(trial.trial_id)
        self.failed.add(member)
        self._tell(f"{sentence}; what it printed is in {self._jobs[member].folder}.")

    def _why(self, trial: Any) -> str:
        name, record = self._jobs[member_of(trial.trial_id)].name, Record(self._workspace.path)
        return f"{name} {record.last_reason(name) if record.has_ended(name) else 'lost its Ray worker'}"

    def _tell(self, line: str) -> None:
        self._telling.console.print(line, markup=False, highlight=False, soft_wrap=True)
