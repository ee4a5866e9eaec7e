# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Random command lines of ``cpo-lab train`` either reach the simulator with sound settings or end in one sentence."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cpo_lab.cli import main, train
from cpo_rl.config import EnsembleCfg, ModelCfg, RunnerOptions
from cpo_rl.fields import build_cfg

TASKS = [
    "CpoLab-Reorient-Cube-Shadow-Direct",
    "CpoLab-Reorient-Cube-Shadow-Direct",
    "Isaac-Cartpole-Direct",
    "CpoLab-X",
    "",
]
ODD = [
    "",
    "None",
    "nan",
    "inf",
    "-1",
    "0",
    "1e9",
    "true",
    "[]",
    "[1]",
    "{}",
    "x",
    "'",
    '"',
    "=",
    "1.5",
    "../..",
    "\u00e9",
    "0x10",
    "[",
    "%",
    "$x",
]
FLAGS: dict[str, list[str]] = {
    "--task": TASKS,
    "--agent": ["cpo", "sapg", "ppo", "rsl_rl_cpo_cfg_entry_point", "dqn", ""],
    "--num_envs": ["6", "12", "256", "258", "7", "0", "-6", "1e2", "many"],
    "--num_policies": ["1", "2", "3", "6", "0", "7", "-1"],
    "--iterations": ["1", "5", "0", "-3", "1e3", "x"],
    "--seed": ["0", "1", "2147483647", "2147483648", "-1", "x"],
    "--device": ["cpu", "cpu", "cuda", "cuda:7", "tpu", ""],
    "--physics": ["ovphysx", "newton_mjwarp", "bullet", ""],
    "--run_name": ["a", "a b", "../x", "", "x" * 300],
    "--resume": ["latest", "best", "nowhere", "auto", ""],
    "--log_root": ["logs", "/proc/none", "a/b/c"],
    "--nmu_envs": ["6"],
    "--seeed": ["1"],
    "--help_me": [""],
}
SETTINGS: dict[str, list[str]] = {
    "agent.algorithm.learning_rate": ["1e-3", "0", "-1"],
    "agent.algorithm.num_policies": ["3", "6", "0", "5"],
    "agent.algorithm.gamma": ["0.9", "1.0", "1.1"],
    "agent.algorithm.num_mini_batches": ["1", "4", "100000", "-1"],
    "agent.algorithm.kl_form": ["sampled", "closed_form", "open"],
    "agent.algorithm.borrowed_followers": ["0", "1", "5", "9"],
    "agent.algorithm.sequence_length": ["1", "2", "8", "3"],
    "agent.algorithm.gama": ["0.9"],
    "agent.model.hidden_dims": ["[16]", "[16,8]", "16", "[]", "[0]"],
    "agent.model.rnn_type": ["lstm", "none", "gru"],
    "agent.model.activation": ["elu", "tanh", "softmax"],
    "agent.num_steps_per_env": ["4", "8", "0", "-1", "7"],
    "agent.save_interval": ["1", "0"],
    "agent.keep_last": ["0", "3", "-1"],
    "agent.progress": ["off", "loud"],
    "agent.max_iterations": ["3", "0"],
    "env.episode_length_s": ["5", "0", "-1"],
    "env.scene.num_envs": ["12", "0", "7"],
    "env.decimation": ["2", "0"],
    "env.nonsense": ["1"],
    "physics": ["ovphysx", "newton_mjwarp", "havok"],
    "presets": ["a,b"],
    "agent": ["1"],
    "nothing": ["1"],
    "pbt.interval_steps": ["1e5", "0", "1.5"],
    "pbt.parameters": ["gamma", "[gamma,clip_param]", "gama"],
}


def random_command(rng: random.Random) -> list[str]:
    """Return the arguments of one command."""
    argv = ["train"]
    for name in rng.sample(list(FLAGS), rng.choice([0, 0, 1, 1, 2])):
        value = rng.choice(ODD) if rng.random() < 0.15 else rng.choice(FLAGS[name])
        argv += [name, value] if rng.random() < 0.8 else [f"{name}={value}"]
    for name in rng.sample(list(SETTINGS), rng.choice([0, 0, 1, 1, 2])):
        value = rng.choice(ODD) if rng.random() < 0.15 else rng.choice(SETTINGS[name])
        argv.append(f"{name}={value}")
    if rng.random() < 0.2:
        members, member = rng.choice(["3", "3", "4", "2", "x"]), rng.choice(["0", "2", "5", "-1"])
        argv += ["--pbt", rng.choice(["W", "V", "/proc/none"]), "--pbt_member", member, "--pbt_members", members]
    if rng.random() < 0.05:
        argv.append(rng.choice(ODD))
    return argv


def check(argv: list[str], capsys: Any) -> str:
    """Run a command up to the start of the simulator; return ``ran`` or ``refused``."""
    status = main(argv)
    output = capsys.readouterr()
    if status == 0:
        return "ran"
    assert status == 2, output
    sentence = output.err.strip()
    assert "\n" not in sentence, sentence
    assert "Traceback" not in sentence
    assert sentence.startswith("cpo-lab: "), sentence
    return "refused"


def run_many(seeds: range, capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from isaaclab.utils import to_dict

    def almost_train(plan: Any) -> int:
        """Make every check that training makes later: none of them may refuse what got this far."""
        resolved = plan.resolved
        cfg = to_dict(resolved.agent_cfg)
        RunnerOptions.from_cfg(cfg)
        build_cfg(ModelCfg, cfg["model"], "model")
        build_cfg(EnsembleCfg, cfg["algorithm"], "algorithm").validate_batch(
            resolved.env_cfg.scene.num_envs, cfg["num_steps_per_env"]
        )
        assert cfg["max_iterations"] >= 1
        return 0

    monkeypatch.setattr(train, "_train", almost_train)
    monkeypatch.chdir(tmp_path)
    results = []
    for seed in seeds:
        argv = random_command(random.Random(seed))
        try:
            results.append(check(argv, capsys))
        except (Exception, SystemExit) as error:
            pytest.fail(f"seed {seed}: {argv}: {type(error).__name__}: {error}")
    counts = {kind: results.count(kind) for kind in ("ran", "refused")}
    assert min(counts.values()) > 0.1 * len(results), counts


def test_100_random_commands(capsys, monkeypatch, tmp_path):
    run_many(range(100), capsys, monkeypatch, tmp_path)


@pytest.mark.slow
def test_1000_random_commands(capsys, monkeypatch, tmp_path):
    run_many(range(1000, 2000), capsys, monkeypatch, tmp_path)
