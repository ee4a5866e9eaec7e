# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Let OvPhysX run on a machine that has no CUDA driver.

Isaac Lab 3.0's OvPhysX assets ask Warp for *pinned* host memory (page-locked, for fast copies to a GPU) even when they
simulate on the CPU. Warp gets pinned memory from the CUDA driver, so without one the first asset fails with
``Failed to allocate ... bytes on device 'cpu'``. Ordinary host memory does the same job when no GPU is copied to.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


def allow_pinned_without_cuda() -> bool:
    """Give Warp's requests for pinned host memory ordinary host memory if this machine has no CUDA device.

    Changes one attribute of Warp's CPU device, for this process; calling it again does no harm. Must run before the
    first simulation asset is made. The environments of this package call it.

    Returns:
        True if the fallback is in place, False if CUDA works and nothing had to be changed.

    Raises:
        RuntimeError: If this version of Warp keeps its allocators elsewhere.
    """
    import warp as wp

    wp.init()
    if wp.is_cuda_available():
        return False
    cpu = wp.get_device("cpu")
    pageable = getattr(cpu, "default_allocator", None)
    if pageable is None or not hasattr(cpu, "pinned_allocator"):
        raise RuntimeError(
            f"Warp {wp.config.version} keeps the allocators of its CPU device where cpo_lab does not find them, so "
            "OvPhysX cannot run without a CUDA driver; install warp-lang 1.17.0 or choose physics=newton_mjwarp."
        )
    if cpu.pinned_allocator is not pageable:
        cpu.pinned_allocator = pageable
        logger.info("no CUDA driver: Warp's pinned host memory replaced by ordinary host memory")
    return True
