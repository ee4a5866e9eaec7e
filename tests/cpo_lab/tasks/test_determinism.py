# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The same seed gives the same numbers, bit for bit, in another process; docs/reliability.md says how far that goes.

The same runs show that stepping keeps nothing: the bytes in tensors that are alive do not grow with time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.processes import run_python

pytestmark = [pytest.mark.sim, pytest.mark.timeout(1800)]

SLOW = pytest.mark.slow
HANDS = ("Reorient-Cube-Shadow", "Reorient-Cube-Allegro")
ARMS = (
    "Regrasp-KukaAllegro", "Reorient-KukaAllegro", "Throw-KukaAllegro", "Regrasp-DualKukaAllegro",
    "Reorient-DualKukaAllegro",
)  # fmt: skip
LEGS = ("Anymal", "Humanoid")
FRANKA = ("Push-Franka", "Stack-Franka")
RUNS = [
    pytest.param(task, engine, marks=() if (task, engine) == ("Throw-KukaAllegro", "ovphysx") else SLOW)
    for task in (*HANDS, *ARMS, *LEGS, *FRANKA)
    for engine in ("ovphysx", "newton_mjwarp")
]


def digests(task: str, engine: str, seed: int, *settings: str, threads: int = 1, steps: int = 100) -> list[str]:
    """Hashes of random steps, one after every 20, from a process of its own."""
    settings = (*settings, "env.num_objects=4") if task in ARMS else settings
    script = Path(__file__).with_name("digest.py")
    output = run_python(
        script, f"CpoLab-{task}-Direct", engine, str(seed), *settings, timeout=800, OMP_NUM_THREADS=str(threads),
        DIGEST_STEPS=str(steps),
    )  # fmt: skip
    lines = [line for line in output.splitlines() if line.startswith("digest ")]
    assert len(lines) == steps // 20
    memory = [int(line.split()[1]) for line in output.splitlines() if line.startswith("memory ")]
    assert memory[0] > 0
    # a step in which episodes ended tells a few numbers more
    assert max(memory[3:]) <= max(memory[:3]), "stepping keeps tensors alive"
    return lines


@pytest.mark.parametrize(("task", "engine"), RUNS)
def test_the_same_seed_repeats_in_another_process(task, engine):
    assert digests(task, engine, 7) == digests(task, engine, 7)


@SLOW
@pytest.mark.parametrize("task", ["Reorient-Cube-Shadow", "Throw-KukaAllegro"])
def test_another_seed_gives_other_numbers(task):
    assert set(digests(task, "ovphysx", 7)).isdisjoint(digests(task, "ovphysx", 8))


@SLOW
@pytest.mark.parametrize("engine", ["ovphysx", "newton_mjwarp"])
def test_the_number_of_torch_threads_changes_nothing_in_a_small_environment(engine):
    one, two = (digests("Reorient-Cube-Shadow", engine, 7, threads=threads) for threads in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    "task",
    [
        "Reorient-Cube-Shadow",
        *(pytest.param(task, marks=SLOW) for task in ("Reorient-Cube-Allegro", *ARMS, *LEGS, *FRANKA)),
    ],
)
def test_writing_only_changed_targets_changes_no_bit(task):
    """Isaac Lab's own articulations, which write every target before every physics step, give the same 300 steps."""
    own = digests(task, "ovphysx", 7, "env.only_changed_targets=false", steps=300)
    assert digests(task, "ovphysx", 7, steps=300) == own
