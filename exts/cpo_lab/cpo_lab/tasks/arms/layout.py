# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Observations of the arm tasks, in the reference's order (``allegro_kuka_base.py:1200``, ``two_arms.py:1122``)."""

from __future__ import annotations

from cpo_lab.tasks.layout import ObservationTerm

_ORDER = "iiwa7 1-7, then index, middle, ring, thumb 0-3"


def kuka_observations(num_arms: int, num_keypoints: int) -> tuple[ObservationTerm, ...]:
    """Return the layout of the ``policy`` observation.

    Sizes: 93 + 6 K with one arm (99 or 117), 160 + 9 K with two (169 or 196).

    Args:
        num_arms: 1 or 2.
        num_keypoints: Keypoints K on the object.
    """
    a, k = num_arms, num_keypoints
    each = "" if a == 1 else "per arm: "
    terms = [
        ObservationTerm("joint_position", 23 * a, f"{each}joint angles, limits mapped to [-1, 1]; {_ORDER}"),
        ObservationTerm("joint_velocity", 23 * a, f"{each}joint velocities, same order", "rad/s"),
        ObservationTerm("palm_position", 3 * a, f"{each}centre of the palm, environment frame", "m"),
        ObservationTerm(
            "palm_state",
            10 * a,
            f"{each}last arm link: orientation xyzw, linear (m/s) and angular velocity (rad/s), world axes",
        ),
        ObservationTerm("object_state", 10, "orientation xyzw, linear (m/s) and angular velocity (rad/s), world axes"),
        ObservationTerm("fingertips", 12 * a, f"{each}index, middle, ring, thumb tip minus centre of the palm", "m"),
        ObservationTerm("keypoints_to_palm", 3 * k * a, f"{each}keypoints of the object minus centre of the palm", "m"),
        ObservationTerm("keypoints_to_goal", 3 * k, "keypoints of the object minus those of the goal", "m"),
        ObservationTerm("object_scale", 3, "edges of the object in multiples of 0.05 m"),
        ObservationTerm("closest_keypoint", 1, "smallest keypoint distance so far for this goal", "m"),
    ]
    if a == 1:
        terms.append(
            ObservationTerm("closest_fingertips", 4, "smallest distance of each fingertip to the object so far", "m")
        )
    terms += [
        ObservationTerm("lifted", 1, "1 once the object has been lifted"),
        ObservationTerm("log_progress", 1, "ln(steps since the start or the last success / 10 + 1)"),
        ObservationTerm("log_successes", 1, "ln(successes in this episode + 1)"),
        ObservationTerm("reward", 1, "reward of this step; 0 right after a reset", scale=0.01),
    ]
    return tuple(terms)


def all_layouts() -> list[tuple[ObservationTerm, ...]]:
    """Return the layouts of all arm tasks, which differ in size; exported policies are described by them."""
    return [kuka_observations(arms, len(points)) for arms in (1, 2) for points in KEYPOINTS.values()]


KEYPOINTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "center": ((0.0, 0.0, 0.0),),
    "corners": ((1.0, 1.0, 1.0), (1.0, 1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, -1.0, -1.0)),
}
"""Unit offsets of the keypoints by name: one in the middle (position tasks), four corners (pose tasks)."""

REWARD_TERMS = (
    "fingertip_approach",
    "lifting",
    "lift_bonus",
    "keypoint_progress",
    "arm_velocity",
    "hand_velocity",
    "near_goal",
)
"""Terms of the reward, in the order of the per-term sums."""
