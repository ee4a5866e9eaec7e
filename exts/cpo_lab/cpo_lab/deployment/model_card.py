# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The model card of an exported policy: a ``README.md`` with Hugging Face's front matter, written from the run.

It says what was trained, how, and what came of it in training; it claims nothing that no one measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cpo_rl.formatting import format_count, format_duration
from cpo_rl.runs.files import printable
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.metric_names import MEAN_RETURN, RETURN, SUCCESSES

MARK = "<!-- written by cpo-lab export -->"
"""Stands in every card; a file without it is somebody's own."""

_RESULTS = {
    RETURN: "return of the leader's episodes",
    SUCCESSES: "goals per episode of the leader",
    MEAN_RETURN: "mean return of all episodes",
}
"""What a run's last row says, and how the card calls it."""

_PAPERS = {
    "cpo": (
        "shitanda2026rethinking",
        "Rethinking Policy Diversity in Ensemble Policy Gradient in Large-Scale Reinforcement Learning",
        "Shitanda, Naoki and Omura, Motoki and Harada, Tatsuya and Osa, Takayuki",
        "International Conference on Learning Representations",
        "2026",
        "https://arxiv.org/abs/2603.01741",
    ),
    "sapg": (
        "singla2024sapg",
        "{SAPG}: Split and Aggregate Policy Gradients",
        "Singla, Jayesh and Agarwal, Ananye and Pathak, Deepak",
        "International Conference on Machine Learning",
        "2024",
        "https://arxiv.org/abs/2407.20230",
    ),
}
"""Key, title, authors, venue, year and address of the papers of algorithms."""


def model_card(description: Mapping[str, Any], run: RunFolder, companions: Sequence[str]) -> str:
    """Write the card.

    Args:
        description: Content of the policy's ``policy.json``.
        run: The run that it comes from.
        companions: Names of further files beside it.

    Returns:
        Markdown with front matter.
    """
    lines = [*_front_matter(description, run), MARK, "", *_head(description, run), *_training(description, run)]
    lines += [*_results(description, run), *_use(description, companions), *_limits(description)]
    return "\n".join([*lines, *_citation(description)]) + "\n"


def _front_matter(description: Mapping[str, Any], run: RunFolder) -> Iterator[str]:
    """Front matter as Hugging Face reads it; values are JSON, which YAML includes."""
    algorithm, task = _word(description["algorithm"] or run.algorithm), _word(description["task"])
    tags = ["reinforcement-learning", "robotics", "isaac-lab", "ensemble", algorithm, task]
    yield from ("---", "library_name: onnx", "pipeline_tag: reinforcement-learning")
    yield f"tags: {json.dumps(list(dict.fromkeys(tag for tag in tags if tag != '?')))}"
    numbers = list(_last(run))
    if numbers:
        metrics = [
            {"type": kind, "name": f"{told} in training, last iteration of the run", "value": value, "verified": False}
            for kind, (told, value) in {kind: rest for kind, *rest in reversed(numbers)}.items()  # the first of a kind
        ]
        result = {
            "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
            "dataset": {"type": task, "name": task},
            "metrics": metrics,
        }
        yield f"model-index: {json.dumps([{'name': algorithm, 'results': [result]}])}"
    yield from ("---", "")


def _last(run: RunFolder) -> Iterator[tuple[str, str, float]]:
    """Kind, words and value of what the last iteration of a run measured."""
    for tag, told in _RESULTS.items():
        value = run.number("last", tag)
        if value is not None:
            yield ("mean_reward" if "return" in told else "successes"), told, value


def _head(description: Mapping[str, Any], run: RunFolder) -> Iterator[str]:
    about = description["policy"]
    who = {
        "all": f"all {about['num_policies']} policies of an ensemble, told apart by the input `policy_ids`",
        "leader": f"the leader of {about['num_policies']} policies" if about["num_policies"] > 1 else "a single policy",
        "follower": f"follower {about['id']} of {about['num_policies']} policies",
    }[about["role"]]
    yield f"# {_word(description['algorithm'] or run.algorithm)} on {_word(description['task'])}"
    yield ""
    yield (
        f"This is {who}, trained in simulation with CPO Lab. It maps {description['observation']['size']} observations "
        f"to {description['action']['size']} actions{_rate(description)}."
    )
    yield ""


def _rate(description: Mapping[str, Any]) -> str:
    rate = description.get("control_rate_hz")
    return f", {rate:.4g} times a second" if rate else ""


