# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A headless Chromium driven over the WebDriver protocol with the standard library only."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

import pytest


class Browser:
    """One browser session; use as a context manager."""

    def __init__(self) -> None:
        driver = shutil.which("chromedriver")
        if driver is None or not (shutil.which("chromium") or shutil.which("google-chrome")):
            pytest.skip("needs a browser: apt-get install chromium chromium-driver")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Browser:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        capabilities = {"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": arguments}}
        deadline = time.monotonic() + 60
        while True:
            try:
                session = self._call("/session", {"capabilities": {"alwaysMatch": capabilities}})
                break
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self._session = f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._call(self._session, method="DELETE")
        finally:
            self._driver.terminate()
            self._driver.wait(timeout=30)

    def open(self, address: str, width: int) -> None:
        """Loads a page at a window width; below 600 pixels as a phone."""
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        self._call(f"{self._session}/url", {"url": address})

    def run(self, script: str) -> Any:
        """Value returned by a script."""
        return self._call(f"{self._session}/execute/sync", {"script": script, "args": []})

    def click(self, element: str) -> None:
        """Presses the mouse in the middle of what a JavaScript expression finds, as a hand would."""
        deadline = time.monotonic() + 60
        script = f"const e={element}; if(!e) return null; const r=e.getBoundingClientRect();"
        while (place := self.run(f"{script} return [r.x+r.width/2, r.y+r.height/2]")) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"there is no {element}")
            time.sleep(0.2)
        for kind in ("mousePressed", "mouseReleased"):
            mouse = {"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1}
            self.devtools("Input.dispatchMouseEvent", mouse)

    def wait_for(self, condition: str, timeout: float = 60.0) -> None:
        """Waits until a JavaScript expression is true."""
        deadline = time.monotonic() + timeout
        while not self.run(f"return Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout} s: {condition}")
            time.sleep(0.2)

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        """Answer of a DevTools command."""
        return self._call(f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def messages(self) -> list[dict[str, Any]]:
        """Console messages since the last call."""
        return self._call(f"{self._session}/se/log", {"type": "browser"})

    def _call(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
