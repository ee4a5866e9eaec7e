# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""In-hand reorientation of an object: what all hands share, and one file per hand."""
