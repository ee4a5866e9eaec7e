# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Reward, success, curriculum and termination rules of the Allegro-Kuka tasks as pure tensor functions.

Nothing here knows a simulator, so every formula has a hand-computed test. The formulas follow the DexPBT
tasks as released with CPO, ``isaacgymenvs/tasks/allegro_kuka/allegro_kuka_base.py`` (``base`` below) and
``allegro_kuka_utils.py`` (``utils``). Shapes use ``N`` environments, ``F`` fingertips (4 per hand), ``K`` keypoints.
All lengths are metres, quaternions are (x, y, z, w).

The functions that keep a running minimum or a latch return the new state instead of writing it, so the
caller decides when (and where) to store it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

UNTOUCHED = -1.0
"""Marker of a running minimum that has not seen a value since the last reset or goal change (as in ``base:1310``)."""


class Progress(NamedTuple):
    """A reward and the running state it advanced."""

    reward: torch.Tensor
    """Unweighted reward, shape [N]."""
    best: torch.Tensor
    """Updated running minimum, the shape of the value it tracks."""


class Lifting(NamedTuple):
    """Result of :func:`lifting`."""

    height_reward: torch.Tensor
    """Height above the start, clipped to [0, 0.5] m and zero once lifted, shape [N]."""
    bonus: torch.Tensor
    """One at the step at which the object becomes lifted, zero otherwise, shape [N]."""
    lifted: torch.Tensor
    """Updated latch, boolean, shape [N]."""


