# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Whether the files that a scene is made of can be had, asked before an engine starts.

Isaac Lab looks for a remote file when it spawns it and waits for about 50 s before it gives up without a network.
"""

from __future__ import annotations

import os
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cpo_rl.errors import UserError

PATIENCE = 3.0
"""How long a server may take to answer [s]."""


def file_of(asset: Any) -> str:
    """Return the USD file that an asset's configuration is spawned from; empty if it is made without one."""
    path = getattr(getattr(asset, "spawn", None), "usd_path", None)
    return path if isinstance(path, str) else ""


def scene_files(scene: Any) -> Iterator[tuple[str, str]]:
    """Yield the USD files that a scene's assets are spawned from.

    Args:
        scene: Isaac Lab's ``InteractiveSceneCfg`` with resolved presets.

    Yields:
        Setting that names the file, and the path or URL; assets that are generated while spawning have none.
    """
    for name, asset in vars(scene).items():
        path = file_of(asset)
        if path:
            yield f"env.scene.{name}.spawn.usd_path", path


def check_files(scene: Any, otherwise: str = "leave presets=nucleus_assets out") -> None:
    """Check that all files of a scene are there; takes at most :data:`PATIENCE` for the first that is not.

    Args:
        scene: Isaac Lab's ``InteractiveSceneCfg`` with resolved presets.
        otherwise: What helps if one of NVIDIA's files is missing and no folder with it is at hand.

    Raises:
        UserError: Naming the setting, the file, why it cannot be had and what helps.
    """
    check_paths(scene_files(scene), otherwise)


def check_paths(files: Iterable[tuple[str, str]], otherwise: str) -> None:
    """Check that files are there; takes at most :data:`PATIENCE` for the first that is not.

    Args:
        files: Setting that names a file, and the path or URL.
        otherwise: What helps if one of NVIDIA's files is missing and no folder with it is at hand.

    Raises:
        UserError: Naming the setting, the file, why it cannot be had and what helps.
    """
    for setting, path in files:
        reason = why_missing(path)
        if reason:
            raise UserError(f"{setting}={path} cannot be had: {reason}; {_way_out(path, otherwise)}.")


def why_missing(path: str) -> str | None:
    """Return why a file cannot be had, or None if it can.

    Args:
        path: Local path or URL. Servers that are asked by other means than HTTP are left to Isaac Lab.
    """
    url = urlsplit(path)
    if url.scheme in ("http", "https"):
        return None if mirror_of(path).is_file() else _ask_server(path)
    if len(url.scheme) > 1 and not os.path.isabs(path):  # a single letter is a Windows drive
        return None
    return None if os.path.isfile(path) else "there is no such file"


def mirror_of(url: str) -> Path:
    """Return where Isaac Lab keeps its copy of a downloaded file, which it uses when the server does not answer."""
    parts = urlsplit(url)
    return Path(tempfile.gettempdir(), parts.scheme, parts.netloc.replace(":", "_"), *parts.path.lstrip("/").split("/"))


@cache
def _ask_server(url: str) -> str | None:
    """Ask for a file's headers. In a thread, because looking up a host's name heeds no timeout."""
    answers: list[str | None] = []
    asking = threading.Thread(target=lambda: answers.append(_head(url)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answers[0] if answers else f"{urlsplit(url).netloc} did not answer within {PATIENCE:g} s"


def _head(url: str) -> str | None:
    host = urlsplit(url).netloc
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE):
            return None
    except urllib.error.HTTPError as error:
        # some servers do not answer this kind of question, which says nothing about the file
        return None if error.code in (405, 501) else f"{host} answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return f"{host} cannot be reached ({getattr(error, 'reason', error)})"


def _way_out(path: str, otherwise: str) -> str:
    """Return what to do about a missing file."""
    from isaaclab.utils.assets import NUCLEUS_ASSET_ROOT_DIR

    if not path.startswith(NUCLEUS_ASSET_ROOT_DIR):
        return "correct the path"
    from cpo_lab.assets.stock_root import WRITTEN

    inside = path.removeprefix(NUCLEUS_ASSET_ROOT_DIR).lstrip("/")
    if inside in WRITTEN:
        made = "which python -m cpo_lab.assets.stock_root FOLDER writes from what installed packages carry"
        return f"set ISAACSIM_ASSET_ROOT to a folder that holds {inside}, {made}, or {otherwise}"
    return f"set ISAACSIM_ASSET_ROOT to a folder that holds {inside}, or {otherwise}"
