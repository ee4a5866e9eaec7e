# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The one exception a user is meant to read."""

from __future__ import annotations


class UserError(ValueError):
    """Input that its author can correct, reported before anything is allocated.

    The message is one sentence that names the field or argument and says what to do. The commands print it and exit
    with status 2, without a traceback.
    """
