# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the Allegro Hand task. Numbers are the reference's (``AllegroHand.yaml``, ``allegro_hand.py``)."""

from __future__ import annotations

from typing import Literal

from isaaclab.assets import ArticulationCfg, RigidObjectCfg
from isaaclab.sensors import JointWrenchSensorCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.assets.allegro import allegro_hand_cfg
from cpo_lab.assets.allegro_hand_table import FINGERTIP_LINKS, JOINT_NAMES
from cpo_lab.assets.cube import cube_cfg
from cpo_lab.assets.nucleus import nucleus_allegro_hand_cfg
from cpo_lab.physics.presets import HandPhysicsCfg
from cpo_lab.tasks.allegro_hand.layout import ALLEGRO_OBSERVATIONS
from cpo_lab.tasks.base_env import simulation_cfg
from cpo_lab.tasks.common.layout import layout_size
from cpo_lab.tasks.shadow_hand.hand_names import HandNamesCfg
from cpo_lab.tasks.shadow_hand.shadow_hand_env_cfg import ShadowHandEnvCfg, ShadowHandSceneCfg


@configclass
class AllegroHandNamesCfg(HandNamesCfg):
    """Names in our Allegro Hand and in NVIDIA's."""

    joints: tuple[str, ...] = JOINT_NAMES
    motors: tuple[str, ...] = JOINT_NAMES
    fingertips: tuple[str, ...] = FINGERTIP_LINKS


@configclass
class AllegroHandRobotCfg(PresetCfg):
    """Our Allegro Hand and NVIDIA's, whose joints have the same names."""

    nucleus_assets: ArticulationCfg = nucleus_allegro_hand_cfg()
    default: ArticulationCfg = allegro_hand_cfg()


@configclass
class AllegroHandSceneCfg(ShadowHandSceneCfg):
    """The hand, palm up, and a cube above it."""

    robot: AllegroHandRobotCfg = AllegroHandRobotCfg()
    """The hand, generated from our number table; ``presets=nucleus_assets`` takes NVIDIA's."""

    object: RigidObjectCfg = cube_cfg(edge=0.065, density=400.0, position=(0.0, -0.2, 0.56))
    """A cube of 65 mm and 110 g."""

    joint_wrench: JointWrenchSensorCfg | None = None
    """No fingertip wrenches are observed."""


@configclass
class AllegroHandEnvCfg(ShadowHandEnvCfg):
    """In-hand reorientation, ``CpoLab-Reorient-Cube-Allegro-Direct``; rules and constants are the Shadow Hand's."""

    decimation: int = 4
    """Physics steps per policy step (30 Hz policy, 120 Hz physics)."""

    episode_length_s: float = 20.0
    """600 policy steps; successes do not extend it."""

    action_space: int = 16
    """Targets of all 16 joints."""

    observation_space: int = layout_size(ALLEGRO_OBSERVATIONS)
    """88, see :data:`~cpo_lab.tasks.allegro_hand.layout.ALLEGRO_OBSERVATIONS`."""

    sim: SimulationCfg = simulation_cfg(HandPhysicsCfg(), decimation=4)
    """Simulation: 120 Hz, friction 1, engine by preset."""

    scene: AllegroHandSceneCfg = AllegroHandSceneCfg()
    """Assets."""

    names: HandNamesCfg = AllegroHandNamesCfg()
    """What the hand's file calls its joints, motors and fingertips."""

    fingertip_wrench: Literal["sensor", "zeros"] = "zeros"
    """Not observed in this task."""

    joint_torque: Literal["zeros", "applied"] = "zeros"
    """Source of the 16 joint torque entries. The reference reads joint force sensors that it never switches on, so its
    entries are most likely zeros."""

    goal_display_offset: tuple[float, float, float] = (-0.2, -0.06, 0.12)
    """Where a viewer shows the goal, minus the goal position, metres."""

    camera_eye: tuple[float, float, float] = (0.12, -0.65, 0.92)
    """Where a camera stands, metres in the environment frame."""

    camera_lookat: tuple[float, float, float] = (-0.08, -0.18, 0.53)
    """Where it looks, metres in the environment frame."""
