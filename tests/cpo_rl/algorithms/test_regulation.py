# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The regulated KL to the leader: formula by hand, what is measured, what is penalized, and that it continues."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from tests.cpo_rl.oracle_support import collect, gradient_step, prepare
from tests.cpo_rl.oracle_support import make_algorithm as make_oracle
from tests.cpo_rl.toy import ToyEnv, iterate, make_algorithm

from cpo_rl.algorithms.coupling_regulator import BELOW, RISEN, UNSEEN
from cpo_rl.algorithms.cuda_graph import RecordedStep
from cpo_rl.benchmark import HostReads
from cpo_rl.config import EnsembleCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import build_cfg
from cpo_rl.formulas import gaussian
from cpo_rl.formulas.coupling import kl_to_leader
from cpo_rl.formulas.schedule import LEAD, STRENGTH_MAX, STRENGTH_MIN, STRENGTH_START, regulate

NUM_ENVS = 12
LSTM = {"rnn_type": "lstm"}


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_kl_of_the_means_by_hand():
    """Means 1 and 0 apart by 1 and 2 deviations of the leader: 0.5 (1 + 4) = 2.5, whatever the follower's noise is."""
    own, leader, log_std = tensor(1.0, 4.0), tensor(0.5, 0.0), torch.log(tensor(0.5, 2.0))
    noise = torch.log(tensor(3.0, 0.1))
    assert gaussian.mean_kl(own, leader, log_std).item() == pytest.approx(2.5, abs=1e-15)
    assert kl_to_leader(own, noise, leader, log_std, True).item() == pytest.approx(2.5, abs=1e-15)
    full = kl_to_leader(own, noise, leader, log_std, False)
    assert full.item() == gaussian.kl(own, noise, leader, log_std).item() != 2.5
    assert kl_to_leader(own, log_std, leader, log_std, False).item() == pytest.approx(2.5, abs=1e-15)


def test_regulate_by_hand():
    """Rate 0.5. At the target nothing changes; at twice the target log s grows by 0.5 ln 2, at ten times by the bound
    0.5; at the target, but grown by 0.1 since the last step, by 0.5 x 3 x 0.1."""
    strength, low = torch.full((5,), 0.02, dtype=torch.float64), torch.full((5,), 1.0e-3, dtype=torch.float64)
    log_kl, growth = tensor(0.0, math.log(2.0), math.log(10.0), 0.0, -math.log(3.0)), tensor(0.0, 0.0, 0.0, 0.1, 0.0)
    found = regulate(strength, log_kl, growth, 0.5, low) / 0.02
    assert LEAD == 3.0
    assert found.tolist() == pytest.approx([1.0, math.sqrt(2.0), math.exp(0.5), math.exp(0.15), math.exp(-0.5)])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_regulates_nothing(value):
    strength = tensor(0.02, 0.02)
    assert torch.equal(regulate(strength, tensor(value, 0.0), tensor(0.0, value), 0.5, tensor(1e-3, 1e-3)), strength)


def test_the_strength_stays_within_its_bounds():
    high, low = tensor(STRENGTH_MAX), tensor(STRENGTH_MIN)
    assert regulate(high, tensor(5.0), tensor(0.0), 0.5, low).item() == STRENGTH_MAX
    assert regulate(low, tensor(-5.0), tensor(0.0), 0.5, low).item() == STRENGTH_MIN


def regulated(target: float = 0.05, **settings: Any):
    return make_oracle(num_envs=24, horizon=4, num_policies=3, coupling_target_kl=target, **settings)


@pytest.mark.parametrize("kind", ["means", "full"])
@pytest.mark.parametrize("model", [None, LSTM], ids=["mlp", "lstm"])
def test_what_is_measured_is_what_is_penalized(kind, model):
    """Before the first gradient step the loss penalizes the measured KL: same leader, same states, same steps."""
    alg = regulated(coupling_kl=kind, model=model, sequence_length=2, diagnostics_interval=1)
    with torch.no_grad():
        alg.model.log_std.add_(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    collect(alg, void_rate=0.2)
    prepare(alg, [1])
    measured = alg.regulator.measure(alg.rollout)
    rows = alg.rollout.gather(alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0])
    out, leader_mean = alg.policy_update._evaluate(rows)
    _, kl = alg.policy_update._surrogate(
        rows, out, leader_mean, out.mean[: sum(rows.sizes[:3])].sum(-1), rows.advantage, 1.0
    )
    for i in range(2):
        mine = (rows.policy[: len(kl)] == i).unsqueeze(1) * rows.valid[: len(kl)]
        assert measured[i].item() == pytest.approx(((kl * mine).sum() / mine.sum()).item(), rel=1e-9)
    assert measured[0] != measured[1]


