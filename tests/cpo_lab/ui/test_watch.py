# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab watch``: in a terminal, and as a page in a real browser, with the numbers of the run."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from rich.console import Console
from tests.cpo_lab.report.browser import Browser
from tests.cpo_lab.report.synthetic_runs import add_columns, write_run
from tests.cpo_lab.ui.test_state import append

from cpo_lab.cli import main
from cpo_lab.ui.state import Watch
from cpo_lab.ui.terminal import follow, picture, sparkline
from cpo_lab.ui.web import HOST, PageServer, page_state
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics


def text_of(states, width, height=None):
    console = Console(file=io.StringIO(), width=width)
    console.print(picture(states, width, height))
    return console.file.getvalue()


# -- in a terminal -----------------------------------------------------------------------------------------------------


def test_a_pipe_gets_one_picture(tmp_path, capsys):
    folder = write_run(tmp_path, "cpo", 2)
    assert main(["watch", str(folder)]) == 0
    out = capsys.readouterr().out
    table = read_metrics(folder / "metrics.csv")
    for part in (
        folder.name,
        "finished",
        "iteration 60",
        "follower 0",
        "leader",
        f"{table['Policy_0/return'][-1]:.3g}",
    ):
        assert part in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_terminal_follows_until_all_runs_have_ended(tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path / "a", task="T", max_iterations=3)
    console = Console(file=io.StringIO(), force_terminal=True, width=90, height=40)
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        run.update(iteration=len(looks), status="finished" if len(looks) == 3 else "running")

    monkeypatch.setattr("cpo_lab.ui.terminal.time.sleep", sleep)
    follow(Watch([str(tmp_path)], ""), 0.5, console)
    assert looks == [0.5] * 3
    shown = console.file.getvalue()
    assert all(f"iteration {k} of 3" in shown for k in range(4))


def test_runs_stand_side_by_side_where_there_is_room_and_briefly_where_there_is_little(tmp_path):
    states = Watch([str(write_run(tmp_path, name)) for name in ("cpo", "ppo")], "").read()
    wide, narrow = text_of(states, 170), text_of(states, 80)
    assert sum("╭" in line for line in wide.splitlines()) == 1
    assert sum("╭" in line for line in narrow.splitlines()) == 2
    low = text_of(states, 80, 12)
    assert len(low.splitlines()) <= 12 and "follower" not in low and low.count("iteration 60") == 2


def test_a_large_ensemble_fits(tmp_path):
    states = Watch([str(write_run(tmp_path, "cpo", num_policies=24))], "").read()
    assert max(map(len, text_of(states, 80).splitlines())) <= 80


def test_the_line_of_bars():
    assert sparkline(np.array([0.0, 7.0]), 24) == "▁█"
    assert sparkline(np.full(5, 3.0), 24) == "▁" * 5
    assert sparkline(np.arange(100.0), 4) == "▁▃▆█"
    assert sparkline(np.zeros(0), 4) == ""


def test_bad_input_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, "cpo")
    for argv, said in (
        (["no"], "matches no folder"), ([], "no run"),
        ([".", "--port", "1"], "--web"), ([".", "--port=70000"], "65535"),
        ([".", "--interval", "0"], "above 0"), ([".", "--interval", "nan"], "above 0"), ([".", "--task", "T"], "'T'"),
    ):  # fmt: skip
        assert main(["watch", *argv]) == 2
        err = capsys.readouterr().err.strip()
        assert said in err and "\n" not in err


# -- as a page ---------------------------------------------------------------------------------------------------------


