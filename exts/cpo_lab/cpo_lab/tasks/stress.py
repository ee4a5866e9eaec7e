# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Random actions against a task's physics: how often, and where first, does its state become absurd?

It works for any environment of Isaac Lab with articulations or rigid objects. The state is looked at after every
physics step, because what happens within a policy step is otherwise missed. Shapes: N environments, J joints.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from cpo_lab.tasks.motion_limits import joint_velocity_limits, moves_freely
from cpo_lab.tasks.stress_event import describe_event
from cpo_rl.step_extras import quarantine_reasons, quarantined

KINDS = ("uniform", "normal", "sticky extreme")
"""Kinds of actions: uniform in [-1, 1], standard normal, and -1 or 1 per entry, kept for 20 steps on average."""

SWITCH = 0.05
"""Chance per step that an entry of a sticky action is drawn anew."""

CRITERIA = {
    "non_finite": "joint, object, observation or reward not finite",
    "fast_joint": "joint above 3 x its velocity limit",
    "past_limit": "joint more than 0.3 rad past a limit",
    "fast_object": "object above 20 m/s",
    "spinning_object": "object above 192 rad/s",
    "quarantined": "quarantined by the task",
}
"""What makes an environment's step absurd, in words."""

FAST, PAST, SPEED, SPIN = 3.0, 0.3, 20.0, 3 * 64.0
"""Bounds of :data:`CRITERIA`: times the velocity limit, rad, m/s, rad/s."""

ROUNDING = 1.0 + 1e-5
"""A speed that a task cuts off at 20 m/s can exceed it by rounding."""

PAST_LIMIT_SHARE = 1e-5
"""Share of environment steps that may have a joint past a limit; nothing else may happen at all."""

MAXIMA = ("joint speed / limit", "past a limit [rad]", "object speed [m/s]", "object spin [rad/s]")
"""Largest values that are kept; joints without a limit do not count."""


@dataclass
class KindResult:
    """What one kind of actions led to."""

    kind: str
    """One of :data:`KINDS`."""
    env_steps: int
    """Steps of single environments."""
    counts: dict[str, int]
    """Environment steps per criterion."""
    maxima: dict[str, float]
    """Largest values, see :data:`MAXIMA`."""

    @property
    def passed(self) -> bool:
        """Whether the counts keep to what is allowed."""
        allowed = {"past_limit": math.floor(self.env_steps * PAST_LIMIT_SHARE)}
        return all(count <= allowed.get(name, 0) for name, count in self.counts.items())


@dataclass
class StressResult:
    """What all kinds together led to."""

    kinds: list[KindResult]
    """One entry per kind of actions."""
    events: dict[str, str]
    """The first event of each criterion that was met, in words."""
    episodes: int
    """Episodes that ended."""
    seconds: float
    """Duration of the steps."""
    limited_joints: int
    """Joints with a velocity limit."""
    joints: int
    """All joints."""
    total: KindResult = field(init=False)
    """The kinds added up."""

    def __post_init__(self) -> None:
        """Add the kinds up."""
        counts = {name: sum(kind.counts[name] for kind in self.kinds) for name in CRITERIA}
        maxima = {name: max(kind.maxima[name] for kind in self.kinds) for name in MAXIMA}
        self.total = KindResult("all", sum(kind.env_steps for kind in self.kinds), counts, maxima)

    @property
    def passed(self) -> bool:
        """Whether the whole test keeps to what is allowed."""
        return self.total.passed


class StateWatch:
    """Looks at joints and objects of all environments after every physics step."""

    def __init__(self, env: Any) -> None:
        """Find what there is to watch.

        Args:
            env: Isaac Lab's environment, unwrapped.
        """
        self.env = env
        self.robots = dict(env.scene.articulations)
        self.limits = {name: joint_velocity_limits(robot) for name, robot in self.robots.items()}
        self.objects = {name: body for name, body in env.scene.rigid_objects.items() if moves_freely(body)}
        self.steps = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
        """Policy steps since each environment's last reset [N]."""
        self.maxima = torch.zeros(env.num_envs, len(MAXIMA), device=env.device)
        """Largest values of each environment so far [N, 4]."""
        self.events: dict[str, str] = {}
        """First event of each criterion."""
        self.clear()

    def clear(self) -> None:
        """Begin a policy step."""
        self.flags = torch.zeros(len(CRITERIA), self.env.num_envs, dtype=torch.bool, device=self.env.device)
        """Which criteria each environment has met in this policy step [6, N]."""

    def look(self) -> None:
        """Judge the state that the engine holds now."""
        for name, robot in self.robots.items():
            position, velocity = robot.data.joint_pos.torch, robot.data.joint_vel.torch
            bounds = robot.data.joint_pos_limits.torch
            broken = ~(torch.isfinite(position) & torch.isfinite(velocity))
            speed = _finite(velocity.abs() / self.limits[name])
            past = _finite(torch.maximum(bounds[..., 0] - position, position - bounds[..., 1])).clamp(min=0.0)
            self._note("non_finite", broken, name)
            self._note("fast_joint", speed > FAST, name)
            self._note("past_limit", past > PAST, name)
            self._keep(0, speed)
            self._keep(1, past)
        for name, body in self.objects.items():
            velocity = body.data.root_com_vel_w.torch
            speed, spin = _finite(velocity[:, :3].norm(dim=1)), _finite(velocity[:, 3:].norm(dim=1))
            self._note("non_finite", ~torch.isfinite(velocity).all(dim=1), name)
            self._note("fast_object", speed > SPEED * ROUNDING, name)
            self._note("spinning_object", spin > SPIN, name)
            self._keep(2, speed)
            self._keep(3, spin)

    def judge(self, values: torch.Tensor, name: str) -> None:
        """Count environments whose observation or reward, shape [N, ...], is not finite."""
        self._note("non_finite", ~torch.isfinite(values.reshape(len(values), -1)).all(dim=1), name)

    def judge_quarantine(self, extras: Mapping[str, Any]) -> None:
        """Count environments that the task itself found absurd, also where it has already replaced what it found."""
        mask = quarantined(extras)
        if mask is not None and bool(mask.any()):
            found = [name for name, each in quarantine_reasons(extras).items() if bool(each[mask].any())]
            self._note("quarantined", mask, ", ".join(found) or "no reason given")

    def _keep(self, column: int, values: torch.Tensor) -> None:
        largest = values.reshape(len(values), -1).amax(dim=1)
        self.maxima[:, column] = torch.maximum(self.maxima[:, column], largest)

    def _note(self, criterion: str, met: torch.Tensor, name: str) -> None:
        """Remember who met a criterion; ``met`` is [N, J] of an articulation or [N] of anything else."""
        environments = met.reshape(len(met), -1).any(dim=1)
        self.flags[list(CRITERIA).index(criterion)] |= environments
        if criterion not in self.events and bool(environments.any()):
            index = int(environments.nonzero()[0])
            joint = int(met[index].nonzero()[0]) if met.dim() == 2 else None
            since = int(self.steps[index])
            self.events[criterion] = describe_event(self.env, CRITERIA[criterion], index, name, joint, since)