def test_the_penalty_is_the_coefficient_times_the_kl_and_gives_the_leader_no_gradient():
    alg = regulated(
        follower_weight=0.0, leader_weight=0.0, borrowed_weight=0.0, awac_coef=0.0, value_loss_coef=0.0,
        bound_loss_coef=0.0, entropy_coef_scale=0.0, max_grad_norm=1.0e9,
    )  # fmt: skip
    collect(alg)
    prepare(alg, [1])
    alg.regulator.coef.copy_(tensor(3.0, 7.0))
    batch = alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]
    rows = alg.rollout.gather(batch)
    out, leader_mean = alg.policy_update._evaluate(rows)
    loss, _ = alg.policy_update._total_loss(rows, out, leader_mean)
    kl = alg.regulator.measure(alg.rollout)
    rows_per_follower, gradient_rows = 32, 32 * 4
    expected = rows_per_follower * (3.0 * kl[0] + 7.0 * kl[1]) / gradient_rows
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    alg.policy_update.learning_rate.start()
    gradient_step(alg, batch)
    assert not alg.model.embedding.grad[-1].any()
    assert alg.model.embedding.grad[:-1].any()
    assert not alg.model.log_std.grad.any(), "the KL of the means leaves noise alone"


def steps(alg, *kls: float) -> list[float]:
    """Strength after each of some measured KLs, in units of the target."""
    found = []
    for kl in kls:
        alg.regulator.measure = lambda rollout, kl=kl: torch.full((2,), kl * 0.05, dtype=torch.float64)
        alg.regulator.step(alg.rollout, torch.zeros(()), alg.metrics)
        found.append(alg.regulator.strength[0].item())
    return found


def test_the_start_waits_until_the_kl_has_risen_to_the_target():
    """While followers are still alike the coefficient must hardly decay, or it comes too late when they drift apart;
    but it must, or one that begins too strong would hold them below the target for good."""
    alg = regulated()
    waited = [STRENGTH_START * 0.98**i for i in (1, 2, 3)]
    assert steps(alg, 0.5, 0.4, 0.3) == pytest.approx(waited)
    assert alg.regulator.phase.tolist() == [BELOW] * 2
    assert steps(alg, 0.7, 1.01)[-1] > waited[-1]
    assert alg.regulator.phase.tolist() == [RISEN] * 2
    assert steps(alg, 0.2, 0.1, 0.1, 0.1, 0.1)[-1] < STRENGTH_START
    assert steps(alg, *[0.1] * 30)[-1] == STRENGTH_MIN


def test_random_networks_that_begin_above_the_target_have_not_risen_to_it():
    alg = regulated()
    assert alg.regulator.phase.tolist() == [UNSEEN] * 2
    assert steps(alg, 3.0)[0] > STRENGTH_START
    assert alg.regulator.phase.tolist() == [UNSEEN] * 2
    assert steps(alg, 0.9, *[0.5] * 20)[-1] == pytest.approx(STRENGTH_START * 0.98**22)
    assert steps(alg, *[0.5] * 200)[-1] == STRENGTH_MIN


def test_the_coefficient_is_the_strength_over_the_target_at_one_address():
    alg = regulated(0.05)
    address = alg.regulator.coef.data_ptr()
    assert alg.regulator.coef.tolist() == pytest.approx([0.1, 0.1])
    alg.set_hyperparameters({"coupling_target_kl": 0.1})
    assert alg.regulator.coef.tolist() == pytest.approx([0.05, 0.05])
    steps(alg, 4.0)
    assert alg.regulator.coef.data_ptr() == address == alg.policy_update.coupling_coefs.data_ptr()


@pytest.mark.parametrize("bad", [True, False])
def test_a_bad_iteration_changes_nothing(bad):
    """A number that is not finite must not poison the coefficient for good."""
    alg = regulated()
    steps(alg, 0.5, 2.0)
    before = {name: value.clone() for name, value in alg.regulator.state_dict().items()}
    value = 3.0 if bad else math.nan
    alg.regulator.measure = lambda rollout: torch.full((2,), value, dtype=torch.float64)
    alg.regulator.step(alg.rollout, torch.tensor(float(bad)), alg.metrics)
    for name, tensor_before in before.items():
        assert torch.equal(alg.regulator.state_dict()[name], tensor_before), name


@pytest.mark.parametrize("shared", [True, False])
def test_followers_share_a_coefficient_or_have_their_own(shared):
    alg = regulated(coupling_shared=shared)
    alg.regulator.measure = lambda rollout: tensor(0.025, 0.2)
    for _ in range(2):
        alg.regulator.step(alg.rollout, torch.zeros(()), alg.metrics)
    first, second = alg.regulator.coef.tolist()
    assert (first == second) == shared
    assert second > 0.1


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_a_regulated_run_continues_exactly(rnn):
    settings = {"rnn": rnn, "coupling_target_kl": 0.02, "coupling_shared": False}
    straight, env = make_algorithm(NUM_ENVS, **settings), ToyEnv(torch.arange(NUM_ENVS))
    iterate(straight, env, 3)
    buffer = io.BytesIO()
    torch.save(straight.save(), buffer)
    buffer.seek(0)
    middle = ToyEnv(torch.arange(NUM_ENVS))
    middle.restore_from_checkpoint(env.state_for_checkpoint())
    expected = iterate(straight, env, 3)
    resumed = make_algorithm(NUM_ENVS, **settings, seed=7)
    assert resumed.load(torch.load(buffer, weights_only=True))
    assert str(iterate(resumed, middle, 3)) == str(expected)
    assert resumed.regulator.coef.tolist() == straight.regulator.coef.tolist()
    for name, parameter in straight.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], parameter), name


