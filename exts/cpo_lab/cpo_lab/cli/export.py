# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab export``: write a trained policy for deployment, from its checkpoint alone.

No simulator is started: the network's sizes come from the checkpoint, its settings from the run folder, and what the
observations mean from the task's layout table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpo_lab.cli.parser import CommandParser, policies_of
from cpo_lab.deployment.companions import add_companions
from cpo_lab.deployment.description import describe_driving, describe_origin, section
from cpo_lab.launch.machine import check_folder
from cpo_rl.errors import UserError
from cpo_rl.runs.files import expanded
from cpo_rl.runs.find import resolve_checkpoint
from cpo_rl.runs.folder import RunFolder

if TYPE_CHECKING:
    from cpo_rl.runs.checkpoint_reader import Checkpoint

INPUT, ENSEMBLE = "input", "ensemble"
"""Values of ``--policy`` for one model whose input names the policy; the first is the older word."""

_EPILOG = """\
The files go to <run folder>/exported, other policies than the leader to a
folder of their own in there:
  policy.pt      TorchScript: forward(obs), reset()
  policy.onnx    ONNX for any number of environments; recurrent states are
                 inputs and outputs
  policy.json    what a robot's driver needs: names, order, units, ranges and
                 scales of observations and actions, joint limits, gains,
                 control rate, how an action becomes a joint target; also in
                 the metadata of policy.onnx
  run_policy.py  drives a robot with them: sensor values in, joint targets out
                 (needs numpy and onnxruntime only)
  README.md      a model card, with the front matter of Hugging Face
Every file was compared with the checkpoint over 1,000 steps with resets before
it was written.

examples:
  cpo-lab export                        the leader of the newest run
  cpo-lab export --checkpoint best --formats onnx
  cpo-lab export --checkpoint logs/rsl_rl/hand/2026-01-31_12-00-00/model_2000.pt
  cpo-lab export --policy all           every policy of the ensemble
  cpo-lab export --policy ensemble --output deploy   one model, takes the id"""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab export", description="Write a trained policy for deployment.", epilog=_EPILOG)
    parser.add_shared("--checkpoint")
    parser.add_shared("--task", help="task of the run that latest and best choose from (default: any)")
    parser.add_shared(
        "--policy",
        default="leader",
        help="leader, followers, all, a number from 0, or ensemble for one model that takes it (default: leader)",
    )
    parser.add_argument("--formats", default="jit,onnx", metavar="LIST", help="jit, onnx or both (default: jit,onnx)")
    parser.add_argument("--output", metavar="DIR", help="folder of the files (default: exported in the run folder)")
    parser.add_shared("--log_root")
    return parser


def run(argv: list[str]) -> int:
    """Export as the arguments say.

    Raises:
        UserError: On input that the user can correct.
    """
    args = _parser().read(argv)
    formats = [name for name in args.formats.split(",") if name]
    if args.output:
        check_folder(args.output, "--output")
    file = resolve_checkpoint(args.checkpoint, args.log_root, task=args.task)
    run_folder = RunFolder.read(file.parent)

    from cpo_rl.export import export_policy
    from cpo_rl.models import EnsembleActorCritic
    from cpo_rl.runs.checkpoint_reader import read_checkpoint

    checkpoint = read_checkpoint(file)
    settings = _agent_settings(checkpoint, file, run_folder)
    groups = section(settings, "obs_groups").get("actor")
    model = EnsembleActorCritic.from_checkpoint(checkpoint.payload.get("model") or {}, settings["model"], groups)
    metadata = {
        **describe_origin(checkpoint, file, run_folder, settings),
        **describe_driving(checkpoint, run_folder, settings.get("clip_actions"), model.num_obs),
    }
    root = expanded(args.output) if args.output else file.parent / "exported"
    written = []
    for policy in _policies(args.policy, model.num_policies):
        folder = root / _subfolder(policy, model.num_policies)
        description = export_policy(model, folder, policy, formats, metadata)
        add_companions(folder, description, run_folder)
        written.append((folder, description))
    _show(file, root, written)
    return 0


def _policies(choice: str, num_policies: int) -> Sequence[int | str]:
    """Return the policies that ``--policy`` means, or the word for the model that takes the id.

    Raises:
        UserError: If it means none.
    """
    return [INPUT] if choice in (INPUT, ENSEMBLE) else policies_of(choice, num_policies, ENSEMBLE)


def _subfolder(policy: int | str, count: int) -> str:
    """The leader lies where the stock ``isaaclab play`` puts it, so that deployment scripts find either."""
    if policy == INPUT:
        return "all_policies"
    return "." if policy == count - 1 else f"policy_{policy}"


def _agent_settings(checkpoint: Checkpoint, file: Path, run: RunFolder) -> dict[str, Any]:
    """The agent's settings that the checkpoint was trained with: its own description's, else the run folder's.

    Raises:
        UserError: If neither has them.
    """
    own = checkpoint.manifest.config if checkpoint.manifest else {}
    settings = own if "model" in own else run.settings
    if not isinstance(settings.get("model"), dict):
        raise UserError(
            f"{str(file)!r} comes without its network's settings; keep it with its folder's params/agent.yaml."
        )
    return settings


def _show(checkpoint: Path, root: Path, written: list[tuple[Path, dict[str, Any]]]) -> None:
    """Tell what was written and how well it agrees."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("file", "policy", "size", "differs by at most", box=None, padding=(0, 2, 0, 0))
    for folder, description in written:
        policy = description["policy"]
        name = policy["role"] if policy["role"] != "follower" else f"follower {policy['id']}"
        for file, facts in description["files"].items():
            where = str((folder / file).relative_to(root))
            table.add_row(where, name, f"{facts['size'] / 1024:.0f} KiB", f"{facts['max_difference']:.1e}")
        table.add_row(str((folder / "policy.json").relative_to(root)), name, "", "")
    console = Console(soft_wrap=True)
    console.print(f"[bold]exported[/bold] {escape(str(checkpoint))}\n[bold]to[/bold] {escape(str(root))}")
    console.print(table)
