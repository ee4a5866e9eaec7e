# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab tensorboard``: follow runs in the browser.

TensorBoard's own command loads the plugin of every installed package, and one that cannot be loaded (Open3D's, on a
machine without libusb) keeps it from starting. Here it starts with its own plugins, which show all that a run writes.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any

from cpo_lab.cli.parser import CommandParser, port_number
from cpo_rl.errors import UserError
from cpo_rl.runs.find import folders_at

_EPILOG = """\
Curves are in the tabs Time Series and Custom Scalars; the latter puts the
policies of an ensemble into one chart. Ctrl+C ends it.

examples:
  cpo-lab tensorboard                                          all runs
  cpo-lab tensorboard logs/rsl_rl/shadow_hand_reorient_cube    one experiment
  cpo-lab tensorboard --port 0                                 any free port
  ssh -L 6006:localhost:6006 MACHINE                           from elsewhere"""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab tensorboard", description="Follow runs in the browser.", epilog=_EPILOG)
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="folder of runs, or a run (default: --log_root)")
    parser.add_shared("--log_root")
    parser.add_argument(
        "--port", type=port_number, default=6006, metavar="N", help="port, 0 for a free one (default: 6006)"
    )
    parser.add_argument(
        "--host", default="localhost", metavar="NAME", help="address to listen on (default: %(default)s, this machine)"
    )
    return parser


def run(argv: list[str]) -> int:
    """Serve until interrupted.

    Raises:
        UserError: If the folder does not exist, or the address cannot be listened on.
    """
    args = _parser().read(argv)
    folder = args.folder or args.log_root
    if not folders_at(folder):
        raise UserError(f"There is no folder {folder!r}; give the folder of your runs or train one first.")
    address = serve(folder, args.host, args.port)
    sys.stdout.write(f"TensorBoard shows {folder} at {address} (Ctrl+C ends it)\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        wait()
    return 0


def wait() -> None:
    """Wait to be interrupted."""
    threading.Event().wait()


def serve(folder: str, host: str, port: int) -> str:
    """Start TensorBoard in a thread of this process.

    Args:
        folder: Folder of runs.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.

    Returns:
        The address to open.

    Raises:
        UserError: If it cannot listen there.
    """
    server = with_own_plugins()
    server.configure(argv=["cpo-lab", "--logdir", str(folder), "--host", host, "--port", str(port)])
    from tensorboard.program import TensorBoardServerException

    try:
        return str(server.launch())
    except TensorBoardServerException as error:
        reason = str(getattr(error, "msg", "") or error).strip().splitlines()
        told = reason[0].rstrip(".") if reason else "it cannot listen there"
        raise UserError(f"--host {host} --port {port}: {told}; choose another, such as --port 0.") from None


def with_own_plugins() -> Any:
    """Return a TensorBoard that loads nothing of other packages.

    Raises:
        ImportError: If TensorBoard is not installed, or is broken.
    """
    from tensorboard import default, program

    return program.TensorBoard(plugins=default.get_static_plugins())
