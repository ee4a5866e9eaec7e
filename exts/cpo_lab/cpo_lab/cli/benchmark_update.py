# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab benchmark update``: what an update costs, by algorithm and phase."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError

_EXAMPLES = """\
examples:
  cpo-lab benchmark update                                       Shadow Hand shapes at a laptop's size
  cpo-lab benchmark update --shape kuka --num_envs 96            the LSTM of the arm tasks
  cpo-lab benchmark update --device cuda:0 --num_envs 24576 --output update.json"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cpo-lab benchmark update",
        description="Time the update of PPO, SAPG and CPO on synthetic rollouts of a task's shapes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shape", default="shadow", help="shadow, allegro (MLP) or kuka (LSTM) [shadow]")
    parser.add_argument("--num_envs", type=int, default=252, help="environments, a multiple of 6 [252]")
    parser.add_argument("--device", default="cpu", help="torch device [cpu]")
    parser.add_argument("--repeats", type=int, default=5, help="counted updates per algorithm [5]")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads of torch [its default]")
    parser.add_argument("--tf32", action="store_true", help="allow TensorFloat-32 matrix products on the GPU")
    parser.add_argument("--mixed_precision", action="store_true", help="bfloat16 forward passes in the update")
    parser.add_argument("--compile", action="store_true", help="compile the loss with torch.compile")
    parser.add_argument("--output", type=Path, default=None, help="also write the figures as JSON")
    return parser


def run(argv: list[str]) -> int:
    """Run the command.

    Raises:
        UserError: On a bad argument.
    """
    args = _parser().parse_args(argv)
    if args.repeats < 1:
        raise UserError(f"--repeats={args.repeats} must be at least 1.")
    import torch
    from rich.console import Console

    from cpo_rl import benchmark

    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device={args.device} needs a CUDA GPU, and torch sees none; use --device cpu.")
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = args.tf32
    torch.backends.cudnn.allow_tf32 = args.tf32
    console = Console()
    options: dict[str, Any] = {"mixed_precision": args.mixed_precision, "compile": args.compile}
    with console.status("building") as status:
        result = benchmark.run(args.shape, args.num_envs, args.device, args.repeats, say=status.update, **options)
    result["options"] = options
    result["date"] = datetime.date.today().isoformat()
    console.print(_table(result))
    if args.output:
        args.output.write_text(json.dumps(result, indent=2) + "\n")
        console.print(f"written to {args.output}")
    return 0


def _table(result: dict[str, Any]) -> Any:
    from rich.table import Table

    hardware = result["hardware"]
    table = Table(
        title=f"{result['shape']}: {result['num_envs']} environments x {result['horizon']} steps, "
        f"{hardware['device']}, {hardware['threads']} threads, torch {hardware['torch']}"
    )
    for name in (
        "algorithm",
        "update [ms]",
        "min-max [ms]",
        "to PPO",
        "rows",
        "steps",
        "reads",
        "rollout [MiB]",
        "phases [ms]",
    ):
        table.add_column(name, justify="left" if name in ("algorithm", "phases [ms]") else "right")
    for name, entry in result["variants"].items():
        table.add_row(
            name,
            f"{1e3 * entry['median_s']:.1f}",
            f"{1e3 * entry['min_s']:.0f}-{1e3 * entry['max_s']:.0f}",
            f"{entry['ratio_to_ppo']:.2f}",
            str(entry["rows"]),
            str(entry["gradient_steps"]),
            str(entry["host_reads"]),
            f"{entry['rollout_bytes'] / 2**20:.1f} ({entry['memory_to_ppo']:.2f}x)",
            ", ".join(f"{phase} {1e3 * seconds:.1f}" for phase, seconds in entry["phases_s"].items()),
        )
    return table
