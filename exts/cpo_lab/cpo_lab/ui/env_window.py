# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's window of an environment in Kit, with a part for the ensemble that acts in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from isaaclab.envs.ui import BaseEnvWindow, ManagerBasedRLEnvWindow
from numpy.typing import NDArray

from cpo_lab.ui.panel import TITLE, EnsembleTables
from cpo_lab.ui.session import Session

PLOTS = "policies"
"""Name of what viewers plot of the ensemble (:meth:`cpo_lab.ui.live.Live`)."""


class SessionFrame:
    """Who acts, and what each policy has done, within a container of omni.ui.

    Args:
        session: What to show.
    """

    def __init__(self, session: Session) -> None:
        import omni.ui as ui

        self._session = session
        with ui.CollapsableFrame(TITLE), ui.VStack(spacing=6, height=0):
            with ui.HStack(height=24, spacing=6):
                ui.Label("Policy", width=80)
                self._menu = ui.ComboBox(session.options.index(session.choice), *session.options)
            self._menu.enabled = len(session.options) > 1
            self._tables = EnsembleTables(ui.VStack(spacing=6, height=0))
        self._menu.model.add_item_changed_fn(lambda model, _: session.choose(session.options[_chosen(model)]))

    def refresh(self, goals: NDArray[np.float64] | None = None) -> None:
        """Show the session as it is now; goals are in the scene."""
        place = self._session.options.index(self._session.choice)
        if _chosen(self._menu.model) != place:  # chosen in another viewer
            self._menu.model.get_item_value_model().set_value(place)
        self._tables.show(self._session)


class _WithEnsemble:
    """Adds the part to a window of Isaac Lab's when there is a session, which is after the window was made."""

    env: Any
    ui_window_elements: dict[str, Any]

    def show_session(self, session: Session) -> SessionFrame:
        """Build the part, and the plots of the ensemble; return what keeps the part up to date."""
        with self.ui_window_elements["main_vstack"]:
            frame = SessionFrame(session)
        if PLOTS in self.env.manager_visualizers:
            with self.ui_window_elements["debug_frame"], self.ui_window_elements["debug_vstack"]:
                self._visualize_manager(title="Policies", class_name=PLOTS)  # type: ignore[attr-defined]
        return frame


class EnsembleWindow(_WithEnsemble, BaseEnvWindow):
    """Window of a direct environment."""


class ManagerEnsembleWindow(_WithEnsemble, ManagerBasedRLEnvWindow):
    """Window of a manager-based environment."""


def _chosen(model: Any) -> int:
    """Return which item of a combo box is chosen."""
    return int(model.get_item_value_model().get_value_as_int())
