# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Saving and loading the algorithm: exact continuation, and loading in parts."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from tests.cpo_rl.toy import ToyEnv, iterate, make_algorithm

from cpo_rl.algorithms import EnsemblePPO

NUM_ENVS = 12


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint gives back, by torch's restricted reader."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def assert_same(a: Any, b: Any, path: str = "") -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, tuple | list):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b) or bool((torch.isnan(a) == torch.isnan(b)).all() and a.isnan().any()), path
    else:
        assert a == b, path


def env() -> ToyEnv:
    return ToyEnv(torch.arange(NUM_ENVS))


def continued(first: ToyEnv) -> ToyEnv:
    second = env()
    second.restore_from_checkpoint(first.state_for_checkpoint())
    return second


@pytest.mark.parametrize("rnn", ["none", "lstm"])
@pytest.mark.parametrize(("name", "coef"), [("ppo", 0.0), ("sapg", 0.0), ("cpo", 0.0), ("cpo", 0.01)])
def test_continuing_from_a_file_is_bit_exact(name, coef, rnn):
    settings = {"name": name, "rnn": rnn, "adversarial_coef": coef, "learning_rate_update": "mini_batch"}
    straight, world = make_algorithm(NUM_ENVS, **settings), env()
    iterate(straight, world, 3)  # an odd number, so that diagnostics continue in the middle of their interval
    saved, middle = through_a_file(straight.save()), continued(world)
    expected = iterate(straight, world, 3)
    resumed = make_algorithm(NUM_ENVS, **settings, seed=7)
    assert resumed.load(saved)
    assert resumed.iteration == 3
    metrics = iterate(resumed, middle, 3)
    assert_same(resumed.save(), straight.save())
    assert [set(m) for m in metrics] == [set(m) for m in expected]
    for mine, theirs in zip(metrics, expected, strict=True):
        assert all(mine[k] == theirs[k] or mine[k] != mine[k] for k in theirs)
    assert resumed.diagnostics() == straight.diagnostics()


def trained(**settings: Any) -> EnsemblePPO:
    algorithm = make_algorithm(NUM_ENVS, **settings)
    iterate(algorithm, env(), 2)
    return algorithm


def test_parts_as_isaac_lab_asks_for_without_the_optimizer():
    source = trained()
    parts = {"actor": True, "critic": True, "optimizer": False, "iteration": True, "rnd": False}
    fresh = make_algorithm(NUM_ENVS, seed=7)
    assert fresh.load(through_a_file(source.save()), parts)
    assert_same(fresh.model.state_dict(), source.model.state_dict())
    assert_same(fresh.diversity.discriminator.state_dict(), source.diversity.discriminator.state_dict())
    assert fresh.policy_update.optimizer.state_dict()["state"] == {}
    assert fresh.learning_rate == fresh.cfg.learning_rate
    assert fresh.iteration == 0, "the part of the algorithm that counts diagnostics starts anew"
    assert not fresh.episodes.finished.any()


def test_parts_with_the_optimizer_but_not_the_iteration():
    source = trained()
    fresh = make_algorithm(NUM_ENVS, seed=7)
    assert not fresh.load(through_a_file(source.save()), {"actor": True, "optimizer": True, "iteration": False})
    assert_same(fresh.policy_update.optimizer.state_dict(), source.policy_update.optimizer.state_dict())
    assert fresh.learning_rate == pytest.approx(source.learning_rate)


def test_the_adapted_learning_rate_is_the_optimizers_after_loading():
    source = trained(desired_kl=1.0e-9, num_learning_epochs=3)
    assert source.learning_rate < source.cfg.learning_rate
    fresh = make_algorithm(NUM_ENVS, seed=7)
    fresh.load(through_a_file(source.save()))
    assert fresh.policy_update.optimizer.param_groups[0]["lr"] is fresh.policy_update.learning_rate.rate
    assert fresh.learning_rate == source.learning_rate


def test_the_adversary_is_optional_in_both_directions():
    with_it, without = trained(), trained(adversarial_coef=0.0)
    assert make_algorithm(NUM_ENVS, adversarial_coef=0.0).load(through_a_file(with_it.save()))
    assert make_algorithm(NUM_ENVS).load(through_a_file(without.save()))


def test_another_number_of_environments_starts_episodes_and_states_anew():
    source = trained(rnn="lstm")
    fresh = make_algorithm(2 * NUM_ENVS, rnn="lstm", seed=7)
    assert fresh.load(through_a_file(source.save()))
    assert_same(fresh.model.state_dict(), source.model.state_dict())
    assert not fresh.episodes.finished.any()
    assert all(float(t.abs().max()) == 0.0 for t in fresh._state[0])


def test_a_model_of_another_shape_is_refused_unless_not_strict_about_names():
    source = trained()
    with pytest.raises(RuntimeError, match="size mismatch"):
        make_algorithm(NUM_ENVS, model={"hidden_dims": [5]}).load(through_a_file(source.save()))
    state = through_a_file(source.save())
    del state["model"]["value_normalizer.count"]
    with pytest.raises(RuntimeError, match="Missing key"):
        make_algorithm(NUM_ENVS).load(state)
    assert make_algorithm(NUM_ENVS).load(state, strict=False)


def test_other_ranks_do_not_take_rank_zeros_noise():
    source = trained()
    second = make_algorithm(NUM_ENVS, multi_gpu_cfg={"global_rank": 1, "local_rank": 1, "world_size": 2})
    before = second.random.noise.get_state()
    second.load(through_a_file(source.save()))
    assert torch.equal(second.random.noise.get_state(), before)
    assert torch.equal(second.random.follower.get_state(), source.random.follower.get_state())
    assert not second.episodes.finished.any()
    second.load_rank_state(through_a_file(source.rank_state()))
    assert torch.equal(second.random.noise.get_state(), source.random.noise.get_state())
    assert torch.equal(second.episodes.finished, source.episodes.finished)


def test_forgetting_episodes_keeps_what_they_taught():
    algorithm = trained(rnn="lstm")
    finished = algorithm.episodes.finished.clone()
    obs = env().get_observations()
    with torch.inference_mode():
        algorithm.act(obs)
        algorithm.process_env_step(obs, torch.ones(NUM_ENVS), torch.zeros(NUM_ENVS), {})
    assert algorithm.rollout.step == 1
    algorithm.reset_episodes()
    assert algorithm.rollout.step == 0
    assert float(algorithm.episodes.running.returns.abs().max()) == 0.0
    assert torch.equal(algorithm.episodes.finished, finished)
    assert all(float(t.abs().max()) == 0.0 for t in algorithm._state[0])


def test_broadcasting_takes_rank_zeros_parameters_and_drawing(monkeypatch):
    first = make_algorithm(NUM_ENVS)
    second = make_algorithm(NUM_ENVS, seed=7, multi_gpu_cfg={"global_rank": 1, "local_rank": 1, "world_size": 2})
    sent = [*first.model.state_dict().values(), *first.diversity.discriminator.state_dict().values()]
    queue = iter([*sent, first.random.follower.get_state()])
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: tensor.copy_(next(queue)))
    second.broadcast_parameters()
    assert next(queue, None) is None
    assert_same(second.model.state_dict(), first.model.state_dict())
    assert_same(second.diversity.discriminator.state_dict(), first.diversity.discriminator.state_dict())
    assert second.random.followers(9, 5) == first.random.followers(9, 5)
