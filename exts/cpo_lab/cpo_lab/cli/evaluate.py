# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab evaluate``: measure trained policies over many episodes, and compare checkpoints."""

from __future__ import annotations

import math
import re
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cpo_lab.cli.parser import (
    CommandParser,
    add_run_options,
    add_screen_options,
    changes_of,
    output_file,
    policies_of,
    positive_int,
)
from cpo_lab.launch.chatter import ENGINE_OUTPUT, startup_output
from cpo_lab.launch.configuration import Resolved
from cpo_lab.launch.policies import assumption, load_policy, resolve_trained
from cpo_lab.launch.settings import check_written
from cpo_lab.launch.simulation import make_env, simulation
from cpo_lab.ui.places import look_at_all
from cpo_lab.viewing.screen import Screen, screen_of
from cpo_rl.errors import UserError
from cpo_rl.formatting import policy_name
from cpo_rl.runs.files import printable, shown
from cpo_rl.runs.find import resolve_checkpoint
from cpo_rl.runs.folder import RunFolder

if TYPE_CHECKING:
    from cpo_lab.cli.rollouts import Episodes
    from cpo_lab.report.scores import Comparison, Score


_EPILOG = """\
examples:
  cpo-lab evaluate                    the leader of the newest run, 100 episodes
  cpo-lab evaluate --checkpoint best --policy each --episodes 500
  cpo-lab evaluate --checkpoint RUN_A RUN_B --json scores.json   two runs
  cpo-lab evaluate RUN_A model_499.pt    beside a checkpoint of rsl_rl's own
  cpo-lab evaluate --physics newton_mjwarp --stochastic

Every environment contributes the same number of episodes, so short episodes are
not favoured. Intervals are 95 % over episodes: they tell how well this
checkpoint was measured, not how well the algorithm does; for that train several
seeds and use cpo-lab report."""

MAX_ENVS = 1024
"""Most environments chosen for the user; more episodes are run in rounds."""


@dataclass
class Measured:
    """Episodes of one checkpoint."""

    name: str
    """Short unique name."""
    checkpoint: Path
    """The file."""
    num_policies: int
    """Policies M of the ensemble."""
    episodes: Episodes
    """What was measured."""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab evaluate", description="Measure trained policies.", epilog=_EPILOG)
    parser.add_argument("named", nargs="*", metavar="CHECKPOINT", help="the same as with --checkpoint")
    parser.add_shared(
        "--checkpoint",
        nargs="+",
        action="extend",
        default=[],
        help="latest, best, a run folder, <run folder>:best or a file; several are compared (default: latest)",
    )
    parser.add_shared(
        "--policy",
        default="leader",
        help="leader, followers, all (each and together), each or a number from 0 (default: leader)",
    )
    parser.add_argument(
        "--episodes", type=positive_int, default=100, metavar="N", help="episodes per policy (default: %(default)s)"
    )
    parser.add_argument("--stochastic", action="store_true", help="sample actions instead of taking their mean")
    parser.add_argument("--json", metavar="FILE", help="write scores, comparisons and every episode")
    parser.add_argument("--csv", metavar="FILE", help="write scores as a table")
    add_run_options(parser)
    add_screen_options(parser)
    parser.add_shared("--verbose", help=ENGINE_OUTPUT)
    return parser


def run(argv: list[str]) -> int:
    """Evaluate as the arguments say.

    Args:
        argv: Arguments after the command's name; unknown ones are configuration overrides.

    Returns:
        0.

    Raises:
        UserError: On input that the user can correct, before the simulator starts.
    """
    args, overrides = _parser().read_with_settings(argv)
    screen = screen_of(args)
    words = [*args.checkpoint, *args.named]
    # settings such as physics=ovphysx look like checkpoints to the parser
    settings = [word for word in words if "=" in word and not Path(word).exists()]
    named = [word for word in words if word not in settings] or ["latest"]
    overrides = [*overrides, *check_written(settings)]
    outputs = {"json": output_file("--json", args.json), "csv": output_file("--csv", args.csv)}
    files = [resolve_checkpoint(name, args.log_root, task=args.task) for name in named]
    configurations = _configurations(args, overrides, files)
    choice = "all" if args.policy == "each" else args.policy
    chosen = [policies_of(choice, resolved.num_policies, "each") for resolved in configurations]
    _set_sizes(args, configurations, several=any(len(policies) > 1 for policies in chosen))
    console = Console()
    first = configurations[0]
    screen.give(first.env_cfg, first.request.physics)
    console.print(
        f"{first.request.task} with {first.request.physics} on {first.request.device}", markup=False, highlight=False
    )
    for resolved, file in zip(configurations, files, strict=True):
        if (told := assumption(resolved, file, overrides)) is not None:
            console.print(told, markup=False, highlight=False, soft_wrap=True)
    _measure(args, screen, configurations, files, chosen, partial(_tell, args, console, first, outputs))
    return 0