def first_or_minimum(best: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return ``value`` where ``best`` is still :data:`UNTOUCHED`, ``best`` elsewhere."""
    return torch.where(best < 0.0, value, best)


def fingertip_approach(
    distance: torch.Tensor, best: torch.Tensor, lifted: torch.Tensor, until_lifted: bool, clip: float = 10.0
) -> Progress:
    """Reward every fingertip for coming closer to the object than ever before (``base:867-894``).

    ``sum_f clip(best_f - d_f, 0, clip)``; the single-arm tasks stop paying it once the object is lifted, the two-arm
    tasks never do. The first call after a reset only sets the reference distance.

    Args:
        distance: Fingertip to object distance [m], shape [N, F].
        best: Smallest distance so far [m], shape [N, F], :data:`UNTOUCHED` after a reset.
        lifted: Latch after this step's :func:`lifting`, boolean, shape [N].
        until_lifted: Whether the reward is zero once lifted.
        clip: Upper bound of one fingertip's progress in one step [m].

    Returns:
        The reward summed over fingertips [m] and the updated smallest distance.
    """
    reference = first_or_minimum(best, distance)
    reward = (reference - distance).clamp(0.0, clip).sum(dim=-1)
    if until_lifted:
        reward = torch.where(lifted, torch.zeros_like(reward), reward)
    return Progress(reward, torch.minimum(reference, distance))


def lifting(object_height: torch.Tensor, start_height: float, lifted: torch.Tensor, threshold: float = 0.15) -> Lifting:
    """Reward lifting the object and latch the moment it is lifted (``base:896-920``).

    With ``z_l = 0.05 + z - start_height``: the height reward is ``clip(z_l, 0, 0.5)`` while not lifted, and the latch
    closes when
    ``z_l`` exceeds ``threshold``.

    Args:
        object_height: Object height above the ground [m], shape [N].
        start_height: Nominal start height of the object [m] (0.63).
        lifted: Latch before this step, boolean, shape [N].
        threshold: Height that counts as lifted [m].

    Returns:
        Height reward [m], the one-off bonus flag (0 or 1) and the updated latch.
    """
    height = 0.05 + object_height - start_height
    now = (height > threshold) | lifted
    just_now = now & ~lifted
    reward = torch.where(now, torch.zeros_like(height), height.clamp(0.0, 0.5))
    return Lifting(reward, just_now.to(height.dtype), now)


def keypoint_offsets(
    scale: torch.Tensor, pattern: torch.Tensor, base_edge: float = 0.05, keypoint_scale: float = 1.5
) -> torch.Tensor:
    """Return keypoint positions in the object frame (``base:812-817``).

    Args:
        scale: Object edges in multiples of ``base_edge``, shape [N, 3].
        pattern: Unit offsets per keypoint, shape [K, 3].
        base_edge: Edge of the template cube [m].
        keypoint_scale: How far outside the object the keypoints lie, relative to half an edge.

    Returns:
        Offsets [m], shape [N, K, 3].
    """
    return pattern.unsqueeze(0) * (scale * (base_edge * keypoint_scale / 2.0)).unsqueeze(1)


def keypoint_distance(object_keypoints: torch.Tensor, goal_keypoints: torch.Tensor) -> torch.Tensor:
    """Return the largest distance between matching keypoints [m], shape [N] (inputs [N, K, 3])."""
    return (object_keypoints - goal_keypoints).norm(dim=-1).amax(dim=-1)


def keypoint_progress(
    distance: torch.Tensor, best: torch.Tensor, lifted: torch.Tensor, clip: float = 100.0
) -> Progress:
    """Reward the keypoint distance for falling below its minimum for this goal (``base:922-936``).

    Paid only while the object is lifted; the minimum is tracked in any case.

    Args:
        distance: Largest keypoint distance [m], shape [N].
        best: Minimum for the current goal [m], shape [N], :data:`UNTOUCHED` after a goal change.
        lifted: Latch after this step's :func:`lifting`, boolean, shape [N].
        clip: Upper bound of the progress of one step [m].

    Returns:
        The reward [m] and the updated minimum.
    """
    reference = first_or_minimum(best, distance)
    reward = (reference - distance).clamp(0.0, clip) * lifted
    return Progress(reward, torch.minimum(reference, distance))


class Goal(NamedTuple):
    """Result of :func:`near_goal`."""

    near: torch.Tensor
    """Whether the object is within the tolerance, boolean, shape [N]."""
    steps: torch.Tensor
    """Updated cumulative count of near-goal steps for this goal, shape [N]."""
    success: torch.Tensor
    """Whether the goal counts as reached at this step, boolean, shape [N]."""


def near_goal(
    distance: torch.Tensor, steps: torch.Tensor, tolerance: torch.Tensor, keypoint_scale: float, success_steps: int
) -> Goal:
    """Count the steps near the goal and decide success (``base:967-975``).

    The count is cumulative: leaving the region does not reset it, only a new goal does.

    Args:
        distance: Largest keypoint distance [m], shape [N].
        steps: Near-goal steps so far for this goal, shape [N].
        tolerance: Current success tolerance, scalar tensor; the region is ``tolerance * keypoint_scale`` [m].
        keypoint_scale: Keypoint scale of the task.
        success_steps: Number of near-goal steps that make a success.

    Returns:
        Near flags, the new count and success flags.
    """
    near = distance <= tolerance * keypoint_scale
    steps = steps + near.to(steps.dtype)
    return Goal(near, steps, steps >= success_steps)


def curriculum_tolerance(
    tolerance: torch.Tensor,
    mean_successes: torch.Tensor,
    due: torch.Tensor,
    target: float,
    factor: float = 0.9,
    threshold: float = 3.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tighten the success tolerance when the last episodes went well (``utils:86-115``).

    Args:
        tolerance: Current tolerance, scalar tensor.
        mean_successes: Mean over all environments of the successes of the last finished episode, scalar tensor.
        due: Whether enough policy steps passed since the last change, boolean scalar tensor.
        target: Smallest tolerance.
        factor: Multiplier applied at every change.
        threshold: Mean number of successes that triggers a change.

    Returns:
        The new tolerance and whether it was updated (boolean scalar tensor). The reference resets its clock
        whenever the mean reaches the threshold, also when the tolerance is already at the target.
    """
    update = due & (mean_successes >= threshold)
    tightened = (tolerance * factor).clamp(min=target)
    return torch.where(update, tightened, tolerance), update


def success_objective(successes: torch.Tensor, tolerance: torch.Tensor, initial: float, target: float) -> torch.Tensor:
    """Combine successes and curriculum progress into one number to maximize (``utils:118-158``).

    With ``g = (initial - tolerance) / (initial - target)``: ``0.01 * successes + g`` until the target tolerance is
    reached,
    ``successes + g`` from then on. Tasks without a curriculum (``initial <= target``) have ``g = 1``.

    Args:
        successes: Successes of the episode, shape [N].
        tolerance: Current tolerance, scalar tensor.
        initial: Tolerance at the start of the curriculum.
        target: Tolerance at its end.

    Returns:
        The objective, shape [N].
    """
    if initial <= target:
        return successes + 1.0
    done = tolerance <= target
    gained = (initial - tolerance) / (initial - target)
    return torch.where(done, successes, 0.01 * successes) + gained


def velocity_penalties(joint_velocity: torch.Tensor, num_arm_joints: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``-sum |qd_arm|`` and ``-sum |qd_hand|`` [rad/s], shape [N] each (``base:938-947``)."""
    speed = joint_velocity.abs()
    return -speed[:, :num_arm_joints].sum(dim=-1), -speed[:, num_arm_joints:].sum(dim=-1)


class Dones(NamedTuple):
    """Result of :func:`dones`."""

    terminated: torch.Tensor
    """The object fell, enough goals were reached, or the hand is too far away; boolean, shape [N]."""
    time_out: torch.Tensor
    """The clock since the last success ran out; boolean, shape [N]."""


def dones(
    object_height: torch.Tensor,
    successes: torch.Tensor,
    progress: torch.Tensor,
    episode_length: int,
    max_successes: int,
    fall_height: float = 0.1,
    furthest_fingertip: torch.Tensor | None = None,
    max_fingertip_distance: float = 1.5,
) -> Dones:
    """Decide which episodes end (``base:949-957``, ``allegro_kuka_reorientation.py:99-104``).

    Args:
        object_height: Object height [m], shape [N].
        successes: Successes in this episode, including this step's, shape [N].
        progress: Policy steps since the episode began or the last success, shape [N].
        episode_length: Length of the clock in policy steps.
        max_successes: Successes that end the episode; 0 or less means never.
        fall_height: Height below which the object has fallen [m].
        furthest_fingertip: Largest fingertip to object distance [m], shape [N]; None switches the rule off.
        max_fingertip_distance: Distance that ends the episode [m].

    Returns:
        Terminated and timed-out flags, never both for one environment.
    """
    terminated = object_height < fall_height
    if max_successes > 0:
        terminated = terminated | (successes >= max_successes)
    if furthest_fingertip is not None:
        terminated = terminated | (furthest_fingertip > max_fingertip_distance)
    return Dones(terminated, (progress >= episode_length - 1) & ~terminated)


def arm_targets(
    previous: torch.Tensor, actions: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, speed: float, dt: float
) -> torch.Tensor:
    """Integrate arm position targets, ``clamp(previous + speed * dt * a)`` (``base:1521-1530``).

    Args:
        previous: Targets of the last step [rad], shape [N, A].
        actions: Actions in [-1, 1], shape [N, A].
        lower: Lower joint limits [rad], shape [A] or [N, A].
        upper: Upper joint limits [rad], shape [A] or [N, A].
        speed: Target speed at full action [rad/s] (10).
        dt: Policy step [s].

    Returns:
        New targets [rad], shape [N, A].
    """
    return torch.clamp(previous + speed * dt * actions, lower, upper)


def force_decay(dt: float, decay: float = 0.99, interval: float = 0.08) -> float:
    """Return the factor by which random forces shrink per policy step of ``dt`` seconds (0.9979 at 60 Hz)."""
    return decay ** (dt / interval)


def log_uniform(low: float, high: float, uniform: torch.Tensor) -> torch.Tensor:
    """Map uniform numbers in [0, 1] to a log-uniform distribution on [low, high] (``base:324-328``)."""
    return torch.exp((math.log(high) - math.log(low)) * uniform + math.log(low))


def random_forces(
    forces: torch.Tensor,
    probability: torch.Tensor,
    uniform: torch.Tensor,
    normal: torch.Tensor,
    mass: torch.Tensor,
    scale: float,
    decay: float,
) -> torch.Tensor:
    """Decay the forces on the object and replace those whose turn it is (``base:1549-1562``).

    Args:
        forces: Forces of the last step in the object's frame [N], shape [N, 3].
        probability: Chance of a new force per step, shape [N].
        uniform: Uniform draws in [0, 1), shape [N].
        normal: Standard normal draws, shape [N, 3].
        mass: Mass that scales the force [kg], scalar tensor (the reference uses environment 0's object for all).
        scale: Force scale [m/s^2].
        decay: Factor from :func:`force_decay`.

    Returns:
        New forces [N], shape [N, 3].
    """
    return torch.where((uniform < probability).unsqueeze(-1), normal * mass * scale, forces * decay)


def sample_box(low: torch.Tensor, high: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Map uniform numbers [n, 3] in [0, 1] to a box given by its two corners [m], shape [3] each."""
    return low + uniform * (high - low)


def bucket_position(uniform: torch.Tensor) -> torch.Tensor:
    """Sample bucket positions left or right of the table (``allegro_kuka_throw.py:94-109``).

    ``x = +-(0.5 + U(0, 0.4))``, ``y = U(-1, 0.7)``, ``z = U(0, 1)``.

    Args:
        uniform: Uniform draws in [0, 1], shape [n, 4]; the last column picks the side.

    Returns:
        Positions in the environment's frame [m], shape [n, 3].
    """
    side = torch.where(uniform[:, 3] < 0.5, -1.0, 1.0)
    x = side * (0.5 + 0.4 * uniform[:, 0])
    return torch.stack((x, -1.0 + 1.7 * uniform[:, 1], uniform[:, 2]), dim=-1)


def start_offset(
    uniform: torch.Tensor, noise: torch.Tensor, side: torch.Tensor | None = None, side_x: float = 0.35
) -> torch.Tensor:
    """Sample the object's start position relative to the nominal one.

    Args:
        uniform: Uniform draws in [0, 1], shape [n, 3].
        noise: Half range per axis [m], shape [3].
        side: -1 or 1 per environment, shape [n], for two arms (``two_arms.py:1241-1262``); None for one arm.
        side_x: Distance of the two starts from the middle [m].

    Returns:
        Offsets [m], shape [n, 3].
    """
    offset = (2.0 * uniform - 1.0) * noise
    if side is not None:
        offset = offset + torch.stack((side_x * side, torch.zeros_like(side), torch.zeros_like(side)), dim=-1)
    return offset


def reset_joint_positions(
    default: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, uniform: torch.Tensor, noise: float = 0.1
) -> torch.Tensor:
    """Return ``default + noise * U(lower - default, upper - default)`` [rad] (``base:1396-1417``).

    Args:
        default: Default positions [rad], shape [J].
        lower: Lower limits [rad], shape [J].
        upper: Upper limits [rad], shape [J].
        uniform: Uniform draws in [0, 1], shape [n, J].
        noise: Fraction of the range to use.

    Returns:
        Joint positions [rad], shape [n, J].
    """
    return default + noise * ((lower - default) + uniform * (upper - lower))
