# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""ANYmal on flat ground (reference: IsaacGymEnvs ``tasks/anymal.py`` and ``cfg/task/Anymal.yaml``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from isaaclab.assets import ArticulationCfg
from isaaclab.sensors import ContactSensorCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass

from cpo_lab.assets.legs.anymal import anymal_cfg
from cpo_lab.assets.legs.anymal_table import BASE, JOINT_NAMES, THIGHS
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry
from cpo_lab.tasks.base_env import simulation_cfg
from cpo_lab.tasks.joints import indices_of
from cpo_lab.tasks.layout import ObservationTerm
from cpo_lab.tasks.legs.agents import LegsAgent
from cpo_lab.tasks.legs.anymal_rules import (
    WalkRules,
    draw_command,
    has_fallen,
    observed_gravity,
    start_positions,
    tracking_errors,
    walk_reward,
)
from cpo_lab.tasks.legs.deployment import deployment
from cpo_lab.tasks.legs.env import LegsEnv
from cpo_lab.tasks.legs.env_cfg import LegsEnvCfg, LegsPhysicsCfg, LegsSceneCfg, Vec3
from cpo_lab.tasks.physical_contract import JointGroup, Settling
from cpo_lab.tasks.settings import part_of
from cpo_rl.errors import UserError
from cpo_rl.fields import setting

ANYMAL_OBSERVATIONS: tuple[ObservationTerm, ...] = (
    ObservationTerm("base_linear_velocity", 3, "velocity of the base, its own axes", "m/s", 2.0),
    ObservationTerm("base_angular_velocity", 3, "angular velocity of the base, its own axes", "rad/s", 0.25),
    ObservationTerm("gravity", 3, "the base's downward axis in world axes (the reference's choice)"),
    ObservationTerm("velocity_command", 2, "wanted velocity forwards and to the left, axes of the base", "m/s", 2.0),
    ObservationTerm("yaw_command", 1, "wanted turning rate", "rad/s", 0.25),
    ObservationTerm(
        "joint_position", 12, "joint angles less their defaults; LF, LH, RF, RH, each HAA, HFE, KFE", "rad"
    ),
    ObservationTerm("joint_velocity", 12, "joint velocities, same order", "rad/s", 0.05),
    ObservationTerm("last_action", 12, "the action before this observation, -1 to 1; zeros right after a reset"),
)
"""The 48 observations, in the reference's order."""

AGENT = LegsAgent(
    experiment_name="anymal",
    learning_rate=3.0e-4,
    value_loss_coef=1.0,
    bound_loss_coef=1.0e-3,
    reward_scale=1.0,
    max_iterations=13000,
)
"""Run settings of this robot."""


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, AGENT.runner)


# -- settings ----------------------------------------------------------------------------------------------------------


@configclass
class AnymalSceneCfg(LegsSceneCfg):
    """The robot on the ground."""

    robot: ArticulationCfg = anymal_cfg()
    """The robot, generated from our number table."""

    contact: ContactSensorCfg = ContactSensorCfg(prim_path="{ENV_REGEX_NS}/Robot/.*")
    """What the links touch; base and thighs are read."""


