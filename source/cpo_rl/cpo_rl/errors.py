# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The one exception a user is meant to read, and the hint that ends its sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Input that its author can correct, reported before anything is allocated.

    The message is one sentence that names the field or argument and says what to do. The commands print it and exit
    with status 2, without a traceback.
    """

    told = False
    """Whether the sentence was printed already, where what follows might not come to it."""


def suggestion(name: str, choices: Iterable[str], *, limit: int = 12) -> str:
    """Return the end of an error sentence: the nearest choice, or all of them when few.

    Args:
        name: What the user typed.
        choices: What would have been accepted.
        limit: Most choices to list.
    """
    options = list(choices)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not options:
        return "there is none to choose from."
    return f"choose one of {', '.join(options[:limit])}{', ...' if len(options) > limit else ''}."
