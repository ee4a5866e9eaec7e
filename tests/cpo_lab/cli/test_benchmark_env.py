# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab benchmark env``: the split of a step's time, the table and the files; one real point with an engine."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from cpo_lab.cli import benchmark_env, main
from cpo_rl.errors import UserError

CPU = torch.device("cpu")


def point(task: str, physics: str, num_envs: int, rate: float) -> dict:
    return {
        "task": f"CpoLab-{task}-Direct", "physics": physics, "num_envs": num_envs, "env_steps_per_s": rate,
        "ms_per_step": 1e3 * num_envs / rate, "split_ms": {"physics": 6.0, "task": 3.0, "rest": 1.0},
        "split_total_ms": 10.0, "build_s": 2.0, "peak_memory_mib": 1000.0,
    }  # fmt: skip


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


class Env:
    """An environment whose parts take known times; its reset steps the engine, as real ones do."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sim = SimpleNamespace(step=lambda: clock.spend(20.0))
        self.scene = SimpleNamespace(write_data_to_sim=lambda: clock.spend(2.0), update=lambda: clock.spend(1.0))

    def _pre_physics_step(self) -> None:
        self.clock.spend(10.0)

    def _reset_idx(self) -> None:
        self.sim.step()

    def _apply_action(self) -> None: ...
    def _get_dones(self) -> None: ...
    def _get_rewards(self) -> None: ...
    def _get_observations(self) -> None: ...

    def step(self) -> float:
        start = self.clock.now
        self._pre_physics_step()
        self.scene.write_data_to_sim()
        self.sim.step()
        self.scene.update()
        self._reset_idx()
        self.clock.spend(5.0)
        return self.clock.now - start


def test_every_moment_counts_once_and_a_nested_call_for_its_caller(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(benchmark_env, "time", clock)
    env = Env(clock)
    split, whole = benchmark_env._split(env, env.step, CPU)
    # the engine's step that the reset makes is the reset's, and so the task's
    assert split == {"physics": 23.0, "task": 30.0, "rest": 5.0}
    assert whole == 58.0


def test_the_tables_show_shares_and_failures_in_80_columns():
    failed = {"task": "CpoLab-B-Direct", "physics": "newton_mjwarp", "num_envs": 6, "error": "Traceback\nno memory"}
    large = {**point("A", "newton_mjwarp", 24576, 1234567.0), "peak_memory_mib": 81559.0, "build_s": 120.0}
    console = Console(width=80, record=True)
    for table in benchmark_env._tables([point("A", "ovphysx", 64, 6400.0), large, failed]):
        console.print(table)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for shown in ("6,400", "60 %", "30 %", "10 %", "1,234,567", "24,576", "81,559", "newton_mjwarp", "failed"):
        assert shown in text


def test_the_plot_has_a_panel_per_engine(tmp_path):
    points = [point(task, engine, n, 100.0 * n) for task in "AB" for engine in ("one", "two") for n in (64, 256)]
    benchmark_env._write(tmp_path / "deep" / "rates.json", tmp_path / "deep" / "rates.svg", points)
    assert json.loads((tmp_path / "deep/rates.json").read_text()) == points
    assert (tmp_path / "deep/rates.svg").read_text().count('<g id="axes_') == 2


def test_a_benchmark_in_which_everything_failed_is_still_written(tmp_path):
    benchmark_env._write(
        tmp_path / "rates.json", tmp_path / "rates.svg", [{"task": "A", "physics": None, "num_envs": 1, "error": "no"}]
    )
    assert (tmp_path / "rates.svg").exists()


def test_a_mistake_is_told_before_anything_is_measured(capsys):
    assert main(["benchmark", "env", "--task", "CpoLab-Reorient-Cube-Shadw-Direct"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_every_combination_is_checked_before_the_first_is_measured(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark_env, "_in_own_process", lambda *args: pytest.fail("something was measured"))
    assert main(["benchmark", "env", "--device", "cpu", "--physics", "ovphysx", "bullet", "--num_envs", "6"]) == 2
    assert "Unknown physics 'bullet'" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["benchmark", "env", "--device", "cpu", "--output", "file/rates"]) == 2
    assert "--output" in capsys.readouterr().err


def test_a_failed_point_is_explained_and_told_by_the_status(capsys, monkeypatch):
    def fail(args, settings, task, physics, num_envs):
        return {"task": task, "physics": physics, "num_envs": num_envs, "error": "Traceback\nout of memory"}

    monkeypatch.setattr(benchmark_env, "_in_own_process", fail)
    assert main(["benchmark", "env", "--device", "cpu", "--num_envs", "6"]) == 1
    assert "out of memory" in capsys.readouterr().out


def test_a_wrong_number_is_one_sentence(capsys):
    assert main(["benchmark", "env", "--num_envs", "many"]) == 2
    assert "--num_envs: must be a positive integer, not 'many'" in capsys.readouterr().err


def test_settings_reach_our_task_and_mistakes_in_them_are_told(capsys, monkeypatch):
    assert main(["benchmark", "env", "env.object_shap=egg", "--num_envs", "6", "--device", "cpu"]) == 2
    assert "did you mean 'object_shape'?" in capsys.readouterr().err
    args = benchmark_env._parser().parse_args(["--num_envs", "6", "--device", "cpu"])
    task = "CpoLab-Reorient-Cube-Shadow-Direct"
    assert benchmark_env._resolve(args, ["env.object_shape=egg"], task, None, 6).env_cfg.object_shape == "egg"


def test_isaac_labs_own_task_needs_its_files(capsys, monkeypatch, tmp_path):
    """Without them it is told before anything is measured; with them the configuration is Isaac Lab's."""
    from cpo_lab.assets import availability

    monkeypatch.setattr(availability, "why_missing", lambda path: "no network")
    task = "Isaac-Reorient-Cube-Shadow-Direct"
    assert main(["benchmark", "env", "--task", task, "--num_envs", "6", "--device", "cpu"]) == 2
    assert "cannot be had: no network; set ISAACSIM_ASSET_ROOT" in capsys.readouterr().err
    monkeypatch.setattr(availability, "why_missing", lambda path: None)
    args = benchmark_env._parser().parse_args(["--num_envs", "6", "--device", "cpu"])
    resolved = benchmark_env._resolve(args, [], task, None, 6)
    assert (resolved.env_cfg.scene.num_envs, resolved.env_cfg.sim.device) == (6, "cpu")
    assert resolved.env_cfg.observation_space == 157
    with pytest.raises(UserError, match="did you mean 'Isaac-Reorient-Cube-Shadow-Direct'"):
        benchmark_env._resolve(args, [], "Isaac-Reorient-Cube-Shadw-Direct", None, 6)


@pytest.mark.sim
@pytest.mark.slow
def test_one_real_point(tmp_path):
    output = tmp_path / "rates"
    arguments = ["--num_envs", "6", "--physics", "ovphysx", "--device", "cpu", "--steps", "5", "--warmup", "2"]
    assert main(["benchmark", "env", *arguments, "--output", str(output)]) == 0
    (measured,) = json.loads(output.with_suffix(".json").read_text())
    assert measured["env_steps_per_s"] == pytest.approx(1e3 * 6 / measured["ms_per_step"])
    assert sum(measured["split_ms"].values()) == pytest.approx(measured["split_total_ms"])
    assert all(value > 0.0 for value in measured["split_ms"].values())
