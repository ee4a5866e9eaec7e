# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What is added to Isaac Lab's Newton window: the same panel as on the viser page, and a name over every hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpo_lab.ui.panel import TITLE, packed, packed_hex
from cpo_lab.ui.places import Places
from cpo_lab.ui.session import Session, number
from cpo_lab.viewing.captions import policy_color
from cpo_lab.viewing.kl_colors import kl_color, kl_ink, kl_limits

_WIDTH, _HEIGHT, _EDGE = 470.0, 470.0, 10.0
"""Size of the panel at first, and its distance from the edges [pixels]."""
_NAME = 110.0
"""Width of the names of policies in tables [pixels]."""
_PAPER, _INK = 0xD0FFFFFF, 0xFF262220
"""What names are written on and with, 0xAABBGGRR."""


def to_screen(camera: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where points [K, 3] lie in a Newton camera's picture, in shares of its width and height [K, 2].

    NaN for points behind the camera.
    """
    matrix = camera.get_view_matrix().reshape(4, 4) @ camera.get_projection_matrix().reshape(4, 4)
    clip = np.hstack([points, np.ones((len(points), 1))]) @ matrix
    depth = np.where(clip[:, 3:] > 1e-6, clip[:, 3:], np.nan)
    return (clip[:, :2] / depth * (1.0, -1.0) + 1.0) / 2.0


class ImguiPanel:
    """A part of one window; drawn anew in every frame, so there is nothing to refresh.

    Args:
        viewer: Isaac Lab's ``NewtonGLVisualizer``, started.
        session: What to show.
        places: Where names stand.
    """

    def __init__(self, viewer: Any, session: Session, places: Places) -> None:
        self._session, self._places = session, places
        self._goals: NDArray[np.float64] | None = None
        self._camera = lambda: viewer._viewer.camera
        self._scale = lambda: viewer._viewer.gui.ui.dpi_scale
        viewer.register_ui_callback(self.draw, position="free")

    def refresh(self, goals: NDArray[np.float64] | None = None) -> None:
        """Keep where goals are drawn, world [K, 3]; the window asks for everything else when it draws."""
        self._goals = goals

    def draw(self, imgui: Any) -> None:
        """Draw names and panel; called by the window in every frame."""
        self._draw_names(imgui)
        session, scale, display = self._session, self._scale(), imgui.get_io().display_size
        corner = imgui.ImVec2(display.x - (_WIDTH + _EDGE) * scale, _EDGE * scale)
        imgui.set_next_window_pos(corner, imgui.Cond_.first_use_ever)
        imgui.set_next_window_size(imgui.ImVec2(_WIDTH * scale, _HEIGHT * scale), imgui.Cond_.first_use_ever)
        if imgui.begin(TITLE):
            imgui.text(session.heading)
            imgui.text(session.progress)
            options = session.options
            imgui.begin_disabled(len(options) == 1)
            changed, chosen = imgui.combo("Policy", options.index(session.choice), options)
            imgui.end_disabled()
            if changed:
                session.choose(options[chosen])
            self._draw_table(imgui)
            self._draw_kl(imgui)
        imgui.end()

    def _draw_names(self, imgui: Any) -> None:
        """Write over every hand who acts in it, behind all windows."""
        names, ids, count = self._session.names, self._session.ids, self._session.num_policies
        for index, place in zip(self._places.indices, to_screen(self._camera(), self._places.points), strict=True):
            self._write(imgui, names[index], place, packed(*policy_color(int(ids[index]), count)))
        if self._goals is not None:
            for place in to_screen(self._camera(), self._goals):
                self._write(imgui, "goal", place)

    def _write(self, imgui: Any, text: str, place: NDArray[np.float64], color: int | None = None) -> None:
        """Write onto the picture.

        Args:
            imgui: What draws.
            text: What to write.
            place: Where, in shares of width and height.
            color: Of a dot before it; None for none.
        """
        x, y = place
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):  # NaN is not either
            return
        paper, display, size = imgui.get_background_draw_list(), imgui.get_io().display_size, imgui.calc_text_size(text)
        left, top, pad = x * display.x - size.x / 2.0, y * display.y - size.y, 4.0 * self._scale()
        before = pad if color is None else 4.0 * pad
        right = imgui.ImVec2(left + size.x + pad, top + size.y + pad)
        paper.add_rect_filled(imgui.ImVec2(left - before, top - pad), right, _PAPER, pad)
        if color is not None:
            paper.add_circle_filled(imgui.ImVec2(left - 1.7 * pad, top + size.y / 2.0), 1.2 * pad, color)
        paper.add_text(imgui.ImVec2(left, top), _INK, text)

    def _draw_table(self, imgui: Any) -> None:
        session, columns = self._session, self._session.table()
        if not columns or not imgui.begin_table("policies", len(columns) + 1):
            return
        self._set_up(imgui, len(columns))
        for label in ("policy", *columns):
            imgui.table_next_column()
            imgui.text_disabled(label)
        for policy in range(session.num_policies):
            imgui.table_next_row()
            imgui.table_next_column()
            self._name(imgui, policy)
            for values in columns.values():
                imgui.table_next_column()
                imgui.text(number(values[policy]))
        imgui.end_table()

    def _draw_kl(self, imgui: Any) -> None:
        session, kl = self._session, self._session.kl
        if kl is None:
            return
        imgui.separator()
        imgui.text_wrapped(session.kl_note)
        limits = kl_limits(kl)
        if not imgui.begin_table("kl", session.num_policies + 1):
            return
        self._set_up(imgui, session.num_policies)
        imgui.table_next_column()
        for column in range(session.num_policies):
            imgui.table_next_column()
            imgui.text_disabled("leader" if column == session.num_policies - 1 else str(column))
        for row in range(session.num_policies):
            imgui.table_next_row()
            imgui.table_next_column()
            self._name(imgui, row)
            for column in range(session.num_policies):
                imgui.table_next_column()
                value = float(kl[row, column])
                if row == column or np.isnan(value):
                    imgui.text("" if row == column else "-")
                    continue
                imgui.table_set_bg_color(imgui.TableBgTarget_.cell_bg, packed_hex(kl_color(value, limits)))
                ink = imgui.color_convert_u32_to_float4(packed_hex(kl_ink(value, limits)))
                imgui.text_colored(ink, f"{value:.2g}")
        imgui.end_table()

    def _set_up(self, imgui: Any, columns: int) -> None:
        """Give a table's first column the width of a name and begin its first row."""
        imgui.table_setup_column("name", imgui.TableColumnFlags_.width_fixed, _NAME * self._scale())
        for column in range(columns):
            imgui.table_setup_column(str(column))
        imgui.table_next_row()

    def _name(self, imgui: Any, policy: int) -> None:
        session = self._session
        color = imgui.color_convert_u32_to_float4(packed(*policy_color(policy, session.num_policies)))
        side = imgui.get_text_line_height()
        imgui.color_button(f"##{policy}", color, imgui.ColorEditFlags_.no_tooltip, imgui.ImVec2(side, side))
        imgui.same_line()
        (imgui.text if policy in session.acting else imgui.text_disabled)(session.policies[policy])
