# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Regrasping, reorientation and throwing with one arm or two (reference: IsaacGymEnvs ``tasks/allegro_kuka``).

One class serves the five tasks; what differs between them are fields of
:class:`~cpo_lab.tasks.arms.env_cfg.AllegroKukaEnvCfg`. Isaac Lab's order of a step is kept:
rewards and ends,
then resets, then observations. A reached goal stays in the observation of the step that reached it, as in the
reference,
and is replaced at the start of the next step. Nothing here waits for the device or loops over environments: goals are
drawn for all environments and selected by masks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
import warp as wp
from isaaclab.markers import VisualizationMarkers
from isaaclab_newton.physics import NewtonCfg

from cpo_lab.assets import cuboids
from cpo_lab.assets.allegro import GAINS
from cpo_lab.assets.furniture import goal_marker_cfg
from cpo_lab.tasks.arms import rules
from cpo_lab.tasks.arms.arm import Arm
from cpo_lab.tasks.arms.env_cfg import AllegroKukaEnvCfg
from cpo_lab.tasks.arms.layout import KEYPOINTS, REWARD_TERMS, kuka_observations
from cpo_lab.tasks.base_env import TaskEnv
from cpo_lab.tasks.joints import scale, unscale
from cpo_lab.tasks.layout import assemble
from cpo_lab.tasks.rotations import rotate, uniform_rotation

logger = logging.getLogger(__name__)

ROBOTS = ("robot", "robot_2")
"""Names of the arms in the scene."""


