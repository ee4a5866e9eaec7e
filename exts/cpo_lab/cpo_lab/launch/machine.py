# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What this machine offers: devices, memory, folders that can be written."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from cpo_rl.errors import UserError
from cpo_rl.runs.files import expanded


def resolve_device(device: str | None) -> str:
    """Return the device to compute on.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:<index>``, or None for the first GPU if there is one, else the CPU.

    Raises:
        UserError: If the name is wrong, or if it asks for a GPU that is not there.
    """
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device or "cpu")
    if match is None:
        raise UserError(f"Unknown --device {device!r}; choose cpu, cuda or cuda:<index>.")
    if device == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None:
        return "cuda:0" if count else "cpu"
    index = int(match[1] or 0)
    if count == 0:
        raise UserError(
            f"--device {device} was asked for but no CUDA device is usable; use --device cpu or run cpo-lab doctor."
        )
    if index >= count:
        raise UserError(
            f"--device {device} was asked for but there are only {count} CUDA devices, cuda:0 to cuda:{count - 1}."
        )
    return f"cuda:{index}"


def check_memory(device: str, need: int, cause: str) -> None:
    """Refuse what cannot fit, before anything is allocated; what is left over by other processes is not asked.

    Args:
        device: ``cpu`` or ``cuda:<index>``.
        need: Bytes that are needed at least.
        cause: The setting that decides it, for the message.

    Raises:
        UserError: If the device has less memory in all.
    """
    if device == "cpu":
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    else:
        import torch

        total = torch.cuda.get_device_properties(device).total_memory
    if need > total:
        raise UserError(
            f"{cause} with these steps per environment and networks needs at least {need / 2**30:.0f} GiB, but "
            f"{device} has {total / 2**30:.0f} GiB; use fewer environments, steps or units."
        )


def check_folder(path: str | os.PathLike[str], argument: str) -> Path:
    """Check that a folder is there or can be made, and that files can be written into it; nothing is made.

    Args:
        path: Folder.
        argument: Name of the argument it came from, for the message.

    Raises:
        UserError: If it cannot be made or written.
    """
    folder = expanded(path).absolute()
    try:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            f"{argument} {str(folder)!r} cannot be written ({error.strerror or error}); choose another folder."
        ) from None
    return folder


def prepare_folder(path: str | os.PathLike[str], argument: str) -> Path:
    """Make a folder and make sure that files can be written into it; arguments and errors of :func:`check_folder`."""
    folder = check_folder(path, argument)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{argument} {str(folder)!r} cannot be made ({error.strerror or error}); choose another folder."
        ) from None
    return folder
