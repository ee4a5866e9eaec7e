# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An exported policy beside the environment that it was trained in: it gets sensors, and targets are compared.

The environment acts with the checkpoint's network on its own observations; the exported ``run_policy.py`` gets sensor
values only. Neither knows of the other.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from cpo_lab.cli import main
from cpo_rl.config import ModelCfg
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import write_checkpoint
from cpo_rl.runs.configs import plain, write_params
from cpo_rl.runs.payload import to_bytes

NUM_POLICIES = 3
ZEROS = {"joint_torque", "fingertip_wrench"}


def write_trained(
    root: Path, task: str, env_cfg: Any, rnn: str, state: dict[str, Any] | None = None
) -> tuple[Path, Any]:
    """A run folder of a task with an untrained network that acts all over the range; returns checkpoint and network."""
    from isaaclab.utils import to_dict

    folder = root / "experiment" / "2026-01-31_12-00-00"
    folder.mkdir(parents=True)
    model_cfg = ModelCfg(hidden_dims=[32, 16], rnn_type=rnn, rnn_hidden_dim=16)
    torch.manual_seed(0)
    size = sum(term.size for term in env_cfg.layout())
    model = EnsembleActorCritic(size, env_cfg.action_space, NUM_POLICIES, model_cfg)
    with torch.no_grad():  # a fresh network hardly acts; a wild one amplifies rounding
        model.mean_head.weight.mul_(4.0)
    settings = {
        "clip_actions": None,
        "obs_groups": {"actor": ["policy"]},
        "model": dataclasses.asdict(model_cfg),
        "algorithm": {"algorithm": "cpo", "num_policies": NUM_POLICIES},
    }
    write_params(folder, {"env": plain(to_dict(env_cfg)), "agent": settings})
    launcher = {"schema_version": 1, "library": "rsl_rl", "task": task, "created_at": "2026-01-31T12:00:00+00:00"}
    (folder / "run.json").write_text(json.dumps(launcher))
    runner = {
        "ranks": [{"env": state or {}}], "exact": True, "world_size": 1, "num_envs": 1, "identity": {"task": task},
    }  # fmt: skip
    payload = {"model": model.state_dict(), "iter": 12, "infos": None, "format": 1, "runner": runner}
    path = folder / "model_12.pt"
    write_checkpoint(path, to_bytes(payload), CheckpointManifest(iteration=12, config=settings))
    return path, model


def export(checkpoint: Path, policy: str = "leader") -> Path:
    """Export a policy with the command; returns the folder."""
    out = checkpoint.parent / "out"
    command = ["export", "--checkpoint", str(checkpoint), "--formats", "onnx", "--policy", policy]
    assert main([*command, "--output", str(out)]) == 0
    return next(out.rglob("policy.onnx")).parent


