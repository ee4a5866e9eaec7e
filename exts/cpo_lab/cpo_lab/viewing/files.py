# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Pictures and videos as files; one that is not complete never has its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Endings of picture files."""

VIDEOS = (".mp4", ".gif", ".webp")
"""Endings of video files."""

_GIF_COLORS = 128


@contextlib.contextmanager
def _finished(path: Path) -> Iterator[Path]:
    """Give a name to write to; the file gets its own when the block is done."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture, uint8 [height, width, 3 or 4]."""
    from PIL import Image

    with _finished(path) as temporary:
        Image.fromarray(image).save(temporary, optimize=True, quality=92)


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], rate: float) -> None:
    """Write a video, or an animated picture that starts over at its end.

    Args:
        path: File, by whose ending it becomes MP4, GIF or WebP.
        frames: Pictures, uint8 [height, width, 3].
        rate: Frames per second.
    """
    with _finished(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_mp4(temporary, frames, rate)
        else:
            _write_animation(temporary, frames, rate)


def _write_mp4(path: Path, frames: Iterable[NDArray[np.uint8]], rate: float) -> None:
    import imageio_ffmpeg

    writer: Any = None
    try:
        for frame in frames:
            if writer is None:
                size = (frame.shape[1], frame.shape[0])
                writer = imageio_ffmpeg.write_frames(str(path), size, fps=rate, macro_block_size=2, quality=7)
                writer.send(None)
            writer.send(frame.tobytes())
    finally:
        if writer is not None:
            writer.close()


def _write_animation(path: Path, frames: Iterable[NDArray[np.uint8]], rate: float) -> None:
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    timing: dict[str, Any] = {
        "save_all": True,
        "append_images": images[1:],
        "duration": round(1000.0 / rate),
        "loop": 0,
    }
    if path.suffix.lower() == ".webp":
        images[0].save(path, quality=72, method=4, **timing)
        return
    # one palette for all frames, without dithering: what stands still stays the same, and the file small
    some = images[:: max(len(images) // 8, 1)]
    strip = Image.new("RGB", (some[0].width, some[0].height * len(some)))
    for place, image in enumerate(some):
        strip.paste(image, (0, place * image.height))
    palette = strip.quantize(_GIF_COLORS, method=Image.Quantize.MEDIANCUT)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    images[0].save(path, optimize=True, disposal=1, **(timing | {"append_images": images[1:]}))
