# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The test environments themselves: interface, seeding, checkpoints, and the properties the learning gate relies on."""

from __future__ import annotations

import math

import pytest
import torch
from tests.envs import (
    DeceptiveEnv,
    DeceptiveEnvCfg,
    ForkEnv,
    ForkEnvCfg,
    MemoryEnv,
    MemoryEnvCfg,
    TorchEnvCfg,
    TrackingEnv,
    TrackingEnvCfg,
)

ALL = [
    (DeceptiveEnv, DeceptiveEnvCfg),
    (ForkEnv, ForkEnvCfg),
    (MemoryEnv, MemoryEnvCfg),
    (TrackingEnv, TrackingEnvCfg),
]


def _rollout(env, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    seen = []
    for _ in range(steps):
        actions = torch.randn(env.num_envs, env.num_actions, generator=generator)
        with torch.inference_mode():
            obs, rewards, dones, extras = env.step(actions)
        seen.append((obs["policy"], rewards, dones, extras["time_outs"]))
    return seen


def _same(first, second):
    return all(torch.equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize(("env_class", "cfg_class"), ALL)
def test_step_returns_what_vec_env_promises(env_class, cfg_class):
    env = env_class(cfg_class(num_envs=12, max_episode_length=9))
    assert env.get_observations()["policy"].shape == (12, env.num_obs)
    obs, rewards, dones, extras = env.step(torch.zeros(12, env.num_actions))
    assert obs["policy"].shape == (12, env.num_obs)
    assert obs.batch_size == torch.Size([12])
    assert rewards.shape == dones.shape == extras["time_outs"].shape == (12,)
    assert extras["episode_metrics"]["solved"].shape == (12,)
    with pytest.raises(ValueError, match="actions must have shape"):
        env.step(torch.zeros(11, env.num_actions))


@pytest.mark.parametrize(("env_class", "cfg_class"), ALL)
def test_seed_decides_everything(env_class, cfg_class):
    runs = [_rollout(env_class(cfg_class(num_envs=16, seed=seed)), 40) for seed in (3, 3, 4)]
    assert _same(runs[0], runs[1])
    assert not _same(runs[0], runs[2])


@pytest.mark.parametrize(("env_class", "cfg_class"), ALL)
def test_global_random_state_is_not_used(env_class, cfg_class):
    before = torch.get_rng_state()
    _rollout(env_class(cfg_class(num_envs=16)), 5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("env_class", "cfg_class"), ALL)
def test_checkpoint_continues_bit_for_bit(env_class, cfg_class, tmp_path):
    env = env_class(cfg_class(num_envs=16, seed=1))
    _rollout(env, 17)
    torch.save(env.state_for_checkpoint(), tmp_path / "env.pt")
    expected = _rollout(env, 30, seed=5)
    other = env_class(cfg_class(num_envs=16, seed=2))
    other.restore_from_checkpoint(torch.load(tmp_path / "env.pt", weights_only=True))
    assert _same(expected, _rollout(other, 30, seed=5))


def test_checkpoint_of_another_env_is_refused():
    state = TrackingEnv(TrackingEnvCfg(num_envs=4)).state_for_checkpoint()
    with pytest.raises(ValueError, match="another kind"):
        MemoryEnv(MemoryEnvCfg(num_envs=4)).restore_from_checkpoint(state)
    with pytest.raises(ValueError, match="same number of envs"):
        TrackingEnv(TrackingEnvCfg(num_envs=5)).restore_from_checkpoint(state)


@pytest.mark.parametrize(("env_class", "cfg_class"), ALL)
def test_assigned_episode_lengths_reach_the_checkpoint(env_class, cfg_class):
    env = env_class(cfg_class(num_envs=4, stagger=False))
    env.episode_length_buf = torch.tensor([0, 1, 2, 3])
    assert env.state_for_checkpoint()["buffers"]["episode_length"].tolist() == [0, 1, 2, 3]


def test_episode_ends_after_its_length_and_starts_anew():
    env = DeceptiveEnv(DeceptiveEnvCfg(num_envs=3, max_episode_length=4, stagger=False))
    flags = [(dones.tolist(), time_outs.tolist()) for _, _, dones, time_outs in _rollout(env, 5)]
    assert flags[2] == ([0, 0, 0], [False] * 3)
    assert flags[3] == ([1, 1, 1], [True] * 3)
    assert env.episode_length_buf.tolist() == [1, 1, 1]


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="num_envs"):
        DeceptiveEnv(DeceptiveEnvCfg(num_envs=0))
    with pytest.raises(ValueError, match="recall_steps"):
        MemoryEnv(MemoryEnvCfg(max_episode_length=3, recall_steps=2))
    with pytest.raises(ValueError, match="in order"):
        ForkEnv(ForkEnvCfg(lengths=(40.0, 20.0)))
    assert TorchEnvCfg().num_envs >= 1


def test_deceptive_straight_walk_solves_and_standing_still_does_not():
    cfg = DeceptiveEnvCfg(num_envs=8, stagger=False, reward_noise=0.0)
    returns = {}
    for name, x in (("goal", cfg.goal_distance), ("still", 0.0)):
        env = DeceptiveEnv(cfg)
        for _ in range(cfg.max_episode_length):
            actions = (torch.tensor([x, 0.0]) - env.position) / cfg.step_size
            env.step(actions.clamp(-cfg.max_action, cfg.max_action) if name == "goal" else 0.0 * actions)
        returns[name] = float(env.last_return.mean())
    assert returns["goal"] == pytest.approx(env.best_return, rel=0.05)
    assert returns["goal"] > env.solved_return > 5.0
    assert returns["still"] == pytest.approx(0.0, abs=1e-6)


def test_deceptive_less_movement_is_better_near_the_start():
    """The local optimum: small random actions of any size cost, in proportion to their variance, and never pay."""
    returns = []
    for std in (0.0, 0.3, 0.6):
        cfg = DeceptiveEnvCfg(num_envs=2000, stagger=False, reward_noise=0.0)
        env, generator = DeceptiveEnv(cfg), torch.Generator().manual_seed(0)
        for _ in range(cfg.max_episode_length):
            env.step(std * torch.randn(2000, 2, generator=generator))
        returns.append(float(env.last_return.mean()))
    costs = [-2.0 * std**2 * cfg.action_cost * cfg.max_episode_length for std in (0.0, 0.3, 0.6)]
    assert returns == pytest.approx(costs, abs=0.02)


def test_deceptive_reward_by_hand():
    env = DeceptiveEnv(DeceptiveEnvCfg(num_envs=1, reward_noise=0.0))
    position = torch.tensor([[env.cfg.goal_distance - env.cfg.goal_width, 0.0]], dtype=torch.float64)
    reward = env._reward(position, torch.tensor([[3.0, -4.0]], dtype=torch.float64))
    assert reward.item() == pytest.approx(math.exp(-0.5) - 25.0 * env.cfg.action_cost, abs=1e-12)


def test_deceptive_noise_hides_rewards_but_not_their_mean():
    cfg = DeceptiveEnvCfg(num_envs=50_000, stagger=False)
    rewards = DeceptiveEnv(cfg).step(torch.zeros(50_000, 2))[1]
    assert float(rewards.mean()) == pytest.approx(0.0, abs=5e-3)
    assert float(rewards.std()) == pytest.approx(cfg.reward_noise, rel=0.02)


def test_memory_needs_the_cue():
    cfg = MemoryEnvCfg(num_envs=4000, stagger=False)
    env = MemoryEnv(cfg)
    cue = env.get_observations()["policy"][:, 0].clone()
    assert set(cue.unique().tolist()) == {-1.0, 1.0}
    total = {"recall": torch.zeros(4000), "constant": torch.zeros(4000)}
    envs = {name: MemoryEnv(cfg) for name in total}
    for step in range(cfg.max_episode_length):
        recalling = step >= cfg.max_episode_length - cfg.recall_steps
        for name, one in envs.items():
            assert step == 0 or bool((one.get_observations()["policy"][:, 0] == 0).all())
            wanted = cue if name == "recall" else torch.ones_like(cue)
            action = wanted if recalling else torch.zeros_like(cue)
            total[name] += one.step(action[:, None])[1]
    assert float(total["recall"].min()) == pytest.approx(env.best_return, abs=1e-5)
    # always +1: half of the episodes right, the other half two units off, exp(-4 / 0.5) of the reward
    expected = cfg.max_episode_length - cfg.recall_steps * (0.5 - 0.5 * math.exp(-8.0))
    assert float(total["constant"].mean()) == pytest.approx(expected, abs=0.1)
    assert env.memoryless_return == pytest.approx(expected, abs=1e-3)
    assert env.memoryless_return < env.solved_return < env.best_return


def test_tracking_is_deterministic_and_its_escape_is_no_time_out():
    runs = [_rollout(TrackingEnv(TrackingEnvCfg(num_envs=6, seed=s, stagger=False)), 20) for s in (0, 9)]
    assert _same(*runs)
    env = TrackingEnv(TrackingEnvCfg(num_envs=6, stagger=False, max_episode_length=100))
    for _ in range(60):
        _, _, dones, extras = env.step(torch.ones(6, 2))
        if dones.any():
            break
    assert bool(dones.any())
    assert not bool(extras["time_outs"].any())


def test_tracking_can_be_solved_by_a_simple_controller():
    env = TrackingEnv(TrackingEnvCfg(num_envs=32, stagger=False))
    for _ in range(env.max_episode_length):
        obs = env.get_observations()["policy"]
        error, velocity = obs[:, :2], obs[:, 2:4]
        env.step(4.0 * error - 0.6 * velocity)
    assert float(env.last_return.mean()) > env.solved_return


def test_fork_heights_by_hand():
    cfg = ForkEnvCfg(num_envs=1, lengths=(10.0, 20.0, 40.0), spacing=0.5 * math.pi, direction=0.0, road_width=2.0)
    env = ForkEnv(cfg)  # roads along -y, x, y
    points = {(0.0, -8.0): 8.0, (0.0, -15.0): 5.0, (0.0, -21.0): 0.0, (20.0, 0.0): 20.0, (0.0, 30.0): 30.0}
    for point, height in points.items():
        assert env._height(torch.tensor([point])).item() == pytest.approx(height / 40.0, abs=1e-6), point
    beside = env._height(torch.tensor([[20.0, 2.0]])).item()
    assert beside == pytest.approx(20.0 / 40.0 * math.exp(-0.5), rel=1e-5)


def test_fork_steps_are_at_most_one_long():
    env = ForkEnv(ForkEnvCfg(num_envs=2, stagger=False))
    before = env.position.clone()
    env.step(torch.tensor([[30.0, -40.0], [0.3, 0.4]]))
    assert torch.allclose(env.position - before, torch.tensor([[0.6, -0.8], [0.3, 0.4]]))


@pytest.mark.parametrize("road", range(2))
def test_fork_walks_pay_alike_until_roads_differ_and_the_last_one_solves(road):
    cfg = ForkEnvCfg(num_envs=64, stagger=False, reward_noise=0.0)
    env = ForkEnv(cfg)
    heights = [float(env.step(_towards(env, road))[1].mean()) for _ in range(cfg.max_episode_length)]
    assert heights[:14] == pytest.approx([(k + 1) / 28.0 for k in range(14)], abs=0.04)
    assert float(env.last_return.mean()) == pytest.approx(env.walk_return(road), rel=0.05)
    assert (float(env.last_return.mean()) > env.solved_return) == (road == 1)


def _towards(env, road):
    """The fastest walk to the end of a road, where it stays."""
    return float(env.lengths[road]) * env.directions[road] - env.position


@pytest.mark.parametrize("std", [0.3, 1.0, 100.0])
def test_fork_noise_alone_does_not_tell_the_roads_apart(std):
    """However wide, a random walk gains hardly more than it would gain if all roads were as short as the shortest."""
    returns = []
    for lengths in (ForkEnvCfg().lengths, (14.0, 14.0)):
        env = ForkEnv(ForkEnvCfg(num_envs=4000, stagger=False, lengths=lengths, reward_noise=0.0))
        generator = torch.Generator().manual_seed(0)
        for _ in range(env.cfg.max_episode_length):
            env.step(std * torch.randn(4000, 2, generator=generator))
        returns.append(float(env.last_return.mean()) * lengths[-1])
    assert returns[0] == pytest.approx(returns[1], rel=0.02)
    assert returns[0] / 28.0 < 0.2 * env.walk_return(0)


@pytest.mark.parametrize("lengths", [(14.0, 28.0), (14.0, 20.0, 28.0)])
def test_fork_a_valley_lies_between_the_end_of_a_road_and_a_better_one(lengths):
    env = ForkEnv(ForkEnvCfg(num_envs=1, lengths=lengths, spacing=2.0 * math.pi / len(lengths)))
    length = float(env.lengths[0])
    path = [length * (1.0 - s) * env.directions[0] + length * s * env.directions[1] for s in (0.0, 0.5, 1.0)]
    here, between, there = (env._height(point[None]).item() for point in path)
    assert here == pytest.approx(there, rel=0.01)
    assert between < 0.75 * here
