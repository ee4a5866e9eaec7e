# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Break single environments of a task in a real engine, train on, and write what was seen as JSON.

python quarantine_checks.py TASK ENGINE OUTPUT.json (run by test_quarantine_sim.py)
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch

ENVS = 12
BAD = 4
"""The environment that is broken."""
OUTCOME = 5.0
"""What its last finished episode reached, as it is told before."""


def poison(env, where: str, value: float) -> None:
    """Put a value into the engine's state of one environment."""
    ids = torch.tensor([BAD], dtype=torch.int32, device=env.device)
    robot, body = next(iter(env.scene.articulations.values())), env.scene["object"]
    if where == "joint_position":
        position = torch.full_like(robot.data.joint_pos.torch[[BAD]], value)
        robot.write_joint_position_to_sim_index(position=position, env_ids=ids)
    elif where == "joint_velocity":
        velocity = torch.full_like(robot.data.joint_vel.torch[[BAD]], value)
        robot.write_joint_velocity_to_sim_index(velocity=velocity, env_ids=ids)
    elif where == "body_position":
        pose = body.data.root_link_pose_w.torch[[BAD]].clone()
        pose[:, :3] = value
        body.write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)
    elif where == "body_velocity":
        body.write_root_velocity_to_sim_index(root_velocity=torch.full((1, 6), value, device=env.device), env_ids=ids)


class Broken:
    """Within it, a method of an environment returns one bad entry for the environment :data:`BAD`."""

    def __init__(self, env, method: str, value: float) -> None:
        self.env, self.method, self.value = env, method, value

    def __enter__(self) -> None:
        real = getattr(self.env, self.method)

        def broken():
            result = real()
            target = result["policy"][:, 3] if isinstance(result, dict) else result
            target[BAD] = self.value
            return result

        setattr(self.env, self.method, broken)

    def __exit__(self, *_) -> None:
        delattr(self.env, self.method)


def step(env) -> dict:
    """Step once with zero actions and tell what came of it."""
    zeros = torch.zeros(ENVS, env.cfg.action_space, device=env.device)
    observation, reward, terminated, timed_out, extras = env.step(zeros)
    return {
        "finite": bool(observation["policy"].isfinite().all() and reward.isfinite().all()),
        "reward": float(reward[BAD]),
        "terminated": terminated.nonzero().flatten().tolist(),
        "time_out": bool(timed_out[BAD]),
        "quarantined": extras["quarantined"].nonzero().flatten().tolist(),
        "reasons": sorted(name for name, mask in extras["quarantine_reasons"].items() if mask.any()),
        "fell": bool(env.fell()[BAD]),
        "outcome": float(extras["episode_metrics"]["successes"][BAD]),
        "log_finite": all(bool(torch.as_tensor(value).isfinite().all()) for value in extras["log"].values()),
        "length": int(env.episode_length_buf[BAD]),
    }


def check_injections(env) -> dict:
    """Inject every kind of bad number once; each is followed by three more steps."""
    seen = {}
    for where in ("joint_position", "joint_velocity", "body_position", "body_velocity"):
        for value in (math.nan, math.inf, 1.0e30):
            env.reset()
            step(env)
            env.episode_length_buf[BAD] = 7
            env.episode_successes[BAD] = OUTCOME
            poison(env, where, value)
            seen[f"{where} {value}"] = [step(env) for _ in range(4)]
    for method in ("_get_rewards", "_get_observations"):
        for value in (math.nan, math.inf, 1.0e30):
            env.reset()
            step(env)
            env.episode_length_buf[BAD] = 7
            env.episode_successes[BAD] = OUTCOME
            with Broken(env, method, value):
                first = step(env)
            seen[f"{method} {value}"] = [first, *(step(env) for _ in range(3))]
    return seen


def poison_while_training(env) -> None:
    """Put NaN into one environment in every tenth step."""
    real = env._pre_physics_step

    def broken(actions):
        real(actions)
        if env.common_step_counter % 10 == 5:
            poison(env, "joint_velocity", math.nan)

    env._pre_physics_step = broken


def check_training(env, agent_cfg, folder: Path) -> dict:
    """Train with our runner and rsl_rl's on environments one of which breaks again and again."""
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper
    from rsl_rl.runners import OnPolicyRunner

    from cpo_rl.runners import EnsembleRunner
    from cpo_rl.runs.tables import read_metrics

    cfg = agent_cfg.to_dict()
    cfg.update(num_steps_per_env=16, save_interval=1000, progress="off")
    cfg["algorithm"].update(quarantine_stop_fraction=0.2)
    poison_while_training(env)
    wrapped = RslRlVecEnvWrapper(env)
    runner = EnsembleRunner(wrapped, cfg, log_dir=str(folder / "ours"), device="cpu")
    start = {name: tensor.clone() for name, tensor in runner.alg.model.state_dict().items()}
    runner.learn(4)
    columns = read_metrics(folder / "ours/metrics.csv")
    stock = OnPolicyRunner(wrapped, cfg, log_dir=None, device="cpu")
    stock.learn(2)
    return {
        "status": runner.outcome.status,
        "message": runner.outcome.message,
        "quarantined": columns["Env/quarantined"],
        "skipped": columns["Optimization/skipped_updates"],
        "finite": all(bool(t.isfinite().all()) for t in runner.alg.model.state_dict().values()),
        "learned": any(not torch.equal(t, start[n]) for n, t in runner.alg.model.state_dict().items() if "head" in n),
        "stock_finite": all(bool(t.isfinite().all()) for t in stock.alg.model.state_dict().values()),
        "stock_touched": int(stock.alg.quarantine.touched.sum()),
    }


def main() -> None:
    task, engine, output = sys.argv[1:]
    import gymnasium
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    cfg, agent_cfg = resolve_task_config(task, "rsl_rl_cpo_cfg_entry_point", overrides=[f"physics={engine}"])
    cfg.scene.num_envs, cfg.seed = ENVS, 7
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}):
        env = gymnasium.make(task, cfg=cfg).unwrapped
        with torch.inference_mode():
            seen = {"injections": check_injections(env)}
        seen["training"] = check_training(env, agent_cfg, Path(output).parent)
        env.close()
    Path(output).write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