def driver(folder: Path) -> Any:
    """The exported folder's own copy of ``run_policy.py`` as a module."""
    spec = importlib.util.spec_from_file_location("run_policy", folder / "run_policy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sensors_of(env: Any) -> dict[str, np.ndarray]:
    """What sensors would measure on the robots of an environment, as the robots count."""
    if hasattr(env, "commands"):
        return sensors_of_legs(env)
    robots = [env.scene[name] for name in ("robot", "robot_2") if name in env.scene.articulations]
    body, origins = env.object.data, env.scene.env_origins
    arms = hasattr(env, "arms")
    joints = [arm.joints for arm in env.arms] if arms else [env.map.joints]

    def of_joints(name: str) -> torch.Tensor:
        return torch.cat([getattr(r.data, name).torch[:, j] for r, j in zip(robots, joints, strict=True)], dim=1)

    def poses(robot: Any, links: torch.Tensor) -> torch.Tensor:
        pose = robot.data.body_link_pose_w.torch[:, links].clone()
        pose[..., :3] -= origins.unsqueeze(1)
        return pose

    pose = body.root_link_pose_w.torch.clone()
    pose[:, :3] -= origins
    velocity = body.root_com_vel_w.torch
    found = {"joint_position": of_joints("joint_pos"), "joint_velocity": of_joints("joint_vel"), "object_pose": pose}
    if arms:
        palms = [poses(arm.robot, arm.bodies[:1]) for arm in env.arms]
        tips = [poses(arm.robot, arm.bodies[1:]) for arm in env.arms]
        speeds = [arm.robot.data.body_com_vel_w.torch[:, arm.bodies[:1]] for arm in env.arms]
        found |= {
            "palm_link_pose": torch.cat(palms, dim=1), "fingertip_link_pose": torch.cat(tips, dim=1),
            "palm_link_velocity": torch.cat(speeds, dim=1), "object_velocity": velocity,
            "object_size": 0.05 * env.object_scale, "goal_pose": torch.cat((env.goals.position, env.goals.rotation), 1),
        }  # fmt: skip
    else:
        found |= {
            "object_linear_velocity": velocity[:, :3], "object_angular_velocity": velocity[:, 3:],
            "goal_pose": torch.cat((env.goal_position, env.goal_rotation), dim=1),
        }  # fmt: skip
        own = env._own_observations()
        found |= {name: value for name, value in own.items() if name not in ZEROS}
        found |= {"joint_torque": of_joints("applied_torque")} if "joint_torque" in own else {}
        found |= {"fingertip_wrench": own["fingertip_wrench"]} if "fingertip_wrench" in own else {}
    return {name: value.reshape(env.num_envs, -1).cpu().double().numpy() for name, value in found.items()}


def sensors_of_legs(env: Any) -> dict[str, np.ndarray]:
    """What sensors would measure on robots on legs."""
    data = env.robot.data
    linear, angular = env.base_velocity()
    found = {
        "base_linear_velocity": linear, "base_angular_velocity": angular, "velocity_command": env.commands[:, :2],
        "yaw_command": env.commands[:, 2:], "joint_position": data.joint_pos.torch[:, env.joints],
        "joint_velocity": data.joint_vel.torch[:, env.joints], "base_rotation": data.root_link_pose_w.torch[:, 3:],
    }  # fmt: skip
    return {name: value.cpu().double().numpy() for name, value in found.items()}


def commanded(env: Any) -> np.ndarray:
    """Targets of the environment's robots, as the robots count, [N, A]."""
    if hasattr(env, "arms"):
        return torch.cat([arm.targets for arm in env.arms], dim=1).double().numpy()
    if hasattr(env, "commands"):
        return env.aimed.double().numpy()
    signs = torch.ones_like(env.motors[0])
    for index, name in enumerate(env.cfg.names.motors):
        signs[index] = -1.0 if name in env.cfg.names.mirrored else 1.0
    return (signs * env.motors).double().numpy()


def at_rest(env: Any) -> dict[str, np.ndarray]:
    """Joint angles right after a reset, as the robots count: where the environment put them."""
    if hasattr(env, "arms"):
        return {"joint_position": torch.cat([arm.targets for arm in env.arms], dim=1).double().numpy()}
    if hasattr(env, "commands"):
        return {"joint_position": env.default.double().numpy()}
    return {"joint_position": env.map.to_task(env.targets).double().numpy()}


class Comparison:
    """Drives an environment with a network, and beside it the exported policy with the environment's sensors."""

    def __init__(self, env: Any, model: EnsembleActorCritic, policy: Any, policy_id: int) -> None:
        self.env, self.model, self.policy, self.id = env, model.eval(), policy, policy_id
        self.targets = self.observations = 0.0
        self.resets = self.goals = 0
        self.moved = np.zeros(len(policy.joints))
        model.reset()
        policy.reset(at_rest(env))
        if hasattr(env, "commands"):  # this environment does not keep its targets
            aim = env._aim
            env._aim = lambda targets: (setattr(env, "aimed", targets.clone()), aim(targets))

    @torch.no_grad()
    def steps(self, count: int, observation: torch.Tensor, advance: Callable[[torch.Tensor, Callable], Any]) -> None:
        """Take steps.

        Args:
            count: How many.
            observation: What the environment shows now [N, D].
            advance: Takes one step of the environment with actions, calls its second argument when targets are set,
                and returns the next observation and which episodes ended, bool [N].
        """
        lowest, highest = np.inf, -np.inf
        for _ in range(count):
            targets = self.policy.step(sensors_of(self.env))
            seen = np.abs(self.policy.observation - observation.cpu().double().numpy()).max()
            self.observations = max(self.observations, float(seen))
            actions = self.model(TensorDict({"policy": observation}, batch_size=[len(observation)]), self.id)
            observation, ended = advance(actions, self._see_targets)
            self.targets = max(self.targets, float(np.abs(targets - self._wanted).max()))
            lowest, highest = np.minimum(lowest, self._wanted), np.maximum(highest, self._wanted)
            self.resets += int(ended.sum())
            self.model.reset(ended)
            if ended.any():
                self.policy.reset(at_rest(self.env), ended.cpu().numpy())
            self.goals += int(self.policy.goal_reached.sum())
        self.moved = (highest - lowest).max(axis=0)

    def _see_targets(self) -> None:
        self._wanted = commanded(self.env)
