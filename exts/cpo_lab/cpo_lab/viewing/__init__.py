# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Pictures and videos of running environments, with a caption per policy. Knows no command and no task."""
