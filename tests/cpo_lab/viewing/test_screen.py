# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Options of Isaac Lab's launcher reach it from every command that simulates, or are refused in a sentence."""

from __future__ import annotations

import argparse
import contextlib
import os
import types

import pytest
from isaaclab_physx.app import KitLauncher

from cpo_lab.cli import evaluate, main, play, train
from cpo_lab.launch import simulation
from cpo_lab.launch.configuration import Request, Resolved
from cpo_lab.viewing import screen as screen_module
from cpo_lab.viewing import viewers
from cpo_lab.viewing.screen import Screen, screen_of
from cpo_rl.errors import UserError

COMMANDS = {"train": train, "play": play, "evaluate": evaluate}


@pytest.fixture
def installed(monkeypatch):
    """A machine with every viewer, Isaac Sim and a display."""
    for module in (viewers, screen_module):
        monkeypatch.setattr(module, "find_spec", lambda name: name)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("LIVESTREAM", raising=False)


def read(*words, command="train"):
    return screen_of(COMMANDS[command]._parser().parse_known_args(words)[0])


def given(screen, physics="newton_mjwarp"):
    cfg = types.SimpleNamespace(ui_window_class_type=None, sim=types.SimpleNamespace(visualizer_cfgs=None))
    screen.give(cfg, physics)
    return cfg


def test_every_option_of_isaac_labs_launcher_that_we_have_is_one_of_its_own():
    theirs = argparse.ArgumentParser()
    KitLauncher.add_launcher_args(theirs)
    known = {name for action in theirs._actions for name in action.option_strings}
    assert {"--livestream", "--experience", "--kit_args", "--deterministic", "--max_visible_envs", "--viz"} <= known


@pytest.mark.parametrize("command", COMMANDS)
def test_they_reach_the_launcher(installed, command):
    words = ["--viz", "kit,viser", "--headless", "--experience", "a.kit", "--kit_args", "--ext-folder=exts"]
    screen = read(*words, "--deterministic", "--max_visible_envs", "3", command=command)
    given(screen)
    assert screen.arguments("cpu") == {
        "device": "cpu", "visualizer": ["kit", "viser"], "headless": True, "experience": "a.kit",
        "kit_args": "--ext-folder=exts", "deterministic": True, "max_visible_envs": 3,
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_without_options_nothing_is_shown(command):
    screen = read(command=command)
    assert not screen.shows and screen.arguments("cpu") == {"device": "cpu", "visualizer": []}
    given(screen, "ovphysx")


def test_what_the_launcher_is_told_is_what_isaac_lab_gets(monkeypatch):
    told = []

    @contextlib.contextmanager
    def launch(cfg, arguments):
        told.append(arguments)
        yield

    monkeypatch.setattr("isaaclab.app.launch_simulation", launch)
    resolved = Resolved(Request("T", "cpo", "cpu"), "key", types.SimpleNamespace(), types.SimpleNamespace(), [])
    with simulation.simulation(resolved):
        pass
    with simulation.simulation(resolved, Screen(["viser"], launcher={"headless": True}).arguments("cpu")):
        pass
    assert told == [
        {"device": "cpu", "visualizer": []},
        {"device": "cpu", "visualizer": ["viser"], "headless": True},
    ]


def test_streaming_takes_the_viewer_of_isaac_sim(installed, monkeypatch):
    screen = read("--livestream", "2")
    assert screen.viewers == ["kit"] and screen.arguments(None)["livestream"] == 2
    with pytest.raises(UserError, match="ovphysx"):
        given(screen, "ovphysx")
    monkeypatch.setenv("LIVESTREAM", "1")
    assert read("--viz", "viser").arguments(None)["livestream"] == 1
    assert read("--livestream", "0").viewers == []
    monkeypatch.setenv("LIVESTREAM", "yes")
    with pytest.raises(UserError, match="LIVESTREAM='yes'"):
        read()


def test_streaming_without_isaac_sim_is_a_sentence(monkeypatch):
    monkeypatch.setattr(screen_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\.\[isaacsim\]"):
        read("--livestream", "1")


@pytest.mark.parametrize("words", [["--experience", "a.kit"], ["--kit_args", "--a"], ["--deterministic"]])
def test_what_nothing_reads_is_refused_unless_isaac_sims_app_starts(installed, words):
    with pytest.raises(UserError, match="which nothing here starts"):
        given(read(*words))
    given(read(*words), "isaacsim_physx")
    given(read(*words, "--viz", "kit"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max_visible_envs", "3"], "for viewers"),
        (["--headless", "--viz", "newton_gl"], "opens no window"),
        (["--viz", "kit", "--experience", "app.toml"], "must be a .kit file"),
        (["--video_length", "30"], "is for --video"),
        (["--video", "--video_interval", "10", "--video_length", "30"], "overlap"),
    ],
)
def test_what_makes_no_sense_is_refused(installed, words, said):
    with pytest.raises(UserError, match=said):
        read(*words)


def test_mistakes_are_told_before_anything_starts(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("isaaclab.app.launch_simulation", None)
    for words in (["--livestream", "3"], ["--kit_args", "--x"], ["--max_visible_envs", "2"], ["--deterministic"]):
        assert main(["train", "--device", "cpu", *words]) == 2
        error = capsys.readouterr().err.strip()
        assert words[0] in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []


def test_training_is_filmed_by_isaac_labs_recorder(installed, tmp_path):
    cfg = types.SimpleNamespace(
        scene=types.SimpleNamespace(num_envs=24), sim=types.SimpleNamespace(visualizer_cfgs=None), video_recorders=[]
    )
    screen = read("--video", "--video_interval", "500", "--video_length", "100")
    screen.film(cfg, tmp_path / "run", 6)
    (viewer,), (recorder,) = cfg.sim.visualizer_cfgs, cfg.video_recorders
    assert viewer.headless and viewer.visible_env_indices == [20, 21, 22, 23]
    assert (recorder.video_interval, recorder.video_length) == (500, 100)
    assert recorder.output_dir == str(tmp_path / "run/videos/train")
    assert screen.arguments("cpu")["visualizer"] == ["newton_gl"] and screen.shows
    assert "DISPLAY" not in os.environ
    cfg.sim.visualizer_cfgs = None
    read().film(cfg, tmp_path, 6)
    assert cfg.sim.visualizer_cfgs is None


def test_one_of_several_processes_films(installed, monkeypatch, tmp_path):
    """All have the same run folder, and would write the same files into it."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    films = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        plan = train.make_plan(["--device", "cpu", "--video", "--log_dir", "run"])
        films.append(plan.screen.video is not None and plan.screen.shows)
    assert films == [True, False]
