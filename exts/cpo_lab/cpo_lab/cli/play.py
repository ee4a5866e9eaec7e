# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab play``: let trained policies act, in a viewer, a picture or a video, and count what each achieves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cpo_lab.cli import run_request as runs
from cpo_lab.cli.camera import Studio, check_output
from cpo_lab.cli.launch import Resolved, make_env, simulation
from cpo_lab.cli.parser import CommandParser, positive_int, split_overrides
from cpo_lab.cli.side_by_side import Pace, Scoreboard, policy_color
from cpo_lab.cli.trained_policy import add_run_options, load_policy, resolve_trained
from cpo_rl.errors import UserError

_EPILOG = """\
examples:
  cpo-lab play --checkpoint latest --picture hand.png              the policies of the newest run side by side
  cpo-lab play --checkpoint best --policy leader --video hand.mp4  ten seconds of the leader
  cpo-lab play --checkpoint latest --viz newton_gl                 in a window, until it is closed
  cpo-lab play --checkpoint logs/rsl_rl/shadow_hand_reorient_cube/2026-01-31_12-00-00/model_500.pt --steps 1200"""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab play", description="Show, picture or film trained policies.", epilog=_EPILOG)
    parser.add_argument(
        "--checkpoint", default="latest", metavar="WHAT", help="latest, best, a run folder or a file (default: latest)"
    )
    parser.add_argument(
        "--policy", default="all", metavar="WHICH", help="all, leader or a number from 0 (default: all)"
    )
    parser.add_argument(
        "--steps", type=positive_int, metavar="N", help="environment steps (default: 600; until closed with --viz)"
    )
    parser.add_argument("--video", metavar="FILE.mp4", help="film the steps")
    parser.add_argument("--picture", metavar="FILE.png", help="picture the last step")
    parser.add_argument(
        "--width", type=positive_int, default=960, metavar="PIXELS", help="width of picture and video (default: 960)"
    )
    parser.add_argument(
        "--height", type=positive_int, default=540, metavar="PIXELS", help="their height (default: 540)"
    )
    parser.add_argument("--viz", metavar="NAMES", help="viewers: newton_gl, viser, rerun, or kit with Isaac Sim")
    parser.add_argument(
        "--stochastic", action="store_true", help="sample actions as in training instead of taking their mean"
    )
    parser.add_argument(
        "--real_time", "--real-time", action="store_true", help="wait so that a viewer shows at most real speed"
    )
    add_run_options(parser)
    return parser


def run(argv: list[str]) -> int:
    """Play as the arguments say.

    Raises:
        UserError: On input that the user can correct, before the simulator starts.
    """
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    overrides = split_overrides(rest, parser)
    if args.viz and (args.video or args.picture):
        raise UserError("--viz shows the policies in a window; leave it out to write --video or --picture.")
    picture, video = check_output("--picture", args.picture), check_output("--video", args.video)
    checkpoint = runs.find_checkpoint(args.checkpoint, args.log_root, args.task)
    resolved = resolve_trained(args, overrides, checkpoint, play_mode=True)

    from cpo_lab.cli.playback import policy_ids

    num_envs, policies = resolved.env_cfg.scene.num_envs, resolved.num_policies
    ids = policy_ids(args.policy, policies, num_envs)
    studio = Studio(picture, video, (args.width, args.height), _scoreboard(args.policy, policies, num_envs))
    studio.configure(resolved.env_cfg)
    console = Console()
    console.print(f"Playing {checkpoint}", soft_wrap=True)
    console.print(f"{resolved.request.task} with {resolved.request.physics} on {resolved.request.device}")
    steps = args.steps or (None if args.viz else 600)
    tallies, written = _play(resolved, checkpoint, studio, _viewers(args, studio), ids, steps, args)
    _summarize(console, tallies, policies)
    for file in written:
        console.print(f"Wrote {file}", soft_wrap=True)
    return 0


def _scoreboard(choice: str, num_policies: int, num_envs: int) -> Scoreboard:
    """Return which environments to show, the first one of each policy that acts, with their names and colours."""
    names = [f"follower {policy}" for policy in range(num_policies - 1)] + ["leader" if num_policies > 1 else "policy"]
    if choice == "all":
        shown = {policy * (num_envs // num_policies): policy for policy in range(num_policies)}
    else:
        shown = {0: num_policies - 1 if choice == "leader" else int(choice)}
    colors = {index: policy_color(policy, num_policies) for index, policy in shown.items()}
    return Scoreboard({index: names[policy] for index, policy in shown.items()}, colors)


def _viewers(args: Any, studio: Studio) -> list[str] | None:
    """Return the viewers to start; None leaves it to the configuration, which holds the off-screen one."""
    if args.viz:
        return args.viz.split(",")
    return None if studio.is_needed else []


def _play(
    resolved: Resolved,
    checkpoint: Path,
    studio: Studio,
    viewers: list[str] | None,
    ids: Any,
    steps: int | None,
    args: Any,
) -> tuple[Any, list[Path]]:
    """Start the simulator, load the policies and let them act; return their tallies and the files written."""
    from cpo_lab.cli.playback import run_policies

    with simulation(resolved, viewers), make_env(resolved) as env:
        policy = load_policy(env, resolved, checkpoint, force=args.force)
        pace = Pace(env.unwrapped.step_dt) if args.real_time else None

        def after_step(count: int) -> None:
            studio.after_step(env, count)
            if pace is not None:
                pace.wait(count)

        try:
            tallies = run_policies(env, policy, ids, steps, stochastic=args.stochastic, after_step=after_step)
            return tallies, studio.finish(env)
        finally:
            studio.discard()


def _summarize(console: Console, tallies: Any, num_policies: int) -> None:
    """Print one row per policy."""
    metrics = sorted({name for tally in tallies for name in tally.metrics})
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("policy", "reward per step", "episodes", "mean return", *(f"mean {metric}" for metric in metrics)):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for tally in tallies:
        name = f"{tally.policy} leader" if tally.policy == num_policies - 1 else str(tally.policy)
        values = [tally.returns, *(tally.metrics.get(metric, []) for metric in metrics)]
        means = [f"{sum(v) / len(v):.2f}" if v else "-" for v in values]
        table.add_row(name, f"{tally.reward / max(tally.steps, 1):.3f}", str(len(tally.returns)), *means)
    console.print(table)
