# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Training jobs for the signal tests, each a process of its own.

``python -m tests.cpo_rl.runners.signal_job FOLDER [key=value ...]`` runs one job. Without arguments it serves: every
line ``OUTPUT FOLDER [key=value ...]`` on its input forks a job that writes to OUTPUT, answered by ``started PID``, and
later ``ended PID EXITCODE``. Forking saves the seconds that importing torch takes.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time
import traceback
from pathlib import Path

from tests.cpo_rl.runners.support import NoisyTrackingEnv, ensemble_cfg, make_env, make_runner


class JobEnv(NoisyTrackingEnv):
    """Tracking that can be slow or fail at a step."""

    sleep_s = 0.0
    computes = False
    fail_at = -1
    steps = 0
    folder = ""

    def step(self, actions):
        self.steps += 1
        if self.steps == self.fail_at:
            raise RuntimeError("the motor fell off")
        if self.sleep_s:
            Path(self.folder, "stepping").touch()
            time.sleep(self.sleep_s)
        if self.computes:
            Path(self.folder, "stepping").touch()
            compute()
        return super().step(actions)


def compute() -> None:
    """Be in compiled code that lets other threads run but gives Python no turn in this one, as simulators are."""
    mutex = ctypes.create_string_buffer(64)  # zeros are an unlocked mutex; locking it twice waits for ever
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)


def train(folder: str, arguments: list[str]) -> int:
    options = dict(argument.split("=") for argument in arguments)
    env = make_env(JobEnv)
    env.folder = folder
    env.sleep_s = float(options.get("sleep_s", 0))
    env.computes = "computes" in options
    env.fail_at = int(options.get("fail_at", -1))
    cfg = ensemble_cfg(num_learning_epochs=1, diagnostics_interval=1)
    cfg["stop_grace_s"] = float(options.get("grace_s", 40))
    cfg["num_steps_per_env"] = int(options.get("steps", 8))
    cfg["save_interval"] = int(options.get("save_interval", 1000))
    runner = make_runner(cfg, folder, env=env)
    runner.resume()
    runner.learn_until(int(options.get("iterations", 100_000)))
    return runner.outcome.exit_code


def run_job(output: str, folder: str, arguments: list[str]) -> None:
    """Be the job: its own output, an exit code as a program would have."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        code = train(folder, arguments)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Fork a job per line of input; report ends until the input is closed."""
    running = 0
    reading = True
    while reading or running:
        if reading and select.select([0], [], [], 0.02)[0]:
            line = sys.stdin.readline()
            reading = bool(line)
            if line:
                output, folder, *arguments = line.split()
                pid = os.fork()
                if pid == 0:
                    run_job(output, folder, arguments)
                running += 1
                os.write(1, b"started %d\n" % pid)
        elif not reading:
            time.sleep(0.02)
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            running -= 1
            os.write(1, b"ended %d %d\n" % (pid, os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    else:
        sys.exit(train(sys.argv[1], sys.argv[2:]))
