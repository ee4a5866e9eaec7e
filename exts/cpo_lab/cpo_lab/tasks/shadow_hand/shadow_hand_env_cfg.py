# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the Shadow Hand task. Numbers are the reference's (``cfg/task/ShadowHand.yaml``) unless noted."""

from __future__ import annotations

from typing import ClassVar, Literal

from isaaclab.assets import ArticulationCfg, RigidObjectCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sensors import JointWrenchSensorCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.assets.cube import cube_cfg
from cpo_lab.assets.nucleus import NUCLEUS, nucleus_shadow_hand_cfg
from cpo_lab.assets.shadow_hand import shadow_hand_cfg
from cpo_lab.physics.defaults import default_num_envs
from cpo_lab.physics.presets import HandPhysicsCfg
from cpo_lab.tasks.base_env import TaskEnvCfg, simulation_cfg
from cpo_lab.tasks.common.layout import layout_size
from cpo_lab.tasks.common.robot_file import check_robot
from cpo_lab.tasks.shadow_hand.hand_names import HandNamesCfg, ShadowHandNamesCfg
from cpo_lab.tasks.shadow_hand.layout import SHADOW_OBSERVATIONS
from cpo_rl.errors import UserError


@configclass
class ShadowHandRobotCfg(PresetCfg):
    """Our Shadow Hand and NVIDIA's."""

    nucleus_assets: ArticulationCfg = nucleus_shadow_hand_cfg()
    default: ArticulationCfg = shadow_hand_cfg()


@configclass
class ShadowHandSceneCfg(InteractiveSceneCfg):
    """The hand, palm up, and a cube above it."""

    num_envs: int = 0
    """Environments; 0 stands for the task's number for this machine."""

    env_spacing: float = 0.75
    """Distance between environments, metres."""

    robot: ShadowHandRobotCfg = ShadowHandRobotCfg()
    """The hand, generated from our number table; ``presets=nucleus_assets`` takes NVIDIA's."""

    object: RigidObjectCfg = cube_cfg(edge=0.05, density=567.0, position=(0.0, -0.39, 0.60))
    """A cube of 50 mm and 70.9 g."""

    joint_wrench: JointWrenchSensorCfg | None = JointWrenchSensorCfg(prim_path="{ENV_REGEX_NS}/Robot")
    """Wrenches that the joints transmit, for the fingertip force-torque terms."""


@configclass
class ShadowHandEnvCfg(TaskEnvCfg):
    """In-hand reorientation of a cube, ``CpoLab-Reorient-Cube-Shadow-Direct``."""

    no_nucleus_assets: ClassVar[str] = ""

    decimation: int = 2
    """Physics steps per policy step (60 Hz policy, 120 Hz physics)."""

    episode_length_s: float = 10.0
    """600 policy steps; successes do not extend it."""

    action_space: int = 20
    """Targets of the 20 driven joints."""

    observation_space: int = layout_size(SHADOW_OBSERVATIONS)
    """211, see :data:`~cpo_lab.tasks.shadow_hand.layout.SHADOW_OBSERVATIONS`."""

    state_space: int = 0
    """No separate critic observation: the critic reads the same 211 numbers."""

    sim: SimulationCfg = simulation_cfg(HandPhysicsCfg(), decimation=2)
    """Simulation: 120 Hz, friction 1, engine by preset."""

    scene: ShadowHandSceneCfg = ShadowHandSceneCfg()
    """Assets."""

    names: HandNamesCfg | ShadowHandNamesCfg = ShadowHandNamesCfg()
    """What the hand's file calls its joints, motors and fingertips."""

    observation_clip: float = 5.0
    """Largest magnitude of an observation, > 0."""

    action_smoothing: float = 1.0
    """Share of the new target in the commanded one, 0 < x <= 1; 1 means no smoothing."""

    self_collision: bool = False
    """Let the 18 pairs of links of our hand collide that the MJCF lists."""

    fingertip_wrench: Literal["sensor", "zeros"] = "sensor"
    """Source of the 30 fingertip force-torque observations: the joint wrench sensor, or zeros."""

    reset_position_noise: float = 0.01
    """Largest displacement of the cube at a reset along each axis, metres."""

    reset_joint_interval: float = 0.2
    """Share of the joint range that start positions are drawn from, 0 to 1."""

    goal_offset: tuple[float, float, float] = (0.0, 0.0, -0.04)
    """Goal position minus start position of the cube, metres."""

    goal_display_offset: tuple[float, float, float] = (-0.2, -0.06, 0.12)
    """Where a viewer shows the goal, minus the goal position, metres."""

    camera_eye: tuple[float, float, float] = (0.06, -0.84, 0.94)
    """Where a camera stands, metres in the environment frame."""

    camera_lookat: tuple[float, float, float] = (-0.09, -0.37, 0.56)
    """Where it looks, metres in the environment frame."""

    distance_scale: float = -10.0
    """Reward per metre between cube and goal position."""

    rotation_scale: float = 1.0
    """Numerator of the rotation reward."""

    rotation_epsilon: float = 0.1
    """Added to the rotation distance in the denominator, radians, > 0."""

    action_scale: float = -0.0002
    """Reward per squared action."""

    success_bonus: float = 250.0
    """Reward for reaching a goal."""

    object_shape: Literal["block", "egg", "pen"] = "block"
    """What is turned. The egg and the pen replace ``scene.object``; the pen starts lower and doubles the tolerance."""

    success_tolerance: float = 0.1
    """Rotation distance that counts as reached, radians, > 0; doubled for the pen, as in the reference."""

    fall_distance: float = 0.24
    """Distance from the goal position at which the cube counts as fallen, metres, > 0."""

    fall_penalty: float = 0.0
    """Reward when the cube falls."""

    def check(self) -> None:
        """Raise :class:`~cpo_rl.errors.UserError` for a setting that cannot work."""
        if self.object_shape not in ("block", "egg", "pen"):
            raise UserError(f"object_shape must be block, egg or pen, not {self.object_shape!r}.")
        if self.self_collision and self.assets == NUCLEUS:
            raise UserError("self_collision=true is for our hand and NVIDIA's has its own rule; leave one of them out.")
        super().check()
        check_robot("env.scene.robot", self.scene.robot, self.names.joints, self.names.fingertips)

    def __post_init__(self) -> None:
        """Fill in what depends on the machine."""
        if self.scene.num_envs == 0:
            self.scene.num_envs = default_num_envs(self)