def test_the_regulator_is_optional_in_both_directions():
    with_it, without = make_algorithm(NUM_ENVS, coupling_target_kl=0.1), make_algorithm(NUM_ENVS)
    assert without.load(with_it.save())
    old = without.save()
    del old["regulator"]  # a checkpoint of version 0.1.0
    assert with_it.load(old)
    assert with_it.regulator.strength.tolist() == pytest.approx([STRENGTH_START] * 2)


def test_weights_bring_their_regulator_along():
    donor, taker = (make_algorithm(NUM_ENVS, coupling_target_kl=0.05, seed=seed) for seed in (0, 1))
    iterate(donor, ToyEnv(torch.arange(NUM_ENVS)), 4)
    donor.regulator.strength.fill_(0.5)
    taker.adopt(donor.save())
    assert taker.regulator.strength.tolist() == pytest.approx([0.5] * 2)
    assert taker.regulator.coef.tolist() == pytest.approx([10.0] * 2)


def test_it_is_switched_off_but_not_on():
    with pytest.raises(UserError, match=r"coupling_target_kl=0.1 cannot change in a run without a regulated coupling"):
        make_algorithm(NUM_ENVS).set_hyperparameters({"coupling_target_kl": 0.1})
    alg, env = make_algorithm(NUM_ENVS, coupling_target_kl=0.1), ToyEnv(torch.arange(NUM_ENVS))
    assert {"Ensemble/coupling_kl", "Ensemble/coupling_coef_1", "Loss/kl"} <= iterate(alg, env, 1)[0].keys()
    recorded = alg.policy_update.recorded = RecordedStep(lambda *args: None, torch.device("cpu"))
    recorded._seen[(1,)] = 3
    alg.set_hyperparameters({"coupling_target_kl": 0.0})
    assert recorded._seen == {}
    alg.policy_update.recorded = None
    assert not {"Ensemble/coupling_kl", "Loss/kl"} & iterate(alg, env, 1)[0].keys()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"coupling_target_kl": 0.1, "num_policies": 1, "borrowed_followers": 0},
            "coupling_target_kl=0.1 must be 0 with",
        ),
        ({"coupling_target_kl": 0.1, "kl_coef": 0.2}, "kl_coef=0.2 must be 0 where coupling_target_kl"),
        ({"coupling_target_kl": -0.1}, "coupling_target_kl=-0.1 must not be negative"),
        ({"coupling_kl": "noise"}, "coupling_kl='noise' must be one of means, full"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        build_cfg(EnsembleCfg, values, "algorithm")


def test_noise_stops_at_its_bound():
    """An entropy bonus without measure widens policies without end; the bound holds them, also in a recorded step."""
    alg = make_algorithm(
        NUM_ENVS, entropy_coef=100.0, learning_rate=0.1, learning_rate_schedule="fixed", action_std_max=2.0
    )
    iterate(alg, ToyEnv(torch.arange(NUM_ENVS)), 6)
    assert alg.model.log_std.exp().max().item() == pytest.approx(2.0)
    free = make_algorithm(NUM_ENVS, entropy_coef=100.0, learning_rate=0.1, learning_rate_schedule="fixed")
    iterate(free, ToyEnv(torch.arange(NUM_ENVS)), 6)
    assert free.model.log_std.exp().max().item() > 2.0


def test_a_bound_below_the_initial_noise_is_refused_before_anything_is_built():
    with pytest.raises(UserError, match=r"action_std_max=0.5 must be at least exp\(init_log_std\) = 1\."):
        EnsembleCfg(action_std_max=0.5).validate_noise(0.0)
    EnsembleCfg(action_std_max=1.0).validate_noise(0.0)


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_regulating_reads_the_device_no_more_often(rnn):
    """One transfer per iteration, regulated or not, so that gradient steps can be recorded."""
    reads = []
    for target in (0.0, 0.01):
        alg, found = make_algorithm(NUM_ENVS, rnn=rnn, coupling_target_kl=target), []
        update = alg.update

        def counted(update=update, found=found):
            with HostReads() as counter:
                metrics = update()
            found.append(sum(counter.reads.values()))
            return metrics

        alg.update = counted
        iterate(alg, ToyEnv(torch.arange(NUM_ENVS)), 3)
        reads.append(found)
    assert reads[0] == reads[1]
