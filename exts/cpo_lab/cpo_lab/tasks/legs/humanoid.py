# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The humanoid that runs (reference: IsaacGymEnvs ``tasks/humanoid.py`` and ``cfg/task/Humanoid.yaml``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from isaaclab.assets import ArticulationCfg
from isaaclab.sensors import JointWrenchSensorCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass

from cpo_lab.assets.legs.humanoid import humanoid_cfg
from cpo_lab.assets.legs.humanoid_table import EFFORTS, FEET, JOINT_NAMES, anchor_of
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry
from cpo_lab.tasks.base_env import simulation_cfg
from cpo_lab.tasks.joint_frames import joint_frames
from cpo_lab.tasks.joints import indices_of, unscale
from cpo_lab.tasks.layout import ObservationTerm
from cpo_lab.tasks.legs.agents import LegsAgent
from cpo_lab.tasks.legs.env import LegsEnv
from cpo_lab.tasks.legs.env_cfg import LegsEnvCfg, LegsPhysicsCfg, LegsSceneCfg, Vec3
from cpo_lab.tasks.legs.humanoid_rules import RunRules, observed_angles, potential, projections, run_reward
from cpo_lab.tasks.physical_contract import Settling
from cpo_lab.tasks.settings import part_of
from cpo_rl.fields import setting

HUMANOID_OBSERVATIONS: tuple[ObservationTerm, ...] = (
    ObservationTerm("height", 1, "height of the torso", "m"),
    ObservationTerm("linear_velocity", 3, "velocity of the torso, its own axes", "m/s"),
    ObservationTerm("angular_velocity", 3, "angular velocity of the torso, its own axes", "rad/s", 0.25),
    ObservationTerm("angles", 3, "yaw, roll, angle to the target (in effect minus the yaw), within half a turn", "rad"),
    ObservationTerm("upward", 1, "height of the torso's upward axis"),
    ObservationTerm("heading", 1, "component of the torso's forward axis towards the target"),
    ObservationTerm(
        "joint_position",
        21,
        "joint angles, limits mapped to [-1, 1]; abdomen, right leg, left leg, right arm, left arm",
    ),
    ObservationTerm("joint_velocity", 21, "joint velocities, same order", "rad/s", 0.1),
    ObservationTerm("joint_torque", 21, "torques of springs, dampers and motors, same order", "N m", 0.01),
    ObservationTerm(
        "foot_wrench",
        12,
        "right, then left foot: force (N) and torque (N m) of the ankle, axes of the foot",
        "N, N m",
        0.01,
    ),
    ObservationTerm("last_action", 21, "the action before this observation, -1 to 1; zeros right after a reset"),
)
"""The 108 observations, in the reference's order."""

AGENT = LegsAgent(
    experiment_name="humanoid",
    learning_rate=5.0e-4,
    value_loss_coef=2.0,
    bound_loss_coef=1.0e-4,
    reward_scale=0.01,
    max_iterations=26000,
)
"""Run settings of this robot."""

START_DISTANCE = 1000.0
"""Where the target lies, ahead of the start [m]: too far to be reached."""

VELOCITY_SCALE = 0.1
"""Factor of joint velocities in observation and reward."""


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, AGENT.runner)


# -- settings ----------------------------------------------------------------------------------------------------------


@configclass
class HumanoidSceneCfg(LegsSceneCfg):
    """The robot on the ground."""

    env_spacing: float = 10.0

    robot: ArticulationCfg = humanoid_cfg()
    """The robot, generated from our number table."""

    joint_wrench: JointWrenchSensorCfg = JointWrenchSensorCfg(prim_path="{ENV_REGEX_NS}/Robot")
    """What the joints transmit; those of the feet are observed."""


