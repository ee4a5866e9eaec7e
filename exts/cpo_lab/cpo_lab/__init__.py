# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Ensemble policies for dexterous manipulation in Isaac Lab: tasks, robots, commands and reports.

Importing this package costs nothing and starts nothing: simulator modules are imported by the code that needs them.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

__all__ = ["EXTENSION_ROOT", "__version__"]

EXTENSION_ROOT = Path(__file__).resolve().parents[1]
"""Folder of the Omniverse extension in a source checkout (holds ``config/extension.toml``)."""


def _read_version() -> str:
    """Return the version from ``extension.toml`` in a checkout, else from the installed distribution."""
    manifest = EXTENSION_ROOT / "config" / "extension.toml"
    if manifest.is_file():
        import tomllib

        return str(tomllib.loads(manifest.read_text(encoding="utf-8"))["package"]["version"])
    try:
        return metadata.version("cpo-lab")
    except metadata.PackageNotFoundError:
        return "0.0.0"


__version__ = _read_version()
