# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the joints, motors and links of a hand's file are called, in the order of the task."""

from __future__ import annotations

from dataclasses import field

from isaaclab.utils import configclass
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.assets.nucleus import MIRRORED, TENDON_RANGE, nucleus_joint
from cpo_lab.assets.shadow_hand_table import ALL_JOINTS, DRIVEN_JOINTS, FINGERTIPS, PASSIVE_JOINTS


@configclass
class HandNamesCfg:
    """Names in a hand's file. A hand of your own needs the joints of the task, under any names, given here."""

    joints: tuple[str, ...] = ALL_JOINTS
    """Joints in the order of the observation."""

    motors: tuple[str, ...] = DRIVEN_JOINTS
    """What each action drives: a joint, or a tendon that ``tendons`` names."""

    fingertips: tuple[str, ...] = FINGERTIPS
    """Links whose state is observed."""

    mirrored: tuple[str, ...] = ()
    """Joints that turn the other way round than the task's; they are observed and driven with the opposite sign."""

    tendons: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Tendons with a motor: name -> joints whose angles add up to its length. Their actions are lengths."""

    tendon_range: tuple[float, float] = TENDON_RANGE
    """Lengths that actions -1 and 1 stand for [rad]."""


def _tendon_of(joint: str) -> str:
    """Return the tendon motor of NVIDIA's hand that bends ``FFJ1`` together with ``FFJ0``, or the joint's own motor."""
    outer = f"{joint[:2]}J0"
    return f"rh_{outer}" if joint == f"{joint[:2]}J1" and outer in PASSIVE_JOINTS else nucleus_joint(joint)


@configclass
class NucleusShadowHandNamesCfg(HandNamesCfg):
    """Names in NVIDIA's Shadow Hand, where one motor bends both outer joints of a finger."""

    joints: tuple[str, ...] = tuple(nucleus_joint(joint) for joint in ALL_JOINTS)
    motors: tuple[str, ...] = tuple(_tendon_of(joint) for joint in DRIVEN_JOINTS)
    fingertips: tuple[str, ...] = tuple(f"rh_{link}" for link in FINGERTIPS)
    mirrored: tuple[str, ...] = MIRRORED
    tendons: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {f"rh_{j}": (nucleus_joint(f"{j[:2]}J1"), nucleus_joint(j)) for j in PASSIVE_JOINTS}
    )


@configclass
class ShadowHandNamesCfg(PresetCfg):
    """Names in our Shadow Hand and in NVIDIA's."""

    nucleus_assets: HandNamesCfg = NucleusShadowHandNamesCfg()
    default: HandNamesCfg = HandNamesCfg()
