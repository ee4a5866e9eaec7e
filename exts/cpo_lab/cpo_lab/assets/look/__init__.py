# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What robots and furniture look like, apart from what collides. Drawn only where somebody looks."""
