# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Modules of version 0.1.0 under their old names, for run folders and for tasks of your own that name them.

An old name is an alias: importing it gives the names of the modules that hold its content now, and says so once.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_HERE = __name__.rpartition(".")[0]

_SHADOW, _ALLEGRO = ("in_hand.shadow", "in_hand.env_cfg"), ("in_hand.allegro", "in_hand.env_cfg")

MOVED: dict[str, tuple[str, ...]] = {
    "common": (),
    "common.goal_marker": ("in_hand.goal_marker",),
    "common.joints": ("joints",),
    "common.layout": ("layout",),
    "common.physical_checks": ("physical_checks",),
    "common.reorient": ("in_hand.rules", "joints"),
    "common.robot_file": ("robot_file",),
    "common.rotations": ("rotations",),
    "shadow_hand": (),
    "shadow_hand.agents": (),
    "shadow_hand.agents.rsl_rl_cfg": ("in_hand.shadow", "in_hand.agents"),
    "shadow_hand.hand_map": ("in_hand.hand_map", "joint_frames"),
    "shadow_hand.hand_names": _SHADOW,
    "shadow_hand.layout": _SHADOW,
    "shadow_hand.shadow_hand_env": _SHADOW,
    "shadow_hand.shadow_hand_env_cfg": _SHADOW,
    "allegro_hand": (),
    "allegro_hand.agents": (),
    "allegro_hand.agents.rsl_rl_cfg": ("in_hand.allegro", "in_hand.agents"),
    "allegro_hand.allegro_hand_env": _ALLEGRO,
    "allegro_hand.allegro_hand_env_cfg": _ALLEGRO,
    "allegro_hand.layout": _ALLEGRO,
    "allegro_kuka": (),
    "allegro_kuka.agents": (),
    "allegro_kuka.agents.rsl_rl_cfg": ("arms.agents",),
    "allegro_kuka.allegro_kuka_env": ("arms.env",),
    "allegro_kuka.allegro_kuka_env_cfg": ("arms.env_cfg", "arms.scenes"),
    "allegro_kuka.arm": ("arms.arm",),
    "allegro_kuka.layout": ("arms.layout",),
    "allegro_kuka.rules": ("arms.rules",),
    "allegro_kuka.validation": ("arms.validation",),
}
"""Module of version 0.1.0 -> modules to look its names up in, both below ``cpo_lab.tasks``; packages hold none."""

RENAMED = {("shadow_hand.hand_names", "HandNamesCfg"): "BuiltinShadowHandNamesCfg"}
"""Old module and name -> name now, where that has changed."""


class _MovedModules(MetaPathFinder, Loader):
    """Finds the old names; asked only for what no file holds."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Return how to import a module if it is one of :data:`MOVED`."""
        package, _, name = fullname.partition(f"{_HERE}.")
        if package or name not in MOVED:
            return None
        return ModuleSpec(fullname, self, is_package=not MOVED[name])

    def exec_module(self, module: ModuleType) -> None:
        """Let a module hand out what its successors hold."""
        old = module.__name__.removeprefix(f"{_HERE}.")
        now = [f"{_HERE}.{name}" for name in MOVED[old]]
        if not now:
            return

        def lookup(name: str) -> Any:
            for successor in map(importlib.import_module, now):
                try:
                    return getattr(successor, RENAMED.get((old, name), name))
                except AttributeError:
                    continue
            raise AttributeError(f"{module.__name__} is now {' and '.join(now)}, which have no {name}.")

        module.__getattr__ = lookup  # type: ignore[method-assign]
        warnings.warn(f"{module.__name__} is now {' and '.join(now)}.", DeprecationWarning, stacklevel=2)


def install() -> None:
    """Make the old names importable; calling it again does nothing."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
