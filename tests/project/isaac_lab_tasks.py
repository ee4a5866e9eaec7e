# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tries every task of Isaac Lab and makes docs/results/isaac_lab_tasks.md of what came of it.

``python -m tests.project.isaac_lab_tasks`` sets every task up on the CPU, and trains two iterations of cpo on those
that can be; with ``--only resolve`` nothing is trained. It needs the folder of
``python -m cpo_lab.assets.stock_root`` in ``ISAACSIM_ASSET_ROOT``, so that a missing file is told at once.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "isaac_lab_tasks.json"
PAGE = RESULTS.with_suffix(".md")
AGENTS = ("cpo",)
HEAD = """# Isaac Lab's own tasks, tried

Made by `python -m tests.project.isaac_lab_tasks` on {date}, on two CPU cores without GPU, network and Isaac Sim, with
the stand-in files of `python -m cpo_lab.assets.stock_root`. Every id that Isaac Lab 3.0 registers was asked for as
`cpo-lab train --task ID --device cpu`, which sets up configuration, engine and sizes and looks for the files; where
nothing was missing, it also trains `cpo` for two iterations with {num_envs} environments. That part was not run to its
end: the results of the tasks that say "trained", and of `Isaac-Humanoid-Direct`, are from `cpo-lab train` of the same
day, two or three iterations, written in by hand. "Trained" means that these worked, not that the task was solved;
"set up" that nothing was missing, and that nothing was trained yet.

Of {all} ids, {ppo} have a PPO configuration of rsl_rl; for {derived} of these an ensemble can be derived
([how, and what is refused](../your_own_task.md)), and {trained} were trained here. The others lack files of NVIDIA's
server, or Isaac Sim, on this machine: their settings, engine and sizes were made and checked as far as the table says,
and nothing more is known of them.
"""
NUM_ENVS = 12


def everything() -> dict[str, Any]:
    """All registrations of Isaac Lab, by id."""
    import gymnasium
    import isaaclab_tasks  # noqa: F401  registers them

    import cpo_lab.tasks  # noqa: F401  offers them our agents

    found = {name: spec for name, spec in gymnasium.registry.items() if "env_cfg_entry_point" in (spec.kwargs or {})}
    return {name: spec for name, spec in sorted(found.items()) if name.startswith(("Isaac-", "IsaacContrib-"))}


def workflow(spec: Any) -> str:
    """Name of a task's workflow, by the class of its configuration."""
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    try:
        cfg = load_cfg_from_registry(spec.id, "env_cfg_entry_point")
    except Exception as error:  # whatever a package of theirs raises
        return f"? ({type(error).__name__})"
    names = " ".join(kind.__name__ for kind in type(getattr(cfg, "default", cfg)).__mro__)
    if "DirectMARL" in names:
        return "direct, several agents"
    return "manager-based" if "ManagerBased" in names else "direct"


def set_up(spec: Any) -> dict[str, Any]:
    """What ``cpo-lab train`` says about a task before anything is started."""
    from cpo_lab.launch.configuration import Request, resolve
    from cpo_rl.errors import UserError

    record: dict[str, Any] = {"workflow": workflow(spec), "ppo": "rsl_rl_cfg_entry_point" in spec.kwargs}
    try:
        resolved = resolve(Request(spec.id, "cpo", device="cpu"))
    except UserError as error:
        return {**record, "result": told(str(error)), "derived": "cannot be had" in str(error) or "Sim" in str(error)}
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return {**record, "result": f"**not set up**: {type(error).__name__}: {told(first)}", "derived": False}
    engine = resolved.request.physics or type(resolved.env_cfg.sim.physics).__name__
    return {**record, "engine": engine, "result": "set up", "derived": True}


def told(sentence: str) -> str:
    """A refusal without what differs between machines, for a cell of the table."""
    from isaaclab.utils.assets import NUCLEUS_ASSET_ROOT_DIR

    sentence = re.sub(r" cannot be had: [^;]*; .*", " is missing", sentence)
    sentence = sentence.replace(f"{NUCLEUS_ASSET_ROOT_DIR}/", "")
    sentence = re.sub(r"/\S*/site-packages/", "", sentence)
    return sentence.replace("|", "\\|").rstrip(".")


def train(task: str) -> dict[str, str]:
    """Train two iterations with each agent; the last line of what failed."""
    outcome = {}
    for agent in AGENTS:
        with tempfile.TemporaryDirectory() as folder:
            command = ["train", "--task", task, "--agent", agent, "--device", "cpu", "--num_envs", str(NUM_ENVS)]
            done = subprocess.run(
                [sys.executable, "-m", "cpo_lab.cli", *command, "--iterations", "2", "--log_root", folder],
                capture_output=True, text=True, errors="replace", check=False, timeout=900,
            )  # fmt: skip
        lines = (done.stdout + done.stderr).strip().splitlines() or [""]
        outcome[agent] = "trained" if done.returncode == 0 else f"status {done.returncode}: {told(lines[-1])}"
        _say(f"  {agent}: {outcome[agent]}")
    return outcome


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def page(records: dict[str, dict[str, Any]], date: str) -> str:
    """The page as it should be."""
    rows = []
    for name, record in records.items():
        rows.append(f"| `{name}` | {record['workflow']} | {record.get('engine', '')} | {record['result']} |")
    head = HEAD.format(
        date=date,
        num_envs=NUM_ENVS,
        all=len(records),
        ppo=sum(record["ppo"] for record in records.values()),
        derived=sum(record["derived"] for record in records.values()),
        trained=sum(record["result"].startswith("trained") for record in records.values()),
    )
    return "\n".join([head, "| id | workflow | engine | result |", "|---|---|---|---|", *rows, ""])


def main() -> None:
    """Try all tasks and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("resolve", "page"), help="train nothing, or only write the page again")
    args = parser.parse_args()
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"date": "", "tasks": {}}
    if args.only != "page":
        if "ISAACSIM_ASSET_ROOT" not in os.environ:
            parser.error("set ISAACSIM_ASSET_ROOT to a folder made by python -m cpo_lab.assets.stock_root")
        warnings.simplefilter("ignore")
        records = {}
        for name, spec in everything().items():
            records[name] = record = set_up(spec)
            if record["result"] == "set up":  # what was trained before counts until it is trained again
                before = stored["tasks"].get(name, {}).get("trained")
                record.update({"result": before, "trained": before} if before else {})
            _say(f"{name}: {record['result']}")
        for name, record in records.items():
            if record["derived"] and "engine" in record and args.only is None:
                _say(name)
                outcome = train(name)
                same = set(outcome.values()) == {"trained"}
                record["result"] = "trained" if same else "; ".join(f"{a}: {o}" for a, o in outcome.items())
                record["trained"] = record["result"]
        stored = {"date": datetime.date.today().isoformat(), "tasks": records}
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(stored["tasks"], stored["date"]), encoding="utf-8")


if __name__ == "__main__":
    main()
