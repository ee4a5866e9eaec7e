# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Stand-ins for files of NVIDIA's server, made from what installed packages carry; ``cpo_lab.assets.stock_root``."""