@configclass
class HumanoidEnvCfg(LegsEnvCfg, RunRules):
    """Running ahead, ``CpoLab-Humanoid-Direct``."""

    no_nucleus_assets: ClassVar[str] = "joints and links of NVIDIA's file were not compared with the reference's"

    decimation: int = setting(2, at_least=1, at_most=1000)
    """Physics steps per policy step (60 Hz policy, 120 Hz physics)."""

    episode_length_s: float = setting(16.595, above=0.0, at_most=1.0e6)
    """1000 policy steps; a little less than 16.6 s, which rounding would make 1001."""

    sim: SimulationCfg = simulation_cfg(LegsPhysicsCfg(), decimation=2, dt=0.0083)
    """Simulation: 120.5 Hz, friction 1, engine by preset."""

    scene: HumanoidSceneCfg = HumanoidSceneCfg()
    """Assets."""

    joint_position_noise: float = setting(0.2, at_least=0.0)
    """Largest distance of a joint from 0 at a reset, within its limits [rad]."""

    camera_eye: Vec3 = (3.2, -3.2, 1.7)

    camera_lookat: Vec3 = (0.3, 0.0, 0.9)

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return HUMANOID_OBSERVATIONS

    def rules(self) -> RunRules:
        """The constants of the rules, by themselves."""
        return part_of(self, RunRules)

    def joints(self) -> tuple[str, ...]:
        """Joints in the order of observation and action."""
        return JOINT_NAMES

    def links(self) -> tuple[str, ...]:
        """Links whose wrench is observed."""
        return FEET


# -- environment -------------------------------------------------------------------------------------------------------


