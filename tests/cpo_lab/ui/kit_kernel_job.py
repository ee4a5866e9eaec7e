# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Our extension in NVIDIA's Kit kernel, in a process of its own: ``... OUTPUT.json SCRATCH RUN [STAND_INS]``.

The kernel is that of the wheel ``isaacsim-kernel``; it ends without a word when it ends, so everything seen is written
before. ``STAND_INS`` is a folder with an extension ``omni.ui``, which NVIDIA's wheels on the public index lack.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
FRAMES = 5


def main() -> None:
    output, scratch, run, *stand_ins = sys.argv[1:]
    import isaacsim

    kit = Path(os.path.dirname(isaacsim.__file__)) / "kit"
    sys.path.append(str(kit))
    from kit_app import KitApp

    app = KitApp()
    folders = [ROOT / "exts", *stand_ins]
    app.startup(
        [
            str(kit / "apps/omni.app.empty.kit"), "--no-window", "--allow-root", "--portable-root", scratch,
            *(word for folder in folders for word in ("--ext-folder", str(folder))),
            "--/app/extensions/registryEnabled=0", "--/app/fastShutdown=0",
            f"--/exts/cpo_lab/run={run}", "--/exts/cpo_lab/interval_s=0.05",
        ]
    )  # fmt: skip
    import omni.kit.app

    manager = omni.kit.app.get_app().get_extension_manager()
    for name in (["omni.ui"] if stand_ins else []) + ["cpo_lab"]:
        manager.set_extension_enabled_immediate(name, True)
    seen: dict[str, Any] = {"enabled": manager.is_extension_enabled("cpo_lab")}
    # an extension whose Python does not import counts as enabled as well
    extension = sys.modules.get("cpo_lab.ui.extension")
    seen["imported"] = extension is not None
    seen["library"] = "cpo_rl" in sys.modules
    for _ in range(FRAMES):
        app.update()
        time.sleep(0.06)
    if stand_ins:
        from tests.cpo_lab.ui.kit_stand_in import Kit, Node

        seen["texts"] = Kit.texts()
        manager.set_extension_enabled_immediate("cpo_lab", False)
        seen["windows_left"] = len(Node.roots)
    else:
        manager.set_extension_enabled_immediate("cpo_lab", False)
    seen["disabled"] = not manager.is_extension_enabled("cpo_lab")
    Path(output).write_text(json.dumps(seen))
    app.shutdown()


if __name__ == "__main__":
    main()
