# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Studies as files: what they mean, and what is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpo_lab.cli import main
from cpo_lab.jobs.record import Record
from cpo_lab.jobs.study import read_study
from cpo_lab.jobs.study_check import Planned, check_budgets, check_folders
from cpo_rl.errors import UserError
from cpo_rl.runs.folder import RunFolder

PLAIN = {"tasks": ["T-A", "T-B"], "agents": ["cpo", "ppo"], "seeds": 2, "iterations": 10}


def written(place: Path, **fields) -> str:
    file = place / "study.yaml"
    content = {name: value for name, value in {**PLAIN, **fields}.items() if value is not ...}
    file.write_text(json.dumps(content))
    return str(file)


def test_every_combination_once_and_all_first_seeds_first(tmp_path):
    study = read_study(written(tmp_path, variants={"base": [], "short": ["env.episode_length_s=5"]}))
    assert len(study.runs) == 16 == len({run.name for run in study.runs})
    assert [run.seed for run in study.runs] == [1] * 8 + [2] * 8
    assert study.runs[1].name == "T-A_cpo_short_seed1"
    assert study.runs[1].arguments == ("--task", "T-A", "--agent", "cpo", "--seed=1", "env.episode_length_s=5")
    assert study.folder == Path("logs/rsl_rl/study").absolute()


def test_what_a_task_says_wins_and_settings_add_up(tmp_path):
    study = read_study(
        written(
            tmp_path, tasks={"CpoLab-X-Direct": {"env_steps": "1e6", "num_envs": 96, "settings": ["env.a=1"]},
                             "T": None},
            agents={"cpo": ["agent.algorithm.awac_coef=0.002"], "ppo": None}, settings=["env.b=2"], num_envs=12,
            device="cpu", seeds=[7, 3],
        )
    )  # fmt: skip
    first, second = study.runs[0], study.runs[2]
    assert first.name == "X_cpo_seed7" and first.seed == 7
    assert (first.env_steps, first.iterations) == (1_000_000, None)
    assert first.arguments[5:] == (
        "--num_envs=96", "--device=cpu", "env.b=2", "env.a=1", "agent.algorithm.awac_coef=0.002",
    )  # fmt: skip
    assert (second.iterations, second.env_steps) == (10, None)
    assert "--num_envs=12" in second.arguments


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"seeds": 0}, "seeds must be a list, or a number of seeds from 1"),
        ({"seeds": []}, "seeds must be a number of seeds or a list"),
        ({"seeds": [1, 2, 1]}, "seeds names 1 twice"),
        ({"seeds": [1, -2]}, "a list of integers from 0"),
        ({"seeds": [True]}, "a list of integers from 0"),
        ({"seeds": ...}, "seeds is missing"),
        ({"tasks": ...}, "tasks is missing"),
        ({"tasks": []}, "tasks must be a list of names"),
        ({"tasks": "T"}, "tasks must be a list of names"),
        ({"tasks": ["T", "T"]}, "tasks must name each one once"),
        ({"agents": ["cpo/../x"]}, "a name has letters"),
        ({"agent": ["cpo"]}, "agent is unknown; did you mean 'agents'?"),
        ({"iterations": 0}, "iterations must be a positive integer"),
        ({"iterations": 1.5}, "iterations must be a positive integer"),
        ({"iterations": ...}, "needs a length"),
        ({"env_steps": 5}, "give iterations or env_steps, one of them"),
        ({"iterations": ..., "env_steps": "many"}, "env_steps must be a positive number of steps"),
        ({"iterations": ..., "env_steps": 0.5}, "env_steps must be a positive number of steps"),
        ({"settings": ["fast"]}, "settings: Cannot read 'fast'"),
        ({"settings": "env.a=1"}, "settings must be a list of settings"),
        ({"variants": {"a": ["env.x"]}}, "variants.a: Cannot read 'env.x'"),
        ({"variants": {"a": 3}}, "variants.a must be a list of settings"),
        ({"variants": ["a"]}, "variants must be names with a list"),
        ({"tasks": {"T": {"num_env": 3}}}, "tasks.T.num_env is unknown; did you mean 'num_envs'?"),
        ({"tasks": {"T": 3}}, "tasks.T must be fields with values"),
        ({"tasks": ["A-b", "A b"]}, "make two runs called"),
        ({"retries": -1}, "retries must be an integer from 0"),
        ({"command": []}, "command must be a program"),
        ({"unequal_budgets": 1}, "unequal_budgets must be true or false"),
        ({"name": "a/b"}, "name must be letters"),
        ({"seeds": 10_000}, "more than 10000 runs"),
    ],
)
def test_a_wrong_study_is_one_sentence(tmp_path, monkeypatch, capsys, fields, part):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", written(tmp_path, **fields)]) == 2
    said = capsys.readouterr().err.strip()
    assert part in said and "\n" not in said and said.startswith("cpo-lab: Study field")
    assert [file.name for file in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "tasks: &a [*a]", "x: !!python/object/apply:os.system ['true']"])
