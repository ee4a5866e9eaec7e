# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The state behind the panels of viewers, what fills it, and what every panel makes of it."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.cpo_lab.report.synthetic_runs import write_run

from cpo_lab.ui import live as live_module
from cpo_lab.ui.imgui_panel import ImguiPanel, to_screen
from cpo_lab.ui.live import Live, plots
from cpo_lab.ui.places import Places, goals_of, overview
from cpo_lab.ui.session import ALL, STARTED, Session, blocks, number
from cpo_lab.ui.state import RunReader
from cpo_lab.ui.viser_page import tables_html
from cpo_rl.contracts import Environment
from cpo_rl.formulas import gaussian

M, N = 3, 6
NAMES = ["follower 0", "follower 1", "leader"]


def session(ids=(0, 0, 1, 1, 2, 2), **given):
    return Session("Task", M, np.array(ids), **given)


# -- who acts ----------------------------------------------------------------------------------------------------------


def test_all_side_by_side_one_for_all_or_as_it_was_started():
    state = session()
    assert state.options == [ALL, *NAMES] and state.choice == ALL
    assert state.names == ["follower 0", "follower 0", "follower 1", "follower 1", "leader", "leader"]
    state.choose("leader")
    assert state.names == ["leader"] * N and state.acting == [2]
    state.choose("nobody")
    assert state.choice == "leader"
    assert session([1] * N).choice == "follower 1"
    some = session([0, 0, 0, 1, 1, 1])
    assert some.choice == STARTED and some.acting == [0, 1] and some.options[-1] == STARTED


def test_while_training_nobody_else_can_be_chosen(tmp_path):
    folder = write_run(tmp_path, "cpo")
    state = session(run=RunReader(folder, "cpo"))
    assert state.options == [ALL]
    assert state.table() == {} and state.kl is None
    assert state.look() and not state.look()  # not again at once
    seen = RunReader(folder, "cpo").read()
    assert state.table() == seen.table() and np.array_equal(state.kl, seen.kl)
    assert state.heading == seen.heading and seen.progress in state.progress


# -- what they achieve -------------------------------------------------------------------------------------------------


def test_goals_falls_and_rewards_are_those_of_who_acted():
    state = session()
    goals, falls = np.array([1.0, 0, 0, 2, 0, 0]), np.array([False, False, False, False, True, True])
    state.step(state.ids, np.arange(6.0), goals, falls)
    assert state.table() == {"goals": [1, 2, 0], "falls": [0, 0, 2], "reward": [0.5, 2.5, 4.5]}
    state.choose("follower 1")
    state.step(state.ids, np.full(6, 10.0), goals, falls)
    assert state.table() == {"goals": [1, 5, 0], "falls": [0, 2, 2], "reward": [0.5, (2 + 3 + 60) / 8, 4.5]}
    assert state.progress == "step 2"


def test_who_has_not_acted_has_no_numbers_and_a_task_without_goals_no_column():
    state = session([2] * N)
    state.step(state.ids, np.zeros(N), None, None)
    assert state.table() == {"falls": [None, None, 0], "reward": [None, None, 0.0]}
    assert [number(value) for value in (None, 3, 0.25)] == ["-", "3", "0.250"]


def test_blocks_are_those_of_a_rollout():
    assert blocks([0, 1, 2], 7).tolist() == [0, 0, 0, 1, 1, 2, 2]


# -- a running environment ---------------------------------------------------------------------------------------------


class Sim:
    """What a session asks of Isaac Lab's simulation."""

    def __init__(self, viewers=()):
        self.visualizers, self.camera, self.callbacks, self.asked = list(viewers), None, {}, False
        self.vis_marker_registry, self.groups = SimpleNamespace(get_groups=lambda: self.groups), {}

    def set_camera_view(self, eye, target):
        self.camera = eye, target

    def add_render_callback(self, name, fn, order=0):
        self.callbacks[name] = fn

    def consume_reset_request(self):
        asked, self.asked = self.asked, False
        return asked


