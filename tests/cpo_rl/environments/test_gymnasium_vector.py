# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every way of resetting gives the learner the same transitions; spaces, seeds and threads are what the page says."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from tests.cpo_rl.environments.counting import CountingEnv, counting
from tests.cpo_rl.runners.support import ensemble_cfg

from cpo_rl import threads
from cpo_rl.environments.gymnasium_vector import GymnasiumVecEnv
from cpo_rl.environments.spaces import ActionLayout, ObservationLayout
from cpo_rl.errors import UserError
from cpo_rl.runners import EnsembleRunner
from cpo_rl.runners.first_step import check_step

LENGTHS = ((3, -4), (-2, 5), (1, -1), (-3, -3, 2))


def adapter(mode=AutoresetMode.SAME_STEP, lengths=LENGTHS, **kwargs):
    return GymnasiumVecEnv(counting(mode, lengths), max_episode_length=5, **kwargs)


def transitions(env: GymnasiumVecEnv, steps: int) -> list[list[tuple]]:
    """Per environment: (observation, reward, done, time-out, final observation if it ended by time) of real steps."""
    found = [[] for _ in range(env.num_envs)]
    for _ in range(steps):
        before = env.get_observations()["policy"]
        result = env.step(torch.zeros(env.num_envs, 2))
        check_step(result, env.num_envs, {"policy": [3]})
        _, rewards, dones, extras = result
        idle = extras.get("idle", torch.zeros(env.num_envs, dtype=torch.bool))
        for n in range(env.num_envs):
            out = bool(extras["time_outs"][n])
            final = extras["final_observations"]["policy"][n].tolist() if out else None
            if not idle[n]:
                found[n].append((before[n].tolist(), float(rewards[n]), bool(dones[n]), out, final))
    return found


def by_hand(number: int, lengths: tuple[int, ...], count: int) -> list[tuple]:
    found, episode = [], 0
    while len(found) < count:
        length = lengths[episode % len(lengths)]
        for step in range(abs(length)):
            last = step + 1 == abs(length)
            out = last and length < 0
            final = [number, episode, step + 1] if out else None
            reward = 100 * number + 10 * episode + step + 1
            found.append(([number, episode, step], reward, last, out, final))
        episode += 1
    return found[:count]


@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_mode_gives_the_same_transitions(mode):
    for n, found in enumerate(transitions(adapter(mode), 40)):
        assert len(found) >= 20
        assert found == by_hand(n, LENGTHS[n], len(found))


def test_only_the_mode_that_waits_has_idle_steps():
    """Environment 2 has episodes of one step, so every second step of it is idle where it resets a step later."""
    for mode, share in ((AutoresetMode.SAME_STEP, 1.0), (AutoresetMode.DISABLED, 1.0), (AutoresetMode.NEXT_STEP, 0.5)):
        assert len(transitions(adapter(mode), 40)[2]) == 40 * share


def test_environments_in_other_processes_are_the_same():
    makers = [lambda n=n, own=own: CountingEnv(n, own) for n, own in enumerate(LENGTHS)]
    for mode in AutoresetMode:
        env = GymnasiumVecEnv(AsyncVectorEnv(makers, autoreset_mode=mode), max_episode_length=5)
        try:
            assert transitions(env, 12) == transitions(adapter(mode), 12)
        finally:
            env.close()


# -- learning ----------------------------------------------------------------------------------------------------------


class Lying(GymnasiumVecEnv):
    """Says a reward of a waiting step that is none."""

    def step(self, actions):
        obs, rewards, dones, extras = super().step(actions)
        assert not rewards[extras.get("idle", torch.zeros_like(dones))].any()
        return obs, rewards + 1.0e3 * extras.get("idle", torch.zeros_like(dones)), dones, extras


def train(mode: AutoresetMode, kind: type[GymnasiumVecEnv] = GymnasiumVecEnv) -> EnsembleRunner:
    env = kind(counting(mode, LENGTHS * 3), seed=3, max_episode_length=5, episode_metrics=["score"])
    runner = EnsembleRunner(env, ensemble_cfg(), device="cpu")
    runner.learn(2)
    return runner


def same_weights(one: EnsembleRunner, other: EnsembleRunner) -> bool:
    weights = [runner.alg.model.state_dict() for runner in (one, other)]
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_who_resets_does_not_change_what_is_learned():
    assert same_weights(train(AutoresetMode.SAME_STEP), train(AutoresetMode.DISABLED))