def _finite(values: torch.Tensor) -> torch.Tensor:
    """Give what is no number a large value, so that it is seen."""
    return values.nan_to_num(nan=1e30, posinf=1e30, neginf=-1e30)


@contextmanager
def after_every_physics_step(env: Any, look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` whenever the scene of ``env`` has taken over a physics step."""
    update = env.scene.update

    def updated(dt: float) -> None:
        update(dt)
        look()

    env.scene.update = updated
    try:
        yield
    finally:
        del env.scene.update


def draw_actions(last: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return actions of the three kinds, each in its block of environments.

    Args:
        last: Actions of the step before [N, A]; zeros at the start.
        generator: Source of random numbers.
    """
    first, second = (len(last) * share // len(KINDS) for share in (1, 2))
    device, shape = last.device, last.shape
    uniform = torch.rand(shape, generator=generator, device=device)
    actions = 2.0 * uniform - 1.0
    actions[first:second] = torch.randn(shape, generator=generator, device=device)[first:second]
    switched = (torch.rand(shape, generator=generator, device=device) < SWITCH) | (last == 0.0)
    actions[second:] = torch.where(switched, torch.where(uniform < 0.5, -1.0, 1.0), last)[second:]
    return actions


def stress(
    wrapped: Any, env_steps: int, seed: int = 0, report: Callable[[int, dict[str, int]], None] | None = None
) -> StressResult:
    """Step an environment with random actions and count absurd states.

    Args:
        wrapped: The environment as rsl_rl's wrapper of Isaac Lab shows it; it has at least three environments.
        env_steps: Steps of single environments, rounded up to whole steps of all.
        seed: Seed of the actions.
        report: Called after every step with the environment steps so far and the counts by criterion.
    """
    env, count = wrapped.unwrapped, wrapped.num_envs
    watch = StateWatch(env)
    generator = torch.Generator(device=env.device).manual_seed(seed)
    actions = torch.zeros(count, wrapped.num_actions, device=env.device)
    totals = torch.zeros(len(CRITERIA), count, dtype=torch.long, device=env.device)
    episodes, steps, start = 0, math.ceil(env_steps / count), time.perf_counter()
    with torch.inference_mode(), after_every_physics_step(env, watch.look):
        wrapped.reset()
        for step in range(steps):
            watch.clear()
            actions = draw_actions(actions, generator)
            observations, rewards, ends, extras = wrapped.step(actions)
            for name, values in observations.items():
                watch.judge(values, f"observation {name!r}")
            watch.judge(rewards, "reward")
            watch.judge_quarantine(extras)
            totals += watch.flags
            watch.steps += 1
            watch.steps.masked_fill_(ends.bool(), 0)
            episodes += int(ends.sum())
            if report is not None:
                report((step + 1) * count, dict(zip(CRITERIA, totals.sum(dim=1).tolist(), strict=True)))
    seconds = time.perf_counter() - start
    return _summary(watch, totals, steps, episodes, seconds)


def _summary(watch: StateWatch, totals: torch.Tensor, steps: int, episodes: int, seconds: float) -> StressResult:
    """Add up the blocks of environments."""
    count = totals.shape[1]
    edges = [count * share // len(KINDS) for share in range(len(KINDS) + 1)]
    kinds = []
    for kind, begin, end in zip(KINDS, edges[:-1], edges[1:], strict=True):
        counts = dict(zip(CRITERIA, totals[:, begin:end].sum(dim=1).tolist(), strict=True))
        largest = watch.maxima[begin:end].amax(dim=0).tolist() if end > begin else [0.0] * len(MAXIMA)
        kinds.append(KindResult(kind, (end - begin) * steps, counts, dict(zip(MAXIMA, largest, strict=True))))
    limits = [limit[0] for limit in watch.limits.values()]
    limited = sum(int(torch.isfinite(limit).sum()) for limit in limits)
    return StressResult(kinds, watch.events, episodes, seconds, limited, sum(len(limit) for limit in limits))