class AllegroKukaEnv(TaskEnv):
    """Bring an object to one goal after the other.

    ``extras["episode_metrics"]`` holds per environment, for its last finished episode, ``successes`` and ``objective``
    (successes and curriculum progress in one number).
    """

    cfg: AllegroKukaEnvCfg

    mutable_rewards = (
        "approach_scale", "lifting_scale", "lifting_bonus", "lifting_threshold", "keypoint_scale_reward",
        "arm_velocity_scale", "hand_velocity_scale", "near_goal_bonus",
    )  # fmt: skip

    def __init__(self, cfg: AllegroKukaEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        cfg.check()
        cfg.derive()
        self.shapes = cuboids.object_shapes(cfg.object_set, cfg.num_objects or None)
        """Shapes in the order in which environments receive them."""
        cfg.scene.object.spawn.assets_cfg = list(self.shapes)
        super().__init__(cfg, render_mode, **kwargs)
        self.object = self.scene["object"]
        self.bucket = self.scene["bucket"] if cfg.use_bucket else None
        self.arms = [Arm(self.scene[name], self.scene.env_origins) for name in ROBOTS[: cfg.num_arms]]
        self.layout = kuka_observations(cfg.num_arms, len(KEYPOINTS[cfg.keypoints]))
        """The observation's terms."""
        self._make_constants()
        self._make_state()
        self._goal_marker: VisualizationMarkers | None = None
        self.set_debug_vis(bool(self.sim.visualizers))
        self.extras["log"] = {}
        self.extras["episode_metrics"] = {"successes": self.episode_successes, "objective": self.episode_objective}

    @staticmethod
    def fit_to_engine(cfg: AllegroKukaEnvCfg) -> list[str]:
        """Give the fingers their gains for Newton, unless they were changed by hand."""
        if not isinstance(cfg.sim.physics, NewtonCfg):
            return []
        stiffness, damping = cfg.newton_finger_gains
        changed = False
        for name in ROBOTS[: cfg.num_arms]:
            fingers = getattr(cfg.scene, name).actuators["hand"]
            if (fingers.stiffness, fingers.damping) == (GAINS["stiffness"], GAINS["damping"]):
                fingers.stiffness, fingers.damping, changed = stiffness, damping, True
        return [f"finger gains: {stiffness:g} and {damping:g}, which make Newton as quick as PhysX"] if changed else []

    def _make_constants(self) -> None:
        """Put what never changes onto the device."""
        cfg, n, device = self.cfg, self.num_envs, self.device
        self.object_of_env = torch.from_numpy(cuboids.object_of_env(n, len(self.shapes))).to(device)
        """Index of each environment's shape [N]."""
        self.object_scale = torch.from_numpy(cuboids.scales(self.shapes)).to(device)[self.object_of_env]
        """Edges of each environment's object in multiples of 0.05 m [N, 3]."""
        pattern = torch.tensor(KEYPOINTS[cfg.keypoints], device=device)
        self._keypoint_offsets = rules.keypoint_offsets(
            self.object_scale, pattern, cuboids.BASE_EDGE, cfg.keypoint_scale
        )
        self._start = torch.tensor(cfg.scene.object.init_state.pos, device=device)
        self._object_noise = torch.tensor(cfg.object_noise, device=device)
        self._goal_low = torch.tensor(cfg.goal_low, device=device)
        self._goal_high = torch.tensor(cfg.goal_high, device=device)
        self._goal_box_side = torch.tensor((cfg.goal_side, 0.0, 0.0), device=device)
        # one object's mass scales the forces in all environments, as in the reference
        self._force_mass = torch.tensor(cuboids.mass(self.shapes[0]), device=device)
        self._force_decay = rules.force_decay(self.step_dt, cfg.force_decay, cfg.force_decay_interval)
        self.set_reward_settings({})

    def set_reward_settings(self, values: Mapping[str, float]) -> None:
        """Change settings of the reward between two steps."""
        super().set_reward_settings(values)
        cfg = self.cfg
        weights = (
            cfg.approach_scale,
            cfg.lifting_scale,
            cfg.lifting_bonus,
            cfg.keypoint_scale_reward,
            cfg.arm_velocity_scale,
            cfg.hand_velocity_scale,
            cfg.near_goal_bonus / cfg.success_steps,
        )
        self._weights = torch.tensor(weights, device=self.device)

    def _make_state(self) -> None:
        """Allocate what the rules remember."""
        n, device, tips = self.num_envs, self.device, 4 * self.cfg.num_arms
        self._environments = torch.arange(n, device=device)

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        self.goal_position = zeros(n, 3)
        """Goal in the environment's frame [m], shape [N, 3]."""
        self.goal_rotation = zeros(n, 4)
        """Goal orientation xyzw, shape [N, 4]."""
        self.goal_rotation[:, 3] = 1.0
        self.goal_reached = zeros(n, dtype=torch.bool)
        """Environments that get a new goal at the start of the next step [N]."""
        self.lifted = zeros(n, dtype=torch.bool)
        """Latch of the lifting reward [N]."""
        self.near_goal_steps = zeros(n, dtype=torch.long)
        """Steps near the current goal [N]."""
        self.successes = zeros(n)
        """Goals reached in the running episode [N]."""
        self.clock_start = zeros(n, dtype=torch.long)
        """Episode step at which the clock was last set to zero [N]."""
        self.closest_keypoint = torch.full((n,), rules.UNTOUCHED, device=device)
        """Smallest keypoint distance for this goal [m], shape [N]."""
        self.closest_fingertip = torch.full((n, tips), rules.UNTOUCHED, device=device)
        """Smallest distance of each fingertip to the object in this episode [m], shape [N, 4 or 8]."""
        self.forces = zeros(n, 3)
        """Random force on the object in its own frame [N], shape [N, 3]."""
        self.force_probability = zeros(n)
        """Chance of a new force per step [N]."""
        self.tolerance = torch.tensor(self.cfg.initial_tolerance, device=device)
        """Success tolerance, scalar."""
        self.policy_steps = 0
        """Policy steps of this run."""
        self.last_tightening = torch.zeros((), dtype=torch.long, device=device)
        """Policy step of the last reduction of the tolerance, scalar."""
        self.term_sums = zeros(n, len(REWARD_TERMS))
        """Sums of the weighted reward terms over the running episode, shape [N, terms]."""
        self.episode_term_sums = zeros(n, len(REWARD_TERMS))
        """The same of the last finished episode."""
        self.episode_successes = zeros(n)
        """Goals reached in the last finished episode [N]; 0 before one has finished."""
        self.episode_objective = zeros(n)
        """Objective of the last finished episode [N]."""
        self.reward = zeros(n)
        """Reward of the last step, zero after a reset [N]."""
        self._memory: dict[str, torch.Tensor] = {}
        self._fresh = torch.ones(n, dtype=torch.bool, device=device)
        self._stale = True

    # -----------------------------------------------------------------------------------------------------------------
    # actions
    # -----------------------------------------------------------------------------------------------------------------

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        self.policy_steps += 1
        self._renew_goals(self.goal_reached, self.cfg.replace_object)
        self.goal_reached = torch.zeros_like(self.goal_reached)
        for arm, action in zip(self.arms, actions.clamp(-1.0, 1.0).split(Arm.num_joints, dim=-1), strict=True):
            targets = scale(action, arm.lower, arm.upper)
            if self.cfg.arm_control == "integrated":
                targets[:, :7] = rules.arm_targets(
                    arm.targets[:, :7], action[:, :7], arm.lower[:7], arm.upper[:7], self.cfg.arm_speed, self.step_dt
                )
            arm.targets.copy_(targets)
            arm.command()
        if self.cfg.force_scale > 0.0:
            self._push_object()

    def _apply_action(self) -> None:
        """Nothing is left to do at the rate of the physics: the engine keeps targets and forces."""

    def _push_object(self) -> None:
        """Decay the random forces, draw new ones where it is time, and hand them to the engine."""
        n = self.num_envs
        uniform, normal = torch.rand(n, device=self.device), torch.randn(n, 3, device=self.device)
        self.forces = rules.random_forces(
            self.forces,
            self.force_probability,
            uniform,
            normal,
            self._force_mass,
            self.cfg.force_scale,
            self._force_decay,
        )
        self._force_buffer = self.forces.unsqueeze(1).contiguous()
        self.object.permanent_wrench_composer.set_forces_and_torques_index(forces=self._force_buffer)

    # -----------------------------------------------------------------------------------------------------------------
    # goals
    # -----------------------------------------------------------------------------------------------------------------

    def _none(self, mask: torch.Tensor) -> bool:
        """Whether ``mask`` is known to be empty; asking is free on the CPU and would stall a GPU."""
        return self.device == "cpu" and not bool(mask.any())

    def _renew_goals(self, mask: torch.Tensor, replace_object: bool) -> None:
        """Draw new goals where ``mask`` [N] is set, and put the object back on the table if asked to."""
        if self._none(mask):
            return
        cfg, n = self.cfg, self.num_envs
        uniform = torch.rand(n, 14, device=self.device)
        if self.bucket is not None:
            bucket = rules.bucket_position(uniform[:, :4])
            goal = bucket + torch.tensor((0.0, 0.0, cfg.bucket_goal_height), device=self.device)
            self._write_pose(self.bucket, bucket, None, mask)
        else:
            goal = rules.sample_box(self._goal_low, self._goal_high, uniform[:, :3])
            goal = goal + torch.where(uniform[:, 3:4] < 0.5, -1.0, 1.0) * self._goal_box_side
        chosen = mask.unsqueeze(-1)
        self.goal_position = torch.where(chosen, goal, self.goal_position)
        if cfg.goal_rotation:
            self.goal_rotation = torch.where(chosen, uniform_rotation(uniform[:, 4:7]), self.goal_rotation)
        self.near_goal_steps = self.near_goal_steps.masked_fill(mask, 0)
        self.closest_keypoint = self.closest_keypoint.masked_fill(mask, rules.UNTOUCHED)
        if replace_object:
            side = torch.where(uniform[:, 13] < 0.5, -1.0, 1.0) if cfg.object_side > 0.0 else None
            place = self._start + rules.start_offset(uniform[:, 7:10], self._object_noise, side, cfg.object_side)
            self._write_pose(self.object, place, uniform_rotation(uniform[:, 10:13]), mask)
            self.lifted = self.lifted & ~mask

    def _write_pose(self, body: Any, position: torch.Tensor, rotation: torch.Tensor | None, mask: torch.Tensor) -> None:
        """Put a body at rest at a pose in the environment's frame [m] and xyzw, where ``mask`` [N] is set."""
        if rotation is None:
            rotation = torch.zeros(self.num_envs, 4, device=self.device)
            rotation[:, 3] = 1.0
        pose = torch.cat((position + self.scene.env_origins, rotation), dim=-1)
        env_mask = wp.from_torch(mask.contiguous())
        body.write_root_pose_to_sim_mask(root_pose=pose, env_mask=env_mask)
        if body is self.bucket:  # kinematic bodies have no velocity to set
            return
        still = torch.zeros(self.num_envs, 6, device=self.device)
        body.write_root_velocity_to_sim_mask(root_velocity=still, env_mask=env_mask)

    # -----------------------------------------------------------------------------------------------------------------
    # rewards and ends
    # -----------------------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        """Read the engine's state and derive palm, fingertips, keypoints and distances."""
        for arm in self.arms:
            arm.measure()
        pose = self.object.data.root_link_pose_w.torch
        self.object_position = pose[:, :3] - self.scene.env_origins
        self.object_rotation = pose[:, 3:]
        self.object_keypoints = self.object_position.unsqueeze(1) + rotate(
            self.object_rotation.unsqueeze(1), self._keypoint_offsets
        )
        self.goal_keypoints = self.goal_position.unsqueeze(1) + rotate(
            self.goal_rotation.unsqueeze(1), self._keypoint_offsets
        )
        self.keypoint_distance = rules.keypoint_distance(self.object_keypoints, self.goal_keypoints)
        tips = torch.cat([arm.fingertips for arm in self.arms], dim=1)
        self.fingertip_distance = (tips - self.object_position.unsqueeze(1)).norm(dim=-1)
        self.closest_keypoint = rules.first_or_minimum(self.closest_keypoint, self.keypoint_distance)
        self.closest_fingertip = rules.first_or_minimum(self.closest_fingertip, self.fingertip_distance)

    def _remember(self) -> None:
        """Keep what the observation shows of the rules' state: its values before this step's reward updates them."""
        progress = (self.episode_length_buf - self.clock_start).float()
        self._memory = {
            "closest_keypoint": self.closest_keypoint.unsqueeze(-1),
            "closest_fingertips": self.closest_fingertip,
            "lifted": self.lifted.float().unsqueeze(-1),
            "log_progress": torch.log(progress / 10.0 + 1.0).unsqueeze(-1),
            "log_successes": torch.log(self.successes + 1.0).unsqueeze(-1),
        }

    def _compute_reward(self) -> None:
        """Advance lifting, approach, progress and success by one step (``allegro_kuka_base.py:962-1004``)."""
        cfg = self.cfg
        start_height = float(cfg.scene.object.init_state.pos[2])
        lift = rules.lifting(self.object_position[:, 2], start_height, self.lifted, cfg.lifting_threshold)
        self.lifted = lift.lifted
        approach = rules.fingertip_approach(
            self.fingertip_distance, self.closest_fingertip, self.lifted, cfg.approach_until_lifted
        )
        self.closest_fingertip = approach.best
        progress = rules.keypoint_progress(self.keypoint_distance, self.closest_keypoint, self.lifted)
        self.closest_keypoint = progress.best
        goal = rules.near_goal(
            self.keypoint_distance, self.near_goal_steps, self.tolerance, cfg.keypoint_scale, cfg.success_steps
        )
        self.near_goal_steps, self.goal_reached = goal.steps, goal.success
        self.successes = self.successes + goal.success
        self.clock_start = torch.where(goal.success, self.episode_length_buf, self.clock_start)
        if cfg.arm_velocity_scale or cfg.hand_velocity_scale:
            arm, hand = rules.velocity_penalties(torch.stack([a.velocity for a in self.arms]).sum(0))
        else:
            arm = hand = torch.zeros_like(self.reward)
        near = goal.near.float()
        terms = (
            torch.stack((approach.reward, lift.height_reward, lift.bonus, progress.reward, arm, hand, near), dim=-1)
            * self._weights
        )
        self.term_sums += terms
        self.reward = terms.sum(dim=-1)

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        cfg = self.cfg
        self._tighten_tolerance()
        self._measure()
        self._remember()
        self._compute_reward()
        furthest = self.fingertip_distance.amax(dim=-1) if cfg.max_fingertip_distance > 0.0 else None
        ends = rules.dones(
            self.object_position[:, 2], self.successes, self.episode_length_buf - self.clock_start, cfg.episode_length,
            cfg.max_successes, cfg.fall_height, furthest, cfg.max_fingertip_distance,
        )  # fmt: skip
        return ends.terminated, ends.time_out

    def fell(self) -> torch.Tensor:
        """Environments whose episode the last step ended by a failure, bool [N]; reaching the last goal is none."""
        if not self.cfg.max_successes:
            return self.reset_terminated
        return self.reset_terminated & (self.episode_successes < self.cfg.max_successes)

    def _tighten_tolerance(self) -> None:
        """Advance the curriculum, which looks at all policies' environments (``allegro_kuka_utils.py:86-115``)."""
        cfg = self.cfg
        if cfg.initial_tolerance <= cfg.target_tolerance or self.policy_steps < cfg.tolerance_interval:
            return
        due = self.policy_steps - self.last_tightening >= cfg.tolerance_interval
        self.tolerance, tightened = rules.curriculum_tolerance(
            self.tolerance, self.episode_successes.mean(), due, cfg.target_tolerance, cfg.tolerance_factor,
            cfg.tolerance_successes,
        )  # fmt: skip
        self.last_tightening = torch.where(tightened, self.policy_steps, self.last_tightening)

    def _get_rewards(self) -> torch.Tensor:
        return self.reward

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        cfg, count = self.cfg, len(env_ids)
        mask = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        mask[env_ids] = True
        objective = rules.success_objective(self.successes, self.tolerance, cfg.initial_tolerance, cfg.target_tolerance)
        self.episode_successes[env_ids] = self.successes[env_ids]
        self.episode_objective[env_ids] = objective[env_ids]
        self.episode_term_sums[env_ids] = self.term_sums[env_ids]
        self.successes = self.successes.masked_fill(mask, 0.0)
        self.term_sums[env_ids] = 0.0
        self.clock_start = self.clock_start.masked_fill(mask, 0)
        self.lifted = self.lifted & ~mask
        self.goal_reached = self.goal_reached & ~mask
        self.closest_fingertip = torch.where(mask.unsqueeze(-1), rules.UNTOUCHED, self.closest_fingertip)
        for arm in self.arms:
            uniform = torch.rand(count, 2, Arm.num_joints, device=self.device)
            positions = rules.reset_joint_positions(
                arm.default, arm.lower, arm.upper, uniform[:, 0], cfg.joint_position_noise
            ).clamp(arm.lower, arm.upper)
            arm.write(positions, (2.0 * uniform[:, 1] - 1.0) * cfg.joint_velocity_noise, env_ids)
        self._renew_goals(mask, replace_object=True)
        if cfg.force_scale > 0.0:
            self.forces = self.forces.masked_fill(mask.unsqueeze(-1), 0.0)
            low, high = cfg.force_probability
            self.force_probability[env_ids] = rules.log_uniform(low, high, torch.rand(count, device=self.device))
        self._fresh = self._fresh | mask
        self._stale = True

    # -----------------------------------------------------------------------------------------------------------------
    # observations
    # -----------------------------------------------------------------------------------------------------------------

    def _get_observations(self) -> dict[str, torch.Tensor]:
        if self._stale:  # something was reset, so the state is another one
            self._measure()
            self._forget()
        arms, velocity = self.arms, self.object.data.root_com_vel_w.torch
        object_keypoints = self.object_keypoints
        values = {
            "joint_position": torch.cat([unscale(arm.position, arm.lower, arm.upper) for arm in arms], dim=-1),
            "joint_velocity": torch.cat([arm.velocity for arm in arms], dim=-1),
            "palm_position": torch.cat([arm.palm_center for arm in arms], dim=-1),
            "palm_state": torch.cat([arm.palm_state for arm in arms], dim=-1),
            "object_state": torch.cat((self.object_rotation, velocity), dim=-1),
            "fingertips": torch.cat(
                [(arm.fingertips - arm.palm_center.unsqueeze(1)).flatten(1) for arm in arms], dim=-1
            ),
            "keypoints_to_palm": torch.cat(
                [(object_keypoints - arm.palm_center.unsqueeze(1)).flatten(1) for arm in arms], dim=-1
            ),
            "keypoints_to_goal": (object_keypoints - self.goal_keypoints).flatten(1),
            "object_scale": self.object_scale,
            "reward": self.reward.unsqueeze(-1),
            **self._memory,
        }
        if len(arms) > 1:
            del values["closest_fingertips"]
        self._log()
        return {"policy": assemble(self.layout, values, self.cfg.observation_clip)}

    def _forget(self) -> None:
        """Make the remembered values those of a new episode in the environments that were just reset."""
        fresh, before = self._fresh.unsqueeze(-1), self._memory
        self._remember()
        if before:
            self._memory = {name: torch.where(fresh, self._memory[name], value) for name, value in before.items()}
        self.reward = self.reward.masked_fill(self._fresh, 0.0)
        self._fresh = torch.zeros_like(self._fresh)
        self._stale = False

    def _log(self) -> None:
        log = self.extras["log"]
        log["Task/successes"] = self.episode_successes.mean()
        log["Task/objective"] = self.episode_objective.mean()
        log["Task/success_tolerance"] = self.tolerance
        log["Task/closest_keypoint_distance"] = self.closest_keypoint.mean()
        for index, name in enumerate(REWARD_TERMS):
            log[f"Task/reward_{name}"] = self.episode_term_sums[:, index].mean()

    # -----------------------------------------------------------------------------------------------------------------
    # what a viewer shows
    # -----------------------------------------------------------------------------------------------------------------

    def _set_debug_vis_impl(self, debug_vis: bool) -> None:
        """Show or hide the goals; the marker is made when it is first shown."""
        if debug_vis and self._goal_marker is None:
            self._goal_marker = VisualizationMarkers(goal_marker_cfg())
        if self._goal_marker is not None:
            self._goal_marker.set_visibility(debug_vis)

    def _debug_vis_callback(self, event: Any) -> None:
        """Draw each goal as a green copy of the object, or as a small cube where only its place matters."""
        if self._goal_marker is None:
            return
        small = self.cfg.keypoints == "center"
        size = torch.full_like(self.object_scale, 0.4) if small else self.object_scale
        self._goal_marker.visualize(
            translations=self.goal_position + self.scene.env_origins,
            orientations=self.goal_rotation,
            scales=size * cuboids.BASE_EDGE,
            environment_ids=self._environments,
        )

    # -----------------------------------------------------------------------------------------------------------------
    # checkpoints
    # -----------------------------------------------------------------------------------------------------------------

    _CHECKPOINT = ("tolerance", "last_tightening", "episode_successes", "episode_objective", "episode_term_sums")

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Return what a resumed run needs beyond a fresh reset: curriculum, metrics, and which objects there are."""
        state: dict[str, Any] = {name: getattr(self, name).clone() for name in self._CHECKPOINT}
        state["policy_steps"] = self.policy_steps
        state["objects"] = torch.tensor(self.shapes)
        return state

    def restore_from_checkpoint(self, state: dict[str, Any]) -> None:
        """Take back :meth:`state_for_checkpoint`.

        The metrics of single environments are taken over only if their number is the same.
        """
        self.policy_steps = int(state["policy_steps"])
        for name in self._CHECKPOINT:
            own, stored = getattr(self, name), state[name].to(self.device)
            if own.dim() == 0:
                # replaced, not written: the old scalar may stem from a runner's inference mode, where it cannot be
                setattr(self, name, stored.clone())
            elif own.shape == stored.shape:
                own.copy_(stored)
        if not torch.equal(state["objects"].cpu(), torch.tensor(self.shapes)):
            logger.warning("The objects differ from those of the checkpoint; object_set and num_objects select them.")
