# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The Shadow Hand's task (reference: IsaacGymEnvs ``tasks/shadow_hand.py`` and ``cfg/task/ShadowHand.yaml``).

What only this hand has: torques, fingertip states and wrenches in its observation, tendons, egg and pen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar, Literal

import torch
from isaaclab.assets import ArticulationCfg, RigidObjectCfg
from isaaclab.sensors import JointWrenchSensorCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.assets.cube import cube_cfg
from cpo_lab.assets.hand_objects import PEN_START, egg_cfg, pen_cfg
from cpo_lab.assets.nucleus import MIRRORED, nucleus_joint, nucleus_shadow_hand_cfg
from cpo_lab.assets.shadow_hand import shadow_hand_cfg, shadow_hand_usd
from cpo_lab.assets.shadow_hand_table import ALL_JOINTS, DRIVEN_JOINTS, FINGERTIPS, PASSIVE_JOINTS, TENDONS
from cpo_lab.physics.presets import HandPhysicsCfg
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry
from cpo_lab.tasks.base_env import simulation_cfg
from cpo_lab.tasks.in_hand.agents import HandAgent
from cpo_lab.tasks.in_hand.env import InHandEnv
from cpo_lab.tasks.in_hand.env_cfg import CollidingHandEnvCfg, HandNamesCfg, HandSceneCfg, Vec3
from cpo_lab.tasks.in_hand.rules import ReorientRules, flat_pen_rotation
from cpo_lab.tasks.joint_frames import joint_frames
from cpo_lab.tasks.joints import indices_of
from cpo_lab.tasks.layout import ObservationTerm
from cpo_lab.tasks.physical_contract import Coupling, InHand, OnSurface
from cpo_lab.tasks.settings import refuse_changed
from cpo_rl.errors import UserError
from cpo_rl.fields import setting

SHADOW_OBSERVATIONS: tuple[ObservationTerm, ...] = (
    ObservationTerm(
        "joint_position",
        24,
        "joint angles, limits mapped to [-1, 1]; WRJ1 WRJ0, FFJ3..0, MFJ3..0, RFJ3..0, LFJ4..0, THJ4..0",
    ),
    ObservationTerm("joint_velocity", 24, "joint velocities, same order", "rad/s", 0.2),
    ObservationTerm("joint_torque", 24, "torques of the joint motors, same order", "N m", 10.0),
    ObservationTerm("object_pose", 7, "cube position (environment frame, m) and orientation xyzw"),
    ObservationTerm("object_linear_velocity", 3, "cube velocity, world axes", "m/s"),
    ObservationTerm("object_angular_velocity", 3, "cube angular velocity, world axes", "rad/s", 0.2),
    ObservationTerm("goal_pose", 7, "goal position (environment frame, m) and orientation xyzw"),
    ObservationTerm("relative_rotation", 4, "cube orientation times conjugate of the goal's, xyzw"),
    ObservationTerm(
        "fingertip_state",
        65,
        "per distal link ff, mf, rf, lf, th: position (environment frame, m), orientation xyzw, linear velocity (m/s) "
        "and angular velocity (rad/s) in world axes",
    ),
    ObservationTerm(
        "fingertip_wrench",
        30,
        "per distal link, same order: force (N) and torque (N m) that its joint transmits, axes of the link",
        "N, N m",
        10.0,
    ),
    ObservationTerm("last_action", 20, "the action before this observation, -1 to 1; zeros right after a reset"),
)
"""The 211 observations, in the reference's order (``shadow_hand.py:566-593``)."""

AGENT = HandAgent(
    experiment_name="shadow_hand_reorient_cube",
    hidden_dims=(512, 512, 256, 128),
    awac_coef=0.001,
    awac_temperature=0.2,
    adversarial_coef=3.0e-4,
    entropy_coef_scale=0.005,
)
"""Run settings of this hand."""


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, AGENT.runner)


# -- names -------------------------------------------------------------------------------------------------------------


@configclass
class BuiltinShadowHandNamesCfg(HandNamesCfg):
    """Names in our Shadow Hand."""

    joints: tuple[str, ...] = ALL_JOINTS
    motors: tuple[str, ...] = DRIVEN_JOINTS

    fingertips: tuple[str, ...] = FINGERTIPS
    """Links whose state and wrench are observed."""