def test_waiting_steps_are_neither_learned_from_nor_counted_nor_alarming():
    runner = train(AutoresetMode.NEXT_STEP)
    assert same_weights(runner, train(AutoresetMode.NEXT_STEP, Lying))
    alg = runner.alg
    assert 0.5 < float(alg.rollout.valid.mean()) < 0.9
    assert not alg.quarantine.touched.any() and runner.outcome.status == "finished"
    # every length is one of a whole episode, which a waiting step would lengthen
    lengths = alg.episodes.last["episode_length"]
    assert all(float(length) in {abs(n) for n in LENGTHS[k % 4]} for k, length in enumerate(lengths))


def test_the_values_of_infos_at_the_end_of_an_episode_are_reported_per_policy():
    for mode in AutoresetMode:
        episodes = train(mode).alg.episodes
        assert torch.equal(episodes.last["score"] % 10, episodes.last["episode_length"])


def test_a_name_that_the_infos_lack_is_refused():
    env = adapter(lengths=((1,),), episode_metrics=["succes"])
    with pytest.raises(UserError, match="episode_metrics names 'succes', but the infos hold score, text where"):
        env.step(torch.zeros(1, 2))


# -- spaces ------------------------------------------------------------------------------------------------------------


def test_actions_by_hand():
    """Bounds -2 and 4: -1 is -2, 0 is 1, 0.5 is 2.5, 1 and all beyond it is 4."""
    layout = ActionLayout(CountingEnv().action_space)
    said = torch.tensor([[-1.0, 0.0], [0.5, 7.0]])
    assert layout.to_actions(said).tolist() == [[-2.0, 1.0], [2.5, 4.0]]
    unscaled = ActionLayout(CountingEnv().action_space, scale=False)
    assert unscaled.to_actions(torch.tensor([[-3.0, 0.5]])).tolist() == [[-2.0, 0.5]]


def test_an_action_with_an_open_end_is_clipped_and_not_scaled():
    layout = ActionLayout(spaces.Box(np.float32([-1.0, -np.inf, -5.0]), np.float32([np.inf, np.inf, 5.0])))
    assert layout.scaled.tolist() == [False, False, True]
    assert layout.to_actions(torch.tensor([[-9.0, -9.0, 0.5]])).tolist() == [[-1.0, -9.0, 2.5]]


def test_actions_have_the_shape_and_type_of_the_space():
    layout = ActionLayout(spaces.Box(-1.0, 1.0, (2, 3), np.float64))
    actions = layout.to_actions(torch.zeros(5, 6))
    assert (layout.size, actions.shape, actions.dtype) == (6, (5, 2, 3), np.float64)
    env = adapter(lengths=((3,),))
    env.step(torch.tensor([[0.0, 9.0]]))
    assert env.gymnasium.envs[0].actions[0].tolist() == [1.0, 4.0]


def test_groups_of_a_dict():
    space, batch = CountingEnv(as_dict=True).observation_space, {"row": np.ones((2, 3)), "noise": np.zeros((2, 1))}
    assert ObservationLayout(space).read(batch)["policy"].tolist() == [[0.0, 1.0, 1.0, 1.0]] * 2  # a Dict is sorted
    rows = ObservationLayout(space, {"policy": ["row"], "critic": ["row", "noise"]}).read(batch)
    assert {name: row.shape for name, row in rows.items()} == {"policy": (2, 3), "critic": (2, 4)}
    assert rows["policy"].dtype == np.float32


@pytest.mark.parametrize("mode", AutoresetMode)
def test_final_observations_of_a_dict(mode):
    vector = counting(mode, ((-2,), (-3,)), as_dict=True)
    env = GymnasiumVecEnv(vector, groups={"policy": ["row"], "critic": ["noise"]}, max_episode_length=5)
    before = env.get_observations()["critic"].clone()
    env.step(torch.zeros(2, 2))
    _, _, dones, extras = env.step(torch.zeros(2, 2))
    assert dones.tolist() == [True, False]
    final = extras["final_observations"]
    assert final["policy"][0].tolist() == [0, 0, 2] and torch.equal(final["critic"][0], before[0])


