# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The viser page in a real browser: its panel alone, and a hand played on it; and the same hand in Newton's window."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.cpo_lab.report.browser import Browser

from cpo_lab.ui.places import Places
from cpo_lab.ui.session import ALL, Session
from cpo_lab.viewing.captions import policy_color

ROOT = Path(__file__).parents[3]
RUN = "shadow_hand_reorient_cube/2026-11-25_21-32-46_v010"
M = 6

viser = pytest.importorskip("viser", reason='the page needs viser: pip install -e ".[viser]"')


def folder(text):
    """JavaScript for the first button or input option that has a text."""
    return f"[...document.querySelectorAll('button,[role=option]')].find(e => e.innerText.trim() === '{text}')"


MENU = "[...document.querySelectorAll('input')].find(e => e.value === '{}')"
TEXT = "document.body.innerText"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def served():
    """A viser server as Isaac Lab's viewer holds it, without a simulation."""
    port = free_port()
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    viewer = SimpleNamespace(
        _viewer=SimpleNamespace(_server=server),
        _pending_camera_pose=None,
        _last_camera_pose=((0.0, -3.0, 2.0), (0.0, 0.0, 1.0)),
    )
    yield viewer, f"http://127.0.0.1:{port}"
    server.stop()


@pytest.mark.long
def test_choosing_the_leader_renames_all_hands_and_what_is_measured_appears(served):
    from cpo_lab.ui.viser_page import ViserPage

    viewer, address = served
    state = Session("Some-Task", M, np.arange(M))
    page = ViserPage(viewer, state, Places(list(range(M)), np.arange(3.0 * M).reshape(M, 3), [0]))
    assert [label.text for label in page._names] == [*(f"follower {i}" for i in range(M - 1)), "leader"]
    assert tuple(viewer._viewer._server.initial_camera.position) == (0.0, -3.0, 2.0)
    with Browser() as browser:
        browser.open(address, 1280)
        browser.wait_for(f"{TEXT}.includes('CPO ensemble')")
        browser.click(MENU.format(ALL))
        browser.click(folder("leader"))
        deadline = time.monotonic() + 30
        while state.choice != "leader" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert state.choice == "leader"
        assert [label.text for label in page._names] == ["leader"] * M
        assert {tuple(dot.color) for dot in page._dots} == {policy_color(M - 1, M)}
        matrix = np.full((M, M), math.nan)
        matrix[-1] = [0.11, 0.22, 0.33, 0.44, 0.55, 0.0]
        state.measure(matrix)
        state.step(state.ids, np.ones(M), np.ones(M), None)
        page.refresh()
        browser.wait_for(f"{TEXT}.includes('0.44')")
        shown = browser.run(f"return {TEXT}")
        assert "Some-Task" in shown and "step 1" in shown
        state.choose("follower 2")  # in another viewer
        page.refresh()
        browser.wait_for(MENU.format("follower 2"))
        assert [label.text for label in page._names] == ["follower 2"] * M


@pytest.mark.long
def test_while_training_the_menu_cannot_be_used(served, tmp_path):
    from tests.cpo_lab.report.synthetic_runs import write_run

    from cpo_lab.ui.state import RunReader
    from cpo_lab.ui.viser_page import ViserPage

    viewer, address = served
    state = Session("Some-Task", M, np.arange(M), RunReader(write_run(tmp_path, "cpo"), "cpo"))
    page = ViserPage(viewer, state, Places([0], np.zeros((1, 3)), [0]))
    state.look()
    page.refresh()
    with Browser() as browser:
        browser.open(address, 390)
        browser.wait_for(f"{TEXT}.includes('iteration 60')")
        assert browser.run(f"return ({MENU.format(ALL)}).disabled")


# -- a hand ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def playing(tmp_path, *arguments, **environment):
    """``cpo-lab play`` in a process of its own, as long as it is wanted."""
    with tarfile.open(ROOT / "tests/cpo_lab/fixtures/runs_0_1_0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    output = tmp_path / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "cpo_lab.cli", "play", "--checkpoint", str(tmp_path / RUN), "--device", "cpu",
             *arguments],
            stdout=stream, stderr=subprocess.STDOUT, cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )  # fmt: skip
    try:
        yield process, output
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)


def listeners(port):
    """IPv4 addresses on which this machine listens at a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {socket.inet_ntoa(bytes.fromhex(host)[::-1]) for host, number in local if int(number, 16) == port}


def steps_of(browser):
    return int(browser.run(f"return ({TEXT}.match(/step ([\\d,]+)/) || [0, '-1'])[1]").replace(",", ""))


@pytest.mark.sim
@pytest.mark.slow
def test_a_hand_is_played_on_the_page(tmp_path):
    with playing(tmp_path, "--viz", "viser") as (process, output), Browser() as browser:
        deadline = time.monotonic() + 200
        while (found := re.search(r"listening \*:(\d+)", output.read_text())) is None:
            assert process.poll() is None and time.monotonic() < deadline, output.read_text()
            time.sleep(0.5)
        port = int(found[1])
        browser.open(f"http://127.0.0.1:{port}", 1280)
        browser.wait_for(f"/step [1-9]/.test({TEXT})", 120)
        assert listeners(port) == {"127.0.0.1"}
        browser.click(MENU.format(ALL))
        browser.click(folder("leader"))
        bold = "[...document.querySelectorAll('.cpo td.acts')].map(e => e.innerText)"
        browser.wait_for(f"{bold}.length && {bold}.every(name => name === 'leader')", 90)
        browser.click(folder("Pause Simulation"))
        browser.wait_for(folder("Resume Simulation"))
        time.sleep(3.0)
        before = steps_of(browser)
        time.sleep(4.0)
        assert steps_of(browser) == before > 0
        browser.click(folder("Resume Simulation"))
        browser.wait_for(f"Number(({TEXT}.match(/step ([\\d,]+)/) || [0, '0'])[1].replace(',', '')) > {before}")
        assert "Traceback" not in output.read_text()


@pytest.mark.sim
@pytest.mark.slow
def test_a_hand_is_played_in_newtons_window(tmp_path):
    if shutil.which("Xvfb") is None:
        pytest.skip("a window without a screen needs Xvfb: apt-get install xvfb")
    from PIL import ImageGrab

    display = f":{90 + os.getpid() % 900}"
    screen = subprocess.Popen(
        ["Xvfb", display, "-screen", "0", "1920x1080x24"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with playing(tmp_path, "--viz", "newton_gl", "--policy", "leader", DISPLAY=display) as (process, output):
            deadline, orange = time.monotonic() + 240, 0
            while orange < 200:
                assert process.poll() is None and time.monotonic() < deadline, output.read_text()
                time.sleep(2.0)
                picture = np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB")).astype(int)
                orange = int((np.abs(picture - policy_color(M - 1, M)).max(axis=-1) < 3).sum())
            side = picture[20:400, 1460:1900]  # the panel lies there: dark paper, pale letters
            assert (side.max(axis=-1) < 60).mean() > 0.5
            assert (side.min(axis=-1) > 200).sum() > 300
            assert "Traceback" not in output.read_text()
    finally:
        screen.terminate()
        screen.wait(timeout=30)
