# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Regrasping, reorientation and throwing with one arm or two (reference: IsaacGymEnvs ``tasks/allegro_kuka``).

One class serves the five tasks; what differs between them are settings (:mod:`cpo_lab.tasks.arms.env_cfg`). Isaac
Lab's order of a step is kept: rewards and ends, then resets, then observations. A reached goal stays in the observation
of the step that reached it, as in the reference, and is replaced at the start of the next step. Nothing here waits for
the device or loops over environments: goals are drawn for all environments and selected by masks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
import warp as wp
from isaaclab_newton.physics import NewtonCfg

from cpo_lab.assets import cuboids
from cpo_lab.assets.furniture import NARROW_TABLE, TABLE_CENTER
from cpo_lab.assets.kuka_allegro_table import JOINT_NAMES
from cpo_lab.tasks.arms import goals, rules, validation
from cpo_lab.tasks.arms.arm import Arm
from cpo_lab.tasks.arms.curriculum import ToleranceCurriculum
from cpo_lab.tasks.arms.env_cfg import AllegroKukaEnvCfg
from cpo_lab.tasks.arms.goals import GoalMarker, Goals
from cpo_lab.tasks.arms.layout import KEYPOINTS, REWARD_TERMS
from cpo_lab.tasks.arms.memory import Memory
from cpo_lab.tasks.arms.progress import EpisodeProgress
from cpo_lab.tasks.arms.random_forces import RandomForces
from cpo_lab.tasks.arms.starts import CANDIDATES, lift_clear
from cpo_lab.tasks.arms.validation import ROBOTS
from cpo_lab.tasks.base_env import TaskEnv
from cpo_lab.tasks.joints import scale, unscale
from cpo_lab.tasks.layout import assemble
from cpo_lab.tasks.physical_contract import InHand, JointGroup, OnSurface
from cpo_lab.tasks.rotations import rotate, uniform_rotation

logger = logging.getLogger(__name__)