def _tell(
    args: Namespace,
    console: Console,
    first: Resolved,
    outputs: dict[str, Path | None],
    entries: list[Measured],
    shapes: list[str],
) -> None:
    """Print what was measured and write it to the files that were asked for."""
    scores, comparisons = _summaries(entries, args.policy, shapes)
    _show(console, scores, comparisons)
    if outputs["json"]:
        _write_json(outputs["json"], args, first, entries, scores, comparisons)
    if outputs["csv"]:
        from cpo_lab.report.scores import scores_csv
        from cpo_rl.runs.files import write_text

        write_text(outputs["csv"], scores_csv(scores))
    for path in filter(None, outputs.values()):
        console.print(f"Wrote {shown(path)}", soft_wrap=True, markup=False, highlight=False)


def _configurations(args: Namespace, overrides: list[str], files: list[Path]) -> list[Resolved]:
    """Return the configurations of all checkpoints, which must share a task.

    Raises:
        UserError: If the tasks differ.
    """
    changes = changes_of(args, overrides)
    said = [RunFolder.read(file.parent).task for file in files]
    # a checkpoint of rsl_rl's own, which knows no task, is measured on that of the one it is compared with
    known = changes.task or next(filter(None, said), None)
    found = [
        resolve_trained(file, changes if task else replace(changes, task=known), play_mode=False)
        for file, task in zip(files, said, strict=True)
    ]
    tasks = sorted({resolved.request.task for resolved in found})
    if len(tasks) > 1:
        raise UserError(f"CHECKPOINT must belong to one task, not to {' and '.join(tasks)}; evaluate them one by one.")
    return found


