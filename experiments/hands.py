# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How close followers stay to the leader, and how fast hands and arms learn: trainings in the simulator.

Every run has a folder of its own and is continued there until it has the iterations asked for, so a study can be spread
over many sittings, and asked for more later. The table holds every fifth iteration of every run.

Studies:

    coupling   KL to the leader and effective sample size of sapg, sapg_double_steps, cpo and cpo_regulated, three
               seeds: Shadow Hand, 1,000,000 transitions; reorientation and regrasping with an arm, 300,000
    learning   ppo, sapg, cpo and cpo_regulated on the Shadow Hand, two seeds, 4,000,000 transitions
    worlds     cpo and ppo on all seven tasks, one seed: 1,500,000 transitions of a hand, 600,000 of an arm

Examples::

    python -m experiments.hands coupling --tasks CpoLab-Reorient-Cube-Shadow-Direct --agents cpo sapg --iterations 200
    python -m experiments.hands coupling --processes 2            # 36 runs, 1,000,000 or 300,000 transitions each
    python -m experiments.hands learning --table                  # only read what there is
"""

from __future__ import annotations

import argparse
import itertools
import math
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cpo_rl.runs.find import find_runs
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics
from experiments import figures
from experiments.table import save, write_rows

SHADOW = "CpoLab-Reorient-Cube-Shadow-Direct"
ALLEGRO = "CpoLab-Reorient-Cube-Allegro-Direct"
ARMS = tuple(
    f"CpoLab-{name}-Direct"
    for name in (
        "Reorient-KukaAllegro",
        "Regrasp-KukaAllegro",
        "Throw-KukaAllegro",
        "Reorient-DualKukaAllegro",
        "Regrasp-DualKukaAllegro",
    )
)
COUPLINGS = ("cpo", "sapg", "cpo_regulated", "sapg_double_steps")


@dataclass(frozen=True)
class Study:
    """What is trained, and for how long."""

    agents: tuple[str, ...]
    """Presets."""
    seeds: int
    """Seeds, from 1 on."""
    iterations: dict[str, int]
    """Iterations by task, at its default number of environments on a CPU."""
    drawn: dict[str, str]
    """Titles by field of a point, from top to bottom of the figure."""


_KL, _KL_LEADER = "KL between policies [nat]", "KL to the leader [nat]"
_ESS, _RETURN = "effective sample size [share]", "leader's return"

STUDIES = {
    "coupling": Study(
        COUPLINGS, 3, {SHADOW: 497, ARMS[0]: 196, ARMS[1]: 196}, {"kl_to_leader": _KL_LEADER, "ess": _ESS}
    ),
    "learning": Study(
        ("cpo", "sapg", "cpo_regulated", "ppo"),
        2,
        {SHADOW: 1985},
        {"leader_return": _RETURN, "leader_successes": "successes per episode", "kl": _KL, "ess": _ESS},
    ),
    "worlds": Study(
        ("cpo", "ppo"),
        1,
        {SHADOW: 745, ALLEGRO: 745, **dict.fromkeys(ARMS, 391)},
        {
            "leader_return": _RETURN,
            "leader_successes": "successes per episode",
            "leader_lifted": "share of episodes with a lift",
            "quarantined": "quarantined so far",
        },
    ),
}
"""252 environments x 8 steps for hands and 96 x 16 for arms, so an iteration is 2,016 or 1,536 transitions."""

EVERY = 5
"""Iterations from one row of the table to the next."""


@dataclass(frozen=True)
class Point:
    """One iteration of one run; a mean over the EVERY iterations that end with it, NaN where nothing was measured."""

    task: str
    agent: str
    seed: int
    iteration: int
    transitions: float
    kl: float
    """Mean KL between two policies [nat]."""
    kl_to_leader: float
    """Mean KL of the followers to the leader [nat]."""
    ess: float
    """Effective sample size of the followers' data for the leader, as a share."""
    leader_return: float
    leader_successes: float
    leader_lifted: float
    episode_length: float
    quarantined: float
    """Environments put out of the update since the start."""
    env_steps_per_s: float


TAGS = {
    "kl": "Ensemble/kl_mean",
    "ess": "Ensemble/ess_pooled",
    "leader_return": "Leader/return",
    "leader_successes": "Leader/successes",
    "leader_lifted": "Leader/lifted",
    "episode_length": "Leader/episode_length",
    "quarantined": "Env/quarantined",
    "env_steps_per_s": "Perf/env_steps_per_s",
}