ODD = {"Task/zero": "0", "Task/same": "-3.5", "Task/huge": "1e300", "Task/tiny": "1e-300", "Loss/rising": None}
"""Columns of one value, which have no height, and of very large and small ones."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    made = [write_run(root, name, 1) for name in ("cpo", "ppo")]
    add_columns(made[0], ODD)
    return made


@pytest.fixture(scope="module")
def server(folders):
    with PageServer(Watch([str(folder) for folder in folders], ""), 0, 0.2) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with Browser() as session:
        yield session


def get(server, path, **headers):
    with urllib.request.urlopen(urllib.request.Request(server.address + path, headers=headers), timeout=30) as answer:
        return answer.read(), answer.headers


def test_it_listens_to_this_machine_only(server):
    assert server.server_address[0] == HOST == "127.0.0.1"
    assert json.loads(get(server, "state", Host="localhost:9")[0])["runs"]
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(server, "state", Host=host)


def test_nonsense_and_a_browser_that_leaves_are_no_traceback(server, capfd):
    for request in (b"GET /state HTTP/1.0\r\nHost: [\r\n\r\n", b"GET http://[ HTTP/1.0\r\nHost: localhost\r\n\r\n"):
        with socket.create_connection(server.server_address, timeout=30) as client:
            client.sendall(request)
            assert client.recv(4096).split()[1] == b"400"
    try:
        raise BrokenPipeError
    except BrokenPipeError:
        server.handle_error(None, None)
    assert capfd.readouterr().err == ""


def test_it_has_no_other_files(server):
    assert b"<main" in get(server, "")[0] and "default-src 'none'" in get(server, "")[1]["Content-Security-Policy"]
    for path in ("watch.html", "../state.py", "%2e%2e/state.py", "metrics.csv", "favicon.ico"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server, path)


def test_a_taken_port_is_one_sentence(server, folders, capsys):
    port = server.server_address[1]
    assert main(["watch", str(folders[0]), "--web", "--port", str(port)]) == 2
    assert f"--port {port} cannot be used" in capsys.readouterr().err


def test_the_page_is_told_the_numbers_of_the_run(folders):
    states = Watch([str(folder) for folder in folders], "").read()
    told = page_state(states, ["Loss/value", "Policy_<i>/return", "nonsense"])
    assert told["drawn"] == ["Policy_<i>/return"], "what no run has is passed over"
    table = read_metrics(folders[0] / "metrics.csv")
    line = next(line for line in told["runs"][0]["lines"]["Policy_<i>/return"] if line["policy"] == 2)
    assert line["values"] == pytest.approx(table["Policy_2/return"], rel=1e-5)
    assert told["runs"][0]["steps"] == table["env_steps"]
    assert told["runs"][1]["kl"] is None
    assert page_state([], [])["runs"] == []


def rows(browser, run=0):
    script = f"""const run = document.querySelectorAll('.run')[{run}]; return [...run.querySelectorAll('tbody tr')].map(
        row => [row.dataset.policy, ...[...row.querySelectorAll('td')].map(cell => cell.title)])"""
    deadline = time.monotonic() + 30
    while not (found := browser.run(f"if (!document.querySelector('.run')) return null; {script}")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("tag", ODD)
def test_a_curve_without_height_is_drawn(browser, server, tag):
    browser.open("about:blank", 1280)
    browser.open(f"{server.address}#{urllib.parse.quote(tag, safe='')}", 1280)
    rows(browser)
    assert browser.run("return document.querySelector('figure').dataset.chart") == tag
    lines = "return [...document.querySelectorAll('.run:first-child figure path')].map(p => p.getAttribute('d'))"
    paths = browser.run(lines)
    assert len(paths) == 1 and paths[0].startswith("M") and "NaN" not in paths[0] and "Infinity" not in paths[0]
    assert browser.messages() == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_the_run_without_a_sound(browser, server, folders, width):
    browser.open(server.address, width)
    state = Watch([str(folders[0])], "").read()[0]
    for index, (name, *cells) in enumerate(rows(browser)):
        assert name == state.policies[index]
        wanted = [values[index] for values in state.table().values()]
        assert [float(cell) if cell else None for cell in cells] == wanted
    boxes = browser.run("return [...document.querySelectorAll('.klmap rect title')].map(t => t.textContent)")
    assert len(boxes) == 36 and f"KL(follower 0 | leader) = {state.kl[0, 5]:.6g} nats" in boxes
    assert browser.messages() == []
    assert browser.run("return document.documentElement.scrollWidth") == width, "the page scrolls sideways"
    lefts = browser.run("return [...document.querySelectorAll('.run')].map(run => run.getBoundingClientRect().left)")
    assert (lefts[0] < lefts[1]) == (width > 600), "side by side where there is room"
    small = browser.run(
        "return Math.min(...[...document.querySelectorAll('figure svg')].map("
        "s => 11 * s.getBoundingClientRect().width / s.viewBox.baseVal.width))"
    )
    assert small >= 9.5


def test_a_click_on_a_policy_changes_what_is_drawn(browser, server):
    browser.open(server.address, 390)
    rows(browser)
    dim = "return [...document.querySelectorAll('.run:first-child path.dim')].map(line => line.dataset.policy)"
    pale = "return document.querySelectorAll('.klmap rect.dim').length"
    assert browser.run(dim) == [] and browser.run(pale) == 0
    press = "document.querySelector('.run tr[data-policy=\"{}\"] button').click()"
    browser.run(press.format("follower 2"))
    assert set(browser.run(dim)) == {"follower 0", "follower 1", "follower 3", "follower 4", "leader"}
    assert browser.run(pale) == 25
    browser.run(press.format("leader"))
    assert "leader" not in browser.run(dim) and browser.run(pale) == 16
    browser.run(press.format("follower 2"))
    browser.run(press.format("leader"))
    assert browser.run(dim) == []


def test_a_curve_can_be_chosen_and_the_map_goes_back_in_time(browser, server):
    browser.open(server.address, 1280)
    rows(browser)
    title = "return document.querySelector('.klmap h3').textContent"
    newest = browser.run(title)
    slide = "const s = document.querySelector('.klmap input'); s.value = 0; s.dispatchEvent(new Event('input'))"
    browser.run(slide)
    assert browser.run(title) != newest and "(newest)" in newest
    browser.run(
        "const s = document.querySelector('figure select'); s.value = 'Optimization/learning_rate'; "
        "s.dispatchEvent(new Event('change'))"
    )
    drawn = "return [...document.querySelectorAll('.run')].map(run => run.querySelector('figure').dataset.chart)"
    deadline = time.monotonic() + 30
    while browser.run(drawn) != ["Optimization/learning_rate"] * 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert browser.run(title) != newest, "the map stays where it was moved to"
    assert "Optimization" in browser.run("return location.hash"), "and a reloaded page draws the same"
    assert browser.messages() == []


def test_the_page_follows_the_run_and_says_when_nobody_answers(browser, tmp_path):
    folder = write_run(tmp_path, "cpo")
    (folder / "manifest.json").write_text(
        (folder / "manifest.json").read_text().replace("Synthetic-Test-Data", "<img src=x onerror=alert(1)>")
    )
    with PageServer(Watch([str(folder)], ""), 0, 0.2) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        browser.open(server.address, 1280)
        assert "12345.5" not in rows(browser)[0]
        append(folder, iteration=61, env_steps=61 * 1024, **{"Policy_0/return": 12345.5})
        deadline = time.monotonic() + 30
        while rows(browser)[0][1] != "12345.5":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert browser.run("return document.querySelectorAll('img').length") == 0
        assert "<img" in browser.run("return document.querySelector('.heading').textContent")
        server.shutdown()
        thread.join()
    deadline = time.monotonic() + 30
    while "No answer" not in browser.run("return document.getElementById('note').textContent"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(rows(browser)) == 6, "what was read last stays"
