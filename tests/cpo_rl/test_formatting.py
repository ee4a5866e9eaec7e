# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from cpo_rl.formatting import format_count, format_duration, format_number, format_or_blank, policy_name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (187, "3 min 07 s"),
        (3599.9, "1 h 00 min"),
        (18180, "5 h 03 min"),
        (187200, "2 d 04 h"),
        (-3, "0 s"),
        (math.inf, "?"),
        (math.nan, "?"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (999_960, "1 M"), (12_340, "12.3 k"), (4.567e6, "4.57 M"), (2e10, "20 G"), (1e12, "1 T")],
)
def test_counts(value, text):
    assert format_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.5, "1.50"), (-61.44, "-61.4"), (12_345.6, "12,346"), (2e-5, "2.00e-05"), (3e8, "3.00e+08")],
)
def test_numbers(value, text):
    assert format_number(value) == text


def test_what_is_not_known_is_said():
    assert format_number(math.nan) == "-"
    assert format_number(math.inf, unknown="none") == "none"
    assert format_duration(math.nan, unknown="none") == "none"


def test_names_of_policies():
    assert [policy_name(policy, 3) for policy in range(3)] == ["follower 0", "follower 1", "leader"]
    assert policy_name(0, 1) == "leader"


def test_a_cell_without_a_number_is_empty():
    assert [format_or_blank(value) for value in (None, 1.23456)] == ["", "1.235"]
    assert format_or_blank(1234.5, ",.0f") == "1,234"