def _set_sizes(args: Namespace, configurations: list[Resolved], *, several: bool) -> None:
    """Give all configurations one number of environments, that of the user or one that suits the episodes."""
    if args.num_envs is not None:
        return
    unit = math.lcm(*(resolved.num_policies for resolved in configurations))
    wanted = min(args.episodes * (unit if several else 1), MAX_ENVS)
    for resolved in configurations:
        resolved.env_cfg.scene.num_envs = -(-wanted // unit) * unit


def _measure(
    args: Namespace,
    screen: Screen,
    configurations: list[Resolved],
    files: list[Path],
    chosen: list[list[int]],
    then: Callable[[list[Measured], list[str]], None],
) -> None:
    """Run all checkpoints one after the other in one environment, with equal seeds.

    Args:
        args: The arguments.
        screen: What is shown meanwhile.
        configurations: Of each checkpoint.
        files: The checkpoints.
        chosen: Policies of each.
        then: Called with what was measured and the names of the objects' shapes, while the simulation runs still.
    """
    import torch

    from cpo_lab.cli.rollouts import object_shapes, run_episodes

    measured = []
    names = _names(files)
    first = configurations[0]
    output = startup_output(first, screen.viewers, verbose=args.verbose)
    with output, simulation(first, screen.arguments(first.request.device)), make_env(first) as env:
        output.release(None)
        if screen.viewers:
            look_at_all(env, np.zeros(env.num_envs, dtype=int))
        shapes, _ = object_shapes(env)
        with Console(stderr=True).status("") as status:
            for name, file, resolved, policies in zip(names, files, configurations, chosen, strict=True):
                policy = load_policy(env, resolved, file, force=args.force)
                torch.manual_seed(configurations[0].agent_cfg.seed)

                def tell(done: int, wanted: int, name: str = name) -> None:
                    status.update(Text(f"{name}: {done} of {wanted} episodes"))

                episodes = run_episodes(env, policy, policies, args.episodes, stochastic=args.stochastic, progress=tell)
                measured.append(Measured(name, file, resolved.num_policies, episodes))
        then(measured, shapes)


def _names(files: list[Path]) -> list[str]:
    """Return a short unique name per checkpoint: of the run or its folder, with the file if a run occurs twice."""
    folders = [shown(file.parent.name) for file in files]
    short = [re.sub(r"^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_", "", folder) for folder in folders]
    runs_named = short if len(set(short)) == len(set(folders)) else folders
    names = [
        f"{d}/{f.stem}" if folders.count(shown(f.parent.name)) > 1 else d
        for d, f in zip(runs_named, files, strict=True)
    ]
    return [f"{n} ({k + 1})" if names.count(n) > 1 else n for k, n in enumerate(names)]


def _summaries(entries: list[Measured], choice: str, shapes: list[str]) -> tuple[list[Score], list[Comparison]]:
    """Return the scores of every row, per shape too where there are several, and the comparisons between rows."""
    from cpo_lab.report.scores import COMPARED, Row, compare_rows, summarize

    scores: list[Score] = []
    rows = []
    for entry in entries:
        policies: list[int | None] = [int(p) for p in sorted(set(entry.episodes.policy.tolist()))]
        if choice == "all" and len(policies) > 1:
            policies.append(None)
        for policy in policies:
            own = entry.episodes.select(policy)
            name = "all" if policy is None else policy_name(policy, entry.num_policies)
            rows.append(Row(entry.name, name, own.values))
            scores += summarize(entry.name, name, "", own.values)
            for shape in sorted(set(own.shape.tolist())) if shapes else []:
                scores += summarize(entry.name, name, shapes[shape], own.select(shape=shape).values)
    return scores, compare_rows(rows, COMPARED)


def _show(console: Console, scores: list[Score], comparisons: list[Comparison]) -> None:
    """Print one table per quantity, one line per row; single shapes only as best and worst."""
    from cpo_lab.report.scores import order_of, row_of
    from cpo_lab.report.statistics import interval_text

    overall = [s for s in scores if not s.shape]
    several = len({s.checkpoint for s in overall}) > 1
    for quantity in order_of(list({s.quantity for s in overall})):
        unit = row_of(quantity).unit
        if not any(s.episodes for s in overall if s.quantity == quantity):
            console.print(f"{quantity}: in no episode", markup=False, highlight=False)
            continue
        table = Table(
            title=Text(printable(f"{quantity} [{unit}]" if unit else quantity)), title_justify="left", box=None
        )
        for column in (*(["checkpoint"] if several else []), "policy", "episodes", "mean", "interquartile mean"):
            table.add_column(column, justify="left" if column in ("checkpoint", "policy") else "right")
        for s in (s for s in overall if s.quantity == quantity):
            cells: list[str | Text] = [
                s.policy,
                str(s.episodes),
                Text(interval_text(s.mean)),
                Text(interval_text(s.iqm)),
            ]
            table.add_row(*([Text(s.checkpoint)] if several else []), *cells)
        console.print(table)
        _show_shapes(console, [s for s in scores if s.shape and s.quantity == quantity])
    if comparisons:
        table = Table(title="probability of improvement (95 % over episodes)", title_justify="left", box=None)
        for column in ("quantity", "first", "second", "P(first > second)"):
            table.add_column(column, justify="right" if column.startswith("P") else "left")
        for c in comparisons:
            table.add_row(*map(Text, (c.quantity, c.first, c.second, interval_text(c.probability))))
        console.print(table)


def _show_shapes(console: Console, scores: list[Score]) -> None:
    """Print the range over shapes of one quantity; the files hold every shape."""
    known = sorted((s for s in scores if math.isfinite(s.mean.point)), key=lambda s: s.mean.point)
    if known and known[0].mean.point < known[-1].mean.point:
        low, high = known[0], known[-1]
        console.print(
            f"  over {len({s.shape for s in known})} shapes: lowest {low.mean.point:.3g} ({low.shape} mm), "
            f"highest {high.mean.point:.3g} ({high.shape} mm)",
            markup=False,
            highlight=False,
        )


def _write_json(
    file: Path,
    args: Namespace,
    first: Resolved,
    entries: list[Measured],
    scores: list[Score],
    comparisons: list[Comparison],
) -> None:
    """Write everything that was measured."""
    from cpo_lab.report.scores import plain
    from cpo_rl.runs.files import write_json
    from cpo_rl.runs.provenance import hardware, library_versions

    def listed(values: Any) -> list[float | None]:
        return [None if math.isnan(v) else float(f"{v:.6g}") for v in values.tolist()]

    write_json(
        file,
        {
            "task": first.request.task,
            "physics": first.request.physics,
            "device": first.request.device,
            "num_envs": first.env_cfg.scene.num_envs,
            "seed": first.agent_cfg.seed,
            "stochastic": args.stochastic,
            "versions": library_versions(),
            "hardware": {key: value for key, value in hardware().items() if key != "host"},
            "scores": [plain(score) for score in scores],
            "comparisons": [plain(comparison) for comparison in comparisons],
            "episodes": [
                {
                    "checkpoint": entry.name,
                    "run": shown(entry.checkpoint.parent.name),
                    "file": entry.checkpoint.name,
                    "policy": entry.episodes.policy.tolist(),
                    "shape": entry.episodes.shape.tolist(),
                    **{name: listed(values) for name, values in entry.episodes.values.items()},
                }
                for entry in entries
            ],
        },
    )
