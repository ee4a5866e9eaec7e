# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab play``: let trained policies act, in a viewer, a picture or a video, and count what each achieves."""

from __future__ import annotations

import re
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from cpo_lab.cli.parser import (
    CommandParser,
    add_run_options,
    add_screen_options,
    changes_of,
    output_file,
    policies_of,
    positive_float,
    positive_int,
)
from cpo_lab.launch.chatter import ENGINE_OUTPUT, startup_output
from cpo_lab.launch.configuration import Resolved
from cpo_lab.launch.policies import load_policy, resolve_trained
from cpo_lab.launch.simulation import make_env, simulation
from cpo_lab.viewing.camera import read_camera
from cpo_lab.viewing.captions import Scoreboard, policy_color
from cpo_lab.viewing.files import PICTURES, VIDEOS
from cpo_lab.viewing.pictures import Shoot, Studio, check_renderer
from cpo_lab.viewing.screen import Screen, screen_of
from cpo_rl.errors import UserError
from cpo_rl.formatting import policy_name
from cpo_rl.runs.find import resolve_checkpoint

if TYPE_CHECKING:
    from cpo_lab.cli.rollouts import PolicyTally
    from cpo_rl.algorithms.episodes import CountedStep


_EPILOG = """\
examples:
  cpo-lab play --picture hand.png             the policies of the newest run
  cpo-lab play --checkpoint best --policy leader --video hand.mp4
  cpo-lab play --policy leader --video hand.gif --seconds 5 --size 480x270
  cpo-lab play --picture hand.png --camera side --background transparent
  cpo-lab play --policy followers --steps 1200
  cpo-lab play --viz newton_gl                in a window, until it is closed
  cpo-lab play --checkpoint logs/rsl_rl/hand/2026-01-31_12-00-00/model_500.pt"""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab play", description="Show, picture or film trained policies.", epilog=_EPILOG)
    parser.add_shared("--checkpoint")
    parser.add_shared("--policy", default="all")
    parser.add_argument(
        "--steps", type=positive_int, metavar="N", help="environment steps (default: 600; until closed with --viz)"
    )
    parser.add_argument("--video", metavar="FILE.mp4", help="film the steps; a .gif or .webp repeats for ever")
    parser.add_argument("--picture", metavar="FILE.png", help="picture a good moment of each policy")
    _add_picture_options(parser)
    parser.add_argument(
        "--stochastic", action="store_true", help="sample actions as in training instead of taking their mean"
    )
    parser.add_argument(
        "--real_time", "--real-time", action="store_true", help="wait so that a viewer shows at most real speed"
    )
    add_run_options(parser)
    add_screen_options(parser)
    parser.add_shared("--verbose", help=ENGINE_OUTPUT)
    return parser


def _add_picture_options(parser: CommandParser) -> None:
    """Add what says how a picture or a video looks."""
    group = parser.add_argument_group("picture and video")
    group.add_argument(
        "--camera",
        default="close",
        metavar="NAME|X,Y,Z,X,Y,Z",
        help="close, side, top, or where it stands and what it looks at, in metres from the environment's origin",
    )
    group.add_argument("--size", default="1280x720", metavar="WxH", help="width and height in pixels (1280x720)")
    group.add_argument(
        "--background", choices=("floor", "plain", "transparent"), default="floor", help="what is behind (floor)"
    )
    group.add_argument(
        "--moment",
        choices=("best", "last"),
        default="best",
        help="what a picture shows: each policy's step with the "
        "highest reward, never one right after a reset, or the last step (best)",
    )
    group.add_argument(
        "--seconds", type=positive_float, metavar="S", help="film only the best part of this length (default: all)"
    )
    group.add_argument(
        "--light",
        type=positive_int,
        metavar="N",
        help="frames that a picture is the mean of: more are softer and slower, 1 is the fastest (32; videos 4)",
    )
    group.add_argument("--no_captions", action="store_true", help="write no names and numbers onto it")


def _shoot(args: Namespace, files: dict[str, Path | None]) -> Shoot:
    """Return what to make, from the arguments.

    Raises:
        UserError: If options have no effect.
    """
    if (args.viz or args.livestream) and (args.video or args.picture):
        raise UserError("--viz shows the policies in a window; leave it out to write --video or --picture.")
    if args.seconds is not None and not args.video:
        raise UserError("--seconds is the length of a --video; give one, or leave it out.")
    if args.background == "transparent" and args.video:
        raise UserError("--background transparent is for a --picture; a video has no opacity.")
    if args.background == "transparent" and str(args.picture).lower().endswith((".jpg", ".jpeg")):
        raise UserError("--background transparent needs a --picture that ends in .png or .webp.")
    return Shoot(
        picture=files["--picture"],
        video=files["--video"],
        size=_size(args.size),
        camera=read_camera(args.camera),
        background=args.background,
        moment=args.moment,
        seconds=args.seconds,
        light=args.light,
        captions=not args.no_captions,
    )