def test_what_policies_cannot_read_or_say_is_one_sentence():
    for space, sentence in (
        (spaces.Discrete(3), "The actions are a Discrete; the policies say real numbers"),
        (spaces.Box(0, 3, (2,), np.int64), "The actions are a Box of int64"),
    ):
        with pytest.raises(UserError, match=sentence):
            ActionLayout(space)
    for space, sentence in (
        (spaces.Box(0, 255, (64, 64, 3), np.uint8), r"the observation is an image of shape \[64, 64, 3\]"),
        (spaces.Discrete(3), "the observation is a Discrete, not a Box; wrap the environment in gymnasium"),
        (spaces.Dict({"camera": spaces.Box(0, 1, (8, 8, 1))}), "entry 'camera' of the observation is an image"),
    ):
        with pytest.raises(UserError, match=sentence):
            ObservationLayout(space)
    with pytest.raises(UserError, match="groups names entries of a Dict, but the observation is a Box of float64"):
        adapter(groups={"policy": ["x"]})
    with pytest.raises(UserError, match="groups names 'rwo', which the observation lacks; did you mean 'row'"):
        ObservationLayout(CountingEnv(as_dict=True).observation_space, {"policy": ["rwo"]})
    with pytest.raises(UserError, match="groups has a group without entries"):
        ObservationLayout(CountingEnv(as_dict=True).observation_space, {"policy": ["row"], "critic": []})


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_seed_decides_environments_and_networks():
    def noise_and_draw(seed):
        env = GymnasiumVecEnv(counting(as_dict=True), seed=seed, max_episode_length=5)
        return [*env.get_observations()["policy"][:, 0].tolist(), float(torch.rand(1))]

    assert noise_and_draw(1) == noise_and_draw(1)
    first, second = noise_and_draw(1), noise_and_draw(2)
    assert len({*first, *second}) == 5  # environment 1 of the first is environment 0 of the second
    for seed in (-1, 2**31, 1.0, None):
        with pytest.raises(UserError, match="must be an integer from 0"):
            adapter(seed=seed)


def test_who_resets_must_be_known_and_uncontradicted():
    vector = counting()
    for given in (None, "SAME_STEP", "SameStep", AutoresetMode.SAME_STEP):
        env = GymnasiumVecEnv(vector, autoreset_mode=given, max_episode_length=5)
        assert env.autoreset_mode is AutoresetMode.SAME_STEP
    with pytest.raises(UserError, match="autoreset_mode='DISABLED' contradicts the environment's metadata"):
        GymnasiumVecEnv(vector, autoreset_mode="DISABLED", max_episode_length=5)
    with pytest.raises(UserError, match="autoreset_mode='never' must be one of NEXT_STEP, SAME_STEP, DISABLED"):
        GymnasiumVecEnv(vector, autoreset_mode="never", max_episode_length=5)
    del vector.metadata["autoreset_mode"]
    with pytest.raises(UserError, match="does not say in its metadata who resets it; give autoreset_mode, one of"):
        GymnasiumVecEnv(vector, max_episode_length=5)


def test_name_and_time_limit_come_from_the_spec():
    from cpo_rl.contracts import Environment

    registered = GymnasiumVecEnv(gymnasium.make_vec("Pendulum-v1", 2))
    by_hand = GymnasiumVecEnv(gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("Pendulum-v1")]))
    for env in (registered, by_hand):
        assert (Environment(env).task, env.max_episode_length) == ("Pendulum-v1", 200)
    assert (registered.num_actions, registered.get_observations()["policy"].shape) == (1, (2, 3))
    with pytest.raises(UserError, match="has no spec with max_episode_steps; give max_episode_length"):
        GymnasiumVecEnv(counting())


def test_its_clock_cannot_be_set():
    runner = EnsembleRunner(adapter(lengths=LENGTHS * 3), ensemble_cfg(), device="cpu")
    with pytest.raises(UserError, match="init_at_random_ep_len does not act here"):
        runner.learn(1, init_at_random_ep_len=True)


def test_observations_given_earlier_stay_what_they_were():
    """A vector environment may hand out its own buffer in every step."""
    makers = [lambda n=n: CountingEnv(n, (9,)) for n in range(2)]
    env = GymnasiumVecEnv(gymnasium.vector.SyncVectorEnv(makers, copy=False), max_episode_length=9)
    before = env.get_observations()["policy"]
    env.step(torch.zeros(2, 2))
    assert before[:, 2].tolist() == [0.0, 0.0] and env.get_observations()["policy"][:, 2].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("cores", "most", "limited"), [(2, 4, True), (64, 4, False), (64, None, True)])
def test_torch_leaves_the_cores_to_the_environments(monkeypatch, cores, most, limited):
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert threads.limit_torch_threads("cuda:0", most_cores=most) is None and torch.get_num_threads() == 2
        assert threads.limit_torch_threads("cpu", most_cores=most) == (cores if limited else None)
        assert torch.get_num_threads() == (1 if limited else 2)
        torch.set_num_threads(2)
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert threads.limit_torch_threads("cpu", most_cores=None) is None and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_adapter_limits_torch(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        adapter()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