def _tendon_of(joint: str) -> str:
    """Return the tendon motor of NVIDIA's hand that bends ``FFJ1`` together with ``FFJ0``, or the joint's own motor."""
    outer = f"{joint[:2]}J0"
    return f"rh_{outer}" if joint == f"{joint[:2]}J1" and outer in PASSIVE_JOINTS else nucleus_joint(joint)


@configclass
class NucleusShadowHandNamesCfg(BuiltinShadowHandNamesCfg):
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
    default: HandNamesCfg = BuiltinShadowHandNamesCfg()


# -- settings ----------------------------------------------------------------------------------------------------------


@configclass
class ShadowHandRobotCfg(PresetCfg):
    """Our Shadow Hand and NVIDIA's."""

    nucleus_assets: ArticulationCfg = nucleus_shadow_hand_cfg()
    default: ArticulationCfg = shadow_hand_cfg()


@configclass
class ShadowHandSceneCfg(HandSceneCfg):
    """The hand, palm up, and a cube above it."""

    robot: ShadowHandRobotCfg = ShadowHandRobotCfg()
    """The hand, generated from our number table; ``presets=nucleus_assets`` takes NVIDIA's."""

    object: RigidObjectCfg = cube_cfg(edge=0.05, density=567.0, position=(0.0, -0.39, 0.60))
    """A cube of 50 mm and 70.9 g."""

    joint_wrench: JointWrenchSensorCfg | None = JointWrenchSensorCfg(prim_path="{ENV_REGEX_NS}/Robot")
    """Wrenches that the joints transmit, for the fingertip force-torque terms."""


@configclass
class ShadowHandEnvCfg(CollidingHandEnvCfg):
    """In-hand reorientation of a cube, ``CpoLab-Reorient-Cube-Shadow-Direct``."""

    no_nucleus_assets: ClassVar[str] = ""

    decimation: int = setting(2, at_least=1, at_most=1000)
    """Physics steps per policy step (60 Hz policy, 120 Hz physics)."""

    episode_length_s: float = setting(10.0, above=0.0, at_most=1.0e6)
    """600 policy steps; successes do not extend it."""

    sim: SimulationCfg = simulation_cfg(HandPhysicsCfg(), decimation=2)
    """Simulation: 120 Hz, friction 1, engine by preset."""

    scene: ShadowHandSceneCfg = ShadowHandSceneCfg()
    """Assets."""

    names: BuiltinShadowHandNamesCfg | ShadowHandNamesCfg = ShadowHandNamesCfg()
    """What the hand's file calls its joints, motors and fingertips."""

    fingertip_wrench: Literal["sensor", "zeros"] = setting("sensor", choices=("sensor", "zeros"))
    """Source of the 30 fingertip force-torque observations: the joint wrench sensor, or zeros."""

    object_shape: Literal["block", "egg", "pen"] = setting("block", choices=("block", "egg", "pen"))
    """What is turned. The egg and the pen replace ``scene.object``; the pen starts lower and doubles the tolerance."""

    camera_eye: Vec3 = (-0.081, -0.83, 0.832)
    camera_lookat: Vec3 = (0.045, -0.36, 0.545)

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return SHADOW_OBSERVATIONS

    def hand_usd(self) -> str:
        """Return the path of our hand's file."""
        return shadow_hand_usd(self.self_collision)

    def links(self) -> tuple[str, ...]:
        """Links that the hand's file must hold besides its joints."""
        return self.names.fingertips

    def rules(self) -> ReorientRules:
        """The constants of the rules; the tolerance is doubled for the pen, as in the reference."""
        rules = super().rules()
        if self.object_shape == "pen":
            rules.success_tolerance *= 2.0
        return rules

    def check_settings(self) -> None:
        """Refuse settings that cannot work or have no effect.

        Raises:
            UserError: Naming the first one.
        """
        super().check_settings()
        self._check_wrench()
        self._check_object()
        if self.presets_are_chosen():
            self._check_hand()

    def _check_hand(self) -> None:
        """Refuse fingertips that are too few or too many."""
        if len(self.names.fingertips) != len(FINGERTIPS):
            raise UserError(
                f"env.names.fingertips must name {len(FINGERTIPS)} links, not {len(self.names.fingertips)}."
            )

    def _check_wrench(self) -> None:
        """Refuse a sensor that is missing, and settings of one that is not read."""
        if self.scene.joint_wrench is None:
            if self.fingertip_wrench == "sensor":
                raise UserError("env.fingertip_wrench=sensor needs env.scene.joint_wrench; set it to zeros.")
        elif self.fingertip_wrench == "zeros":
            refuse_changed(self, ["scene.joint_wrench"], "with fingertip_wrench=zeros")

    def _check_object(self) -> None:
        """Refuse settings of the cube where something else is turned."""
        if self.object_shape == "block" or self.scene.object == self._other_object():
            return
        refuse_changed(self, ["scene.object.spawn"], f"on the cube with object_shape={self.object_shape}")
        if self.object_shape == "pen":
            refuse_changed(self, ["scene.object.init_state"], "on the pen, which has its own start")

    def _other_object(self) -> RigidObjectCfg:
        """What replaces the cube."""
        return egg_cfg(self.scene.object.init_state.pos) if self.object_shape == "egg" else pen_cfg(PEN_START)

    def derive(self) -> None:
        """Fill in what follows from other fields: the hand's file, the object, and whether there is a sensor."""
        super().derive()
        if not self.presets_are_chosen():
            return
        if self.fingertip_wrench == "zeros":
            self.scene.joint_wrench = None
        if self.object_shape != "block":
            self.scene.object = self._other_object()


