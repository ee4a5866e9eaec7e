# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The Omniverse extension: a window on a run folder, refreshed from Kit's loop.

Settings, in ``config/extension.toml`` or after ``--`` of the app: ``/exts/cpo_lab/run`` is the folder shown (empty:
what runs now below ``/exts/cpo_lab/log_root``, or else the newest), ``/exts/cpo_lab/interval_s`` the time
between two looks. Without omni.ui, as in a headless kernel, nothing is shown and nothing fails.
"""

from __future__ import annotations

import time
from typing import Any

import carb.settings
import omni.ext
import omni.kit.app

from cpo_lab.ui.state import Watch
from cpo_rl.errors import UserError

_SETTINGS = "/exts/cpo_lab"


class EnsembleExtension(omni.ext.IExt):
    """Started and ended by Kit."""

    def on_startup(self, ext_id: str) -> None:
        """Open the window and look at the run from then on."""
        self._panel: Any = None
        self._watch: Watch | None = None
        self._due, self.refreshes = 0.0, 0
        try:
            from cpo_lab.ui.panel import RunPanel

            self._panel = RunPanel(self._choose)
        except ImportError:  # no GUI in this app
            return
        settings = carb.settings.get_settings()
        self._interval_s = max(float(settings.get(f"{_SETTINGS}/interval_s") or 2.0), 0.05)
        self._log_root = str(settings.get(f"{_SETTINGS}/log_root") or "logs/rsl_rl")
        folder = str(settings.get(f"{_SETTINGS}/run") or "")
        self._panel.show_folder(folder)
        self._choose(folder)
        stream = omni.kit.app.get_app().get_update_event_stream()
        self._subscription = stream.create_subscription_to_pop(self._update, name="cpo_lab")

    def on_shutdown(self) -> None:
        """Close the window and stop looking."""
        self._subscription = None
        if self._panel is not None:
            self._panel.destroy()
        self._panel = self._watch = None

    def _choose(self, folder: str) -> None:
        """Show the run in a folder, or say why there is none."""
        self._due = 0.0
        try:
            self._watch = Watch([folder] if folder.strip() else [], self._log_root)
        except UserError as error:
            self._watch = None
            self._panel.say(str(error))

    def _update(self, event: Any) -> None:
        """Look at the run when it is time; called by Kit in every frame."""
        if self._panel is None or self._watch is None or time.monotonic() < self._due:
            return
        self._panel.show(self._watch.read()[-1])
        self._due = time.monotonic() + self._watch.pause_s(self._interval_s)
        self.refreshes += 1
