# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Hand-written policies of Franka's tasks, which prove that both can be solved as they are, through the engine.

Each goes from phase to phase by itself in every environment, and asks the gripper to move by what is missing.
"""

from __future__ import annotations

import torch
from isaaclab.utils.math import axis_angle_from_quat, quat_conjugate, quat_mul

from cpo_lab.assets.franka.bench import CUBE_EDGE, LOWER_CUBE_EDGE, TABLE_TOP

CLEAR = 0.16
"""Height above the table at which things are carried [m]."""


class Script:
    """Phases and actions of N environments; ``env`` is the unwrapped environment."""

    def __init__(self, env) -> None:
        self.env = env
        self.phase = torch.zeros(env.num_envs, dtype=torch.long)
        self.since = torch.zeros(env.num_envs)

    def restart(self, ended: torch.Tensor) -> None:
        """Begin anew where an episode ended, bool [N]."""
        self.phase[ended], self.since[ended] = 0, 0.0

    def act(self, places: list[torch.Tensor], done: list[torch.Tensor], yaw, closed: torch.Tensor) -> torch.Tensor:
        """Actions that bring grippers to the place [N, 3] of their phase, looking down and turned by ``yaw`` [N]."""
        env = self.env
        place = torch.stack(places)[self.phase, torch.arange(env.num_envs)]
        half, none = 0.5 * yaw, torch.zeros(env.num_envs)
        wanted = torch.stack((half.cos(), half.sin(), none, none), dim=-1)
        turn = quat_mul(wanted, quat_conjugate(env.grip_rotation))
        turn = axis_angle_from_quat(torch.where(turn[:, 3:] < 0.0, -turn, turn))
        actions = torch.cat(((place - env.grip_position) / 0.1, 6.0 * turn, 1.0 - 2.0 * closed.unsqueeze(-1)), dim=-1)
        self.since += 1.0
        finished = torch.stack([*done, none.bool()])[self.phase, torch.arange(env.num_envs)]
        self.phase += finished
        self.since[finished] = 0.0
        return actions.clamp(-1.0, 1.0)


class Pusher(Script):
    """Go behind the cube with the wide side of the closed gripper towards it, and push."""

    def actions(self) -> torch.Tensor:
        """Actions for the present state, [N, 7]."""
        env = self.env
        cube, grip, way = env.cube_position, env.grip_position, env.target() - env.cube_position
        ahead = way[:, :2] / way[:, :2].norm(dim=-1, keepdim=True).clamp(min=1e-6)
        yaw = torch.atan2(ahead[:, 1], ahead[:, 0])
        yaw = torch.remainder(yaw + torch.pi / 2.0, torch.pi) - torch.pi / 2.0  # either side of the gripper will do

        def behind(gap: float, height: float) -> torch.Tensor:
            low = torch.full_like(yaw, TABLE_TOP + height)
            return torch.cat((cube[:, :2] - gap * ahead, low.unsqueeze(-1)), dim=-1)

        over, down, push = behind(0.07, 0.1), behind(0.07, 0.025), behind(0.036, 0.025)
        push[:, :2] += (2.0 * way[:, :2].norm(dim=-1, keepdim=True)).clamp(max=0.05) * ahead
        # where the cube slipped off to the side, or was pushed past the goal, go behind it again
        aside = (cube - grip)[:, 0] * ahead[:, 1] - (cube - grip)[:, 1] * ahead[:, 0]
        lost = (((cube - grip)[:, :2] * ahead).sum(dim=-1) < 0.015) | (aside.abs() > 0.03)
        self.phase[(self.phase == 2) & lost] = 0
        done = [(over - grip).norm(dim=-1) < 0.02, (down - grip).norm(dim=-1) < 0.015]
        return self.act([over, down, push], done, yaw, torch.ones_like(yaw))


class Stacker(Script):
    """Over the cube, down, close, lift, carry, lower, open, leave."""

    def actions(self) -> torch.Tensor:
        """Actions for the present state, [N, 7]."""
        env, up = self.env, torch.tensor([0.0, 0.0, 1.0])
        cube, grip, target = env.cube_position, env.grip_position, env.target()
        height, offset = env.cube_height, target - cube
        high = torch.cat((grip[:, :2], torch.full_like(grip[:, 2:], TABLE_TOP + CLEAR)), dim=-1)
        down = cube - 0.003 * up
        carry = torch.cat((grip[:, :2] + 1.5 * offset[:, :2], high[:, 2:]), dim=-1)
        low = grip + offset + ((CUBE_EDGE + LOWER_CUBE_EDGE) / 2.0 + 0.001) * up
        places = [cube + 0.08 * up, down, grip, high, carry, low, grip, grip + 0.1 * up]
        done = [
            (places[0] - grip).norm(dim=-1) < 0.006,
            (down - grip).norm(dim=-1) < 0.005,
            self.since > 12,
            height > CLEAR - 0.02,
            offset[:, :2].norm(dim=-1) < 0.006,
            (height - LOWER_CUBE_EDGE - CUBE_EDGE / 2.0).abs() < 0.004,
            self.since > 10,
        ]
        closed = ((self.phase >= 2) & (self.phase < 6)).float()
        return self.act(places, done, torch.zeros(env.num_envs), closed)


def play(env, script: Script, steps: int) -> dict:
    """Step from a reset and return what the first episode of each environment came to, in lists of N."""
    ended = torch.zeros(env.num_envs, dtype=torch.bool)
    kept = {"return": torch.zeros(env.num_envs), "last": torch.zeros(env.num_envs), "success": ended.clone()}
    length = torch.zeros(env.num_envs)
    for _ in range(steps):
        _, reward, terminated, timed_out, _ = env.step(script.actions())
        kept["return"] += torch.where(ended, 0.0, reward)
        kept["last"] = torch.where(ended, kept["last"], reward)
        kept["success"] |= ~ended & env.success
        length += (~ended).float()
        script.restart(terminated | timed_out)
        ended |= terminated | timed_out
    return {name: values.tolist() for name, values in {**kept, "length": length}.items()}
