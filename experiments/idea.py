# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Draw what the distance between followers and leader does to the leader's use of their data.

python -m experiments.idea [FILE.svg]     default: docs/images/idea.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from experiments import figures
from experiments.table import save

if __name__ == "__main__":
    save(figures.idea(), Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/idea.svg"))