def _size(text: str) -> tuple[int, int]:
    """Read ``--size``.

    Raises:
        UserError: If it is not two whole numbers that make sense.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or not all(64 <= int(number) <= 8192 for number in match.groups()):
        raise UserError(f"--size must be WIDTHxHEIGHT in pixels, each from 64 to 8192, such as 1280x720, not {text!r}.")
    return int(match[1]), int(match[2])


def run(argv: list[str]) -> int:
    """Play as the arguments say.

    Raises:
        UserError: On input that the user can correct, before the simulator starts.
    """
    args, overrides = _parser().read_with_settings(argv)
    screen = screen_of(args)
    files = {
        "--picture": output_file("--picture", args.picture, *PICTURES),
        "--video": output_file("--video", args.video, *VIDEOS),
    }
    shoot = _shoot(args, files)
    for argument, file in files.items():
        if file is not None:
            check_renderer(argument, file)
    checkpoint = resolve_checkpoint(args.checkpoint, args.log_root, task=args.task)
    resolved = resolve_trained(checkpoint, changes_of(args, overrides), play_mode=True)
    screen.give(resolved.env_cfg, resolved.request.physics)
    policies = policies_of(args.policy, resolved.num_policies)
    board = _scoreboard(policies, resolved)
    studio = Studio(shoot, board)
    studio.configure(resolved.env_cfg)
    if screen.viewers:
        from cpo_lab.assets.look.dress import dress

        dress(resolved.env_cfg.scene)
    console = Console()
    console.print(f"Playing {checkpoint}", markup=False, soft_wrap=True)
    console.print(f"{resolved.request.task} with {resolved.request.physics} on {resolved.request.device}", markup=False)
    _play(resolved, checkpoint, policies, studio, args, screen, console)
    return 0


def _scoreboard(policies: Sequence[int], resolved: Resolved) -> Scoreboard:
    """Return which environments to show, the first one of each policy that acts, with their names and colours."""
    num_envs, num_policies = resolved.env_cfg.scene.num_envs, resolved.num_policies
    # the first environment of each block that rollouts.side_by_side makes
    shown = {-(-place * num_envs // len(policies)): policy for place, policy in enumerate(policies)}
    names = {index: policy_name(policy, num_policies) for index, policy in shown.items()}
    return Scoreboard(names, {index: policy_color(policy, num_policies) for index, policy in shown.items()})


class _Pace:
    """Keeps a simulation from running faster than real time.

    Args:
        step_s: Simulated time of one step [s].
    """

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._start: float | None = None

    def wait(self, count: int) -> None:
        """Sleep until ``count`` steps after the first call are due; returns at once when they are overdue."""
        now = time.monotonic()
        if self._start is None:
            self._start = now - count * self._step_s
        time.sleep(max(self._start + count * self._step_s - now, 0.0))


def _play(
    resolved: Resolved,
    checkpoint: Path,
    policies: Sequence[int],
    studio: Studio,
    args: Namespace,
    screen: Screen,
    console: Console,
) -> None:
    """Start the simulator, load the policies, let them act and tell what they did."""
    from cpo_lab.cli.rollouts import run_steps, side_by_side

    ids = side_by_side(policies, resolved.env_cfg.scene.num_envs)
    steps = args.steps or (None if screen.viewers else 600)
    launcher = screen.arguments(resolved.request.device)
    if studio.is_needed:
        launcher["visualizer"] = None  # leaves it to the configuration, which holds the off-screen viewer
    output = startup_output(resolved, screen.viewers, verbose=args.verbose)
    with output, simulation(resolved, launcher), make_env(resolved) as env:
        output.release(None)
        model = load_policy(env, resolved, checkpoint, force=args.force)
        pace = _Pace(env.unwrapped.step_dt) if args.real_time else None
        live = None
        if screen.viewers:
            from cpo_lab.ui.live import Live
            from cpo_lab.ui.session import Session

            live = Live(env, Session(resolved.request.task, resolved.num_policies, ids.numpy()), model)

        def after_step(count: int, counted: CountedStep) -> None:
            studio.after_step(env, counted)
            if pace is not None:
                pace.wait(count)

        tallies = run_steps(env, model, ids, steps, stochastic=args.stochastic, live=live, after_step=after_step)
        written = studio.finish(env)
        _summarize(console, tallies, resolved.num_policies)
        for path in written:
            console.print(f"Wrote {path}", markup=False, soft_wrap=True)


def _summarize(console: Console, tallies: Sequence[PolicyTally], num_policies: int) -> None:
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