def points(run: RunFolder) -> list[Point]:
    """What the table holds of a run."""
    metrics = read_metrics(run.metrics_file)
    iterations = metrics.get("iteration", [])
    to_leader = [tag for tag in metrics if tag.startswith("Ensemble/kl_to_leader_")]
    found = []
    for end in range(EVERY, len(iterations) + 1, EVERY):
        window = slice(end - EVERY, end)
        values = {name: _mean(metrics.get(tag, [])[window]) for name, tag in TAGS.items()}
        values["kl_to_leader"] = _mean([v for tag in to_leader for v in metrics[tag][window]])
        values["quarantined"] = sum(v for v in metrics.get("Env/quarantined", [])[:end] if math.isfinite(v))
        at = int(iterations[end - 1])
        transitions = metrics["Perf/total_env_steps"][end - 1]
        found.append(Point(run.task or "", run.agent or "", run.seed or 0, at, transitions, **values))
    return found


def _mean(values: Sequence[float]) -> float:
    """Mean of the finite values to five digits, NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return float(f"{sum(finite) / len(finite):.5g}") if finite else math.nan


def train(task: str, agent: str, seed: int, iterations: int, runs: Path) -> str:
    """Bring one run to its number of iterations, in its folder; returns how that ended."""
    folder = runs / task.removeprefix("CpoLab-").removesuffix("-Direct") / f"{agent}_{seed}"
    if RunFolder.holds_run(folder) and RunFolder.read(folder).iteration >= iterations:
        return f"{task} {agent} seed {seed}: has {iterations} iterations already"
    command = [
        sys.executable, "-m", "cpo_lab.cli", "train", "--task", task, "--agent", agent, "--device", "cpu",
        "--seed", str(seed), "--iterations", str(iterations), "--log_dir", str(folder), "--resume", "auto",
    ]  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".log"), "a") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    return f"{task} {agent} seed {seed}: ended with {status}" + (f"; see {log.name}" if status else "")


def summary(rows: Sequence[Point], last: int) -> str:
    """Markdown: a line per run, means over its last iterations."""
    titles = ("task", "agent", "seed", "transitions", "KL to the leader [nat]", "KL [nat]", "ESS", "return", "lifted")
    lines = [[*titles, "quarantined"], ["---"] * 10]
    for (task, agent, seed), group in itertools.groupby(rows, lambda p: (p.task, p.agent, p.seed)):
        run = list(group)
        end = [p for p in run if p.iteration > run[-1].iteration - last]
        fields = ("kl_to_leader", "kl", "ess", "leader_return", "leader_lifted")
        means = [f"{_mean([getattr(p, name) for p in end]):.3g}".replace("nan", "") for name in fields]
        transitions, quarantined = f"{run[-1].transitions:,.0f}", f"{run[-1].quarantined:.0f}"
        lines.append([f"`{task}`", f"`{agent}`", str(seed), transitions, *means, quarantined])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main(argv: list[str] | None = None) -> int:
    """Run a study; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.hands", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=STUDIES, help="what to train")
    parser.add_argument("--tasks", nargs="+", help="tasks (default: the study's)")
    parser.add_argument("--agents", nargs="+", help="presets (default: the study's)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds (default: from 1 to the study's number)")
    parser.add_argument("--iterations", type=int, help="iterations of every run (default: the study's)")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument(
        "--runs", type=Path, default=Path("logs", "why_cpo"), help="run folders (default: logs/why_cpo)"
    )
    parser.add_argument("--output", type=Path, help="table (default: docs/results/why_cpo/STUDY.csv)")
    parser.add_argument("--last", type=int, default=50, help="iterations that the printed means are over (default: 50)")
    parser.add_argument("--table", action="store_true", help="write the table of what there is; train nothing")
    args = parser.parse_args(argv)
    study = STUDIES[args.study]
    tasks, agents = args.tasks or list(study.iterations), args.agents or list(study.agents)
    if unknown := sorted(set(tasks) - set(study.iterations)):
        parser.error(f"{unknown[0]} is not in this study; choose from {', '.join(study.iterations)}.")
    if not args.table:
        wanted = itertools.product(args.seeds or range(1, study.seeds + 1), tasks, agents)
        with ThreadPoolExecutor(args.processes) as pool:
            jobs = [
                pool.submit(train, t, a, s, args.iterations or study.iterations[t], args.runs) for s, t, a in wanted
            ]
            for job in jobs:
                sys.stdout.write(job.result() + "\n")
                sys.stdout.flush()
    found = [p for run in find_runs(args.runs) if run.agent in agents and run.task in tasks for p in points(run)]
    if not found:
        parser.error(f"there are no runs of this study in {args.runs}.")
    rows = sorted(found, key=lambda p: (p.task, p.agent, p.seed, p.iteration))
    output = args.output or Path("docs", "results", "why_cpo", f"{args.study}.csv")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_rows(output, rows)
    sys.stdout.write(summary(rows, args.last) + "\n")
    save(figures.curves(rows, study.drawn), output.with_suffix(".svg"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
