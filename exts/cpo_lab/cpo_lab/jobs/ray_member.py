# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A member of a population as Ray Tune knows it; imported only where Ray is installed."""

from __future__ import annotations

import math
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray import tune

from cpo_lab.jobs.job import Job, end_of
from cpo_lab.jobs.process import send, start_process
from cpo_lab.jobs.record import Record
from cpo_rl.pbt.workspace import JOIN_S, Order, Published, Workspace
from cpo_rl.runs.lock import own_folder

LOOK_S = 0.2
"""Time between two looks at a member [s]."""

LEAVE_S = 300.0
"""How long a member whose worker died may take to save and leave its folder [s]."""

MEMBER = "member"
"""Entry of a trial's first configuration that says which member it is."""


class Keeper:
    """An actor that keeps the training process of one member, whichever of Tune's actors has the trial now.

    Args:
        job: The member's command.
        workspace: The population.
    """

    def __init__(self, job: Job, workspace: Workspace) -> None:
        self._job, self._workspace = job, workspace
        self._process: subprocess.Popen | None = None
        self._asked: int | None = None

    def runs(self) -> bool:
        """Return whether there is a process."""
        return self._process is not None

    def start(self) -> None:
        """Start the process if there is none, once a process of a worker that died has left the folder."""
        if self._process is None and self._asked is None:
            own_folder(self._job.folder, wait_s=LEAVE_S).close()
            self._process = start_process(self._job)
            known_as = f"{socket.gethostname()}:{self._process.pid}"
            self._note(lambda record: record.note_start(self._job.name, "ray", known_as))

    def poll(self) -> tuple[int | None, bool]:
        """Return the exit status of the process, once it has ended, and whether it was asked to stop."""
        if self._process is None:
            return None, self._asked is not None
        code = self._process.poll()
        if code is not None:
            end, self._process = end_of(self._job, code), None
            self._note(lambda record: record.note_end(self._job.name, end.code, end.reason))
        return code, self._asked is not None

    def stop(self, number: int) -> None:
        """Send a signal to the process, after which it is not started again."""
        self._asked = number
        if self._process is not None:
            send(self._process, number)

    def _note(self, write: Callable[[Record], None]) -> None:
        with own_folder(self._workspace.path, wait_s=JOIN_S):  # the keepers of all members write into one file
            write(Record(self._workspace.path))


class MemberDiedError(Exception):
    """A member's process ended as it should not have; Tune starts it again."""


class MemberTrainable(tune.Trainable):
    """Lets a member train interval by interval, and tells it what Tune decided.

    The process publishes in its run folder and waits there for an :class:`~cpo_rl.pbt.workspace.Order`, so no simulator
    starts again when Tune pauses, copies or hands a trial to another actor. A checkpoint is a reference to what a
    member published.
    """

    def setup(self, config: dict[str, Any], jobs: Sequence[Job], keepers: Sequence[Any], workspace: Workspace) -> None:
        """Take up a trial.

        Args:
            config: Hyper-parameters, and at first the member's number.
            jobs: The members' commands.
            keepers: Actors of :class:`Keeper`, one per member.
            workspace: The population.
        """
        self._jobs, self._keepers, self._workspace = jobs, keepers, workspace
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Go on with other hyper-parameters, or with another trial."""
        self._index = member_of(self.trial_id)
        assert new_config.get(MEMBER, self._index) == self._index, "Tune numbers trials as members"
        self._parameters = {name: value for name, value in new_config.items() if name != MEMBER}
        self._donor: tuple[int, int] | None = None
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, int]:
        """Return where the weights are that this member published last."""
        latest = self._workspace.latest(self._index)
        return {"member": self._index, "iteration": latest.iteration if latest else 0}

    def load_checkpoint(self, checkpoint: dict[str, int] | None) -> None:
        """Take another member's weights with the next step; its own a process finds by itself."""
        assert checkpoint is not None
        if checkpoint["member"] != self._index:
            self._donor = (checkpoint["member"], checkpoint["iteration"])

    def step(self) -> dict[str, Any]:
        """Let the member train until it has published again, or ended.

        Raises:
            MemberDiedError: If its process died.
        """
        keeper = self._keepers[self._index]
        try:
            order = self._order(goes_on=ray.get(keeper.runs.remote()))
            self._workspace.give_order(self._index, order)
            ray.get(keeper.start.remote())
            while True:
                code, asked = ray.get(keeper.poll.remote())
                latest = self._workspace.latest(self._index)
                if asked and (code is not None or not ray.get(keeper.runs.remote())):
                    return {**self._result(latest), "done": True}
                if code is not None:
                    return self._ended(code, latest)
                if latest is not None and latest.order == order.id:
                    return self._result(latest)
                time.sleep(LOOK_S)
        except ray.exceptions.RayActorError:
            raise MemberDiedError("lost its Ray worker") from None

    def _order(self, goes_on: bool) -> Order:
        donor, iteration = self._donor or (None, 0)
        self._donor = None
        made = Order(str(time.time_ns()), self._parameters, donor, iteration)
        before = self._workspace.order(self._index)
        if donor is None or goes_on or before is None:
            return made
        # a process that died after it copied must not copy again what its checkpoint holds already
        same = (before.parameters, before.donor, before.donor_iteration) == (made.parameters, donor, iteration)
        return before if same else made

    def _ended(self, code: int, latest: Published | None) -> dict[str, Any]:
        end = end_of(self._jobs[self._index], code)
        if end.can_be_tried_again:
            raise MemberDiedError(end.reason)
        return {**self._result(latest), "done": True, "failed": end.reason}

    def _result(self, latest: Published | None) -> dict[str, Any]:
        objective = latest.objective if latest is not None else None
        return {
            "objective": math.nan if objective is None else objective,
            "iteration": latest.iteration if latest is not None else 0,
            "env_steps": latest.env_steps if latest is not None else 0,
            "parameters": dict(latest.parameters) if latest is not None else {},
        }


def member_of(trial_id: str) -> int:
    """Return which member a trial is: Tune numbers trials in the order of the members.

    A trial's configuration does not tell, because it is handed from trial to trial with the weights.
    """
    return int(trial_id.rpartition("_")[2])
