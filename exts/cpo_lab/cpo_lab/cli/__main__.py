# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``python -m cpo_lab.cli`` is ``cpo-lab``."""

from __future__ import annotations

import sys

from cpo_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
