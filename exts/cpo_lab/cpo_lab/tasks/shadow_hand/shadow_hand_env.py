# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""In-hand reorientation of a cube with the Shadow Hand (reference: IsaacGymEnvs ``tasks/shadow_hand.py``).

Isaac Lab's order of a step is kept: rewards and ends first, then resets, then observations. The observation that comes
with ``done`` is therefore the first one of the next episode, where the reference shows the terminal state. A reached
goal, however, stays in the observation of the step that reached it, as in the reference, and is replaced at the start
of the next step. Nothing here waits for the device: goals are drawn for all environments and selected by a mask.
"""

from __future__ import annotations

from typing import Any

import torch

from cpo_lab.assets.hand_objects import PEN_START, egg_cfg, pen_cfg
from cpo_lab.assets.nucleus import fit_variant
from cpo_lab.assets.shadow_hand import shadow_hand_usd
from cpo_lab.tasks.base_env import TaskEnv
from cpo_lab.tasks.common.goal_marker import GoalMarker
from cpo_lab.tasks.common.joints import indices_of
from cpo_lab.tasks.common.layout import assemble
from cpo_lab.tasks.common.reorient import (
    ReorientRules,
    random_goal_rotation,
    random_joint_positions,
    relative_rotation,
    reorient_reward,
    rotation_angle,
    unscale,
)
from cpo_lab.tasks.shadow_hand.hand_map import HandMap, joint_frames
from cpo_lab.tasks.shadow_hand.layout import SHADOW_OBSERVATIONS
from cpo_lab.tasks.shadow_hand.shadow_hand_env_cfg import ShadowHandEnvCfg


class ShadowHandEnv(TaskEnv):
    """Turn a cube in the hand to one goal orientation after the other.

    ``extras["episode_metrics"]["successes"]`` holds, per environment, the goals reached in its last finished episode.
    """

    cfg: ShadowHandEnvCfg

    def __init__(self, cfg: ShadowHandEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        if cfg.fingertip_wrench == "zeros":
            cfg.scene.joint_wrench = None
        if not cfg.scene.robot.spawn.usd_path:
            cfg.scene.robot.spawn.usd_path = shadow_hand_usd(cfg.self_collision)
        tolerance = cfg.success_tolerance
        if cfg.object_shape == "egg":
            cfg.scene.object = egg_cfg(cfg.scene.object.init_state.pos)
        elif cfg.object_shape == "pen":
            cfg.scene.object, tolerance = pen_cfg(PEN_START), 2.0 * tolerance
        super().__init__(cfg, render_mode, **kwargs)
        self.hand, self.object = self.scene["robot"], self.scene["object"]
        self.rules = ReorientRules(
            distance_scale=cfg.distance_scale,
            rotation_scale=cfg.rotation_scale,
            rotation_epsilon=cfg.rotation_epsilon,
            action_scale=cfg.action_scale,
            success_bonus=cfg.success_bonus,
            success_tolerance=tolerance,
            fall_distance=cfg.fall_distance,
            fall_penalty=cfg.fall_penalty,
        )
        self._index_robot()
        n, device = self.num_envs, self.device
        self.targets = self._default_positions.expand(n, -1).clone()
        """Commanded joint positions [N, 24], the task's order and sign, radians."""
        self.motors = self.map.motor_targets(self.targets)
        """Commanded motor targets [N, 20], order of the actions, radians."""
        self.last_actions = torch.zeros(n, self.cfg.action_space, device=device)
        """Clipped actions of the last step [N, 20]; zeros after a reset."""
        self.goal_rotation = torch.zeros(n, 4, device=device)
        """Goal orientation [N, 4], xyzw."""
        self.goal_rotation[:, 3] = 1.0
        start = torch.tensor(cfg.scene.object.init_state.pos, device=device)
        self.goal_position = (start + torch.tensor(cfg.goal_offset, device=device)).repeat(n, 1)
        """Goal position [N, 3] in the environment frame, metres."""
        self.goal_reached = torch.zeros(n, dtype=torch.bool, device=device)
        """Environments that get a new goal at the start of the next step [N]."""
        self.successes = torch.zeros(n, device=device)
        """Goals reached in the running episode [N]."""
        self.episode_successes = torch.zeros(n, device=device)
        """Goals reached in the last finished episode [N], 0 before one has finished."""
        self._goal_marker: GoalMarker | None = None
        self.set_debug_vis(bool(self.sim.visualizers))
        self.extras["log"] = {}
        self.extras["episode_metrics"] = {"successes": self.episode_successes}

    @staticmethod
    def fit_to_engine(cfg: ShadowHandEnvCfg) -> list[str]:
        """Take the description of the hand that the engine reads, if its file holds several."""
        return fit_variant(cfg.scene.robot, cfg.sim.physics)

    def _index_robot(self) -> None:
        """Find joints, motors and links."""
        names = self.cfg.names
        self.map = HandMap(self.hand, names, self.device)
        """The hand in the task's order and signs."""
        self._default_positions = self.map.default.clone()
        self._wrench = self.scene.sensors.get("joint_wrench")
        if self._wrench is not None:
            self._wrench_tips = indices_of(names.fingertips, self._wrench.body_names, "link").to(self.device)
            root = f"{self.scene.env_prim_paths[0]}/{self.hand.cfg.prim_path.rpartition('/')[2]}"
            self._joint_to_link = joint_frames(root, names.fingertips).to(self.device)

    # -----------------------------------------------------------------------------------------------------------------
    # actions
    # -----------------------------------------------------------------------------------------------------------------

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        self._renew_goals(self.goal_reached)
        # in place here and below: a runner steps in inference mode, and a reset outside it must still be able to write
        torch.clamp(actions, -1.0, 1.0, out=self.last_actions)
        motors = self.map.scale(self.last_actions)
        if self.cfg.action_smoothing != 1.0:
            motors = torch.lerp(self.motors, motors, self.cfg.action_smoothing)
        self.motors.copy_(motors)
        # once per policy step: the engine keeps the command, and every write of it costs about 3 % of a step on a CPU
        self.map.command(self.motors, self.targets)

    def _apply_action(self) -> None:
        """Nothing is left to do at the rate of the physics."""

    def _renew_goals(self, mask: torch.Tensor) -> None:
        """Draw a new goal orientation where ``mask`` [N] is set."""
        uniform = 2.0 * torch.rand(self.num_envs, 2, device=self.device) - 1.0
        renewed = torch.where(mask.unsqueeze(-1), random_goal_rotation(uniform), self.goal_rotation)
        self.goal_rotation.copy_(renewed)

    # -----------------------------------------------------------------------------------------------------------------
    # rewards and ends
    # -----------------------------------------------------------------------------------------------------------------

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        pose = self.object.data.root_link_pose_w.torch
        position = pose[:, :3] - self.scene.env_origins
        self.distance = (position - self.goal_position).norm(dim=-1)
        """Cube to goal position [N], metres."""
        self.angle = rotation_angle(relative_rotation(pose[:, 3:], self.goal_rotation))
        """Cube to goal orientation [N], radians."""
        return self.distance >= self.cfg.fall_distance, self.episode_length_buf >= self.max_episode_length - 1

    def _get_rewards(self) -> torch.Tensor:
        reward, reached = reorient_reward(self.distance, self.angle, self.last_actions, self.rules)
        self.goal_reached.copy_(reached)
        self.successes += reached
        return reward

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        count = len(env_ids)
        self.episode_successes[env_ids] = self.successes[env_ids]
        self.successes[env_ids] = 0.0
        self.last_actions[env_ids] = 0.0
        self.goal_reached[env_ids] = False
        uniform = torch.rand(count, 2 + 3 + 2 + len(self.map.joints), device=self.device)
        signed = 2.0 * uniform[:, :7] - 1.0
        self.goal_rotation[env_ids] = random_goal_rotation(signed[:, :2])
        self._place_object(env_ids, signed[:, 2:5], signed[:, 5:7])
        lower, upper = self.map.lower, self.map.upper
        positions = random_joint_positions(
            uniform[:, 7:], self._default_positions, lower, upper, self.cfg.reset_joint_interval
        ).clamp(lower, upper)  # the Allegro thumb's default lies below its lower limit
        self.targets[env_ids] = positions
        self.motors[env_ids] = self.map.motor_targets(positions)
        self.map.write(positions, env_ids)

    def _place_object(self, env_ids: torch.Tensor, offset: torch.Tensor, rotation: torch.Tensor) -> None:
        """Put the cube above the palm, at rest.

        Args:
            env_ids: Environments [K].
            offset: Displacement in units of ``reset_position_noise`` [K, 3].
            rotation: Numbers in [-1, 1] for the orientation [K, 2].
        """
        pose = self.object.data.default_root_pose.torch[env_ids].clone()
        pose[:, :3] += self.scene.env_origins[env_ids] + self.cfg.reset_position_noise * offset
        pose[:, 3:] = random_goal_rotation(rotation)
        self.object.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids)
        still = torch.zeros(len(env_ids), 6, device=self.device)
        self.object.write_root_velocity_to_sim_index(root_velocity=still, env_ids=env_ids)

    # -----------------------------------------------------------------------------------------------------------------
    # observations
    # -----------------------------------------------------------------------------------------------------------------

    def _get_observations(self) -> dict[str, torch.Tensor]:
        hand, origins, n = self.hand.data, self.scene.env_origins, self.num_envs
        pose, velocity = self.object.data.root_link_pose_w.torch, self.object.data.root_com_vel_w.torch
        tip_pose = hand.body_link_pose_w.torch[:, self.map.tips]
        tip_pose[..., :3] -= origins.unsqueeze(1)
        tip_velocity = hand.body_com_vel_w.torch[:, self.map.tips]
        values = {
            "joint_position": unscale(self.map.read(hand.joint_pos), self.map.lower, self.map.upper),
            "joint_velocity": self.map.read(hand.joint_vel),
            "joint_torque": self.map.read(hand.applied_torque),
            "object_pose": torch.cat((pose[:, :3] - origins, pose[:, 3:]), dim=-1),
            "object_linear_velocity": velocity[:, :3],
            "object_angular_velocity": velocity[:, 3:],
            "goal_pose": torch.cat((self.goal_position, self.goal_rotation), dim=-1),
            "relative_rotation": relative_rotation(pose[:, 3:], self.goal_rotation),
            "fingertip_state": torch.cat((tip_pose, tip_velocity), dim=-1).view(n, -1),
            "fingertip_wrench": self._fingertip_wrench().reshape(n, -1),
            "last_action": self.last_actions,
        }
        self._log()
        return {"policy": assemble(SHADOW_OBSERVATIONS, values, self.cfg.observation_clip)}

    def _fingertip_wrench(self) -> torch.Tensor:
        """Force (N) and torque (N m) at the fingertips in the axes of the links [N, 5, 6]; zeros without a sensor."""
        if self._wrench is None:
            return torch.zeros(self.num_envs, len(self.map.tips), 6, device=self.device)
        data = self._wrench.data
        wrench = torch.stack((data.force.torch[:, self._wrench_tips], data.torque.torch[:, self._wrench_tips]), dim=2)
        # [N, tip, force/torque, axis of the joint] -> axis of the link
        return torch.einsum("tij,ntkj->ntki", self._joint_to_link, wrench)

    def _log(self) -> None:
        log = self.extras["log"]
        log["Task/successes"] = self.episode_successes.mean()
        if hasattr(self, "distance"):
            log["Task/goal_distance"] = self.distance.mean()
            log["Task/rotation_distance"] = self.angle.mean()

    # -----------------------------------------------------------------------------------------------------------------
    # what a viewer shows
    # -----------------------------------------------------------------------------------------------------------------

    def _set_debug_vis_impl(self, debug_vis: bool) -> None:
        """Show or hide the goal; the marker is made when it is first shown."""
        if debug_vis and self._goal_marker is None:
            # the egg's and the pen's goal is shown by a cube as well, whose colours tell the orientation
            edge = getattr(self.cfg.scene.object.spawn, "size", (0.05,))[0]
            self._goal_marker = GoalMarker(edge, self.num_envs, self.device)
        if self._goal_marker is not None:
            self._goal_marker.show(debug_vis)

    def _debug_vis_callback(self, event: Any) -> None:
        """Move the shown goals; called before a viewer draws."""
        if self._goal_marker is not None:
            shift = torch.tensor(self.cfg.goal_display_offset, device=self.device)
            self._goal_marker.update(self.goal_position + self.scene.env_origins + shift, self.goal_rotation)

    # -----------------------------------------------------------------------------------------------------------------
    # checkpoints
    # -----------------------------------------------------------------------------------------------------------------

    def state_for_checkpoint(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs beyond a fresh reset: the metric of the last finished episodes."""
        return {"episode_successes": self.episode_successes.clone()}

    def restore_from_checkpoint(self, state: dict[str, torch.Tensor]) -> None:
        """Take back :meth:`state_for_checkpoint` of a run with the same number of environments."""
        self.episode_successes.copy_(state["episode_successes"])
