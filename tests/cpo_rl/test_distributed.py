# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.lock import own_folder

pytestmark = pytest.mark.long

HERE = Path(__file__).parent


def torchrun(script: Path, arguments: list[str], ranks: int, timeout: float = 240.0) -> subprocess.CompletedProcess:
    """Run a script in several processes of this machine."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)] if ranks > 1 else []
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *launcher, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env, cwd=HERE.parents[1])


def results(tmp_path: Path, ranks: int, **options: object) -> list[dict]:
    done = torchrun(HERE / "rank_job.py", [str(tmp_path), json.dumps(options)], ranks)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(tmp_path / f"{ranks}_{rank}.pt") for rank in range(ranks)]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "cpo"},
        {"name": "cpo", "rnn": "lstm", "kl_coef": 0.1, "learning_rate_update": "mini_batch"},
        {"name": "cpo_regulated", "coupling_target_kl": 0.01, "coupling_shared": False},
        {"name": "sapg", "statistics_rows": "all", "model": {"separate_critic": True}},
    ],
    ids=["cpo", "cpo_lstm_kl", "cpo_regulated", "sapg_separate_critic"],
)
def test_two_ranks_on_half_the_environments_equal_one_on_all(tmp_path, options):
    whole, first, second = *results(tmp_path, 1, **options), *results(tmp_path, 2, **options)
    assert len(set(map(tuple, whole["borrowed"]))) > 1, "the draw must vary for the comparison to mean something"
    for part in (first, second):
        assert part["borrowed"] == whole["borrowed"]
        assert float(part["rate"]) == pytest.approx(float(whole["rate"]), rel=1.0e-6)
        assert part["model"].keys() == whole["model"].keys()
        for section in ("model", "adversary", "regulator"):
            for name, tensor in whole[section].items():
                torch.testing.assert_close(part[section][name], tensor, rtol=0.0, atol=1.0e-6, msg=name)
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), f"ranks disagree on {name}"
    check_metrics(whole["metrics"], first["metrics"], second["metrics"])


def check_metrics(whole: list[dict], first: list[dict], second: list[dict]) -> None:
    """Both ranks report the same, and what one process reports, apart from what each rank measures on its own share."""
    own = ("Ensemble/ess", "Ensemble/borrowed_gradient_share", "Ensemble/importance_log_var", "Value/explained")
    for one, mine, theirs in zip(whole, first, second, strict=True):
        assert mine.keys() == theirs.keys() == one.keys()
        for name, value in one.items():
            assert mine[name] == theirs[name] or math.isnan(mine[name]), name
            if not name.startswith(own):
                assert mine[name] == pytest.approx(value, rel=1.0e-5, abs=1.0e-7, nan_ok=True), name


@pytest.mark.slow
def test_every_rank_continues_with_its_own_noise_and_episodes(tmp_path):
    for arguments in (["straight", "4"], ["resumed", "2"], ["resumed", "4"]):
        done = torchrun(HERE / "resuming_rank_job.py", [str(tmp_path), *arguments], 2)
        assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(2):
        straight, resumed = (torch.load(tmp_path / f"{name}_{rank}.pt") for name in ("straight", "resumed"))
        assert straight.keys() == resumed.keys()
        for name, tensor in straight.items():
            assert torch.equal(tensor, resumed[name]), f"{name} of rank {rank}"
    noise = [torch.load(tmp_path / f"straight_{rank}.pt")["noise"] for rank in range(2)]
    assert not torch.equal(*noise)


@pytest.mark.slow
def test_a_second_start_of_several_processes_on_a_folder_in_use_ends_and_writes_nothing(tmp_path):
    """Only the first process of each start locks; that one's refusal ends the others."""
    with own_folder(tmp_path / "run"):
        before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
        done = torchrun(HERE / "resuming_rank_job.py", [str(tmp_path), "run", "2"], 2, timeout=110.0)
        assert done.returncode != 0 and f"is in use by process {os.getpid()}" in done.stderr
        assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize("how", ["raise", "kill"])
def test_one_dead_rank_ends_the_job_with_its_traceback_first(tmp_path, how):
    started = time.monotonic()
    done = torchrun(HERE / "dying_rank_job.py", [str(tmp_path), how], 2, timeout=110.0)
    died_at = float((tmp_path / "died").read_text())
    ended = time.time()
    assert done.returncode != 0
    assert ended - died_at < 60.0, f"the job outlived its dead rank by {ended - died_at:.0f} s"
    assert time.monotonic() - started < 110.0
    assert not (tmp_path / "finished").exists()
    if how == "raise":
        assert "RuntimeError: the simulator of rank 1 broke" in done.stderr
        other = [m for m in ("Connection closed by peer", "Connection reset", "ChildFailedError") if m in done.stderr]
        assert other
        assert done.stderr.index("the simulator of rank 1 broke") < min(done.stderr.index(m) for m in other)
    told = {
        "raise": "rank 1 failed first: RuntimeError: the simulator of rank 1 broke",
        "kill": "rank 1 failed first: it ended without a word (killed?)",
    }[how]
    assert told in (tmp_path / "run/run.log").read_text()
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["status"] == "crashed" and manifest["error"].startswith(told)


@pytest.mark.parametrize(("how", "status"), [("hang", "crashed"), ("hang and stop", "preempted")])
def test_a_hung_rank_is_noticed_named_and_keeps_nobody_from_stopping(tmp_path, how, status):
    done = torchrun(HERE / "dying_rank_job.py", [str(tmp_path), how], 2, timeout=110.0)
    ended = time.time() - float((tmp_path / "died").read_text())
    assert done.returncode != 0 and ended < 60.0, f"the job outlived its hung rank by {ended:.0f} s"
    assert "rank 1 hangs" in done.stderr and "rank 1 hangs" in (tmp_path / "run/run.log").read_text()
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["status"] == status and "rank 1 hangs" in manifest["error"]
    assert CheckpointStore(tmp_path / "run").latest() is not None


def start_node(node: int, port: int, arguments: list[str]) -> subprocess.Popen:
    command = [
        "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d",
        "--rdzv_endpoint", f"127.0.0.1:{port}", "--rdzv_id", "job", "--rdzv_conf", f"is_host={node == 0}",
        str(HERE / "dying_rank_job.py"), *arguments,
    ]  # fmt: skip
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "named"), [("kill", "rank 1"), ("raise", "rank 1"), ("hang", "rank 1 hangs"), ("hang and stop", "rank 1")]
)
def test_a_dead_or_hung_rank_of_the_other_node_ends_both_and_is_named(tmp_path, how, named):
    """Two "nodes" on loopback under torchrun's rendezvous; the job asks for 4 s without a move."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = [start_node(node, port, [str(tmp_path), how]) for node in range(2)]
    try:
        said = [node.communicate(timeout=300)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    took = time.time() - float((tmp_path / "died").read_text())
    assert all(node.returncode != 0 for node in nodes), said
    assert took < 60.0, f"a node outlived its rank by {took:.0f} s"
    error = json.loads((tmp_path / "run/manifest.json").read_text())["error"]
    assert named in error, (error, said)
    if how == "raise":
        assert "the simulator of rank 1 broke" in said[1]
    assert not (tmp_path / "finished").exists()