def _training(description: Mapping[str, Any], run: RunFolder) -> Iterator[str]:
    manifest = run.manifest
    hardware = manifest.get("hardware") or {}
    machine = hardware.get("gpu") or (f"{hardware['cpus']} CPU cores" if hardware.get("cpus") else None)
    versions = ", ".join(f"{name} {value}" for name, value in description["versions"].items())
    settings = " ".join(map(str, run.launch.get("overrides") or ())) if run.launch else None
    steps = manifest.get("env_steps")
    done = run.iteration
    rows = {
        "task": description["task"],
        "algorithm": description["algorithm"] or run.algorithm,
        "policies": description["policy"]["num_policies"],
        "environments": manifest.get("num_envs"),
        "checkpoint": f"{description['checkpoint']['file']}, after {description['iteration']} iterations",
        "the run as a whole": f"{done} iterations" + (f", {format_count(steps)} environment steps" if steps else ""),
        "time": format_duration(manifest["wall_clock_s"]) if manifest.get("wall_clock_s") else None,
        "seed": run.seed,
        "engine": description.get("physics", {}).get("engine"),
        "machine": machine,
        "settings changed": settings or ("none" if settings == "" else None),
        "settings' hash": description["config_hash"],
        "commit": description["git_commit"],
        "exported with": versions,
    }
    yield from ("## Training", "", "| | |", "| --- | --- |")
    yield from (f"| {name} | {_word(value)} |" for name, value in rows.items() if value is not None)
    yield ""


def _results(description: Mapping[str, Any], run: RunFolder) -> Iterator[str]:
    yield from ("## What came of it", "")
    numbers = list(_last(run))
    if not numbers:
        yield from ("The run's records hold no result.", "")
        return
    yield (
        "Measured on training episodes, in which actions are drawn with noise, in the last iteration of the run. "
        "One run with one seed; `cpo-lab evaluate` measures a checkpoint properly."
    )
    yield from ("", "| | |", "| --- | --- |")
    yield from (f"| {told} | {value:.4g} |" for _, told, value in numbers)
    best, place, metric = (run.number("best", "score"), run.number("best", "iteration"), _best_metric(run))
    if best is not None and place is not None:
        yield f"| best so far ({metric}), iteration {int(place)} | {best:.4g} |"
    yield ""


def _best_metric(run: RunFolder) -> str:
    return f"`{_word((run.manifest.get('best') or {}).get('metric'))}`"


def _use(description: Mapping[str, Any], companions: Sequence[str]) -> Iterator[str]:
    yield from ("## Use", "", "| file | |", "| --- | --- |")
    for name, facts in description["files"].items():
        yield (
            f"| `{name}` | differs from the checkpoint by at most {facts['max_difference']:.1e} over "
            f"{facts['checked_steps']} steps; SHA-256 `{facts['sha256']}` |"
        )
    yield "| `policy.json` | names, order, units, limits, gains, control rate, how an action becomes a target |"
    yield from (f"| `{name}` | drives a robot; needs numpy and onnxruntime |" for name in companions)
    yield ""
    if "not_drivable" in description:
        yield from (f"`policy.json` does not say how a robot is driven: {_word(description['not_drivable'])}.", "")
    if companions:
        yield from ("```python", "from run_policy import Policy", "", 'policy = Policy(".")', "policy.reset(sensors)")
        yield from ("targets = policy.step(sensors)  # joint targets [rad], every policy.period seconds", "```", "")
        yield from ("| sensor | values | unit | |", "| --- | --- | --- | --- |")
        yield from (
            f"| `{each['name']}` | {each['size']} | {each['unit']} | {_word(each['description'])} |"
            for each in description["sensors"]
        )
        yield ""


def _limits(description: Mapping[str, Any]) -> Iterator[str]:
    engine = description.get("physics", {}).get("engine")
    yield from ("## Limits", "")
    yield (
        f"Trained in simulation only{f' (engine {_word(engine)})' if engine else ''}. Nothing was tried on a real "
        "robot, and nothing here says that it would work on one: keep limits, speed and torque guards of your own "
        "between this policy and a motor. No license is stated: whoever shares the files chooses one."
    )
    yield ""


def _citation(description: Mapping[str, Any]) -> Iterator[str]:
    name = str(description["algorithm"] or "").partition("_")[0]
    if name not in _PAPERS:
        return
    key, title, authors, venue, year, address = _PAPERS[name]
    yield from ("## Citation", "", "```bibtex", f"@inproceedings{{{key},", f"  title = {{{title}}},")
    yield from (f"  author = {{{authors}}},", f"  booktitle = {{{venue}}},", f"  year = {{{year}}},")
    yield from (f"  url = {{{address}}},", "}", "```")


def _word(value: Any) -> str:
    """A value of somebody's run as text that cannot break out of its place in the card."""
    if value is None:
        return "?"
    text = printable(str(value), 400)
    return "".join({"|": "/", "`": "'", "<": "(", ">": ")", "\n": " "}.get(letter, letter) for letter in text)