class Viewer:
    """A viewer that only plots."""

    def __init__(self, kind="rerun", shown=None):
        self.cfg, self.shown, self.plotted = SimpleNamespace(visualizer_type=kind), shown, None

    def get_visualized_env_ids(self):
        return self.shown

    def add_live_plots(self, managers, scalars=None, **more):
        self.plotted = scalars


def environment(*viewers):
    origins = torch.tensor([[float(i % 3), float(i // 3), 0.0] for i in range(N)])
    env = SimpleNamespace(
        device="cpu",
        num_envs=N,
        sim=Sim(viewers),
        scene=SimpleNamespace(env_origins=origins),
        cfg=SimpleNamespace(camera_eye=(0.0, -1.0, 1.5), camera_lookat=(0.0, 0.0, 0.5), scene=SimpleNamespace()),
        reward_buf=torch.arange(6.0),
        successes=torch.tensor([1.0, 3, 0, 0, 5, 5]),
    )
    env.unwrapped = env
    stock = {"episode": {"mean_reward": lambda: 0.0}}
    env.setup_direct_visualizers = lambda: [viewer.add_live_plots({}, scalars=stock) for viewer in viewers]
    return env


class Model:
    """Means that differ by the policy's number."""

    is_recurrent = False
    log_std = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, -0.5]])

    def __call__(self, observations, ids):
        return observations + ids.unsqueeze(1)


def counted(done=(), goals=None, falls=None):
    flags = torch.zeros(N, dtype=torch.bool)
    flags[list(done)] = True
    ends = None if falls is None else SimpleNamespace(fall=torch.tensor(falls))
    return SimpleNamespace(rewards=torch.ones(N), done=flags, goals=goals, ends=ends)


def test_kl_is_measured_where_somebody_acts():
    live = Live(environment(), session(), Model())
    seen = torch.randn(N, 2)
    live.cast()
    live.after_step(counted(), seen)
    kl = live.session.kl
    for row in range(M):
        for column in range(M):
            expected = gaussian.kl(
                torch.full((2,), float(row)), Model.log_std[row], torch.full((2,), float(column)), Model.log_std[column]
            )
            assert kl[row, column] == pytest.approx(float(expected), abs=1e-5)
    live.session.choose("leader")
    live.session.steps = 15
    live.cast()
    live.after_step(counted(), seen)
    assert np.isnan(live.session.kl[:2]).all() and np.isfinite(live.session.kl[2]).all()


def test_recurrent_policies_have_no_kl_here():
    model = Model()
    model.is_recurrent = True
    live = Live(environment(), session(), model)
    live.after_step(counted(), torch.zeros(N, 2))
    assert live.session.kl is None


def test_an_episode_of_two_policies_counts_for_none():
    live = Live(environment(), session(), Model())
    see = torch.zeros(N, 2)
    live.cast()
    assert live.after_step(counted([0]), see).nonzero().flatten().tolist() == [0]
    live.session.choose("leader")
    assert live.cast().tolist() == [2] * N
    assert live.after_step(counted([0, 4]), see).nonzero().flatten().tolist() == [4]  # the leader acted in 4 before
    live.cast()
    assert live.after_step(counted([0, 1]), see).nonzero().flatten().tolist() == [0]


def test_a_reset_by_hand_is_no_fall_and_ends_no_episode():
    live = Live(environment(), session(), Model())
    live._env.sim.asked = True
    assert live._env.sim.consume_reset_request()
    live.cast()
    assert not live.after_step(counted(range(N), falls=[True] * N), torch.zeros(N, 2)).any()
    assert live.session.table()["falls"] == [0, 0, 0]
    assert live.after_step(counted([1], falls=[False, True, False, False, False, False]), torch.zeros(N, 2)).any()
    assert live.session.table()["falls"] == [1, 0, 0]


def test_every_viewer_plots_the_policies_besides_its_own_and_has_the_camera():
    viewers = [Viewer(), Viewer("kit")]
    env = environment(*viewers)
    Live(env, session())
    for viewer in viewers:
        assert list(viewer.plotted) == ["policies", "episode"]
        assert "add_live_plots" not in vars(viewer)
    eye, target = env.sim.camera
    assert target == pytest.approx((1.0, 0.5, 0.5))
    assert eye[1] < -0.5 and eye[2] > target[2]


def test_what_is_plotted_follows_who_acts():
    env, state = environment(), session()
    lines = plots(env, Environment(env), state)
    values = {name: line() for name, line in lines.items()}
    assert [values[f"reward per step (leader is [2])[{i}]"] for i in range(M)] == [0.5, 2.5, 4.5]
    assert [values[f"goals in the running episode (leader is [2])[{i}]"] for i in range(M)] == [2.0, 0.0, 5.0]
    assert math.isnan(values["KL to the leader [nat][0]"])
    state.choose("follower 0")
    state.measure(np.array([[0, 1, 2.0], [0, 0, 0], [0, 0, 0]]))
    assert lines["reward per step (leader is [2])[0]"]() == 2.5
    assert math.isnan(lines["reward per step (leader is [2])[2]"]())
    assert lines["KL to the leader [nat][0]"]() == 2.0
    # Isaac Lab's viewers make one chart of what differs in the number in brackets
    from isaaclab_visualizers.newton.newton_visualizer import _newton_scalar_base_name

    assert len({_newton_scalar_base_name(name) for name in lines}) == 3


def test_panels_are_looked_after_a_few_times_a_second(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(live_module.time, "monotonic", lambda: clock[0])
    env = environment()
    live = Live(env, session())
    face = SimpleNamespace(count=0)
    face.refresh = lambda goals: setattr(face, "count", face.count + 1)
    live.faces.append(face)
    for _ in range(10):
        clock[0] += 0.1
        env.sim.callbacks["cpo_lab"](None)
    assert face.count == 3


# -- places and panels -------------------------------------------------------------------------------------------------


def test_names_stand_over_the_environments_that_a_viewer_shows():
    filming, watched = Viewer(shown=[0]), Viewer(shown=[1, 4])
    filming.cfg.headless = True
    env = environment(filming, watched)
    places = Places.of(env, np.arange(N))
    assert places.indices == [1, 4]
    assert places.points[:, :2].tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert (places.points[:, 2] > 0.5).all()
    assert Places.of(environment(), np.arange(N)).indices == list(range(N))


def test_of_many_environments_each_policys_first_are_named_and_the_camera_looks_at_the_leaders():
    env = environment()
    env.num_envs = 3000
    env.scene.env_origins = torch.zeros(3000, 3)
    places = Places.of(env, blocks([0, 1, 2], 3000))
    assert places.indices == [*range(21), *range(1000, 1021), *range(2000, 2021)]
    assert places.focus == [2000, 2001, 2002, 2003]


def test_goals_are_named_where_they_are_drawn():
    env = environment()
    assert goals_of(env, [0]) is None
    parts = torch.arange(2 * 3.0 * N).reshape(2 * N, 3)  # two of each goal
    groups = {"a": ("/Visuals/Frame", parts + 9.0), "b": ("/Visuals/Goal", parts)}
    env.sim.groups = {
        name: SimpleNamespace(cfg=SimpleNamespace(prim_path=path), translations=drawn)
        for name, (path, drawn) in groups.items()
    }
    assert goals_of(env, [0, 2]).tolist() == [[1.5, 2.5, 3.5], [13.5, 14.5, 15.5]]


def test_the_camera_of_one_environment_stays_the_tasks():
    eye, target = overview(environment(), [4])
    towards, own = np.subtract(eye, target), np.array([0.0, -1.0, 1.0])
    assert target == pytest.approx((1.0, 1.0, 0.5))
    assert towards / np.linalg.norm(towards) == pytest.approx(own / np.linalg.norm(own))


def test_a_name_is_drawn_where_newtons_camera_sees_its_place():
    from newton._src.viewer.camera import Camera

    camera = Camera(fov=60.0, near=0.01, far=100.0, width=1600, height=900, up_axis="Z")
    from pyglet.math import Vec3

    camera.pos = Vec3(0.0, -5.0, 2.0)
    camera.look_at((0.0, 0.0, 1.0))
    shares = to_screen(camera, np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, -9.0, 1.0]]))
    assert shares[0] == pytest.approx((0.5, 0.5), abs=1e-3)
    assert shares[1][0] > 0.55 and shares[2][1] < 0.45
    assert np.isnan(shares[3]).all()


