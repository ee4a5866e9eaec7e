# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Made-up run folders for testing the report. The numbers follow simple formulas and are results of no training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

TASK = "Synthetic-Test-Data"
COUPLING = {"cpo": 0.35, "sapg": 1.6}


def write_run(
    root: Path,
    algorithm: str = "cpo",
    seed: int = 0,
    *,
    iterations: int = 60,
    task: str = TASK,
    num_policies: int = 6,
    horizon: int = 1024,
    extra_columns: int = 0,
    diagnostics_interval: int = 5,
    overrides: dict[str, Any] | None = None,
) -> Path:
    """Writes one complete folder in the format of docs/run_folder.md and returns it."""
    size = 1 if algorithm == "ppo" else num_policies
    folder = root / task.lower().replace("-", "_") / f"2026-01-01_00-00-{seed:02d}_{algorithm}"
    (folder / "params").mkdir(parents=True)
    rng = np.random.default_rng([seed, sum(map(ord, algorithm))])
    share = np.arange(1, iterations + 1) / iterations
    columns = _columns(algorithm, size, share, rng)
    columns |= {f"Task/extra_{k}": rng.normal(size=iterations) for k in range(extra_columns)}
    _write_csv(folder / "metrics.csv", columns, iterations, horizon)
    steps = iterations * horizon
    manifest = {
        "format": 1, "task": task, "algorithm": algorithm, "seed": seed, "num_envs": 48, "num_policies": size,
        "device": "cpu", "physics": "ovphysx", "status": "finished", "iteration": iterations, "env_steps": steps,
        "wall_clock_s": 2.0 * iterations, "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "hardware": {"host": "test", "machine": "x86_64", "cpus": 2},
        "versions": {"python": "3.12.1", "torch": "2.11.0"},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    settings = {"num_policies": size, "awac_coef": 0.001 if algorithm == "cpo" else 0.0} | (overrides or {})
    body = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    (folder / "params" / "agent.yaml").write_text(f"seed: {seed}\nalgorithm:\n{body}")
    (folder / "params" / "env.yaml").write_text(
        f"seed: {seed}\nscene:\n  num_envs: 48\nsim:\n  gravity: !!python/tuple\n  - 0.0\n  - 0.0\n  - -9.81\n"
    )
    if size > 1:
        lines = [
            json.dumps(
                {"iteration": i, "env_steps": i * horizon, "kl_matrix": _kl(algorithm, size, i / iterations).tolist()}
            )
            for i in range(diagnostics_interval, iterations + 1, diagnostics_interval)
        ]
        (folder / "diagnostics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (folder / f"model_{iterations}.pt").write_bytes(b"")
    return folder


def add_columns(folder: Path, values: dict[str, str | None]) -> None:
    """Writes further columns into a run's table, None for one that changes."""
    head, *rows = (folder / "metrics.csv").read_text().splitlines()
    lines = [",".join([head, *values])]
    for number, row in enumerate(rows):
        lines.append(",".join([row, *(str(number) if value is None else value for value in values.values())]))
    (folder / "metrics.csv").write_text("".join(f"{line}\n" for line in lines))


def _columns(algorithm: str, size: int, share: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    count = share.size
    top = {"cpo": 900.0, "sapg": 820.0, "ppo": 600.0}.get(algorithm, 700.0) + rng.normal(0, 40)
    noise = lambda scale: rng.normal(0, scale, count)  # noqa: E731
    ret = top * (1 - np.exp(-3 * share)) - 100 + noise(15)
    columns = {
        "Leader/return": ret,
        "Leader/episode_length": 200 + 300 * share,
        "Leader/successes": np.maximum(0, ret / 100 + noise(0.2)),
        "Optimization/learning_rate": 10 ** (-3 - share + noise(0.03)),
        "Optimization/kl": 0.016 + np.abs(noise(0.002)),
        "Optimization/grad_norm": np.exp(noise(0.2)),
        "Value/explained_variance": 1 - np.exp(-4 * share),
        "Perf/env_steps_per_s": 2200 + noise(40) - (400 if size > 1 else 0),
    }
    if size == 1:
        return columns
    coupling = COUPLING.get(algorithm, 1.0)
    for i in range(size):
        columns[f"Policy_{i}/return"] = ret * (0.7 + 0.3 * i / (size - 1)) + noise(10)
        columns[f"Policy_{i}/std"] = 1.0 - 0.5 * share + 0.05 * (size - 1 - i)
    for i in range(size - 1):
        kl = coupling * share * (1 + 0.3 * (size - 2 - i)) * 0.5 + 1e-3
        columns[f"Ensemble/ess_{i}"] = np.exp(-2 * kl)
        columns[f"Ensemble/importance_deviation_{i}"] = np.sqrt(kl)
        columns[f"Ensemble/importance_log_var_{i}"] = 2 * kl
    columns["Ensemble/kl_mean"] = coupling * share + 1e-3
    columns["Ensemble/ess_pooled"] = np.exp(-coupling * share)
    columns["Ensemble/clipped_fraction_borrowed"] = 1 - np.exp(-2 * coupling * share)
    if algorithm == "cpo":
        columns["Ensemble/awac_saturation"] = 0.1 + 0.2 * share
        columns["Discriminator/accuracy"] = 1 / size + (0.7 - 1 / size) * share
        columns["Discriminator/chance"] = np.full(count, 1 / size)
    return columns


def _kl(algorithm: str, size: int, share: float) -> np.ndarray:
    index = np.arange(size)
    spread = 0.2 + 0.8 * (size - 1 - np.minimum(index[:, None], index[None])) / size
    matrix = COUPLING.get(algorithm, 1.0) * (share + 0.01) * np.abs(index[:, None] - index[None]) / size * spread
    return matrix * (1 + 0.1 * np.tril(np.ones((size, size)), -1))


def _write_csv(file: Path, columns: dict[str, np.ndarray], iterations: int, horizon: int) -> None:
    first = np.arange(1, iterations + 1)
    table = np.column_stack([first, first * horizon, 2.0 * first, *columns.values()])
    header = ",".join(["iteration", "env_steps", "wall_clock_s", *columns])
    np.savetxt(
        file, table, fmt=["%d", "%d", "%.3f"] + ["%.9g"] * len(columns), delimiter=",", header=header, comments=""
    )
