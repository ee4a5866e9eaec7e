# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Kill a process that saves checkpoints without a pause, at random moments or before every single system call.

A program of its own because it forks: it imports no torch, so a fork costs a millisecond. It prints one JSON object::

    python kill_trials.py random FOLDER TEMPLATES --trials 200 --seed 0     SIGKILL at random moments
    python kill_trials.py direct FOLDER TEMPLATES --trials 50 --seed 0      the same on plain writes onto the target
    python kill_trials.py calls FOLDER TEMPLATES                            end at each system call of one save in turn

TEMPLATES holds checkpoint files to be written; a checkpoint counts as good when it is one of them, byte for byte.
"""

from __future__ import annotations

import argparse
import builtins
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from cpo_rl.runs.checkpoint_manifest import CheckpointManifest, sha256
from cpo_rl.runs.checkpoints import CheckpointStore

KEEP_LAST, KEEP_BEST = 3, 1


def save(store: CheckpointStore, templates: list[bytes], iteration: int) -> None:
    manifest = CheckpointManifest(iteration, score=float(iteration % 7), identity={"task": "T"}, config={"a": [1] * 50})
    store.save(templates[iteration % len(templates)], manifest)


def save_directly(folder: Path, templates: list[bytes], iteration: int) -> None:
    """Write as rsl_rl's runner does, in the pieces torch.save writes."""
    data = templates[iteration % len(templates)]
    with open(folder / f"model_{iteration}.pt", "wb") as file:
        for start in range(0, len(data), 65536):
            file.write(data[start : start + 65536])


def newest_direct(folder: Path) -> bytes | None:
    files = sorted(folder.glob("model_*.pt"), key=lambda f: int(f.stem.split("_")[1]))
    return files[-1].read_bytes() if files else None


def child(store: CheckpointStore, templates: list[bytes], start: int, direct: bool, acknowledge: int) -> None:
    for iteration in range(start, start + 100_000):
        if direct:
            save_directly(store.folder, templates, iteration)
            if iteration > 3:
                (store.folder / f"model_{iteration - 3}.pt").unlink(missing_ok=True)
        else:
            save(store, templates, iteration)
        os.write(acknowledge, b"%d\n" % iteration)


def calibrate(store: CheckpointStore, templates: list[bytes], direct: bool) -> tuple[int, float]:
    """Save a few times; return the newest iteration and the time of about three saves [s], to kill within."""
    started = time.perf_counter()
    for iteration in range(1, 7):
        save_directly(store.folder, templates, iteration) if direct else save(store, templates, iteration)
    return 6, (time.perf_counter() - started) / 2


def random_trials(folder: Path, templates: list[bytes], trials: int, seed: int, direct: bool) -> dict:
    """Return how many trials left no good newest checkpoint, or an older one than had been acknowledged."""
    rng, known = random.Random(seed), {sha256(t) for t in templates}
    store = CheckpointStore(folder, KEEP_LAST, KEEP_BEST)
    result = {"trials": 0, "bad": 0, "saves": 0, "leftovers": 0, "unfinished": 0, "most_files": 0}
    last, span = calibrate(store, templates, direct)
    for _ in range(trials):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                child(store, templates, last + 1, direct, writer)
            finally:
                os._exit(1)
        os.close(writer)
        time.sleep(rng.uniform(0.0, span))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(reader, "rb") as pipe:
            acknowledged = [int(line) for line in pipe.read().split()]
        result["trials"] += 1
        result["saves"] += len(acknowledged)
        if not acknowledged:  # a machine that became slower since the calibration; kills must fall among saves
            span = min(1.1 * span, 1.0)
        safe = max(acknowledged, default=last)
        if direct:
            data = newest_direct(folder)
            good = data is None or sha256(data) in known
            last = safe + 1
        else:
            latest = store.latest()
            data = latest.read_bytes() if latest else None
            found = int(latest.stem.split("_")[1]) if latest else 0
            # every sidecar that claims a file of this size must be telling the truth
            honest = all(store.is_complete(store.path(i)) for i in store.manifests())
            good = honest and found >= safe and (data is None or sha256(data) in known)
            result["leftovers"] += len(store.clean())
            result["unfinished"] += sum(not store.is_complete(f) for f in folder.glob("model_*.pt"))
            result["most_files"] = max(result["most_files"], len(list(folder.glob("model_*.pt"))))
            last = max(found, safe)
        result["bad"] += not good
    return result


def call_trials(folder: Path, templates: list[bytes]) -> dict:
    """End the process before its k-th system call, for every k, in the middle of each write."""
    result = {"trials": 0, "bad": 0}
    known = {sha256(t) for t in templates}
    for call in range(1, 10_000):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        store = CheckpointStore(folder, 1, 0)
        for iteration in (1, 2):
            save(store, templates, iteration)
        pid = os.fork()
        if pid == 0:
            _end_at(call)
            save(store, templates, 3)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        finished = os.waitstatus_to_exitcode(status) == 0
        latest = store.latest()
        honest = all(store.is_complete(store.path(i)) for i in store.manifests())
        good = (
            latest is not None and latest.name in ("model_2.pt", "model_3.pt") and sha256(latest.read_bytes()) in known
        )
        result["trials"] += 1
        result["bad"] += not (good and honest and (not finished or latest.name == "model_3.pt"))
        if finished:
            break
    return result


def _end_at(call: int) -> None:
    """Count calls that touch the disk and end the process at one of them."""
    left = [call]

    def counted(function):
        def wrapper(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return function(*args, **kwargs)

        return wrapper

    real_open = builtins.open

    def opened(*args, **kwargs):
        file = counted(real_open)(*args, **kwargs)
        if "w" not in (args[1] if len(args) > 1 else kwargs.get("mode", "r")):
            return file
        return HalfWritten(file, left)

    builtins.open = opened
    for name in ("replace", "fsync", "unlink", "open"):
        setattr(os, name, counted(getattr(os, name)))


class HalfWritten:
    """A file whose fatal write gets half of its data to the disk."""

    def __init__(self, file, left):
        self.file, self.left = file, left

    def write(self, data):
        self.left[0] -= 1
        if self.left[0] == 0:
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            os._exit(9)
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("random", "direct", "calls"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("templates", type=Path)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    templates = [file.read_bytes() for file in sorted(args.templates.iterdir())]
    if args.mode == "calls":
        result = call_trials(args.folder, templates)
    else:
        result = random_trials(args.folder, templates, args.trials, args.seed, args.mode == "direct")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
