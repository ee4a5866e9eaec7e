# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Where libraries keep what they make once and use again, on any account.

Warp keeps compiled kernels, OvPhysX cooked shapes, Isaac Lab downloads, Matplotlib a list of fonts, each in a place of
its own below the user's home or among the temporary files. ``CPO_LAB_CACHE`` moves all of them into one folder. An
account whose home is missing or cannot be written gets such a folder by itself.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cpo_lab.assets.cache import CACHE_VARIABLE, cache_dir, private_temporary, usual_cache
from cpo_rl.errors import UserError
from cpo_rl.runs.files import reason

OWN_VARIABLES = {
    "WARP_CACHE_PATH": "warp",
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "torch_inductor",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "NUMBA_CACHE_DIR": "numba",
    "WANDB_CACHE_DIR": "wandb/cache",
    "WANDB_CONFIG_DIR": "wandb/config",
    "WANDB_DATA_DIR": "wandb/data",
}
"""Variables by which one library finds its cache, to its folder below ours; one that is set already is left alone."""

SHARED_VARIABLES = {"XDG_CACHE_HOME": "", "TMPDIR": "temporary"}
"""Variables by which many libraries find a place, to the folder below ours."""

_replaced: list[str] = []  # why the folder of this process is not the usual one, if so


def settle_caches() -> None:
    """Give every library a folder that this account can write, before the first of them is imported; never fails.

    Without ``CPO_LAB_CACHE`` and with a home that can be written nothing is changed.
    """
    _name_account()
    if not os.environ.get(CACHE_VARIABLE):
        usual = usual_cache()
        problem = "This account has no home" if usual is None else why_not_writable(usual)
        if problem is None:
            return
        try:
            os.environ[CACHE_VARIABLE] = str(private_temporary())
        except OSError:
            return  # nothing at all can be written, which check_caches says in a sentence
        _replaced[:] = [problem if usual is None else f"{usual} cannot be written ({problem})"]
    root = cache_dir()
    for variable, name in OWN_VARIABLES.items():
        os.environ.setdefault(variable, str(root / name))
    for variable, name in SHARED_VARIABLES.items():
        # a folder of ours among the temporary files need not hold one for temporary files
        if not (variable == "TMPDIR" and _replaced) and why_not_writable(root / name) is None:
            os.environ[variable] = str(root / name)
    tempfile.tempdir = None  # or it stays where it was when somebody asked first
    if "HOME" not in os.environ and usual_home() is None:
        os.environ["HOME"] = str(root)


def usual_home() -> Path | None:
    """Return the home of this account; None if it has none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def notice() -> str | None:
    """Return one sentence if the caches of this process are not where they usually are without anybody's choice."""
    if not _replaced:
        return None
    return f"{_replaced[0]}, so caches are kept in {cache_dir()}; {CACHE_VARIABLE} names another folder."


def check_caches() -> None:
    """Check that every cache can be written, and remove compiled kernels that are damaged.

    Raises:
        UserError: Naming the variable to set.
    """
    for variable, folder in cache_folders().items():
        problem = why_not_writable(folder)
        if problem is not None:
            raise UserError(
                f"{variable} {str(folder)!r} cannot be written ({problem}); set {variable} to a writable folder."
            )
    remove_damaged_kernels(kernel_cache())


def cache_folders() -> dict[str, Path]:
    """Return the folders that training writes to besides its run folder, by the variable that names each.

    Raises:
        UserError: If there is none for temporary files.
    """
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise UserError("No folder for temporary files can be written; set TMPDIR to a writable folder.") from None
    return {CACHE_VARIABLE: cache_dir(), "WARP_CACHE_PATH": kernel_cache(), "TMPDIR": temporary}


def kernel_cache() -> Path:
    """Return the folder in which Warp keeps compiled kernels."""
    chosen = os.environ.get("WARP_CACHE_PATH")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base, "warp") if base else (usual_home() or private_temporary()) / ".cache" / "warp"


def why_not_writable(folder: Path) -> str | None:
    """Make a folder and write a file into it; return why that failed, None if it worked."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return reason(error)
    return None


def remove_damaged_kernels(folder: Path) -> list[Path]:
    """Remove compiled kernels that Warp would fail to load instead of compiling them again.

    Args:
        folder: Warp's cache, which holds a folder per version of Warp and in it one per module.

    Returns:
        The folders of the modules that went.
    """
    damaged = [module for module in _folders(folder, "*/wp_*") if not _can_be_loaded(module)]
    for module in damaged:
        shutil.rmtree(module, ignore_errors=True)
    return damaged


def _folders(folder: Path, pattern: str) -> Iterator[Path]:
    try:
        yield from (path for path in folder.glob(pattern) if path.is_dir())
    except OSError:
        return


def _can_be_loaded(module: Path) -> bool:
    """Return whether the description of a module's kernels parses and its object files are whole."""
    try:
        for file in module.iterdir():
            if file.suffix == ".meta":
                json.loads(file.read_text(encoding="utf-8"))
            elif file.suffix in (".o", ".cubin") and not _is_whole_elf(file):
                return False
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _is_whole_elf(file: Path) -> bool:
    """Return whether a 64-bit ELF file reaches to the end of its table of sections, which stands last."""
    if sys.platform != "linux":
        return True  # other systems have other formats
    with file.open("rb") as stream:
        head = stream.read(64)
        size = stream.seek(0, os.SEEK_END)
    if len(head) < 64 or head[:5] != b"\x7fELF\x02":
        return False
    order = "<" if head[5] == 1 else ">"
    start, width, count = *struct.unpack_from(f"{order}Q", head, 0x28), *struct.unpack_from(f"{order}HH", head, 0x3A)
    return start + width * count <= size


def _name_account() -> None:
    """Give an account that is not among the users a name, without which torch cannot be imported."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid{os.getuid()}"