class AllegroKukaEnv(TaskEnv):
    """Bring an object to one goal after the other.

    ``extras["episode_metrics"]`` holds per environment, for its last finished episode, ``successes``, ``objective``
    (successes and curriculum progress in one number) and ``lifted`` (1 if the object was lifted, else 0).
    """

    cfg: AllegroKukaEnvCfg

    mutable_rewards = (
        "approach_scale", "lifting_scale", "lifting_bonus", "lifting_threshold", "keypoint_scale_reward",
        "arm_velocity_scale", "hand_velocity_scale", "near_goal_bonus",
    )  # fmt: skip

    def __init__(self, cfg: AllegroKukaEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        super().__init__(cfg, render_mode, **kwargs)
        self.object = self.scene["object"]
        names = ROBOTS[: cfg.num_arms]
        self.arms = [Arm(self.scene[name], self.scene.env_origins, cfg.scene.table) for name in names]
        self.shapes = tuple(cfg.scene.object.spawn.assets_cfg)
        """Shapes in the order in which environments receive them."""
        self.layout = cfg.layout()
        """The observation's terms."""
        self.goals = Goals(cfg, self.scene, self.device)
        """Where the objects are to be brought."""
        self.curriculum = ToleranceCurriculum(cfg, self.device)
        """How close they must come."""
        # one object's mass scales the forces in all environments, as in the reference
        self.forces = RandomForces(cfg, self.object, cuboids.mass(self.shapes[0]), self.step_dt)
        """What pushes them about."""
        self.progress = EpisodeProgress(cfg, self.num_envs, self.device)
        """What the running episodes have reached."""
        self._make_constants()
        self._make_state()
        self._goal_marker: GoalMarker | None = None
        self.set_debug_vis(bool(self.sim.visualizers))
        self.extras["log"] = {}
        self.extras["episode_metrics"] = {
            "successes": self.episode_successes, "objective": self.episode_objective, "lifted": self.episode_lifted,
        }  # fmt: skip

    @staticmethod
    def fit_to_engine(cfg: AllegroKukaEnvCfg) -> list[str]:
        """Give the fingers their gains for Newton, unless they were changed by hand."""
        validation.check_finger_gains(cfg)
        if not isinstance(cfg.sim.physics, NewtonCfg):
            return []
        ours = [name for name in ROBOTS[: cfg.num_arms] if validation.has_our_gains(cfg, name)]
        stiffness, damping = cfg.newton_finger_gains
        for name in ours:
            fingers = getattr(cfg.scene, name).actuators["hand"]
            fingers.stiffness, fingers.damping = stiffness, damping
        return [f"finger gains: {stiffness:g} and {damping:g}, which make Newton as quick as PhysX"] if ours else []

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
        table = cfg.scene.table
        self._table_top = table.init_state.pos[2] + table.spawn.size[2] / 2.0
        self._object_noise = torch.tensor(cfg.object_noise, device=device)

    def set_reward_settings(self, values: Mapping[str, float]) -> None:
        """Change settings of the reward between two steps."""
        super().set_reward_settings(values)
        self.progress.read_weights()

    @property
    def successes(self) -> torch.Tensor:
        """Goals reached in the running episode [N]."""
        return self.progress.successes

    def _make_state(self) -> None:
        """Allocate what is told about the last step and the last finished episodes."""
        n, device = self.num_envs, self.device
        self.episode_term_sums = torch.zeros(n, len(REWARD_TERMS), device=device)
        """Sums of the weighted reward terms over the last finished episode, shape [N, terms]."""
        self.episode_successes = torch.zeros(n, device=device)
        """Goals reached in the last finished episode [N]; 0 before one has finished."""
        self.episode_objective = torch.zeros(n, device=device)
        """Objective of the last finished episode [N]."""
        self.episode_lifted = torch.zeros(n, device=device)
        """1 if the object was lifted in the last finished episode [N]."""
        self.reward = torch.zeros(n, device=device)
        """Reward of the last step, zero after a reset [N]."""
        self._memory = Memory(n, device)

    # -----------------------------------------------------------------------------------------------------------------
    # actions
    # -----------------------------------------------------------------------------------------------------------------

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        self.curriculum.policy_steps += 1
        self._renew_goals(self.progress.goal_reached, self.cfg.replace_object)
        self.progress.goal_reached = torch.zeros_like(self.progress.goal_reached)
        for arm, action in zip(self.arms, actions.clamp(-1.0, 1.0).split(Arm.num_joints, dim=-1), strict=True):
            targets = scale(action, arm.lower, arm.upper)
            if self.cfg.arm_control == "integrated":
                targets[:, :7] = rules.arm_targets(
                    arm.targets[:, :7], action[:, :7], arm.lower[:7], arm.upper[:7], self.cfg.arm_speed, self.step_dt
                )
            arm.targets.copy_(targets)
            arm.command()
        self.forces.step()

    def _apply_action(self) -> None:
        """Nothing is left to do at the rate of the physics: the engine keeps targets and forces."""

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
        uniform = torch.rand(self.num_envs, goals.UNIFORM + 7, device=self.device)
        self.goals.draw(uniform[:, : goals.UNIFORM], mask)
        self.progress.begin_goal(mask)
        if replace_object:
            self._place_object(uniform[:, goals.UNIFORM :], mask)
            self.progress.put_down(mask)

    def _place_object(self, uniform: torch.Tensor, mask: torch.Tensor) -> None:
        """Put objects on the table, at rest.

        Args:
            uniform: Numbers in [0, 1], shape [N, 7].
            mask: Environments whose object is moved, bool [N].
        """
        side = torch.where(uniform[:, 6] < 0.5, -1.0, 1.0) if self.cfg.object_side > 0.0 else None
        place = self._start + rules.start_offset(uniform[:, :3], self._object_noise, side, self.cfg.object_side)
        rotation = uniform_rotation(uniform[:, 3:6])
        place = lift_clear(place, rotation, cuboids.BASE_EDGE * self.object_scale, self._table_top)
        goals.write_pose(self.object, place + self.scene.env_origins, rotation, mask)
        still = torch.zeros(self.num_envs, 6, device=self.device)
        self.object.write_root_velocity_to_sim_mask(root_velocity=still, env_mask=wp.from_torch(mask.contiguous()))

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
        self.goal_keypoints = self.goals.position.unsqueeze(1) + rotate(
            self.goals.rotation.unsqueeze(1), self._keypoint_offsets
        )
        self.keypoint_distance = rules.keypoint_distance(self.object_keypoints, self.goal_keypoints)
        tips = torch.cat([arm.fingertips for arm in self.arms], dim=1)
        self.fingertip_distance = (tips - self.object_position.unsqueeze(1)).norm(dim=-1)
        self.progress.see(self.keypoint_distance, self.fingertip_distance)

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        cfg = self.cfg
        self.curriculum.tighten(self.episode_successes)
        self._measure()
        self._memory.keep(self.progress.shown(self.episode_length_buf))  # before this step's reward updates it
        height, velocities = self.object_position[:, 2], [arm.velocity for arm in self.arms]
        self.reward = self.progress.advance(
            height, self.keypoint_distance, self.fingertip_distance, velocities, self.curriculum.tolerance,
            self.episode_length_buf,
        )  # fmt: skip
        furthest = self.fingertip_distance.amax(dim=-1) if cfg.max_fingertip_distance > 0.0 else None
        ends = rules.dones(
            height, self.successes, self.progress.clock(self.episode_length_buf), cfg.episode_length, cfg.max_successes,
            cfg.fall_height, furthest, cfg.max_fingertip_distance,
        )  # fmt: skip
        return ends.terminated, ends.time_out

    def fell(self) -> torch.Tensor:
        """Environments whose episode the last step ended by a failure, bool [N]; reaching the last goal is none."""
        if not self.cfg.max_successes:
            return super().fell()
        return super().fell() & (self.episode_successes < self.cfg.max_successes)

    def _get_rewards(self) -> torch.Tensor:
        return self.reward

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        cfg, count = self.cfg, len(env_ids)
        mask = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        mask[env_ids] = True
        objective = self.curriculum.objective(self.successes)
        self.keep_outcome(self.episode_successes, self.successes, env_ids)
        self.keep_outcome(self.episode_objective, objective, env_ids)
        lifted = (self.progress.lifted | (self.successes > 0)).to(self.episode_lifted.dtype)  # a success may forget it
        self.keep_outcome(self.episode_lifted, lifted, env_ids)
        self.keep_outcome(self.episode_term_sums, self.progress.term_sums, env_ids)
        self.progress.begin_episode(env_ids, mask)
        for arm in self.arms:
            uniform = torch.rand(count, 1 + CANDIDATES, Arm.num_joints, device=self.device)
            positions = rules.reset_joint_positions(
                arm.default, arm.lower, arm.upper, uniform[:, 1:], cfg.joint_position_noise
            ).clamp(arm.lower, arm.upper)
            arm.write(arm.choose(positions), (2.0 * uniform[:, 0] - 1.0) * cfg.joint_velocity_noise, env_ids)
        self._renew_goals(mask, replace_object=True)
        self.forces.reset(env_ids, mask)
        self._memory.forget(mask)

    # -----------------------------------------------------------------------------------------------------------------
    # observations
    # -----------------------------------------------------------------------------------------------------------------

    def _get_observations(self) -> dict[str, torch.Tensor]:
        if self._memory.is_stale:  # something was reset, so the state is another one
            self._measure()
            self.reward = self.reward.masked_fill(self._memory.fresh, 0.0)
            self._memory.renew(self.progress.shown(self.episode_length_buf))
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
            **self._memory.values,
        }
        self._log()
        return {"policy": assemble(self.layout, values, self.cfg.observation_clip)}

    def _log(self) -> None:
        log = self.extras["log"]
        log["Task/successes"] = self.episode_successes.mean()
        log["Task/objective"] = self.episode_objective.mean()
        log["Task/lifted"] = self.episode_lifted.mean()
        log["Task/success_tolerance"] = self.curriculum.tolerance
        log["Task/closest_keypoint_distance"] = self.progress.closest_keypoint.mean()
        for index, name in enumerate(REWARD_TERMS):
            log[f"Task/reward_{name}"] = self.episode_term_sums[:, index].mean()

    # -----------------------------------------------------------------------------------------------------------------
    # what a viewer shows
    # -----------------------------------------------------------------------------------------------------------------

    def _set_debug_vis_impl(self, debug_vis: bool) -> None:
        """Show or hide the goals; the marker is made when it is first shown."""
        if debug_vis and self._goal_marker is None:
            self._goal_marker = GoalMarker(self.goals, self.object_scale, self.scene.env_origins)
        if self._goal_marker is not None:
            self._goal_marker.show(debug_vis)

    def _debug_vis_callback(self, event: Any) -> None:
        """Move the shown goals; called before a viewer draws."""
        if self._goal_marker is not None:
            self._goal_marker.update()

    # -----------------------------------------------------------------------------------------------------------------
    # what the checks of the physics ask
    # -----------------------------------------------------------------------------------------------------------------

    def joint_groups(self) -> list[JointGroup]:
        """The joints of every arm with its hand."""
        finger = JOINT_NAMES.index("index_joint_1")
        return [
            JointGroup(arm.robot, arm.joints, arm.lower, arm.upper, arm.default.clamp(arm.lower, arm.upper), finger)
            for arm in self.arms
        ]

    def resting_places(self) -> list[OnSurface | InHand]:
        """The middle of the table, a millimetre above it."""
        top = TABLE_CENTER[2] + NARROW_TABLE[2] / 2.0
        height = top + 0.5 * cuboids.BASE_EDGE * self.object_scale[:, 2]
        start = torch.zeros(self.num_envs, 3, device=self.device)
        start[:, 2] = height + 0.001
        return [OnSurface("table", start, height)]

    # -----------------------------------------------------------------------------------------------------------------
    # checkpoints
    # -----------------------------------------------------------------------------------------------------------------

    _METRICS = ("episode_successes", "episode_objective", "episode_lifted", "episode_term_sums")

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Return what a resumed run needs beyond a fresh reset: curriculum, metrics, and which objects there are."""
        metrics = {name: getattr(self, name).clone() for name in self._METRICS}
        return {**self.curriculum.state(), **metrics, "objects": torch.tensor(self.shapes)}

    def restore_from_checkpoint(self, state: dict[str, Any]) -> None:
        """Take back :meth:`state_for_checkpoint`.

        The metrics of single environments are taken over only if their number is the same.
        """
        self.curriculum.restore(state)
        for name in self._METRICS:
            own, stored = getattr(self, name), state.get(name)  # runs before 0.2 know nothing of lifting
            if stored is not None and own.shape == stored.shape:
                own.copy_(stored)
        if not torch.equal(state["objects"].cpu(), torch.tensor(self.shapes)):
            logger.warning("The objects differ from those of the checkpoint; object_set and num_objects select them.")
