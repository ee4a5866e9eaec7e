# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs as jobs: what is to be run, by which launcher, and what happens when one dies."""
