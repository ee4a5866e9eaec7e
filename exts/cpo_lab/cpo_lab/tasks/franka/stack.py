# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Stack a cube onto another one (reference: IsaacGymEnvs ``tasks/franka_cube_stack.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from isaaclab.assets import RigidObjectCfg
from isaaclab.utils import configclass

from cpo_lab.assets.franka.bench import CUBE_EDGE, GREEN, LOWER_CUBE_EDGE, cube_cfg
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry
from cpo_lab.tasks.franka.agents import runner
from cpo_lab.tasks.franka.env import FrankaEnv
from cpo_lab.tasks.franka.env_cfg import BenchSceneCfg, FrankaEnvCfg, observations
from cpo_lab.tasks.franka.stack_rules import StackRules, stack_outcome
from cpo_lab.tasks.layout import ObservationTerm
from cpo_lab.tasks.settings import part_of

STACK_OBSERVATIONS = observations("centre of the other cube")
"""The 19 observations, in the reference's order."""


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, runner("franka_stack"))


@configclass
class StackSceneCfg(BenchSceneCfg):
    """Two cubes on the table."""

    lower_cube: RigidObjectCfg = cube_cfg(LOWER_CUBE_EDGE, GREEN, "{ENV_REGEX_NS}/LowerCube")
    """The cube that the other one is stacked onto."""


@configclass
class StackEnvCfg(FrankaEnvCfg, StackRules):
    """Stacking a cube onto another one, ``CpoLab-Stack-Franka-Direct``."""

    no_nucleus_assets: ClassVar[str] = "joints and links of NVIDIA's file were not compared with the reference's"

    scene: StackSceneCfg = StackSceneCfg()

    start_apart: float = 0.1697

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return STACK_OBSERVATIONS

    def rules(self) -> StackRules:
        """The constants of the rules, by themselves."""
        return part_of(self, StackRules)


class StackEnv(FrankaEnv):
    """Grasp a cube, lift it, put it onto the other one and let go.

    ``extras["episode_metrics"]`` holds, per environment, of its last finished episode: ``success`` and ``lifted``
    (whether the cube ever was), 1 or 0.
    """

    cfg: StackEnvCfg

    def _make_state(self) -> None:
        """Allocate what is told of the episodes."""
        n, device = self.num_envs, self.device
        self.lower_cube = self.scene["lower_cube"]
        self.lifted = torch.zeros(n, dtype=torch.bool, device=device)
        """Whether the cube has been lifted in the running episode, bool [N]."""
        self.episode_lifted = torch.zeros(n, device=device)
        """1 if it was in the last finished episode [N]; 0 before one has finished."""
        self.extras["episode_metrics"]["lifted"] = self.episode_lifted

    def target(self) -> torch.Tensor:
        """Centre of the other cube [m], shape [N, 3]."""
        return self.lower_cube.data.root_link_pose_w.torch[:, :3] - self.scene.env_origins

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.measure()
        released = (self.cube_position - self.grip_position).norm(dim=-1)
        tips = (self.cube_position.unsqueeze(1) - self.tip_positions).norm(dim=-1)
        reach = torch.cat((released.unsqueeze(-1), tips), dim=-1).mean(dim=-1)
        offset = self.target() - self.cube_position
        outcome = stack_outcome(reach, offset, released, self.cube_height, (CUBE_EDGE, LOWER_CUBE_EDGE), self.rules)
        self.reward, self.success = outcome.reward, outcome.success
        self.lifted |= outcome.lifted
        return outcome.success, self._get_time_outs() & ~outcome.success

    def fell(self) -> torch.Tensor:
        """No episode ends by a failure, bool [N]."""
        return torch.zeros_like(self.success)

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        self.keep_outcome(self.episode_lifted, self.lifted.to(self.episode_lifted.dtype), env_ids)
        super()._reset_idx(env_ids)
        self.lifted[env_ids] = False

    def _place_target(self, place: torch.Tensor, rotation: torch.Tensor, env_ids: torch.Tensor) -> None:
        self.place(self.lower_cube, LOWER_CUBE_EDGE, place, rotation, env_ids)

    def _log(self) -> None:
        super()._log()
        self.extras["log"]["Task/lifted"] = self.episode_lifted.mean()

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def state_for_checkpoint(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs beyond a fresh reset: the metrics of the last finished episodes."""
        return {"episode_success": self.episode_success.clone(), "episode_lifted": self.episode_lifted.clone()}

    def restore_from_checkpoint(self, state: dict[str, torch.Tensor]) -> None:
        """Take back :meth:`state_for_checkpoint` of a run with the same number of environments."""
        self.episode_success.copy_(state["episode_success"])
        self.episode_lifted.copy_(state["episode_lifted"])