class HumanoidEnv(LegsEnv):
    """Run towards a target far ahead without falling.

    ``extras["episode_metrics"]["distance"]`` holds, per environment, how far it came in its last finished episode [m].
    """

    cfg: HumanoidEnvCfg

    def _make_state(self) -> None:
        """Allocate what the rules remember."""
        n, device, cfg = self.num_envs, self.device, self.cfg
        self.rules = cfg.rules()
        """Constants of reward and end."""
        self._efforts = torch.tensor(EFFORTS, device=device)
        self._strength = self._efforts / max(EFFORTS)
        self._target = torch.tensor([START_DISTANCE, 0.0, 0.0], device=device)
        self._springs_rest = torch.zeros(n, len(EFFORTS), device=device)
        self._wrench = self.scene.sensors["joint_wrench"]
        self._feet = indices_of(FEET, self._wrench.body_names, "link").to(device)
        root = f"{self.scene.env_prim_paths[0]}/{self.robot.cfg.prim_path.rpartition('/')[2]}"
        self._joint_to_foot = joint_frames(root, FEET).to(device)
        self._ankles = torch.tensor([anchor_of(foot) for foot in FEET], device=device)
        self.potentials = torch.full((n,), -START_DISTANCE / self.step_dt, device=device)
        """Minus the distance to the target over the time of a step [m/s], shape [N]."""
        self.approach = torch.zeros(n, device=device)
        """Speed towards the target in the last step [m/s], shape [N]."""
        self.episode_distance = torch.zeros(n, device=device)
        """How far each environment came in its last finished episode [m], shape [N]; 0 before one has finished."""
        self._has_stepped = False
        self.extras["episode_metrics"] = {"distance": self.episode_distance}

    def command(self, actions: torch.Tensor) -> None:
        """Turn actions [N, 21] into torques; springs and dampers act besides."""
        self.robot.actuators.target_command.set_effort_index(value=actions * self._efforts, joint_ids=self.joint_ids)

    def _pose(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return position (environment frame, m) and rotation (xyzw) of the torso, shape [N, 3] and [N, 4]."""
        pose = self.robot.data.root_link_pose_w.torch
        return pose[:, :3] - self.scene.env_origins, pose[:, 3:]

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.height < self.rules.fall_height, self._get_time_outs()

    def _get_rewards(self) -> torch.Tensor:
        position, rotation = self._pose()
        before = self.potentials.clone()
        self.potentials.copy_(potential(position, self._target, self.step_dt))
        self.approach = self.potentials - before
        self._has_stepped = True
        data = self.robot.data
        return run_reward(
            self.approach,
            *projections(position, rotation, self._target),
            position[:, 2],
            self.last_actions,
            unscale(self.read(data.joint_pos), self.lower, self.upper),
            VELOCITY_SCALE * self.read(data.joint_vel),
            self._strength,
            self.rules,
        )

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        self.keep_outcome(self.episode_distance, START_DISTANCE + self.potentials * self.step_dt, env_ids)
        super()._reset_idx(env_ids)
        self.potentials[env_ids] = -START_DISTANCE / self.step_dt
        targets = self.robot.actuators.target_command
        rest = self._springs_rest[env_ids]
        targets.set_position_index(value=rest, joint_ids=self.joint_ids, env_ids=env_ids)
        targets.set_effort_index(value=rest, joint_ids=self.joint_ids, env_ids=env_ids)

    def _start_positions(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return joint positions at a reset [rad], shape [n, 21]."""
        noise = self.cfg.joint_position_noise * (2.0 * uniform - 1.0)
        return noise.clamp(self.lower, self.upper)

    def _observed(self) -> dict[str, torch.Tensor]:
        """Unscaled values of all terms of the layout."""
        data = self.robot.data
        position, rotation = self._pose()
        linear, angular = self.base_velocity()
        upward, heading = projections(position, rotation, self._target)
        return {
            "height": position[:, 2:],
            "linear_velocity": linear,
            "angular_velocity": angular,
            "angles": observed_angles(position, rotation, self._target),
            "upward": upward.unsqueeze(-1),
            "heading": heading.unsqueeze(-1),
            "joint_position": unscale(self.read(data.joint_pos), self.lower, self.upper),
            "joint_velocity": self.read(data.joint_vel),
            "joint_torque": self.read(data.applied_torque),
            "foot_wrench": self.foot_wrench().flatten(1),
            "last_action": self.last_actions,
        }

    def foot_wrench(self) -> torch.Tensor:
        """Force (N) and torque (N m) that the ankles transmit, in axes and about the origin of each foot [N, 2, 6].

        The sensor tells them in the frame of the last joint, whose anchor lies above the origin of the file's body.
        """
        data = self._wrench.data
        both = torch.stack((data.force.torch[:, self._feet], data.torque.torch[:, self._feet]), dim=2)
        force, torque = torch.einsum("fij,nfkj->nfki", self._joint_to_foot, both).unbind(2)
        arm = self._ankles.expand_as(force)
        return torch.cat((force, torque + torch.linalg.cross(arm, force)), dim=-1)

    def _log(self) -> None:
        log = self.extras["log"]
        log["Task/distance"] = self.episode_distance.mean()
        if self._has_stepped:
            log["Task/speed"] = self.quarantine.mean(self.approach)

    # -- what the checks of the physics ask ----------------------------------------------------------------------------

    def settlings(self) -> list[Settling]:
        """Without torques the robot's springs do not carry it."""
        return [Settling("limp", self.drop, 1.5, 0.05, 0.8)]

    def drop(self) -> None:
        """Put every robot at the start, upright, with no torque on its joints."""
        everyone = torch.arange(self.num_envs, device=self.device)
        self.place(everyone)
        self.robot.write_joint_position_to_sim_index(position=self._springs_rest, joint_ids=self.joint_ids)
        self.robot.write_joint_velocity_to_sim_index(velocity=self._springs_rest, joint_ids=self.joint_ids)
        self.command(self._springs_rest)

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def state_for_checkpoint(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs beyond a fresh reset: the metric of the last finished episodes."""
        return {"episode_distance": self.episode_distance.clone()}

    def restore_from_checkpoint(self, state: dict[str, torch.Tensor]) -> None:
        """Take back :meth:`state_for_checkpoint` of a run with the same number of environments."""
        self.episode_distance.copy_(state["episode_distance"])
