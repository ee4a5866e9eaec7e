# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The doctor finds what is wrong and says how to fix it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile

import pytest

from cpo_lab.cli import doctor, main
from cpo_lab.cli.doctor import Finding
from cpo_lab.launch import checks
from cpo_rl.errors import UserError

REGRASP = "CpoLab-Regrasp-KukaAllegro-Direct"


def test_status_tells_whether_there_is_a_problem(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", [lambda: [Finding("ok", "A", "fine"), Finding("note", "B", "slow")]])
    assert main(["doctor"]) == 0
    assert "ready" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "CHECKS", [lambda: [Finding("problem", "C", "broken [link]", "mend [it]")]])
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "C: broken [link]" in text
    assert "fix: mend [it]" in text


def test_a_check_that_fails_is_itself_a_finding(capsys, monkeypatch):
    def check_moon():
        raise OSError("too far")

    monkeypatch.setattr(doctor, "CHECKS", [check_moon, lambda: [Finding("ok", "Next", "still checked")]])
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "moon" in text
    assert "too far" in text
    assert "still checked" in text


def test_missing_and_differing_packages(monkeypatch):
    version = importlib.metadata.version

    def fake(name):
        if name == "newton":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "torch" else version(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", fake)
    found = {finding.topic: finding for finding in doctor.check_packages()}
    assert found["newton"].level == "problem"
    assert found["torch"].level == "note"
    assert "2.11.0" in found["torch"].text
    assert found["rsl-rl-lib"].level == "ok"


def test_driver_that_torch_cannot_use(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert doctor.check_cuda()[0].level == "problem"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.check_cuda()[0].level == "note"


def test_pictures_without_opengl(monkeypatch):
    monkeypatch.setattr(doctor.sys, "executable", shutil.which("false"))
    assert any(finding.level == "problem" and "apt-get" in finding.fix for finding in doctor.check_pictures())


def test_full_disk(monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: usage)
    assert any(finding.level == "problem" for finding in checks.check_places())


@pytest.mark.parametrize("variable", ["CPO_LAB_CACHE", "WARP_CACHE_PATH"])
def test_a_cache_that_cannot_be_written_is_found_and_its_variable_named(monkeypatch, variable):
    monkeypatch.setenv(variable, "/proc/nothing")
    problems = [finding for finding in checks.check_places() if finding.level == "problem"]
    assert problems and all(variable in finding.fix for finding in problems)


def test_no_place_for_temporary_files_is_a_problem(monkeypatch):
    def nowhere():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert any("TMPDIR" in finding.fix for finding in checks.check_places())


def test_engines_that_cannot_be_loaded(monkeypatch):
    monkeypatch.setattr(checks, "_LOAD", "raise OSError('libGL is missing')")
    (finding,) = checks.check_engine()
    assert finding.level == "problem" and "libGL is missing" in finding.text


def test_a_configuration_that_cannot_be_made(monkeypatch):
    def refuse(request):
        raise UserError("--device cuda was asked for but there is none.")

    monkeypatch.setattr(checks, "resolve", refuse)
    (finding,) = checks.check_configuration()
    assert finding.level == "problem" and "--device cuda" in finding.text


def test_a_start_that_fails_is_told_with_its_last_words(monkeypatch):
    monkeypatch.setattr(checks.sys, "executable", shutil.which("false"))
    (finding,) = checks.try_training()
    assert finding.level == "problem" and "status 1" in finding.text


def test_license_is_never_accepted_for_the_user(monkeypatch):
    monkeypatch.delenv("OMNI_KIT_ACCEPT_EULA", raising=False)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: object() if name == "isaacsim" else find(name, *rest)
    )
    (finding,) = doctor.check_isaacsim()
    assert "yourself" in finding.fix


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--stress"], "belong to a task"),
        (["--stress", "100"], "belong to a task"),
        (["--task", REGRASP, "--json", "x.json"], "belong to a stress test"),
        (["--task", REGRASP, "--seed", "1"], "belong to a stress test"),
        (["--task", REGRASP, "--stress", "--num_envs", "2"], "--num_envs 2 must be at least 3"),
        (["--task", REGRASP, "--stress", "--json", "x.txt"], "--json"),
        (["--task", REGRASP, "--stress", "0"], "--stress"),
        (["--task", REGRASP, "--stress", "env.object_spin_limit=0"], "object_spin_limit"),
        (["--task", "CpoLab-Nothing-Direct", "--stress"], "CpoLab-Nothing-Direct"),
    ],
)
def test_a_stress_test_that_cannot_run_is_refused_before_a_simulator_starts(arguments, sentence, capsys, monkeypatch):
    pytest.importorskip("isaaclab")
    monkeypatch.setattr("cpo_lab.launch.simulation.simulation", lambda *_: pytest.fail("a simulator starts"))
    try:
        status = main(["doctor", *arguments])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert sentence in capsys.readouterr().err
