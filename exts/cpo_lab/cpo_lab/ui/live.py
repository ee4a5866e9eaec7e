# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A running simulation brought before its viewers: names, camera, panels and plots of the ensemble in it."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cpo_lab.ui.imgui_panel import ImguiPanel
from cpo_lab.ui.places import Places, goals_of, look_at_all
from cpo_lab.ui.session import Session, blocks
from cpo_lab.ui.state import RunReader
from cpo_lab.ui.viser_page import ViserPage
from cpo_lab.viewing.captions import policy_color
from cpo_lab.viewing.newton_view import color_bands
from cpo_rl.algorithms.episodes import CountedStep
from cpo_rl.contracts import Environment
from cpo_rl.formulas import gaussian

_REFRESH_S = 0.25
"""Time between two looks of a panel at its state [s]."""

_KL_STEPS = 15
"""Steps between two measurements of KL while playing."""

_FACES: dict[str, Callable[[Any, Session, Places], Any]] = {"viser": ViserPage, "newton_gl": ImguiPanel}
"""Panel by viewer."""


def show_training(env: Any, num_policies: int, task: str, folder: Path) -> Live:
    """Show a run in the viewers of the environment that it trains in.

    Args:
        env: Running rsl_rl environment.
        num_policies: Policies, each of which acts in a block of the environments.
        task: Task id.
        folder: The run folder, from which its numbers are read now and then.
    """
    ids = blocks(list(range(num_policies)), env.num_envs)
    return Live(env, Session(task, num_policies, ids, RunReader(folder, folder.name)))


class Live:
    """Shows a session in the viewers of an environment, as long as it is open.

    Args:
        env: Running rsl_rl environment, its viewers started.
        session: What to show, which is kept up to date.
        model: The ensemble's actor-critic, to measure KL between policies while playing; None while training.
    """

    def __init__(self, env: Any, session: Session, model: Any = None) -> None:
        self._env, self.session, self._model = env.unwrapped, session, model
        self._account = Environment(env)
        self._device = self._env.device
        self.ids = torch.as_tensor(session.ids, device=self._device)
        self.whole = torch.ones(len(self.ids), dtype=torch.bool, device=self._device)
        """Environments whose running episode belongs to one policy, bool [N]."""
        self._was_reset = False
        self._due = 0.0
        self._colored: object = None
        self._watch_resets()
        viewers = list(self._env.sim.visualizers)
        self._places = look_at_all(env, session.ids)
        self._plot()
        faces = [(viewer, _FACES.get(viewer.cfg.visualizer_type)) for viewer in viewers]
        self.faces = [make(viewer, session, self._places) for viewer, make in faces if make is not None]
        if hasattr(self._account.window, "show_session"):
            self.faces.append(self._account.window.show_session(session))
        self._env.sim.add_render_callback("cpo_lab", lambda _: self.refresh())
        self.refresh()

    def refresh(self) -> None:
        """Bring panels, colours and names up to date, at most a few times a second; called when viewers have drawn."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _REFRESH_S
        self.session.look()
        if self._colored != self.session.choice:
            self._colored = self.session.choice
            self._color()
        goals = goals_of(self._env, self._places.indices)
        for face in self.faces:
            face.refresh(goals)

    # -- while playing -------------------------------------------------------------------------------------------------

    def cast(self) -> Tensor:
        """Return which policy is to act in each environment now [N]; running episodes of others belong to nobody."""
        ids = torch.as_tensor(self.session.ids, device=self._device)
        if not torch.equal(ids, self.ids):
            self.whole &= ids == self.ids
            self.ids = ids
        return self.ids

    def after_step(self, counted: CountedStep, observations: Any) -> Tensor:
        """Add a step to the session.

        Args:
            counted: The step.
            observations: What the policies see next.

        Returns:
            Environments whose episode has ended and was all one policy's, bool [N].
        """
        if self._was_reset:  # by hand: nobody has fallen
            self._was_reset = False
            ended = counted.done & False
            falls = None
        else:
            ended = counted.done & self.whole
            falls = None if counted.ends is None else counted.ends.fall.cpu().numpy()
        self.whole = self.whole | counted.done
        goals = None if counted.goals is None else counted.goals.double().cpu().numpy()
        self.session.step(self.ids.cpu().numpy(), counted.rewards.double().cpu().numpy(), goals, falls)
        if self.session.steps % _KL_STEPS == 1:
            self._measure(observations)
        return ended

    def _measure(self, observations: Any) -> None:
        """Measure KL from every policy that acts to all others, on the states it sees now."""
        model, count = self._model, self.session.num_policies
        if count == 1 or getattr(model, "is_recurrent", True):  # the others' memory of this episode is not known
            return
        matrix = torch.full((count, count), math.nan, dtype=torch.double)
        with torch.inference_mode():
            seen = observations.to(self._device)
            means = torch.stack(
                [model(seen, torch.full_like(self.ids, policy)) for policy in range(count)]
            )  # [M, N, A]
            for policy in self.session.acting:
                own = self.ids == policy
                kl = gaussian.kl(
                    means[policy, own], model.log_std[policy], means[:, own], model.log_std.unsqueeze(1)
                )  # [M, n]
                matrix[policy] = kl.mean(dim=1).double().cpu()
        self.session.measure(matrix.numpy())

    def _watch_resets(self) -> None:
        """Notice when somebody resets the episodes from a viewer, which is no failure of a policy."""
        consume = self._env.sim.consume_reset_request

        @functools.wraps(consume)
        def consumed() -> bool:
            asked = consume()
            self._was_reset |= asked
            return asked

        self._env.sim.consume_reset_request = consumed

    # -- what viewers draw themselves ----------------------------------------------------------------------------------

    def _color(self) -> None:
        """Give the coloured bands of robots the colour of their policy, in viewers that draw Newton's model."""
        count = self.session.num_policies
        colors = {index: policy_color(int(policy), count) for index, policy in enumerate(self.session.ids)}
        for model in {id(m): m for m in map(_model_of, self._env.sim.visualizers) if m is not None}.values():
            color_bands(model, colors)

    def _plot(self) -> None:
        """Have all viewers plot the policies besides what the environment lets them plot."""
        groups = {"policies": plots(self._env, self._account, self.session)}
        with contextlib.ExitStack() as stack:
            for viewer in self._env.sim.visualizers:
                stack.enter_context(_plotting_besides(viewer, groups))
            self._account.set_up_plots()


