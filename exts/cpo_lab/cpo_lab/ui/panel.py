# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What is drawn with omni.ui: tables of an ensemble, and the window of the Kit extension that has them of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cpo_lab.ui.session import Shown, number
from cpo_lab.ui.state import RunState
from cpo_lab.viewing.captions import policy_color
from cpo_lab.viewing.kl_colors import kl_color, kl_limits
from cpo_rl.formatting import format_number

TITLE = "CPO ensemble"
"""Title of the window and its name in the menu, and of the part of every viewer that shows the ensemble."""

_ROW = 20
"""Height of a row of text [pixels]."""


def packed(red: int, green: int, blue: int) -> int:
    """Return a colour as omni.ui and imgui take it: 0xAABBGGRR."""
    return 0xFF000000 | blue << 16 | green << 8 | red


def packed_hex(text: str) -> int:
    """Return ``#rrggbb`` as omni.ui and imgui take it."""
    return packed(*bytes.fromhex(text[1:]))


class EnsembleTables:
    """What each policy has, and KL between policies; built anew when the ensemble changes, else texts change.

    Args:
        body: Container of omni.ui that belongs to the tables.
    """

    def __init__(self, body: Any) -> None:
        import omni.ui as ui

        self._ui, self._body = ui, body
        self._shape: tuple[object, ...] | None = None
        self._texts: dict[str, Any] = {}
        self._cells: list[list[tuple[Any, Any]]] = []

    def say(self, sentence: str) -> None:
        """Show a sentence in the place of the tables."""
        self._shape = None
        self._body.clear()
        with self._body:
            self._ui.Label(sentence)

    def show(self, shown: Shown) -> None:
        """Show a run or a session as it is now."""
        table, kl = shown.table(), shown.kl
        shape = (tuple(shown.policies), tuple(table), kl is None)
        if shape != self._shape:
            self._build(shown, list(table), kl is not None)
            self._shape = shape
        self._texts["heading"].text = shown.heading
        self._texts["progress"].text = shown.progress
        self._texts["problems"].text = " ".join(shown.problems)
        for label, values in table.items():
            for policy, value in enumerate(values):
                self._texts[f"{label} {policy}"].text = number(value)
        if kl is None:
            return
        limits = kl_limits(kl)
        self._texts["kl"].text = shown.kl_note
        for row, cells in enumerate(self._cells):
            for column, (box, text) in enumerate(cells):
                if row != column:
                    value = float(kl[row, column])
                    box.style = {"background_color": packed_hex(kl_color(value, limits))}
                    text.text = format_number(value, unknown="?")

    def _build(self, shown: Shown, columns: list[str], has_kl: bool) -> None:
        ui, policies = self._ui, shown.policies
        self._texts, self._cells = {}, []
        self._body.clear()
        with self._body:
            for name in ("heading", "progress", "problems"):
                self._texts[name] = ui.Label("")
            with ui.CollapsableFrame("Policies"), ui.VStack(height=0):
                with ui.HStack(height=_ROW):
                    for label in ("policy", *columns):
                        ui.Label(label)
                for policy, name in enumerate(policies):
                    with ui.HStack(height=_ROW):
                        color = packed(*policy_color(policy, len(policies)))
                        ui.Rectangle(width=8, style={"background_color": color})
                        ui.Label(name)
                        for label in columns:
                            self._texts[f"{label} {policy}"] = ui.Label("-")
            if not has_kl:
                return
            with ui.CollapsableFrame("KL between policies"), ui.VStack(height=0):
                self._texts["kl"] = ui.Label("")
                with ui.VGrid(column_count=len(policies), row_height=26):
                    self._cells = [[self._cell() for _ in policies] for _ in policies]

    def _cell(self) -> tuple[Any, Any]:
        ui = self._ui
        with ui.ZStack():
            box = ui.Rectangle(style={"background_color": 0xFF404040})
            return box, ui.Label("", alignment=ui.Alignment.CENTER)


class RunPanel:
    """A window that shows a run.

    Args:
        chosen: Called with the folder that somebody typed.
    """

    def __init__(self, chosen: Callable[[str], None]) -> None:
        import omni.ui as ui

        self._chosen = chosen
        self.window = ui.Window(TITLE, width=460, height=620)
        with self.window.frame, ui.VStack(spacing=6, height=0):
            with ui.HStack(height=24, spacing=6):
                ui.Label("Run folder", width=80)
                self._field = ui.StringField()
            self._field.model.add_end_edit_fn(lambda model: self._chosen(model.get_value_as_string()))
            self._tables = EnsembleTables(ui.VStack(spacing=6, height=0))

    def show_folder(self, folder: str) -> None:
        """Write the folder of what is shown into its field."""
        self._field.model.set_value(folder)

    def say(self, sentence: str) -> None:
        """Show a sentence in the place of a run."""
        self._tables.say(sentence)

    def show(self, state: RunState) -> None:
        """Show a run as it is now."""
        self._tables.show(state)

    def destroy(self) -> None:
        """Close the window."""
        if self.window is not None:
            self.window.destroy()
            self.window = None
