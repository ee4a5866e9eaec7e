# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The Kit extension with a stand-in for Kit: the run's numbers, refreshed from Kit's loop, cleanly ended."""

from __future__ import annotations

import time

import pytest
from tests.cpo_lab.report.synthetic_runs import write_run
from tests.cpo_lab.ui.kit_stand_in import Kit, Node, omni_ui
from tests.cpo_lab.ui.test_state import append

from cpo_rl.formatting import format_number
from cpo_rl.runs.tables import read_metrics


@pytest.fixture
def start(monkeypatch):
    started = []

    def begin(gui=True, **settings):
        kit = Kit({f"/exts/cpo_lab/{name}": value for name, value in settings.items()}, gui=gui)
        kit.install(monkeypatch)
        from cpo_lab.ui.extension import EnsembleExtension

        extension = EnsembleExtension()
        extension.on_startup("cpo_lab-0.1.0")
        started.append(extension)
        return kit, extension

    yield begin
    for extension in started:
        extension.on_shutdown()


def test_the_stand_in_refuses_what_the_bindings_do_not_name():
    ui = omni_ui()
    with pytest.raises(TypeError, match="colour"):
        ui.Label("x", colour=1)
    with pytest.raises(AttributeError, match="txt"):
        ui.Label("x").txt = "y"


def test_the_window_shows_the_numbers_of_the_run(start, tmp_path):
    folder = write_run(tmp_path, "cpo")
    kit, extension = start(run=str(folder), interval_s=0.05)
    kit.frame()
    table, shown = read_metrics(folder / "metrics.csv"), kit.texts()
    for i in range(6):
        assert format_number(table[f"Policy_{i}/return"][-1]) in shown
    assert {"follower 0", "leader", "Synthetic-Test-Data · cpo · seed 0"} <= set(shown)
    grid = next(node for node in Node.roots[0].walk() if node.kind == "VGrid")
    boxes = [node for node in grid.walk() if node.kind == "Rectangle"]
    assert len(boxes) == 36 and len({node.style["background_color"] for node in boxes}) > 5
    append(folder, iteration=61, env_steps=61 * 1024, **{"Policy_0/return": 4321.5})
    time.sleep(0.2)
    kit.frame()
    assert format_number(4321.5) in kit.texts() and extension.refreshes == 2


def test_it_looks_no_more_often_than_asked(start, tmp_path):
    kit, extension = start(run=str(write_run(tmp_path, "cpo")), interval_s=30.0)
    for _ in range(5):
        kit.frame()
    assert extension.refreshes == 1


def test_another_run_can_be_typed_and_a_mistake_is_a_sentence(start, tmp_path):
    one, other = write_run(tmp_path, "cpo"), write_run(tmp_path, "ppo")
    kit, _ = start(run=str(one))
    kit.frame()
    field = next(node for node in Node.roots[0].walk() if node.kind == "StringField")
    assert field.model.value == str(one)
    field.model.type(str(tmp_path / "no"))
    kit.frame()
    assert any("matches no folder" in text for text in kit.texts())
    field.model.type(str(other))
    kit.frame()
    assert "Synthetic-Test-Data · ppo · seed 0" in kit.texts() and "follower 0" not in kit.texts()


def test_without_a_run_it_says_so(start, tmp_path):
    kit, _ = start(log_root=str(tmp_path))
    kit.frame()
    assert any("no run" in text for text in kit.texts())


def test_it_ends_cleanly(start, tmp_path):
    kit, extension = start(run=str(write_run(tmp_path, "cpo")))
    kit.frame()
    extension.on_shutdown()
    assert Node.roots == [] and kit.subscribers == []
    kit.frame()
    extension.on_shutdown()


def test_a_kernel_without_a_gui_loads_it(start):
    kit, extension = start(gui=False)
    kit.frame()
    assert extension.refreshes == 0 and kit.subscribers == []
