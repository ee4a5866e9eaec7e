# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What running episodes have reached, and the reward for it (``allegro_kuka_base.py:867-1004``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from cpo_lab.tasks.arms import rules
from cpo_lab.tasks.arms.layout import REWARD_TERMS

if TYPE_CHECKING:
    from cpo_lab.tasks.arms.env_cfg import AllegroKukaEnvCfg


class EpisodeProgress:
    """The state of the rules in N environments. ``F`` is the number of fingertips, 4 per arm."""

    def __init__(self, cfg: AllegroKukaEnvCfg, num_envs: int, device: str) -> None:
        self.cfg, self.device = cfg, device
        self.lifted = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Latch of the lifting reward [N]."""
        self.near_goal_steps = torch.zeros(num_envs, dtype=torch.long, device=device)
        """Steps near the current goal [N]."""
        self.goal_reached = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Environments that get a new goal at the start of the next step [N]."""
        self.successes = torch.zeros(num_envs, device=device)
        """Goals reached in the running episode [N]."""
        self.clock_start = torch.zeros(num_envs, dtype=torch.long, device=device)
        """Episode step at which the clock was last set to zero [N]."""
        self.closest_keypoint = torch.full((num_envs,), rules.UNTOUCHED, device=device)
        """Smallest keypoint distance for this goal [m], shape [N]."""
        self.closest_fingertip = torch.full((num_envs, 4 * cfg.num_arms), rules.UNTOUCHED, device=device)
        """Smallest distance of each fingertip to the object since it was put down [m], shape [N, F]."""
        self.term_sums = torch.zeros(num_envs, len(REWARD_TERMS), device=device)
        """Sums of the weighted reward terms over the running episode, shape [N, terms]."""
        self.read_weights()

    def read_weights(self) -> None:
        """Take the weights of the reward's terms from the settings."""
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
        self.weights = torch.tensor(weights, device=self.device)
        """Weights in the order of :data:`~cpo_lab.tasks.arms.layout.REWARD_TERMS`."""

    def see(self, keypoint_distance: torch.Tensor, fingertip_distance: torch.Tensor) -> None:
        """Take the first distances since an episode began or a goal changed for the smallest ones.

        Args:
            keypoint_distance: Largest distance of a keypoint from the goal's [m], shape [N].
            fingertip_distance: Distance of each fingertip from the object [m], shape [N, F].
        """
        self.closest_keypoint = rules.first_or_minimum(self.closest_keypoint, keypoint_distance)
        self.closest_fingertip = rules.first_or_minimum(self.closest_fingertip, fingertip_distance)

    def clock(self, episode_steps: torch.Tensor) -> torch.Tensor:
        """Return the steps since the episode began or a goal was reached [N], from the steps of the episode [N]."""
        return episode_steps - self.clock_start

    def shown(self, episode_steps: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the observation shows of this state, by term, each [N, size].

        Args:
            episode_steps: Steps of the running episodes [N].
        """
        state = {
            "closest_keypoint": self.closest_keypoint.unsqueeze(-1),
            "lifted": self.lifted.float().unsqueeze(-1),
            "log_progress": torch.log(self.clock(episode_steps).float() / 10.0 + 1.0).unsqueeze(-1),
            "log_successes": torch.log(self.successes + 1.0).unsqueeze(-1),
        }
        return state if self.cfg.num_arms > 1 else {**state, "closest_fingertips": self.closest_fingertip}

    def advance(
        self,
        object_height: torch.Tensor,
        keypoint_distance: torch.Tensor,
        fingertip_distance: torch.Tensor,
        joint_velocities: Sequence[torch.Tensor],
        tolerance: torch.Tensor,
        episode_steps: torch.Tensor,
    ) -> torch.Tensor:
        """Advance lifting, approach, progress and success by one step.

        Args:
            object_height: Height of the object above the ground [m], shape [N].
            keypoint_distance: Largest distance of a keypoint from the goal's [m], shape [N].
            fingertip_distance: Distance of each fingertip from the object [m], shape [N, F].
            joint_velocities: Joint velocities of each arm [rad/s], shape [N, 23] each.
            tolerance: Success tolerance, scalar.
            episode_steps: Steps of the running episodes [N].

        Returns:
            The reward of the step [N].
        """
        cfg = self.cfg
        start_height = float(cfg.scene.object.init_state.pos[2])
        lift = rules.lifting(object_height, start_height, self.lifted, cfg.lifting_threshold)
        self.lifted = lift.lifted
        approach = rules.fingertip_approach(
            fingertip_distance, self.closest_fingertip, self.lifted, cfg.approach_until_lifted
        )
        self.closest_fingertip = approach.best
        progress = rules.keypoint_progress(keypoint_distance, self.closest_keypoint, self.lifted)
        self.closest_keypoint = progress.best
        goal = rules.near_goal(
            keypoint_distance, self.near_goal_steps, tolerance, cfg.keypoint_scale, cfg.success_steps
        )
        self.near_goal_steps, self.goal_reached = goal.steps, goal.success
        self.successes = self.successes + goal.success
        self.clock_start = torch.where(goal.success, episode_steps, self.clock_start)
        if cfg.arm_velocity_scale or cfg.hand_velocity_scale:
            arm, hand = rules.velocity_penalties(torch.stack(list(joint_velocities)).sum(0))
        else:
            arm = hand = torch.zeros_like(approach.reward)
        near = goal.near.float()
        terms = (
            torch.stack((approach.reward, lift.height_reward, lift.bonus, progress.reward, arm, hand, near), dim=-1)
            * self.weights
        )
        self.term_sums += terms
        return terms.sum(dim=-1)

    def begin_goal(self, mask: torch.Tensor) -> None:
        """Forget the last goal where ``mask`` [N] is set."""
        self.near_goal_steps = self.near_goal_steps.masked_fill(mask, 0)
        self.closest_keypoint = self.closest_keypoint.masked_fill(mask, rules.UNTOUCHED)

    def put_down(self, mask: torch.Tensor) -> None:
        """Forget what was done to the object where ``mask`` [N] is set, because it lies on the table anew.

        The reference forgets the smallest fingertip distances there too, at a success as at a reset
        (``allegro_kuka_base.py:1343``, ``two_arms.py:1275``): coming back to the object is paid again.
        """
        self.lifted = self.lifted & ~mask
        self.closest_fingertip = torch.where(mask.unsqueeze(-1), rules.UNTOUCHED, self.closest_fingertip)

    def begin_episode(self, env_ids: torch.Tensor, mask: torch.Tensor) -> None:
        """Forget the last episode, except for its goal and the object's place.

        Args:
            env_ids: Environments that start anew [K].
            mask: The same environments, bool [N].
        """
        self.successes = self.successes.masked_fill(mask, 0.0)
        self.term_sums[env_ids] = 0.0
        self.clock_start = self.clock_start.masked_fill(mask, 0)
        self.goal_reached = self.goal_reached & ~mask
