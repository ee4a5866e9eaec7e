# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Two "nodes" on loopback under torchrun's rendezvous, with gloo: one process of the second dies or hangs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow

NOTICED_S = 60.0
"""How long after a rank died or hung both nodes may live; the job's own setting is 4 s [s]."""


def start(node: int, port: int, arguments: list[str]) -> subprocess.Popen:
    command = [
        "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d",
        "--rdzv_endpoint", f"127.0.0.1:{port}", "--rdzv_id", "job", "--rdzv_conf", f"is_host={node == 0}",
        str(HERE / "dying_rank_job.py"), *arguments,
    ]  # fmt: skip
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(
    ("how", "named"), [("kill", "rank 1"), ("raise", "rank 1"), ("hang", "rank 1 hangs"), ("hang and stop", "rank 1")]
)
def test_a_dead_or_hung_rank_of_the_other_node_ends_both_and_is_named(tmp_path, how, named):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = [start(node, port, [str(tmp_path), how]) for node in range(2)]
    try:
        said = [node.communicate(timeout=300)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    took = time.time() - float((tmp_path / "died").read_text())
    assert all(node.returncode != 0 for node in nodes), said
    assert took < NOTICED_S, f"a node outlived its rank by {took:.0f} s"
    error = json.loads((tmp_path / "run/manifest.json").read_text())["error"]
    assert named in error, (error, said)
    if how == "raise":
        assert "the simulator of rank 1 broke" in said[1]
    assert not (tmp_path / "finished").exists()
