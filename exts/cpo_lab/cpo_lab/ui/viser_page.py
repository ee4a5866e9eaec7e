# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What is added to Isaac Lab's viser page: a name over every hand, who acts, what each policy achieves, KL.

Pausing and resetting are buttons of the page itself.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpo_lab.ui.panel import TITLE
from cpo_lab.ui.places import Places
from cpo_lab.ui.session import Session, number
from cpo_lab.viewing.captions import policy_color
from cpo_lab.viewing.kl_colors import kl_color, kl_ink, kl_limits

_STYLE = (
    "<style>.cpo{font-size:11px;padding:0 10px 6px}.cpo table{border-collapse:collapse;width:100%}"
    ".cpo td,.cpo th{padding:2px 3px;text-align:right;font-weight:normal;white-space:nowrap}"
    ".cpo .name{text-align:left}.cpo .acts{font-weight:bold}.cpo .dot{display:inline-block;width:8px;height:8px;"
    "border-radius:4px;margin-right:4px}.cpo p{margin:6px 0 2px}</style>"
)


class ViserPage:
    """A part of the page of one viewer.

    Args:
        viewer: Isaac Lab's ``ViserVisualizer``, started.
        session: What to show.
        places: Where names stand.
    """

    def __init__(self, viewer: Any, session: Session, places: Places) -> None:
        self._session, self._places = session, places
        server = viewer._viewer._server
        pose = viewer._pending_camera_pose or viewer._last_camera_pose
        if pose is not None:  # for browsers that come later as well
            server.initial_camera.position, server.initial_camera.look_at = pose
        gui, scene = server.gui, server.scene
        with gui.add_folder(TITLE, order=-1.0):
            self._progress = gui.add_html("")
            self._menu = gui.add_dropdown(
                "Policy",
                session.options,
                initial_value=session.choice,
                disabled=len(session.options) == 1,
                hint="Who acts in all hands from the next step on; while training every policy acts.",
            )
            self._tables = gui.add_html("")
        self._names = [
            scene.add_label(f"/cpo_lab/name_{index}", "", position=point, anchor="bottom-center", font_screen_scale=1.3)
            for index, point in zip(places.indices, places.points, strict=True)
        ]
        self._dots = [
            scene.add_icosphere(f"/cpo_lab/dot_{index}", radius=0.012, position=point, cast_shadow=False)
            for index, point in zip(places.indices, places.points, strict=True)
        ]
        self._goals: list[Any] = []
        self._scene = scene
        self._written: tuple[str, ...] = ()

        @self._menu.on_update
        def _(_: Any) -> None:
            session.choose(self._menu.value)
            self._write_names()

        self._write_names()

    def refresh(self, goals: NDArray[np.float64] | None = None) -> None:
        """Show the session as it is now; sends what has changed only.

        Args:
            goals: Where goals are drawn, world [K, 3] in metres.
        """
        session = self._session
        self._name_goals(goals)
        if self._menu.value != session.choice:  # chosen in another viewer
            self._menu.value = session.choice
        self._write_names()
        written = (progress_html(session), tables_html(session))
        for part, before, text in zip((self._progress, self._tables), self._written or ("", ""), written, strict=True):
            if text != before:
                part.content = text
        self._written = written

    def _name_goals(self, goals: NDArray[np.float64] | None) -> None:
        if goals is None:
            return
        if not self._goals:
            self._goals = [
                self._scene.add_label(f"/cpo_lab/goal_{index}", "goal", position=point, font_screen_scale=0.9)
                for index, point in zip(self._places.indices, goals, strict=True)
            ]
        for label, point in zip(self._goals, goals, strict=True):
            if not np.array_equal(label.position, point):
                label.position = point

    def _write_names(self) -> None:
        session = self._session
        names, ids = session.names, session.ids
        for index, label, dot in zip(self._places.indices, self._names, self._dots, strict=True):
            if label.text != names[index]:
                label.text = names[index]
                dot.color = policy_color(int(ids[index]), session.num_policies)


def progress_html(session: Session) -> str:
    """Return what runs and how far it is."""
    return f'{_STYLE}<div class="cpo"><b>{html.escape(session.heading)}</b><br>{html.escape(session.progress)}</div>'


def tables_html(session: Session) -> str:
    """Return what every policy achieves and the KL matrix, as HTML."""
    columns = session.table()
    head = "".join(f"<th>{html.escape(label)}</th>" for label in columns)
    rows = []
    for policy, name in enumerate(session.policies):
        cells = "".join(f"<td>{number(values[policy])}</td>" for values in columns.values())
        rows.append(f"<tr>{_named(session, policy, name)}{cells}</tr>")
    parts = [f'<table><tr><th class="name">policy</th>{head}</tr>{"".join(rows)}</table>']
    kl = session.kl
    if kl is not None:
        limits = kl_limits(kl)
        head = "".join(f"<th>{_short(session, column)}</th>" for column in range(session.num_policies))
        rows = []
        for row in range(session.num_policies):
            cells = ""
            for column in range(session.num_policies):
                value = float(kl[row, column])
                if row == column or value != value:
                    cells += f"<td>{'' if row == column else '-'}</td>"
                else:
                    color = kl_color(value, limits)
                    style = f"background:{color};color:{kl_ink(value, limits)}"
                    cells += f'<td style="{style}">{value:.2g}</td>'
            rows.append(f"<tr>{_named(session, row, _short(session, row))}{cells}</tr>")
        note = html.escape(session.kl_note)
        parts.append(f'<p>{note}</p><table class="kl"><tr><th></th>{head}</tr>{"".join(rows)}</table>')
    return f'{_STYLE}<div class="cpo">{"".join(parts)}</div>'


def _named(session: Session, policy: int, name: str) -> str:
    red, green, blue = policy_color(policy, session.num_policies)
    acts = " acts" if policy in session.acting else ""
    dot = f'<span class="dot" style="background:rgb({red},{green},{blue})"></span>'
    return f'<td class="name{acts}">{dot}{html.escape(name)}</td>'


def _short(session: Session, policy: int) -> str:
    return "leader" if policy == session.num_policies - 1 else str(policy)
