# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Weights & Biases with the real package, offline; other writers; and everything that cannot be used, said first."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from rsl_rl.utils import LogWriter
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner

from cpo_rl.errors import UserError
from cpo_rl.runners import online_log
from cpo_rl.runners.online_log import check_logger
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.tables import read_metrics

VARIABLES = ("WANDB_DIR", "WANDB_CONSOLE", "WANDB_MODE", "WANDB_API_KEY", "NEPTUNE_API_TOKEN", "NEPTUNE_USERNAME")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No service is chosen or logged in to; what a test changes is undone."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "to be restored")
        monkeypatch.delenv(variable)


class Told(LogWriter):
    """Remembers what it is told; can fail at everything."""

    made: list[Told] = []  # noqa: RUF012
    fails: tuple[str, ...] = ()

    def __init__(self, log_dir: str, color: str = "") -> None:
        self.log_dir, self.color, self.said = log_dir, color, []
        self._say("init")
        Told.made.append(self)

    def _say(self, *what) -> None:
        self.said.append(what)
        if what[0] in Told.fails:
            raise ConnectionError("the service is away")

    def add_scalar(self, tag, scalar_value, global_step):
        self._say("scalar", tag, global_step)

    def store_config(self, env_cfg, train_cfg):
        self._say("config")

    def save_model(self, model_path, it):
        self._say("model", Path(model_path).name)

    def save_file(self, path):
        self._say("file")

    def stop(self):
        self._say("stop")


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(Told, "made", [])
    monkeypatch.setattr(Told, "fails", ())
    return Told


def train(folder: Path, iterations: int = 2, **cfg):
    runner = make_runner({**ensemble_cfg(), **cfg}, folder)
    runner.learn(iterations)
    return runner


def test_a_writer_of_ones_own_hears_everything_and_stops_after_the_last_checkpoint(tmp_path, told):
    runner = train(tmp_path / "run", logger={"class_name": Told, "color": "red"})
    (writer,) = told.made
    kinds = [what[0] for what in writer.said]
    assert (writer.log_dir, writer.color) == (str(tmp_path / "run"), "red")
    assert kinds[:2] == ["init", "config"] and kinds[-2:] == ["model", "stop"]
    assert ("scalar", "Leader/return", 2) in writer.said
    assert writer.said[-2] == ("model", "model_2.pt")
    assert runner.outcome.exit_code == 0


@pytest.mark.parametrize("fails", ["init", "scalar", "config", "model", "file", "stop"])
def test_whatever_a_service_raises_costs_its_record_only(tmp_path, told, capsys, fails):
    told.fails = (fails,)
    runner = train(tmp_path / "run", logger={"class_name": Told})
    assert (runner.outcome.status, runner.outcome.exit_code) == ("finished", 0)
    assert CheckpointStore(tmp_path / "run").latest().name == "model_2.pt"
    assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == [1, 2]
    if fails != "file":  # only in a checkout with changes is there such a file
        assert "the service is away" in capsys.readouterr().out
    if fails == "init":
        assert list((tmp_path / "run").glob("events.out.tfevents.*")), "TensorBoard takes its place"


def test_weights_and_biases_offline_ends_well_with_its_last_checkpoint(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    runner = train(tmp_path / "run", 4, logger="wandb", wandb_project="tests")
    assert (runner.outcome.status, runner.outcome.exit_code) == ("finished", 0)
    (kept,) = (tmp_path / "run/wandb").glob("offline-run-*")
    last = kept / "files/model_4.pt"
    assert last.read_bytes() == (tmp_path / "run/model_4.pt").read_bytes()
    assert list(kept.glob("*.wandb")) and list((tmp_path / "run").glob("events.out.tfevents.*"))
    assert not Path("wandb").exists(), "its files belong into the run folder"
    log = (tmp_path / "run/run.log").read_text()
    assert "ERROR" not in log and "WARNING" not in log
    # the run goes on, as another one of the service
    again = make_runner({**ensemble_cfg(), "logger": "wandb", "wandb_project": "tests"}, tmp_path / "run")
    assert again.resume()
    again.learn_until(6)
    assert again.outcome.exit_code == 0
    assert len(list((tmp_path / "run/wandb").glob("offline-run-*"))) == 2


@pytest.mark.parametrize("cfg", [{}, {"logger": None}, {"logger": "tensorboard"}, {"logger": {"class_name": Told}}])
def test_what_can_be_used(cfg):
    check_logger(cfg)


def pretend(monkeypatch, *packages):
    """Let only some packages be installed."""
    find = importlib.util.find_spec

    def found(name, *rest):
        return (object() if name in packages else None) if name in ("wandb", "neptune") else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", found)


@pytest.mark.parametrize(
    ("cfg", "packages", "variables", "sentence"),
    [
        ({"logger": "tensorbord"}, (), {}, "'tensorbord' is unknown; did you mean 'tensorboard'"),
        ({"logger": 5}, (), {}, "=5 is unknown"),
        ({"logger": ["wandb"]}, (), {}, "is unknown"),
        ({"logger": "wandb"}, (), {}, "needs the package wandb, which is missing: pip install wandb"),
        ({"logger": "neptune"}, (), {}, "needs the package neptune, which is missing"),
        ({"logger": "wandb", "wandb_project": ""}, ("wandb",), {}, "wandb_project='' must be the name"),
        ({"logger": "wandb", "wandb_project": 3}, ("wandb",), {}, "wandb_project=3 must be the name"),
        ({"logger": "wandb", "wandb_project": "p"}, ("wandb",), {}, "finds no login: run wandb login"),
        ({"logger": "neptune", "neptune_project": "p"}, ("neptune",), {}, "NEPTUNE_API_TOKEN and NEPTUNE_USERNAME"),
        ({"logger": "neptune", "neptune_project": "p"}, ("neptune",), {"NEPTUNE_API_TOKEN": "t"}, "NEPTUNE_USERNAME"),
        ({"logger": {}}, (), {}, "class_name=None cannot be imported"),
        ({"logger": {"class_name": "no.such:Writer"}}, (), {}, "'no.such:Writer' cannot be imported"),
        ({"logger": {"class_name": "os:getcwd"}}, (), {}, "is no rsl_rl.utils.LogWriter"),
        ({"logger": {"class_name": "pathlib:Path"}}, (), {}, "is no rsl_rl.utils.LogWriter"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(monkeypatch, cfg, packages, variables, sentence):
    pretend(monkeypatch, *packages)
    monkeypatch.setattr(online_log, "_knows_wandb", lambda: False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        check_logger(cfg)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_runner_refuses_it_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match="tensorbord"):
        make_runner({**ensemble_cfg(), "logger": "tensorbord"}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("variables", [{"WANDB_MODE": "offline"}, {"WANDB_MODE": "disabled"}, {"WANDB_API_KEY": "k"}])
def test_weights_and_biases_without_a_network_or_with_a_key_needs_no_login(monkeypatch, variables):
    pretend(monkeypatch, "wandb")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    check_logger({"logger": "wandb", "wandb_project": "p"})
    assert "WANDB_DIR" not in os.environ, "checking changes nothing"