def test_a_file_that_is_no_study_is_one_sentence(tmp_path, monkeypatch, capsys, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(text)
    assert main(["sweep", "study.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["sweep", "nowhere.yaml"]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--launcher", "pbs"], "invalid choice: 'pbs'"),
        (["--time", "1:00:00"], "--time means nothing to --launcher local"),
        (["--launcher", "slurm", "--time", "soon"], "--time 'soon' must be"),
        (["--launcher", "slurm", "--slurm", "account"], "--slurm 'account' must be KEY=VALUE"),
        (["--launcher", "slurm", "--ray_address", "auto"], "--ray_address means nothing to --launcher slurm"),
        (["--launcher", "ray", "--ray_address", "here"], "must be HOST:PORT"),
        (["--launcher", "slurm", "--gpus_per_run", "0.5"], "must be an integer"),
        (["--launcher", "slurm", "--gpus_per_run", "inf"], "must be an integer"),
        (["--launcher", "ray", "--gpus_per_run", "1.5"], "must be an integer"),
        (["--at_once", "0"], "--at_once 0 must be at least 1"),
        (["--retries", "-1"], "--retries -1 must be at least 0"),
        (["--devices", "tpu"], "Unknown --device 'tpu'"),
        (["--live"], "belong to --status"),
        (["--status", "--dry_run"], "give one of them"),
        (["--status"], "nothing was started yet"),
        (["--dry_run", "--launher", "ray"], "did you mean --launcher"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, command=["true"], folder=str(tmp_path / "runs"))
    if "here" in arguments:
        pytest.importorskip("ray")
    assert main(["sweep", file, *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert part in said and "\n" not in said


def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for module in ("submitit", "ray"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    file = written(tmp_path, command=["true"], folder=str(tmp_path / "runs"))
    for launcher, package in (("slurm", "submitit"), ("ray", "ray[tune]")):
        assert main(["sweep", file, "--launcher", launcher]) == 2
        said = capsys.readouterr().err
        assert package in said and f"extra: {launcher}" in said


def test_steps_for_another_program_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", written(tmp_path, iterations=..., env_steps=100, command=["true"])]) == 2
    assert "with a command of your own give iterations" in capsys.readouterr().err


# -- budgets and folders -----------------------------------------------------------------------------------------------


def test_unequal_budgets_are_refused_by_name(tmp_path):
    study = read_study(written(tmp_path, tasks=["T"]))
    equal = {run.name: Planned(100, 12) for run in study.runs}
    check_budgets(study, equal)
    check_budgets(study, {**equal, "T_ppo_seed1": Planned(33, 36)})  # 1188 steps: less than an iteration off
    with pytest.raises(UserError, match=r"T_cpo_seed1 1,200 and T_ppo_seed2 1,320 steps"):
        check_budgets(study, {**equal, "T_ppo_seed2": Planned(110, 12)})
    with pytest.raises(UserError, match="100 and T_ppo_seed2 101 iterations"):
        check_budgets(study, {run.name: Planned(100 + (run.name == "T_ppo_seed2")) for run in study.runs})
    unequal = read_study(written(tmp_path, tasks=["T"], unequal_budgets=True))
    check_budgets(unequal, {run.name: Planned(10 + run.seed, 12) for run in unequal.runs})


def test_two_tasks_may_have_different_budgets(tmp_path):
    study = read_study(written(tmp_path))
    check_budgets(study, {run.name: Planned(100 if run.task == "T-A" else 7, 12) for run in study.runs})


@pytest.mark.parametrize(
    ("later", "part"),
    [
        ({"settings": ["env.a=2"]}, "the study is now without env.a=1, with env.a=2"),
        ({"iterations": 4}, "its run has 5 iterations and the study says 4"),
        ({"num_envs": 12}, "with --num_envs=12"),
        ({"iterations": 20}, None),
        ({"seeds": 5}, None),
    ],
)
def test_an_incompatible_folder_is_named(tmp_path, later, part):
    fields = {"settings": ["env.a=1"], "folder": str(tmp_path / "runs")}
    study = read_study(written(tmp_path, **fields))
    (tmp_path / "runs").mkdir()
    record = Record(study.folder)
    first = study.runs[0]
    record.note_arguments(first.name, first.arguments)
    RunFolder.create(study.folder / first.name, task=first.task, seed=first.seed, iteration=5)
    changed = read_study(written(tmp_path, **{**fields, **later}))
    plan = {run.name: Planned(run.iterations) for run in changed.runs}
    if part is None:
        check_folders(changed, plan, record)
        return
    with pytest.raises(UserError) as caught:
        check_folders(changed, plan, record)
    assert part in str(caught.value) and f"{first.name}' is incompatible" in str(caught.value)


def test_somebody_elses_run_is_not_taken_over(tmp_path):
    study = read_study(written(tmp_path, folder=str(tmp_path / "runs")))
    RunFolder.create(study.folder / study.runs[0].name, task="Other", seed=9)
    plan = {run.name: Planned(10) for run in study.runs}
    with pytest.raises(UserError, match="its task is Other, not T-A"):
        check_folders(study, plan, Record(study.folder))
