# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a run tells about itself: episodes, policies, metrics and non-finite numbers."""
