# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab tensorboard`` starts whatever plugins other packages bring, and doctor says whether it would."""

from __future__ import annotations

import json
import socket
import time
import urllib.request

import pytest
from tensorboard import default
from torch.utils.tensorboard import SummaryWriter

from cpo_lab.cli import doctor, main, tensorboard
from cpo_rl.errors import UserError

pytestmark = pytest.mark.long


@pytest.fixture
def logs(tmp_path):
    with SummaryWriter(str(tmp_path / "exp" / "a_run")) as writer:
        writer.add_scalar("Leader/return", 1.5, 3)
    return tmp_path


@pytest.fixture
def broken_plugin(monkeypatch):
    """A package whose plugin cannot be loaded, as Open3D's without libusb."""

    def load():
        raise ImportError("libusb-1.0.so.0: cannot open shared object file")

    monkeypatch.setattr(default, "get_dynamic_plugins", load)
    with pytest.raises(ImportError):
        default.get_plugins()  # what TensorBoard's own command does


def test_it_serves_the_runs(logs, broken_plugin, monkeypatch, capsys):
    served = []

    def ask():
        address = capsys.readouterr().out.split(" at ")[1].split(" ")[0]
        for _ in range(50):
            with urllib.request.urlopen(f"{address}data/runs", timeout=20) as answer:
                served.extend(json.load(answer))
            if served:
                break
            time.sleep(0.2)
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard, "wait", ask)
    assert main(["tensorboard", "--log_root", str(logs), "--port", "0"]) == 0
    assert served == ["exp/a_run"]


def test_bad_input_is_one_sentence(logs, capsys):
    with pytest.raises(UserError, match="There is no folder"):
        tensorboard.run([str(logs / "nowhere")])
    for words, message in ((["--port", "70000"], "from 0 to 65535"), (["--prot", "1"], "did you mean --port")):
        assert main(["tensorboard", str(logs), *words]) == 2
        assert message in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["tensorboard", str(logs), "--host", "127.0.0.1", "--port", port]) == 2
    error = capsys.readouterr().err
    assert f"--port {port}" in error and "Traceback" not in error


def test_doctor_knows_whether_it_starts(broken_plugin, monkeypatch):
    (found,) = doctor.check_tensorboard()
    assert found.level == "ok"

    def broken():
        raise ImportError("no module named tensorboard\nmore")

    monkeypatch.setattr(doctor, "with_own_plugins", broken)
    (found,) = doctor.check_tensorboard()
    assert (found.level, "more" in found.text) == ("note", False)
