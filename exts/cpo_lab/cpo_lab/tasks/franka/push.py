# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Push a cube to a place on the table (reference: IsaacGymEnvs ``tasks/franka_cube_push.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from isaaclab.markers import VisualizationMarkers
from isaaclab.utils import configclass

from cpo_lab.assets.franka.bench import CUBE_EDGE, TABLE_TOP
from cpo_lab.assets.furniture import goal_marker_cfg
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry
from cpo_lab.tasks.franka.agents import runner
from cpo_lab.tasks.franka.env import FrankaEnv
from cpo_lab.tasks.franka.env_cfg import BenchSceneCfg, FrankaEnvCfg, observations
from cpo_lab.tasks.franka.push_rules import PushRules, push_outcome
from cpo_lab.tasks.layout import ObservationTerm
from cpo_lab.tasks.settings import part_of

PUSH_OBSERVATIONS = observations("the goal")
"""The 19 observations, in the reference's order."""


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, runner("franka_push"))


@configclass
class PushEnvCfg(FrankaEnvCfg, PushRules):
    """Pushing a cube to its goal, ``CpoLab-Push-Franka-Direct``."""

    no_nucleus_assets: ClassVar[str] = "joints and links of NVIDIA's file were not compared with the reference's"

    scene: BenchSceneCfg = BenchSceneCfg()

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return PUSH_OBSERVATIONS

    def rules(self) -> PushRules:
        """The constants of the rules, by themselves."""
        return part_of(self, PushRules)


class PushEnv(FrankaEnv):
    """Push the cube to within 5 mm of its goal without lifting it.

    ``extras["episode_metrics"]`` holds, per environment, of its last finished episode: ``success`` (1 or 0) and
    ``distance``, how far from its goal the cube was at the end [m].
    """

    cfg: PushEnvCfg

    def _make_state(self) -> None:
        """Allocate goals and what is told of them."""
        n, device = self.num_envs, self.device
        self.goal = torch.zeros(n, 3, device=device)
        """Where the cube's centre is to be brought [m], shape [N, 3]."""
        self.distance = torch.zeros(n, device=device)
        """Horizontal distance of the cube from its goal after the last step [m], shape [N]."""
        self.episode_distance = torch.zeros(n, device=device)
        """The same at the end of the last finished episode [N]; 0 before one has finished."""
        self.extras["episode_metrics"]["distance"] = self.episode_distance
        self._marker: VisualizationMarkers | None = None
        self.set_debug_vis(bool(self.sim.visualizers))

    def target(self) -> torch.Tensor:
        """Where the cube's centre is to be brought [m], shape [N, 3]."""
        return self.goal

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.measure()
        self.distance = (self.goal - self.cube_position)[:, :2].norm(dim=-1)
        outcome = push_outcome(
            self.distance, self.cube_height, self.episode_length_buf, self.max_episode_length, self.rules
        )
        self.reward, self.success = outcome.reward, outcome.success
        terminated = outcome.success | outcome.lifted
        return terminated, self._get_time_outs() & ~terminated

    def fell(self) -> torch.Tensor:
        """Environments whose episode the last step ended by lifting the cube, bool [N]."""
        return super().fell() & ~self.success

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        self.keep_outcome(self.episode_distance, self.distance, env_ids)
        super()._reset_idx(env_ids)

    def _place_target(self, place: torch.Tensor, rotation: torch.Tensor, env_ids: torch.Tensor) -> None:
        self.goal[env_ids, :2] = place
        self.goal[env_ids, 2] = TABLE_TOP + CUBE_EDGE / 2.0

    def _log(self) -> None:
        super()._log()
        self.extras["log"]["Task/distance"] = self.episode_distance.mean()

    # -- what a viewer shows -------------------------------------------------------------------------------------------

    def _set_debug_vis_impl(self, debug_vis: bool) -> None:
        """Show or hide the goals; the marker is made when it is first shown."""
        if debug_vis and self._marker is None:
            self._marker = VisualizationMarkers(goal_marker_cfg())
        if self._marker is not None:
            self._marker.set_visibility(debug_vis)

    def _debug_vis_callback(self, event: Any) -> None:
        """Move the shown goals, green plates on the table; called before a viewer draws."""
        if self._marker is None:
            return
        place = self.goal + self.scene.env_origins
        place[:, 2] -= CUBE_EDGE / 2.0
        upright = torch.zeros(self.num_envs, 4, device=self.device)
        upright[:, 3] = 1.0
        self._marker.visualize(
            translations=place,
            orientations=upright,
            scales=torch.tensor([[1.6 * CUBE_EDGE, 1.6 * CUBE_EDGE, 0.002]], device=self.device).repeat(len(place), 1),
            environment_ids=torch.arange(self.num_envs, device=self.device),
        )

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def state_for_checkpoint(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs beyond a fresh reset: the metrics of the last finished episodes."""
        return {"episode_success": self.episode_success.clone(), "episode_distance": self.episode_distance.clone()}

    def restore_from_checkpoint(self, state: dict[str, torch.Tensor]) -> None:
        """Take back :meth:`state_for_checkpoint` of a run with the same number of environments."""
        self.episode_success.copy_(state["episode_success"])
        self.episode_distance.copy_(state["episode_distance"])
