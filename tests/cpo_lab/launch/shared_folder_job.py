# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One of several processes that were given no run folder; says which one it got."""

from __future__ import annotations

import sys
from pathlib import Path

from cpo_lab.launch.ranks import Rank
from cpo_lab.launch.run_place import Beginning, RunPlace, choose_place

if __name__ == "__main__":
    place = choose_place(Beginning(), [], None, RunPlace(None, Path(sys.argv[1]), "x"), may_move=False)
    with place.own():
        sys.stdout.write(f"rank {Rank.of_this_process().rank} has {place.folder}\n")
