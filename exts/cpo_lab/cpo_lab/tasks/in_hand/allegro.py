# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The Allegro Hand's task (reference: IsaacGymEnvs ``tasks/allegro_hand.py`` and ``cfg/task/AllegroHand.yaml``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from isaaclab.assets import ArticulationCfg, RigidObjectCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.assets.allegro import allegro_hand_cfg, allegro_hand_usd
from cpo_lab.assets.allegro_hand_table import JOINT_NAMES
from cpo_lab.assets.cube import cube_cfg
from cpo_lab.assets.nucleus import nucleus_allegro_hand_cfg
from cpo_lab.physics.presets import HandPhysicsCfg
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry
from cpo_lab.tasks.base_env import simulation_cfg
from cpo_lab.tasks.in_hand.agents import HandAgent
from cpo_lab.tasks.in_hand.env import InHandEnv
from cpo_lab.tasks.in_hand.env_cfg import CollidingHandEnvCfg, HandNamesCfg, HandSceneCfg, Vec3
from cpo_lab.tasks.layout import ObservationTerm
from cpo_rl.fields import setting

ALLEGRO_OBSERVATIONS: tuple[ObservationTerm, ...] = (
    ObservationTerm(
        "joint_position", 16, "joint angles, limits mapped to [-1, 1]; index 0-3, middle 0-3, ring 0-3, thumb 0-3"
    ),
    ObservationTerm("joint_velocity", 16, "joint velocities, same order", "rad/s", 0.2),
    ObservationTerm("joint_torque", 16, "zeros, or torques of the joint motors, same order", "N m", 10.0),
    ObservationTerm("object_pose", 7, "cube position (environment frame, m) and orientation xyzw"),
    ObservationTerm("object_linear_velocity", 3, "cube velocity, world axes", "m/s"),
    ObservationTerm("object_angular_velocity", 3, "cube angular velocity, world axes", "rad/s", 0.2),
    ObservationTerm("goal_pose", 7, "goal position (environment frame, m) and orientation xyzw"),
    ObservationTerm("relative_rotation", 4, "cube orientation times conjugate of the goal's, xyzw"),
    ObservationTerm("last_action", 16, "the action before this observation, -1 to 1; zeros right after a reset"),
)
"""The 88 observations, in the reference's order (``allegro_hand.py:494-513``)."""

AGENT = HandAgent(
    experiment_name="allegro_hand_reorient_cube",
    hidden_dims=(512, 256, 128),
    awac_coef=0.0005,
    awac_temperature=0.1,
    adversarial_coef=3.0e-5,
    entropy_coef_scale=0.0,
)
"""Run settings of this hand."""


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, AGENT.runner)


@configclass
class AllegroHandNamesCfg(HandNamesCfg):
    """Names in our Allegro Hand and in NVIDIA's."""

    joints: tuple[str, ...] = JOINT_NAMES
    motors: tuple[str, ...] = JOINT_NAMES


@configclass
class AllegroHandRobotCfg(PresetCfg):
    """Our Allegro Hand and NVIDIA's, whose joints have the same names."""

    nucleus_assets: ArticulationCfg = nucleus_allegro_hand_cfg()
    default: ArticulationCfg = allegro_hand_cfg()


@configclass
class AllegroHandSceneCfg(HandSceneCfg):
    """The hand, palm up, and a cube above it."""

    robot: AllegroHandRobotCfg = AllegroHandRobotCfg()
    """The hand, generated from our number table; ``presets=nucleus_assets`` takes NVIDIA's."""

    object: RigidObjectCfg = cube_cfg(edge=0.065, density=400.0, position=(0.0, -0.2, 0.56))
    """A cube of 65 mm and 110 g."""


@configclass
class AllegroHandEnvCfg(CollidingHandEnvCfg):
    """In-hand reorientation of a cube, ``CpoLab-Reorient-Cube-Allegro-Direct``."""

    no_nucleus_assets: ClassVar[str] = ""

    decimation: int = setting(4, at_least=1, at_most=1000)
    """Physics steps per policy step (30 Hz policy, 120 Hz physics)."""

    episode_length_s: float = setting(20.0, above=0.0, at_most=1.0e6)
    """600 policy steps; successes do not extend it."""

    sim: SimulationCfg = simulation_cfg(HandPhysicsCfg(), decimation=4)
    """Simulation: 120 Hz, friction 1, engine by preset."""

    scene: AllegroHandSceneCfg = AllegroHandSceneCfg()
    """Assets."""

    names: AllegroHandNamesCfg = AllegroHandNamesCfg()
    """What the hand's file calls its joints and motors."""

    joint_torque: Literal["zeros", "applied"] = setting("zeros", choices=("zeros", "applied"))
    """Source of the 16 joint torque entries. The reference reads joint force sensors that it never switches on, so its
    entries are most likely zeros."""

    camera_eye: Vec3 = (-0.12, -0.74, 0.855)
    camera_lookat: Vec3 = (0.045, -0.17, 0.515)

    def hand_usd(self) -> str:
        """Return the path of our hand's file."""
        return allegro_hand_usd(self.self_collision)

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return ALLEGRO_OBSERVATIONS


class AllegroHandEnv(InHandEnv):
    """Turn a cube in the Allegro Hand to one goal orientation after the other."""

    cfg: AllegroHandEnvCfg

    finger_joint = JOINT_NAMES.index("index_joint_1")

    def _default_positions(self) -> torch.Tensor:
        # the reference's default is 0 for every joint, which the thumb's limit forbids in Isaac Lab's configuration
        return torch.zeros_like(self.map.default)

    def _own_observations(self) -> dict[str, torch.Tensor]:
        if self.cfg.joint_torque == "applied":
            return {"joint_torque": self.map.read(self.hand.data.applied_torque)}
        return {"joint_torque": torch.zeros_like(self.targets)}
