# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What every command owes to somebody who mistypes: one sentence, status 2, at once, and nothing made."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time

import pytest

from cpo_lab.cli import COMMANDS, benchmark, main
from cpo_lab.cli.parser import CommandParser, natural_int, positive_int, seed_int

MODULES = {name: command.module for name, command in COMMANDS.items() if name != "benchmark"}
MODULES |= {f"benchmark {name}": module for name, (module, _) in benchmark.BENCHMARKS.items()}
"""Module of every command and of every benchmark."""

NEEDED = {"pbt": ["--workspace", "population", "--members", "3"], "report": ["nowhere"], "sweep": ["study.yaml"]}
"""Arguments without which a command refuses for another reason."""

OUTPUTS = [
    ("train", ["--log_root", "file/logs"]),
    ("train", ["--log_dir", "file/logs"]),
    ("pbt", ["--workspace", "file/population", "--members", "3"]),
    ("pbt", ["--workspace", "population", "--status", "--picture", "file/lineage.png"]),
    ("play", ["--picture", "file/a.png"]),
    ("play", ["--picture", "folder.png"]),
    ("play", ["--picture", "a.txt"]),
    ("play", ["--video", "file/a.mp4"]),
    ("evaluate", ["--json", "file/a.json"]),
    ("evaluate", ["--csv", "folder.png"]),
    ("report", ["nowhere", "--out", "file/report"]),
    ("export", ["--output", "file/deploy"]),
    ("benchmark env", ["--output", "file/rates"]),
    ("benchmark update", ["--output", "file/rates.json"]),
    ("benchmark update", ["--output", "folder.png"]),
]


def parser_of(command: str) -> CommandParser:
    return importlib.import_module(MODULES[command])._parser()


def options_of(command: str) -> list[tuple[str, argparse.Action]]:
    """Every long option of a command."""
    return [
        (name, action) for action in parser_of(command)._actions for name in action.option_strings if name[1] == "-"
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder of which nothing but a file and a folder may be there afterwards."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["file", "folder.png"]


def refused(capsys, command: str, *arguments: str) -> str:
    """Run a command that must be refused; return its sentence."""
    start = time.perf_counter()
    status = main([*command.split(), *arguments])
    assert time.perf_counter() - start < 3.0
    sentence = capsys.readouterr().err.strip()
    assert status == 2, sentence
    assert "\n" not in sentence
    assert sentence.startswith("cpo-lab: ")
    assert sentence.endswith((".", "?"))
    return sentence


def test_every_command_is_the_module_of_its_name():
    assert {name: command.module for name, command in COMMANDS.items()} == {
        name: f"cpo_lab.cli.{name}" for name in COMMANDS
    }
    assert {name: module for name, (module, _) in benchmark.BENCHMARKS.items()} == {
        name: f"cpo_lab.cli.benchmark_{name}" for name in benchmark.BENCHMARKS
    }


@pytest.mark.parametrize("command", [*MODULES, "benchmark"])
def test_every_command_uses_the_shared_parser(command):
    parser = benchmark._parser() if command == "benchmark" else parser_of(command)
    assert isinstance(parser, CommandParser)
    assert parser.prog == f"cpo-lab {command}"
    assert "examples:" in parser.epilog


@pytest.mark.parametrize("command", MODULES)
def test_help_fits_80_columns(monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    text = parser_of(command).format_help()
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "\nexamples:\n" in text


def test_an_unknown_benchmark(capsys):
    assert "'env', 'update'" in refused(capsys, "benchmark", "envs")


@pytest.mark.parametrize("command", MODULES)
def test_an_unknown_option(capsys, command):
    assert "--nonsense" in refused(capsys, command, *NEEDED.get(command, []), "--nonsense", "1")
    assert "-z" in refused(capsys, command, *NEEDED.get(command, []), "-z")


@pytest.mark.parametrize("command", MODULES)
def test_no_option_may_be_abbreviated(capsys, command):
    names = {name for name, _ in options_of(command)}
    for name in sorted(names - {"--help"}):
        short = name[:-1]
        if short not in names and len(short) > 3:
            assert short in refused(capsys, command, *NEEDED.get(command, []), short, "1")


@pytest.mark.parametrize("command", MODULES)
def test_numbers_are_checked(capsys, command):
    for name, action in options_of(command):
        if action.type in (positive_int, natural_int, seed_int):
            for value in ("x", "1.5", "-1", "", "nan", "inf"):
                assert name in refused(capsys, command, *NEEDED.get(command, []), f"{name}={value}")


@pytest.mark.parametrize(("command", "arguments"), OUTPUTS)
def test_an_output_that_cannot_be_written(capsys, command, arguments):
    option = next(word for word in reversed(arguments) if word.startswith("--") and word not in ("--members",))
    assert option in refused(capsys, command, *arguments)


@pytest.mark.parametrize("command", ["report", "export", "runs", "watch", "list", "benchmark update"])
def test_a_setting_where_none_is_taken(capsys, command):
    assert "env.decimation=1" in refused(capsys, command, "env.decimation=1")


def test_refusing_an_option_needs_neither_torch_nor_a_simulator():
    program = "\n".join(
        [
            "import sys",
            "from cpo_lab.cli import main",
            *(
                f"assert main({[*name.split(), *NEEDED.get(name, []), '--nonsense']!r}) == 2"
                for name in MODULES
                if name != "pbt"
            ),
            "assert not {'torch', 'isaaclab', 'warp', 'matplotlib'} & set(sys.modules)",
        ]
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
    assert time.perf_counter() - started < 10.0
