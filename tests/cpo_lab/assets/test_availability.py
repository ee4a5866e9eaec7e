# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A file that cannot be had is told within seconds, with the way out. The only server is one on this machine."""

from __future__ import annotations

import http.server
import socket
import tempfile
import threading
import time
from types import SimpleNamespace

import pytest

from cpo_lab.assets import availability
from cpo_lab.assets.availability import check_files, mirror_of, why_missing
from cpo_rl.errors import UserError


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_HEAD(self):
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    availability._ask_server.cache_clear()
    monkeypatch.delenv("http_proxy", raising=False)


def scene(path: str) -> SimpleNamespace:
    spawned = SimpleNamespace(spawn=SimpleNamespace(usd_path=path))
    return SimpleNamespace(num_envs=4, light=SimpleNamespace(spawn=object()), robot=spawned, object=None)


def test_local_files(tmp_path):
    (tmp_path / "hand.usd").write_text("")
    assert why_missing(str(tmp_path / "hand.usd")) is None
    assert "no such file" in why_missing(str(tmp_path / "other.usd"))
    assert "no such file" in why_missing(str(tmp_path))  # a folder is no file


@pytest.mark.parametrize(("status", "there"), [(200, True), (405, True), (404, False), (403, False), (500, False)])
def test_what_a_server_answers(server, status, there):
    reason = why_missing(f"{server}/{status}")
    assert (reason is None) == there
    assert there or str(status) in reason


def test_a_server_that_cannot_be_reached_is_told_at_once():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        start = time.perf_counter()
        reason = why_missing(f"http://127.0.0.1:{unused.getsockname()[1]}/hand.usd")
    assert "cannot be reached" in reason
    assert time.perf_counter() - start < 2.0


def test_a_server_that_keeps_silent_is_given_up(monkeypatch):
    monkeypatch.setattr(availability, "PATIENCE", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.perf_counter()
        reason = why_missing(f"http://127.0.0.1:{silent.getsockname()[1]}/hand.usd")
        assert 0.2 < time.perf_counter() - start < 2.0
    assert "did not answer within" in reason or "timed out" in reason


def test_a_host_whose_name_takes_long_to_look_up_is_given_up(monkeypatch):
    def slow(*args, **kwargs):
        time.sleep(5.0)
        raise OSError("Name or service not known")

    monkeypatch.setattr(availability, "PATIENCE", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    start = time.perf_counter()
    assert "did not answer within 0.3 s" in why_missing("http://nowhere.invalid/hand.usd")
    assert time.perf_counter() - start < 2.0


def test_a_downloaded_copy_counts_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    url = "http://127.0.0.1:9/Assets/hand.usd"
    assert why_missing(url) is not None
    copy = mirror_of(url)
    copy.parent.mkdir(parents=True)
    copy.write_text("")
    assert tmp_path in copy.parents
    assert why_missing(url) is None


def test_the_copy_is_where_isaac_lab_keeps_it(tmp_path):
    assets = pytest.importorskip("isaaclab.utils.assets")
    for url in ("https://host.example/Assets/Isaac/6.2/Isaac/a.usd", "http://host.example:8080/a/b.usda"):
        assert str(mirror_of(url)) == assets._mirror_path(url, tempfile.gettempdir())


def test_other_schemes_are_isaac_labs_business():
    assert why_missing("omniverse://server/hand.usd") is None


def test_the_sentence_names_the_setting_the_file_and_the_way_out(monkeypatch, tmp_path):
    assets = pytest.importorskip("isaaclab.utils.assets")
    with pytest.raises(UserError, match=r"env\.scene\.robot\.spawn\.usd_path=/no/hand\.usd .* correct the path\.$"):
        check_files(scene("/no/hand.usd"))
    monkeypatch.setattr(assets, "NUCLEUS_ASSET_ROOT_DIR", str(tmp_path))
    with pytest.raises(UserError) as told:
        check_files(scene(f"{tmp_path}/Isaac/Robots/hand.usd"))
    sentence = str(told.value)
    assert "ISAACSIM_ASSET_ROOT to a folder that holds Isaac/Robots/hand.usd" in sentence
    assert sentence.endswith("or leave presets=nucleus_assets out.")
    check_files(scene(""))  # generated when the environment is built
