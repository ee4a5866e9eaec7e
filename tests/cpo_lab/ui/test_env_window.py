# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The window of an environment in Kit, as the tree of widgets that a stand-in for omni.ui keeps."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from isaaclab.envs import DirectRLEnvCfg, ManagerBasedRLEnvCfg
from isaaclab.utils.string import string_to_callable
from tests.cpo_lab.ui.kit_stand_in import Kit, Node

from cpo_lab.ui.env_window import EnsembleWindow  # before there is a stand-in that Isaac Lab takes for Kit
from cpo_lab.ui.session import ALL, Session
from cpo_lab.viewing.viewers import WINDOWS, configure_viewers


@pytest.fixture
def window(monkeypatch):
    """A window of Isaac Lab's that was built already, with its stacks."""
    kit = Kit({})
    kit.install(monkeypatch)
    ui = kit.modules["omni.ui"]
    made = object.__new__(EnsembleWindow)
    made.ui_window = None
    made.ui_window_elements = {name: ui.VStack() for name in ("main_vstack", "debug_frame", "debug_vstack")}
    made.env = SimpleNamespace(manager_visualizers={})
    return made


def labels(node):
    return [part.text for part in node.walk() if part.kind == "Label"]


def test_it_shows_who_acts_what_each_has_done_and_the_row_of_who_is_shown(window):
    state = Session("Some-Task", 3, np.arange(3))
    frame = window.show_session(state)
    stack = window.ui_window_elements["main_vstack"]
    menu = next(node for node in stack.walk() if node.kind == "ComboBox")
    assert menu.options == (ALL, "follower 0", "follower 1", "leader") and menu.enabled
    menu.model.set_value(3)
    assert state.choice == "leader"
    state.step(state.ids, np.full(3, 0.5), np.array([2.0, 0, 0]), np.array([True, False, False]))
    kl = np.full((3, 3), math.nan)
    kl[2] = (0.25, 0.75, 0.0)
    state.measure(kl)
    frame.refresh()
    shown = labels(stack)
    for text in ("Some-Task", "step 1", "goals", "2", "falls", "1", "0.500", "0.250", "0.750", "?"):
        assert text in shown
    assert "1" in shown and shown.count("?") == 4
    state.choose("follower 1")
    frame.refresh()
    assert menu.model.chosen == 2
    assert Node.stack == []


def test_plots_of_the_ensemble_stand_among_isaac_labs(window, monkeypatch):
    asked = []
    monkeypatch.setattr(type(window), "_visualize_manager", lambda self, **given: asked.append(given), raising=False)
    window.show_session(Session("T", 1, np.zeros(2, dtype=int)))
    assert asked == []
    window.env.manager_visualizers["policies"] = object()
    window.show_session(Session("T", 1, np.zeros(2, dtype=int)))
    assert asked == [{"title": "Policies", "class_name": "policies"}]


@pytest.mark.parametrize("kind", [DirectRLEnvCfg, ManagerBasedRLEnvCfg])
def test_with_kit_the_window_of_an_environment_is_ours_and_extends_isaac_labs(kind):
    stock = str(kind().ui_window_class_type)
    cfg = SimpleNamespace(ui_window_class_type=stock, sim=SimpleNamespace(visualizer_cfgs=None))
    configure_viewers(cfg, ["viser"])
    assert cfg.ui_window_class_type == stock
    configure_viewers(cfg, ["kit"])
    assert cfg.ui_window_class_type == WINDOWS[stock]
    assert issubclass(string_to_callable(cfg.ui_window_class_type), string_to_callable(stock))
    own = SimpleNamespace(ui_window_class_type="mine:Window", sim=cfg.sim)
    configure_viewers(own, ["kit"])
    assert own.ui_window_class_type == "mine:Window"