@configclass
class AnymalEnvCfg(LegsEnvCfg, WalkRules):
    """Walking as commanded on flat ground, ``CpoLab-Anymal-Direct``."""

    no_nucleus_assets: ClassVar[str] = "joints and links of NVIDIA's file were not compared with the reference's"

    decimation: int = setting(2, at_least=1, at_most=1000)
    """Physics steps per policy step (50 Hz policy, 100 Hz physics)."""

    episode_length_s: float = setting(50.0, above=0.0, at_most=1.0e6)
    """2500 policy steps."""

    sim: SimulationCfg = simulation_cfg(LegsPhysicsCfg(), decimation=2, dt=0.01)
    """Simulation: 100 Hz, friction 1, engine by preset."""

    scene: AnymalSceneCfg = AnymalSceneCfg()
    """Assets."""

    observation_clip: float = setting(5.0, above=0.0)
    """Largest magnitude of an observation."""

    action_scale: float = setting(0.5, above=0.0)
    """Angle that a full action moves a joint's target away from its default [rad]."""

    command_low: Vec3 = setting((-2.0, -1.0, -1.0))
    """Smallest wanted velocities forwards and to the left [m/s] and turning rate [rad/s]."""

    command_high: Vec3 = setting((2.0, 1.0, 1.0))
    """Largest ones; commands are drawn once per episode."""

    reset_pose_range: tuple[float, float] = setting((0.5, 1.5))
    """Smallest and largest factor of the default joint positions at a reset."""

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return ANYMAL_OBSERVATIONS

    @classmethod
    def deployment(
        cls, settings: Mapping[str, Any], layout: Sequence[ObservationTerm], state: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the robot's driver has to know, for ``policy.json``."""
        return deployment(settings, layout, JOINT_NAMES)

    def rules(self) -> WalkRules:
        """The constants of the rules, by themselves."""
        return part_of(self, WalkRules)

    def joints(self) -> tuple[str, ...]:
        """Joints in the order of observation and action."""
        return JOINT_NAMES

    def links(self) -> tuple[str, ...]:
        """Links that may not touch the ground."""
        return (BASE, *THIGHS)

    def check_settings(self) -> None:
        """Refuse settings that cannot work or have no effect, ranges turned inside out among them.

        Raises:
            UserError: Naming the first one.
        """
        super().check_settings()
        pairs = zip(self.command_low, self.command_high, strict=True)
        if any(low > high for low, high in pairs):
            raise UserError(f"env.command_low={self.command_low!r} must not exceed env.command_high.")
        if self.reset_pose_range[0] > self.reset_pose_range[1]:
            raise UserError(f"env.reset_pose_range={self.reset_pose_range!r} must give the smaller factor first.")
        if self.presets_are_chosen() and not self.scene.robot.spawn.activate_contact_sensors:
            raise UserError("env.scene.robot.spawn.activate_contact_sensors must be true: a fall is felt by it.")


# -- environment -------------------------------------------------------------------------------------------------------


class AnymalEnv(LegsEnv):
    """Walk and turn as commanded, without base or thighs touching the ground.

    ``extras["episode_metrics"]`` holds, per environment, the mean errors over its last finished episode:
    ``velocity_error`` [m/s] and ``yaw_error`` [rad/s].
    """

    cfg: AnymalEnvCfg

    def _make_state(self) -> None:
        """Allocate what the rules remember."""
        n, device, cfg = self.num_envs, self.device, self.cfg
        self.rules = cfg.rules()
        """Constants of reward and end."""
        contact = self.scene.sensors["contact"]
        self._contact, self._untouchable = contact, indices_of(cfg.links(), contact.body_names, "link").to(device)
        self._low = torch.tensor(cfg.command_low, device=device)
        self._high = torch.tensor(cfg.command_high, device=device)
        self.commands = torch.zeros(n, 3, device=device)
        """Wanted velocity forwards and to the left [m/s] and turning rate [rad/s], shape [N, 3]."""
        self.errors = torch.zeros(n, 2, device=device)
        """Errors of velocity [m/s] and turning rate [rad/s] after the last step, shape [N, 2]."""
        self._error_sums, self._steps = torch.zeros(n, 2, device=device), torch.zeros(n, device=device)
        self.episode_errors = torch.zeros(n, 2, device=device)
        """Mean errors over the last finished episode, shape [N, 2]; 0 before one has finished."""
        self._has_stepped = False
        walking, turning = self.episode_errors.unbind(-1)
        self.extras["episode_metrics"] = {"velocity_error": walking, "yaw_error": turning}

    @property
    def clip(self) -> float:
        """Largest magnitude of an observation."""
        return self.cfg.observation_clip

    def command(self, actions: torch.Tensor) -> None:
        """Turn actions [N, 12] into joint targets around the default pose."""
        self._aim(self.default + self.cfg.action_scale * actions)

    def _aim(self, targets: torch.Tensor) -> None:
        self.robot.actuators.target_command.set_position_index(value=targets, joint_ids=self.joint_ids)

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        forces = self._contact.data.net_forces_w.torch[:, self._untouchable]
        return has_fallen(forces, self.rules), self._get_time_outs()

    def _get_rewards(self) -> torch.Tensor:
        squared = tracking_errors(self.commands, *self.base_velocity())
        self.errors = torch.stack(squared, dim=-1).sqrt()
        self._error_sums += self.errors
        self._steps += 1.0
        self._has_stepped = True
        return walk_reward(*squared, self.read(self.robot.data.applied_torque), self.rules)

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        mean = self._error_sums / self._steps.clamp(min=1.0).unsqueeze(-1)
        super()._reset_idx(env_ids)
        self.keep_outcome(self.episode_errors, mean, env_ids)
        self._error_sums[env_ids] = 0.0
        self._steps[env_ids] = 0.0
        uniform = torch.rand(len(env_ids), 3, device=self.device)
        self.commands[env_ids] = draw_command(uniform, self._low, self._high)

    def _start_positions(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return joint positions at a reset [rad], shape [n, 12]."""
        return start_positions(uniform, self.default, *self.cfg.reset_pose_range)

    def _observed(self) -> dict[str, torch.Tensor]:
        """Unscaled values of all terms of the layout."""
        data = self.robot.data
        linear, angular = self.base_velocity()
        return {
            "base_linear_velocity": linear,
            "base_angular_velocity": angular,
            "gravity": observed_gravity(data.root_link_pose_w.torch[:, 3:]),
            "velocity_command": self.commands[:, :2],
            "yaw_command": self.commands[:, 2:],
            "joint_position": self.read(data.joint_pos) - self.default,
            "joint_velocity": self.read(data.joint_vel),
            "last_action": self.last_actions,
        }

    def _log(self) -> None:
        log = self.extras["log"]
        if self._has_stepped:
            log["Task/velocity_error"] = self.quarantine.mean(self.errors[:, 0])
            log["Task/yaw_error"] = self.quarantine.mean(self.errors[:, 1])

    # -- what the checks of the physics ask ----------------------------------------------------------------------------

    def joint_groups(self) -> list[JointGroup]:
        """The legs' joints; the knee of the first leg is moved."""
        knee = JOINT_NAMES.index("LF_KFE")
        return [JointGroup(self.robot, self.joints, self.lower, self.upper, self.default, knee, moved="knee")]

    def settlings(self) -> list[Settling]:
        """Put down in its default pose the robot stands."""
        return [Settling("standing on its motors", self.stand, 2.0, 0.35, 0.55)]

    def stand(self) -> None:
        """Put every robot down at the start, in its default pose and held there."""
        everyone = torch.arange(self.num_envs, device=self.device)
        self.place(everyone)
        self.joint_groups()[0].place(self.default.repeat(self.num_envs, 1))

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def state_for_checkpoint(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs beyond a fresh reset: the metric of the last finished episodes."""
        return {"episode_errors": self.episode_errors.clone()}

    def restore_from_checkpoint(self, state: dict[str, torch.Tensor]) -> None:
        """Take back :meth:`state_for_checkpoint` of a run with the same number of environments."""
        self.episode_errors.copy_(state["episode_errors"])