# -- environment -------------------------------------------------------------------------------------------------------


class ShadowHandEnv(InHandEnv):
    """Turn a cube, an egg or a pen in the Shadow Hand to one goal orientation after the other."""

    cfg: ShadowHandEnvCfg

    finger_joint = ALL_JOINTS.index("FFJ2")

    def __init__(self, cfg: ShadowHandEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        super().__init__(cfg, render_mode, **kwargs)
        self._tips = self.map.links(cfg.names.fingertips)
        self._wrench = self.scene.sensors.get("joint_wrench")
        if self._wrench is not None:
            self._wrench_tips = indices_of(cfg.names.fingertips, self._wrench.body_names, "link").to(self.device)
            root = f"{self.scene.env_prim_paths[0]}/{self.hand.cfg.prim_path.rpartition('/')[2]}"
            self._joint_to_link = joint_frames(root, cfg.names.fingertips, "set env.fingertip_wrench=zeros").to(
                self.device
            )

    def _start_rotation(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return orientations of the object at a reset; the pen starts lying along the fingers."""
        return flat_pen_rotation(uniform) if self.cfg.object_shape == "pen" else super()._start_rotation(uniform)

    def resting_places(self) -> list[OnSurface | InHand]:
        """The cube; an egg or a pen rolls off straight fingers on any engine."""
        return super().resting_places() if self.cfg.object_shape == "block" else []

    def couplings(self) -> list[Coupling]:
        """The first finger's tendon in our hand: J0 follows 1.142 J1 with a slack of 0.142 rad."""
        tendon, joints = TENDONS[0], self.cfg.names.joints
        (leader, pulled), (follower, pulls) = tendon.coefficients
        if follower not in joints:
            return []
        slope, offset = -pulled / pulls, -tendon.upper / pulls
        name = f"{follower} against {leader}"
        return [Coupling(name, joints.index(leader), joints.index(follower), slope, offset)]

    def _own_observations(self) -> dict[str, torch.Tensor]:
        hand, n = self.hand.data, self.num_envs
        tip_pose = hand.body_link_pose_w.torch[:, self._tips]
        tip_pose[..., :3] -= self.scene.env_origins.unsqueeze(1)
        tip_velocity = hand.body_com_vel_w.torch[:, self._tips]
        return {
            "joint_torque": self.map.read(hand.applied_torque),
            "fingertip_state": torch.cat((tip_pose, tip_velocity), dim=-1).view(n, -1),
            "fingertip_wrench": self._fingertip_wrench().reshape(n, -1),
        }

    def _fingertip_wrench(self) -> torch.Tensor:
        """Force (N) and torque (N m) at the fingertips in the axes of the links [N, 5, 6]; zeros without a sensor."""
        if self._wrench is None:
            return torch.zeros(self.num_envs, len(self._tips), 6, device=self.device)
        data = self._wrench.data
        wrench = torch.stack((data.force.torch[:, self._wrench_tips], data.torque.torch[:, self._wrench_tips]), dim=2)
        # [N, tip, force/torque, axis of the joint] -> axis of the link
        return torch.einsum("tij,ntkj->ntki", self._joint_to_link, wrench)
