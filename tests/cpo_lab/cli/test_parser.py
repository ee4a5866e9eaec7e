# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What all commands share: which policies are meant, which files and folders can be written."""

from __future__ import annotations

import pytest

from cpo_lab.cli.parser import output_file, policies_of
from cpo_lab.launch.machine import check_folder
from cpo_rl.errors import UserError


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("leader", [5]), ("followers", [0, 1, 2, 3, 4]), ("all", [0, 1, 2, 3, 4, 5]), ("2", [2]), ("5", [5])],
)
def test_choice_of_policies(choice, expected):
    assert policies_of(choice, 6) == expected


@pytest.mark.parametrize("choice", ["leader", "all", "0"])
def test_a_single_policy_is_its_own_leader(choice):
    assert policies_of(choice, 1) == [0]


@pytest.mark.parametrize("choice", ["6", "-1", "best", "last", "first", "", "each", "\u00b2"])
def test_unknown_policy_is_refused(choice):
    with pytest.raises(UserError, match=r"--policy .* must be leader, followers, all or 0 to 5 \(the leader\)\.$"):
        policies_of(choice, 6)


def test_words_of_one_command_are_named_too():
    with pytest.raises(UserError, match="leader, followers, all, input or 0 to 2"):
        policies_of("3", 3, "input")


def test_a_single_policy_has_no_followers():
    with pytest.raises(UserError, match="names nobody"):
        policies_of("followers", 1)


def test_an_output_is_checked_before_anything_else_and_nothing_is_made(tmp_path):
    assert output_file("--picture", None) is None
    assert output_file("--csv", str(tmp_path / "new" / "deep" / "a.csv")) == tmp_path / "new" / "deep" / "a.csv"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"--picture .* is a folder"):
        output_file("--picture", str(tmp_path / "folder.png"), ".png")
    with pytest.raises(UserError, match=r"--picture 'a.gif' must end in .png or .jpg"):
        output_file("--picture", "a.gif", ".png", ".jpg")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.csv", tmp_path / "file" / "deep" / "a.csv", tmp_path / ("x" * 300) / "a.csv"):
        with pytest.raises(UserError, match=r"--csv .* cannot be written"):
            output_file("--csv", str(path))


def test_a_folder_that_can_be_made_is_not_made_yet(tmp_path):
    assert check_folder(tmp_path / "new", "--out") == tmp_path / "new"
    assert list(tmp_path.iterdir()) == []