def measured():
    state = session()
    state.step(state.ids, np.arange(6.0), np.ones(6), None)
    state.measure(np.array([[0, 0.1, 0.2], [math.nan] * 3, [0.3, 1.5, 0]]))
    return state


def test_the_page_shows_the_numbers_of_the_session_and_escapes_names():
    state = measured()
    text = tables_html(state)
    kl = re.findall(r'<table class="kl">.*?</table>', text)[0]
    assert re.findall(r'[0-9a-f]">([\d.]+)</td>', kl) == ["0.1", "0.2", "0.3", "1.5"]
    assert kl.count("<td>-</td>") == 2
    rows = re.findall(r"<tr>(.*?)</tr>", text.split('class="kl"')[0])
    assert [re.findall(r"<td>(.*?)</td>", row) for row in rows[1:]] == [
        ["2", "0", value] for value in ("0.500", "2.50", "4.50")
    ]
    state.policies[0] = "<b>"
    assert "<b>" not in tables_html(state)


class Imgui:
    """Records what a panel draws; the combo answers with what was chosen."""

    def __init__(self, chosen=None):
        self.texts, self.chosen, self.named = [], chosen, []

    def __getattr__(self, name):
        from imgui_bundle import imgui

        if name in ("Cond_", "TableBgTarget_", "TableColumnFlags_", "ColorEditFlags_", "ImVec2"):
            return getattr(imgui, name)
        assert hasattr(imgui, name), f"imgui has no {name}"
        return {
            "get_io": lambda: SimpleNamespace(display_size=imgui.ImVec2(1600, 900)),
            "begin": lambda *_: True,
            "begin_table": lambda *_: True,
            "combo": self._combo,
            "calc_text_size": lambda text: imgui.ImVec2(7 * len(text), 14),
            "get_background_draw_list": lambda: self,
            "add_text": lambda at, color, text: self.named.append(text),
            "text": self.texts.append,
            "text_disabled": self.texts.append,
            "text_wrapped": self.texts.append,
            "text_colored": lambda color, text: self.texts.append(text),
            "get_text_line_height": lambda: 14.0,
        }.get(name, lambda *_: None)

    add_text = property(lambda self: lambda at, color, text: self.named.append(text))
    add_rect_filled = add_circle_filled = property(lambda self: lambda *_: None)

    def _combo(self, label, current, items):
        return (False, current) if self.chosen is None else (True, items.index(self.chosen))


def test_the_window_has_the_same_panel(monkeypatch):
    state, registered = measured(), []
    ui = SimpleNamespace(dpi_scale=1.0)
    viewer = SimpleNamespace(
        _viewer=SimpleNamespace(camera=None, gui=SimpleNamespace(ui=ui)),
        register_ui_callback=lambda fn, position: registered.append((fn, position)),
    )
    monkeypatch.setattr("cpo_lab.ui.imgui_panel.to_screen", lambda camera, points: np.full((len(points), 2), 0.5))
    panel = ImguiPanel(viewer, state, Places([0, 2, 4], np.zeros((3, 3)), [0]))
    (draw, position), imgui = registered[0], Imgui(chosen="leader")
    assert position == "free"
    draw(imgui)
    assert imgui.named == NAMES
    assert state.choice == "leader"
    for text in ("Task", "step 1", "goals", "reward", "0.500", "1.5", "0.1", *NAMES):
        assert text in imgui.texts
    again = Imgui()
    panel.refresh(np.zeros((3, 3)))
    draw(again)
    assert again.named == ["leader"] * 3 + ["goal"] * 3
