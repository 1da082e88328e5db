"""Pictures and clips as the models see them: what scripts/calibration knows about pixels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from tool import MALFORMED, UNSUPPORTED, USAGE, ToolError, one_line

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


def note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


@dataclass
class Preparation:
    """How a picture is prepared.

    Resizes the shorter side (bicubic, antialiased), cuts out the centre, scales to 0…1, subtracts
    the mean and divides by the deviation.
    """

    resize: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.resize < self.size:
            raise ToolError(
                USAGE,
                f"resized to {self.resize}, pictures have no centre of {self.size}: --resize must "
                "not be below --size",
            )
        if not all(deviation > 0 for deviation in self.std):
            raise ToolError(USAGE, f"std {list(self.std)}: three numbers above 0 expected")

    @classmethod
    def read(cls, file: Path) -> Preparation:
        """Reads a preprocessor_config.json.

        Refuses what other processors do (patches, aspect ratios) instead of guessing it.
        """
        try:
            config = json.loads(file.read_text())
            edge, crop = (
                config["size"],
                config.get("crop_size") if config.get("do_center_crop", True) else None,
            )
            if crop is None:
                crop = {"height": edge["height"], "width": edge["width"]}
            resize = (
                edge["shortest_edge"]
                if "shortest_edge" in edge
                else min(edge["height"], edge["width"])
            )
            sides = {crop["height"], crop["width"]}
            mean, std = (
                tuple(float(x) for x in config[key]) for key in ("image_mean", "image_std")
            )
            factor = float(config.get("rescale_factor", 1 / 255))
        except FileNotFoundError as error:
            raise ToolError(USAGE, f"{file}: no such file") from error
        except (KeyError, TypeError, AttributeError) as error:
            what = (
                f"no resize to size, cut to crop_size, image_mean and image_std ({one_line(error)})"
            )
            raise ToolError(UNSUPPORTED, f"{file}: {what}; give --size, --mean, --std") from error
        except ValueError as error:
            raise ToolError(MALFORMED, f"{file}: {one_line(error)}") from error
        if len(sides) != 1 or len(mean) != 3 or len(std) != 3 or abs(factor * 255 - 1) > 1e-6:
            raise ToolError(
                UNSUPPORTED,
                f"{file}: square crops of three channels with rescale_factor 1/255 are made; give "
                "--size, --mean, --std",
            )
        return cls(resize, sides.pop(), mean, std)

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """[3, size, size] float32"""
        width, height = picture.size
        scale = self.resize / min(width, height)
        resized = picture.convert("RGB").resize(
            (max(self.resize, round(width * scale)), max(self.resize, round(height * scale))),
            Image.Resampling.BICUBIC,
        )
        left, top = (resized.width - self.size) // 2, (resized.height - self.size) // 2
        values = (
            np.asarray(
                resized.crop((left, top, left + self.size, top + self.size)), dtype=np.float32
            )
            / 255
        )
        return np.ascontiguousarray(
            ((values - np.float32(self.mean)) / np.float32(self.std)).transpose(2, 0, 1)
        )


def spread(items: list, count: int) -> list:
    """`count` of them, evenly over the list: sorted folders hold one kind after the other."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def entries_of(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ToolError(USAGE, f"{folder}: no such folder")
    return sorted(folder.iterdir())


def open_picture(file: Path) -> Image.Image:
    try:
        with Image.open(file) as picture:
            picture.load()
            return picture
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ToolError(MALFORMED, f"{file}: not a picture: {one_line(error)}") from error


def pictures_of(folder: Path, count: int) -> Iterator[Image.Image]:
    entries_of(folder)
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES)
    if not files:
        raise ToolError(USAGE, f"{folder}: no pictures ({', '.join(sorted(PICTURES))}) in it")
    if len(files) < count:
        note(f"{folder}: {len(files)} pictures, {count} were asked for")
    return map(open_picture, spread(files, count))


def frames_of_video(file: Path, count: int) -> list[Image.Image]:
    try:
        import av
    except ImportError as error:
        raise ToolError(
            UNSUPPORTED,
            f"{file}: no video decoder here: run scripts/setup --calibration, or give a folder of "
            "frames",
        ) from error
    try:
        with av.open(str(file)) as container:
            # what containers say of their length is often wrong
            total = sum(1 for _ in container.decode(video=0))
        wanted = set(spread(list(range(total)), count)) if total >= count else set()
        with av.open(str(file)) as container:
            return [
                frame.to_image() for i, frame in enumerate(container.decode(video=0)) if i in wanted
            ]
    except (av.error.FFmpegError, IndexError) as error:
        raise ToolError(MALFORMED, f"{file}: not a video: {one_line(error)}") from error


def frames_of(clip: Path, count: int) -> list[Image.Image]:
    """Empty where the clip is too short: a repeated frame would add nothing to measure."""
    if not clip.is_dir():
        return frames_of_video(clip, count)
    files = [file for file in entries_of(clip) if file.suffix.lower() in PICTURES]
    return [open_picture(file) for file in spread(files, count)] if len(files) >= count else []


def clips_of(folder: Path, count: int, frames: int) -> Iterator[list[Image.Image]]:
    clips = [
        entry for entry in entries_of(folder) if entry.is_dir() or entry.suffix.lower() in VIDEOS
    ]
    found = 0
    for clip in spread(clips, count):
        images = frames_of(clip, frames)
        if images:
            found += 1
            yield images
        else:
            note(f"{clip}: fewer than {frames} frames, left out")
    if found == 0:
        raise ToolError(
            USAGE,
            f"{folder}: no clip of {frames} frames in it: a folder of pictures or a video file "
            "for each expected; see --frames",
        )
