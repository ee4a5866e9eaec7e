# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs on a page that this machine serves to itself: live curves per policy and the KL map, side by side.

The standard library's server is enough: one page, two files beside it and one answer in JSON. It listens on 127.0.0.1
only and answers only to that name, so that no page of another site can read runs through a browser.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from cpo_lab.report.style import follower_color
from cpo_lab.ui.state import RunState, Watch, charts
from cpo_lab.viewing.kl_colors import kl_limits, kl_palette
from cpo_rl.errors import UserError
from cpo_rl.formatting import format_count
from cpo_rl.runs.files import reason
from cpo_rl.runs.metric_names import ESS, KL_TO_LEADER, POLICY_RETURN, POLICY_SUCCESSES, RETURN, SUCCESSES, Metric

HOST = "127.0.0.1"
"""Where the page is served: to this machine only; a tunnel brings it elsewhere."""

FIRST_CHARTS = ((POLICY_RETURN, RETURN), (POLICY_SUCCESSES, SUCCESSES), (KL_TO_LEADER,), (ESS,))
"""Curves that are drawn until others are chosen: of each place the first that a run has."""

MOST_CHARTS = 8
"""Curves that one question may ask for."""

_FILES = {
    "/": ("watch.html", "text/html"),
    "/watch.js": ("watch.js", "text/javascript"),
    "/watch.css": ("watch.css", "text/css"),
}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:"


def serve(watch: Watch, port: int, interval_s: float) -> None:
    """Serve the page until interrupted; its address is printed.

    Args:
        watch: The runs.
        port: Where; 0 takes a free port.
        interval_s: Time between two looks at the runs [s].

    Raises:
        UserError: If the port is taken.
    """
    with PageServer(watch, port, interval_s) as server:
        sys.stdout.write(f"{server.address}   (Ctrl+C ends it; it can be read on this machine only)\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")


class PageServer(ThreadingHTTPServer):
    """The server of the page; arguments and errors of :func:`serve`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, watch: Watch, port: int, interval_s: float) -> None:
        self._watch, self._interval_s = watch, interval_s
        self._lock = threading.Lock()
        self._states: list[RunState] = []
        self._due = 0.0
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UserError(
                f"--port {port} cannot be used ({reason(error)}); give another, or 0 for a free one."
            ) from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a browser that is gone before it was answered; the library would print a traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def answer(self, tags: Sequence[str]) -> dict[str, Any]:
        """Return what the page shows now, for however many browsers without reading more often.

        Args:
            tags: Metrics that curves are wanted of; none for :data:`FIRST_CHARTS`.
        """
        with self._lock:
            if time.monotonic() >= self._due:
                self._states = self._watch.read()
                self._due = time.monotonic() + 0.9 * self._watch.pause_s(self._interval_s)
            return {"interval_s": self._watch.pause_s(self._interval_s), **page_state(self._states, tags)}


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: PageServer
    server_version = "cpo-lab"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page, a file of it, or the state of the runs."""
        try:
            host = (urlsplit(f"//{self.headers.get('Host', '')}").hostname or "").lower()
            url = urlsplit(self.path)
        except ValueError:  # no address of ours
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if host not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN, "Served to this machine only")
        elif url.path == "/state":
            tags = parse_qs(url.query).get("chart", [])
            body = json.dumps(self.server.answer(tags[:MOST_CHARTS]), allow_nan=False).encode()
            self._send(body, "application/json")
        elif url.path in _FILES:
            name, kind = _FILES[url.path]
            self._send((files("cpo_lab.ui") / name).read_bytes(), f"{kind}; charset=utf-8")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in (
            ("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
            ("Content-Security-Policy", _POLICY), ("X-Content-Type-Options", "nosniff"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


# -- what the page is told ---------------------------------------------------------------------------------------------


def page_state(states: Sequence[RunState], tags: Sequence[str]) -> dict[str, Any]:
    """Return runs as values of JSON.

    Args:
        states: The runs.
        tags: Metrics that curves are wanted of, of :func:`~cpo_lab.ui.state.charts`; others are passed over.
    """
    known = {metric.tag: metric for metric in charts(states)}
    first = (next((tag for tag in names if tag in known), None) for names in FIRST_CHARTS)
    drawn = [known[tag] for tag in tags if tag in known] or [known[tag] for tag in first if tag]
    return {
        "charts": [_metric(metric) for metric in known.values()],
        "drawn": [metric.tag for metric in drawn],
        "colors": kl_palette(),
        "runs": [_run(state, drawn) for state in states],
    }


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "tag": metric.tag, "title": metric.title, "unit": metric.axis_label, "section": metric.section,
        "log": metric.log, "share": metric.share, "meaning": metric.meaning,
    }  # fmt: skip


def _run(state: RunState, drawn: Sequence[Metric]) -> dict[str, Any]:
    size = state.num_policies
    policies = [
        {"name": name, "color": to_hex(follower_color(index, size)), "leader": index == size - 1}
        for index, name in enumerate(state.policies)
    ]
    lines = {
        metric.tag: [{"policy": policy, "values": _plain(values)} for policy, values in state.lines(metric).items()]
        for metric in drawn
    }
    return {
        "name": state.name, "heading": state.heading, "health": state.health, "progress": state.progress,
        "share": state.share, "problems": state.problems, "policies": policies, "table": state.table(),
        "steps": _plain(state.steps()), "lines": lines, "kl": _kl(state),
    }  # fmt: skip


def _kl(state: RunState) -> dict[str, Any] | None:
    if not state.snapshots:
        return None
    matrices = np.stack([snapshot.kl_matrix for snapshot in state.snapshots])
    low, high = kl_limits(matrices)
    return {
        "steps": [format_count(snapshot.env_steps) for snapshot in state.snapshots],
        "frames": [[_plain(row) for row in matrix] for matrix in matrices], "low": low, "high": high,
    }  # fmt: skip


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers with six digits; None for what JSON cannot hold."""
    finite = np.isfinite(values)
    return [float(f"{value:.6g}") if sound else None for value, sound in zip(values, finite, strict=True)]
