# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Viewers are checked before anything starts, with a sentence that says what to do, and listen to this machine only."""

from __future__ import annotations

import types

import pytest

from cpo_lab.cli import main
from cpo_lab.viewing import viewers
from cpo_lab.viewing.viewers import VIEWERS, check_together, configure_viewers, viewers_of
from cpo_rl.errors import UserError


@pytest.fixture
def installed(monkeypatch):
    """A machine with every viewer and a display."""
    monkeypatch.setattr(viewers, "find_spec", lambda name: name)
    monkeypatch.setenv("DISPLAY", ":0")


def test_the_names_are_those_of_isaac_lab():
    from isaaclab.visualizers.visualizer_cfg import _VISUALIZER_TYPES

    assert set(VIEWERS) == set(_VISUALIZER_TYPES)


def test_names_are_read_as_isaac_lab_reads_them(installed):
    assert viewers_of(None) == viewers_of("none") == []
    assert viewers_of("viser,newton_gl") == ["viser", "newton_gl"]
    assert viewers_of("newton, Viser,viser") == ["newton_gl", "viser"]


@pytest.mark.parametrize("names", ["viserr", "", "viser,", "none,viser", "kit viser", "--x"])
def test_unknown_names(installed, names):
    with pytest.raises(UserError, match="is no viewer"):
        viewers_of(names)


def test_the_nearest_name_is_offered(installed):
    with pytest.raises(UserError, match="did you mean 'viser'"):
        viewers_of("visser")


@pytest.mark.parametrize("name", VIEWERS)
def test_what_is_missing_is_named_with_the_line_that_installs_it(monkeypatch, name):
    monkeypatch.setattr(viewers, "find_spec", lambda module: None if module == VIEWERS[name] else module)
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(UserError, match=VIEWERS[name]) as caught:
        viewers_of(name)
    assert ('pip install -e ".[' in str(caught.value)) == (name in viewers.EXTRAS)


def test_every_extra_is_one_of_the_project():
    from importlib.metadata import metadata

    assert set(viewers.EXTRAS.values()) <= set(metadata("cpo-lab").get_all("Provides-Extra") or [])


def test_a_window_needs_a_display(installed, monkeypatch):
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match="no display"):
        viewers_of("newton_gl")
    assert viewers_of("viser") == ["viser"]


def test_kit_wants_the_process_for_itself():
    with pytest.raises(UserError, match="ovphysx"):
        check_together(["kit"], "ovphysx")
    with pytest.raises(UserError, match="newton_rtx"):
        check_together(["kit", "newton_rtx"], "isaacsim_physx")
    check_together(["kit", "viser"], "newton_mjwarp")
    check_together(["viser"], "ovphysx")


@pytest.mark.parametrize("command", ["train", "play"])
def test_commands_refuse_before_they_start(monkeypatch, capsys, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cpo_lab.launch.simulation.simulation", None)
    monkeypatch.setattr(viewers, "find_spec", lambda module: None)
    for names, said in (("kit", "isaacsim"), ("viser", ".[viser]"), ("fancy", "no viewer")):
        assert main([command, "--viz", names]) == 2
        error = capsys.readouterr().err.strip()
        assert said in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["viser", "rerun"])
def test_a_viewer_in_a_browser_listens_to_this_machine_unless_told_otherwise(name):
    other = types.SimpleNamespace(visualizer_type="newton_gl")
    for given, bound in ((None, "127.0.0.1"), ("0.0.0.0", "0.0.0.0")):
        cfg = types.SimpleNamespace(sim=types.SimpleNamespace(visualizer_cfgs=[other]))
        configure_viewers(cfg, ["newton_gl", name], given)
        assert cfg.sim.visualizer_cfgs[0] is other
        assert [(one.visualizer_type, one.bind_address) for one in cfg.sim.visualizer_cfgs[1:]] == [(name, bound)]
    untouched = types.SimpleNamespace(ui_window_class_type=None, sim=types.SimpleNamespace(visualizer_cfgs=None))
    configure_viewers(untouched, ["kit"])
    assert untouched.sim.visualizer_cfgs is None