@contextlib.contextmanager
def _plotting_besides(viewer: Any, groups: dict[str, dict[str, Callable[[], float]]]) -> Iterator[None]:
    """Add groups to what a viewer is asked to plot meanwhile."""
    stock = viewer.add_live_plots

    def add(managers: Any, scalars: Any = None, **more: Any) -> None:
        stock(managers, scalars={**groups, **(scalars or {})}, **more)

    viewer.add_live_plots = add
    try:
        yield
    finally:
        del viewer.add_live_plots


def plots(env: Any, account: Environment, session: Session) -> dict[str, Callable[[], float]]:
    """Return what viewers plot of every policy: reward of a step, goals in the running episode, KL to the leader.

    The number in brackets is the policy's, from which viewers make the lines of one chart; the leader's is named.

    Args:
        env: The environment.
        account: What it offers.
        session: Who acts where.
    """
    leader = session.num_policies - 1
    named = f" (leader is [{leader}])" if leader else ""

    def mean(values: Callable[[], Tensor | None], policy: int) -> float:
        found, own = values(), session.ids == policy
        return math.nan if found is None or not own.any() else float(found.cpu().numpy()[own].mean())

    def kl(policy: int) -> float:
        return math.nan if session.kl is None else float(session.kl[policy, leader])

    chosen: dict[str, Callable[[], float]] = {}
    for policy in range(session.num_policies):
        chosen[f"reward per step{named}[{policy}]"] = functools.partial(mean, lambda: env.reward_buf, policy)
    if account.successes is not None:
        for policy in range(session.num_policies):
            chosen[f"goals in the running episode{named}[{policy}]"] = functools.partial(
                mean, lambda: account.successes, policy
            )
    for policy in range(leader):
        chosen[f"KL to the leader [nat][{policy}]"] = functools.partial(kl, policy)
    return chosen


def _model_of(viewer: Any) -> Any:
    """Return Newton's model that a viewer draws, None if it draws something else."""
    return getattr(getattr(viewer, "backend", None), "model", None)
