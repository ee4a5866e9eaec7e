# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A field says what it accepts beside its default, and every check and every sentence comes from there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from cpo_rl.config import EnsembleCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import Limits, build_cfg, check_fields, limits_of, read_values, setting


@dataclass
class Cfg:
    """Every kind of field there is."""

    count: int = setting(3, at_least=1)
    share: float = setting(0.5, above=0.0, at_most=1.0)
    ratio: float = setting(0.5, at_least=0.0, below=1.0)
    weight: float = setting(0.0, at_least=0.0)
    size: float = setting(1.0, above=0.0)
    most: int = setting(3, at_most=4)
    under: float = setting(3.0, below=4.0)
    on: bool = False
    name: str = "x"
    way: str = setting("a", choices=("a", "b"))
    widths: list[int] = setting([8], at_least=1, entries=1)
    some: tuple[str, ...] = setting(("a",), choices=("a", "b"))
    maybe: int | None = setting(None, at_least=1)
    groups: dict[str, list[str]] | None = None

    def validate(self) -> None:
        check_fields(self, "own")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("count", 0, "own field count=0 must be at least 1."),
        ("count", 1.0, "own field count=1.0 must be an integer."),
        ("count", True, "own field count=True must be an integer."),
        ("count", None, "own field count=None must be an integer."),
        ("share", 0.0, "own field share=0.0 must lie in (0, 1]."),
        ("share", 1.5, "own field share=1.5 must lie in (0, 1]."),
        ("ratio", 1.0, "own field ratio=1.0 must lie in [0, 1)."),
        ("ratio", -1, "own field ratio=-1 must lie in [0, 1)."),
        ("weight", -1e-9, "own field weight=-1e-09 must not be negative."),
        ("weight", float("nan"), "own field weight=nan must be a finite number."),
        ("weight", float("inf"), "own field weight=inf must be a finite number."),
        ("weight", "1", "own field weight='1' must be a finite number."),
        ("size", 0, "own field size=0 must be above 0."),
        ("most", 5, "own field most=5 must be at most 4."),
        ("under", 4.0, "own field under=4.0 must be below 4."),
        ("on", 1, "own field on=1 must be true or false."),
        ("name", 3, "own field name=3 must be text."),
        ("way", "c", "own field way='c' must be one of a, b."),
        ("widths", [], "own field widths=[] must be a list of at least 1 entries."),
        ("widths", 8, "own field widths=8 must be a list of at least 1 entries."),
        ("widths", [8, 0], "own field widths=[8, 0] must in every entry be at least 1."),
        ("widths", [8.0], "own field widths=[8.0] must in every entry be an integer."),
        ("some", ("a", "c"), "own field some=('a', 'c') must in every entry be one of a, b."),
        ("maybe", 0, "own field maybe=0 must be at least 1."),
        ("maybe", "1", "own field maybe='1' must be an integer."),
    ],
)
def test_a_refusal_names_field_value_and_rule(name: str, value: Any, sentence: str):
    with pytest.raises(UserError) as error:
        build_cfg(Cfg, {name: value}, "own")
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 1), ("share", 1), ("ratio", 0), ("most", 4), ("some", ()), ("some", ["b"]), ("maybe", 2), ("groups", 5)],
)
def test_the_edges_are_accepted(name: str, value: Any):
    assert getattr(build_cfg(Cfg, {name: value}, "own"), name) == value


def test_defaults_are_not_shared():
    first = Cfg()
    first.widths.append(0)
    assert Cfg().widths == [8]


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UserError, match="Unknown own field 'cuont'; did you mean 'count'"):
        build_cfg(Cfg, {"cuont": 1}, "own")


def test_what_was_typed_becomes_values():
    texts = {"count": "2e1", "share": ".5", "on": "TRUE", "name": "y", "widths": "[8, 4]", "some": "('b','a')"}
    assert read_values(Cfg, texts, "own") == {
        "count": 20, "share": 0.5, "on": True, "name": "y", "widths": (8, 4), "some": ("b", "a"),
    }  # fmt: skip
    assert read_values(Cfg, {"some": "[]"}, "own") == {"some": ()}
    for text in ("1.5", "inf", "many", ""):
        with pytest.raises(UserError, match=f"own field count={text} must be an integer"):
            read_values(Cfg, {"count": text}, "own")
    with pytest.raises(UserError, match="own field on=yes must be true or false"):
        read_values(Cfg, {"on": "yes"}, "own")


def test_a_subclass_adds_a_field_with_one_line():
    """What a variant of the algorithm does: the range is checked, inherited fields keep theirs."""

    @dataclass
    class Own(EnsembleCfg):
        smoothness_coef: float = setting(0.01, at_least=0.0)

    assert build_cfg(Own, {"smoothness_coef": 0.2, "gamma": 0.9}, "algorithm").smoothness_coef == 0.2
    with pytest.raises(UserError, match="algorithm field smoothness_coef=-1 must not be negative"):
        build_cfg(Own, {"smoothness_coef": -1}, "algorithm")
    with pytest.raises(UserError, match=r"algorithm field gamma=2 must lie in \(0, 1\]"):
        build_cfg(Own, {"gamma": 2}, "algorithm")
    with pytest.raises(UserError, match="did you mean 'smoothness_coef'"):
        build_cfg(Own, {"smothness_coef": 1}, "algorithm")


def test_limits_are_readable():
    assert limits_of(Cfg)["share"] == Limits(above=0.0, at_most=1.0)
    assert limits_of(Cfg)["on"] == Limits()
    assert replace(limits_of(EnsembleCfg)["gamma"]).rule == "lie in (0, 1]"
