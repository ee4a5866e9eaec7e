# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab benchmark update``: what an update costs, by algorithm and phase."""

from __future__ import annotations

import contextlib
import datetime
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cpo_lab.cli.parser import CommandParser, output_file, positive_int
from cpo_lab.launch.machine import resolve_device
from cpo_lab.launch.ranks import Rank

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_EPILOG = """\
examples:
  cpo-lab benchmark update        Shadow Hand shapes at a laptop's size
  cpo-lab benchmark update --shape kuka --num_envs 96   the arms' LSTM
  cpo-lab benchmark update --device cuda:0 --num_envs 24576 --output update.json
  torchrun --nproc_per_node 2 -m cpo_lab.cli benchmark update   weak scaling:
                                  --num_envs is per process"""


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="cpo-lab benchmark update",
        description="Time the update of PPO, SAPG and CPO on synthetic rollouts of a task's shapes.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--shape",
        default="shadow",
        choices=("shadow", "allegro", "kuka"),
        metavar="NAME",
        help="shadow, allegro (MLP) or kuka (LSTM) (default: %(default)s)",
    )
    parser.add_shared("--num_envs", default=252, help="environments, a multiple of 6 (default: %(default)s)")
    parser.add_shared("--device", default="cpu", help="cpu, cuda or cuda:<index> (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=positive_int, default=5, metavar="R", help="counted updates per algorithm (default: 5)"
    )
    parser.add_argument("--threads", type=positive_int, metavar="T", help="CPU threads of torch (default: torch's)")
    parser.add_argument("--tf32", action="store_true", help="allow TensorFloat-32 matrix products on the GPU")
    parser.add_argument("--mixed_precision", action="store_true", help="bfloat16 forward passes in the update")
    parser.add_argument("--compile", action="store_true", help="compile the loss with torch.compile")
    parser.add_argument("--output", metavar="FILE.json", help="also write the figures")
    return parser


def run(argv: list[str]) -> int:
    """Measure as the arguments say.

    Raises:
        UserError: On input that the user can correct, before anything is measured.
    """
    args = _parser().read(argv)
    output = output_file("--output", args.output)
    rank = Rank.of_this_process()
    device = resolve_device(rank.device(args.device))
    from rich.console import Console

    with _group(rank, device) as ranks:
        result = _measure(args, device, ranks)
    if not rank.is_first:
        return 0
    console = Console(highlight=False)
    _show(console, result)
    if output is not None:
        from cpo_rl.runs.files import write_json

        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(output, result)
        console.print(f"Wrote {output}", markup=False, soft_wrap=True)
    return 0


@contextlib.contextmanager
def _group(rank: Rank, device: str) -> Iterator[dict[str, int] | None]:
    """Join the processes that torchrun started; gives rsl_rl's dictionary of this one, None if it is alone."""
    if not rank.several:
        yield None
        return
    import torch

    torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield {"global_rank": rank.rank, "local_rank": rank.local_rank, "world_size": rank.world_size}
    finally:
        torch.distributed.destroy_process_group()


def _measure(args: Namespace, device: str, ranks: dict[str, int] | None) -> dict[str, Any]:
    """Time every variant; see :func:`cpo_rl.benchmark.run`."""
    import torch
    from rich.console import Console

    from cpo_rl import benchmark

    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = args.tf32
    torch.backends.cudnn.allow_tf32 = args.tf32
    options: dict[str, Any] = {"mixed_precision": args.mixed_precision, "compile": args.compile}
    with Console(stderr=True).status("building") as status:
        result = benchmark.run(
            args.shape, args.num_envs, device, args.repeats, say=status.update, ranks=ranks, **options
        )
    return {**result, "options": options, "date": datetime.date.today().isoformat()}


def _show(console: Console, result: dict[str, Any]) -> None:
    """Print a table of the whole update and one of its phases, both at most 80 columns wide."""
    hardware = result["hardware"]
    console.print(
        f"{result['shape']}: {result['num_envs']} environments x {result['horizon']} steps, {result['repeats']} "
        f"updates; {hardware['device']}, {hardware['threads']} threads, torch {hardware['torch']}"
        + (f"; one of {result['processes']} processes" if result["processes"] > 1 else ""),
        markup=False,
    )
    tables = [_whole(result), _phases(result), *([_messages(result)] if result["processes"] > 1 else [])]
    for table in tables:
        console.print()
        console.print(table)


def _whole(result: dict[str, Any]) -> Table:
    """Return the table of whole updates."""
    table = _table("update", "ms", "range", "to PPO", "rows", "steps", "reads", "MiB", "to PPO")
    for name, entry in result["variants"].items():
        table.add_row(
            name.replace("_", " "),
            f"{1e3 * entry['median_s']:,.1f}",
            f"{1e3 * entry['min_s']:.0f}-{1e3 * entry['max_s']:.0f}",
            f"{entry['ratio_to_ppo']:.2f}",
            f"{entry['rows']:,}",
            str(entry["gradient_steps"]),
            str(entry["host_reads"]),
            f"{entry['rollout_bytes'] / 2**20:.1f}",
            f"{entry['memory_to_ppo']:.2f}",
        )
    table.caption = (
        "ms: median and range of an update; rows: sequences of one pass times their length; steps: gradient "
        "steps; reads: waits of the host for the device; MiB: what the rollout keeps"
    )
    return table


def _phases(result: dict[str, Any]) -> Table:
    """Return the table of an update's phases."""
    phases = list(dict.fromkeys(phase for entry in result["variants"].values() for phase in entry["phases_s"]))
    table = _table("phase [ms]", *phases)
    for name, entry in result["variants"].items():
        seconds = entry["phases_s"]
        table.add_row(
            name.replace("_", " "), *(f"{1e3 * seconds[phase]:.1f}" if phase in seconds else "" for phase in phases)
        )
    return table


def _messages(result: dict[str, Any]) -> Table:
    """Return the table of what a process sends to the others in an update."""
    table = _table("sent per update", "messages", "MiB", "largest MiB")
    for name, entry in result["variants"].items():
        table.add_row(
            name.replace("_", " "), str(entry["messages"]), f"{entry['message_bytes'] / 2**20:.2f}",
            f"{entry['largest_message_bytes'] / 2**20:.2f}",
        )  # fmt: skip
    return table


def _table(first: str, *numbers: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), caption_justify="left")
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
