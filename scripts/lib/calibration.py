"""Makes calibration files: what a model is run on while deadray measures it.

    scripts/calibration text   OUT --tokenizer T FILE...   text files -> input_ids
                                                           [sequences, length]
                                   --wikitext              the same of WikiText-103, fetched
    scripts/calibration images OUT FOLDER                  pictures -> pixel_values [n, 3, H, W]
                                   --imagenet              the same, fetched; needs access
    scripts/calibration clips  OUT FOLDER                  for each clip a folder of frames or a
                                                           video file -> pixel_values_videos
                                                           [n, T, 3, H, W]

OUT is a .safetensors file; its metadata says what it was made from. Name such files after the
models of a roster (gpt2-xl.safetensors) and put them into one folder: then `deadray suite
--calibration FOLDER` takes them.
Exit codes are deadray's: 2 usage, 3 malformed, 5 network, 6 disk or memory.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np

from calibrating import pixels, sources
from safetensors_writer import Entry, write_safetensors
from tool import MALFORMED, USAGE, ToolError, run_tool


def make_text(arguments: argparse.Namespace) -> None:
    if bool(arguments.files) == arguments.wikitext:
        raise ToolError(USAGE, "text: give either text files or --wikitext")
    tokenizer, digest = sources.load_tokenizer(arguments.tokenizer), hashlib.sha256()
    start = sources.first_token(tokenizer, arguments.bos)
    length = arguments.length - len(start)
    if length < 1:
        raise ToolError(USAGE, f"--length {arguments.length}: no room beside --bos")
    if arguments.wikitext:
        rows = sources.fetched(sources.WIKITEXT, arguments.split)
        lines = (row["text"] for row in sources.from_network(iter(rows), "WikiText-103"))
        source = f"WikiText-103 ({'/'.join(sources.WIKITEXT)}), split {arguments.split}"
    else:
        lines = sources.lines_of(arguments.files)
        source = ", ".join(file.name for file in arguments.files)
    ids = sources.tokens_of(lines, tokenizer, arguments.sequences * length, digest)
    sequences = len(ids) // length
    if sequences == 0:
        raise ToolError(
            MALFORMED,
            f"{source}: {len(ids)} tokens, not one whole sequence of {length}; give more text, or "
            "--length",
        )
    rows = [start + ids[i * length : (i + 1) * length] for i in range(sequences)]
    write(
        arguments.out,
        "input_ids",
        np.array(rows, dtype=np.int32),
        "I32",
        {
            "source": source,
            "sha256": digest.hexdigest(),
            "tokenizer": Path(arguments.tokenizer).name,
            "tokenizer_sha256": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
        },
    )
    if sequences < arguments.sequences:
        pixels.note(
            f"{source}: only {sequences} whole sequences of the {arguments.sequences} asked for"
        )


def make_images(arguments: argparse.Namespace) -> None:
    if (arguments.folder is not None) == arguments.imagenet:
        raise ToolError(USAGE, "images: give either a folder or --imagenet")
    preparation, digest = preparation_of(arguments), hashlib.sha256()
    if arguments.imagenet:
        rows = sources.fetched(sources.IMAGENET, arguments.split)
        some = itertools.islice(sources.from_network(iter(rows), "ImageNet"), arguments.count)
        pictures = (row["image"] for row in some)
        source = f"ImageNet ({sources.IMAGENET[0]}), split {arguments.split}"
    else:
        pictures = pixels.pictures_of(arguments.folder, arguments.count)
        source = arguments.folder.resolve().name
    values = []
    for picture in pictures:
        values.append(preparation(picture))
        digest.update(values[-1].tobytes())
    if not values:
        raise ToolError(MALFORMED, f"{source}: no pictures in it")
    write(
        arguments.out,
        "pixel_values",
        np.stack(values),
        "F32",
        {"source": source, "sha256": digest.hexdigest(), "preparation": str(preparation)},
    )


def make_clips(arguments: argparse.Namespace) -> None:
    preparation, digest, values = preparation_of(arguments), hashlib.sha256(), []
    for frames in pixels.clips_of(arguments.folder, arguments.count, arguments.frames):
        values.append(np.stack([preparation(frame) for frame in frames]))
        digest.update(values[-1].tobytes())
    write(
        arguments.out,
        "pixel_values_videos",
        np.stack(values),
        "F32",
        {
            "source": arguments.folder.resolve().name,
            "sha256": digest.hexdigest(),
            "preparation": str(preparation),
        },
    )


def preparation_of(arguments: argparse.Namespace) -> pixels.Preparation:
    return (
        pixels.Preparation.read(arguments.preprocessor)
        if arguments.preprocessor
        else pixels.Preparation(
            resize=arguments.resize or round(arguments.size * 8 / 7),
            size=arguments.size,
            mean=arguments.mean,
            std=arguments.std,
        )
    )


def write(file: Path, name: str, values: np.ndarray, dtype: str, metadata: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(
        file,
        [Entry(name, dtype, values.shape, values.itemsize, lambda: values)],
        metadata | {"made_by": "scripts/calibration"},
    )
    print(f"{file}: {name} {json.dumps(list(values.shape))} from {metadata['source']}")


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least 1")
    return int(text)


def add_pixel_options(parser: argparse.ArgumentParser, count: int, what: str, size: int) -> None:
    parser.add_argument(
        "--count",
        type=positive,
        default=count,
        help=f"how many {what}, spread evenly over the folder (%(default)s)",
    )
    parser.add_argument(
        "--preprocessor",
        type=Path,
        metavar="FILE",
        help="the model's preprocessor_config.json: sizes, mean, std",
    )
    parser.add_argument(
        "--size",
        type=positive,
        default=size,
        help="without --preprocessor: side of the centre that is cut out (%(default)s)",
    )
    parser.add_argument(
        "--resize", type=positive, help="length of the shorter side before that (8/7 of --size)"
    )
    parser.add_argument(
        "--mean",
        type=float,
        nargs=3,
        default=pixels.IMAGENET_MEAN,
        metavar="X",
        help="of the three channels (ImageNet's)",
    )
    parser.add_argument(
        "--std",
        type=float,
        nargs=3,
        default=pixels.IMAGENET_STD,
        metavar="X",
        help="of the three channels (ImageNet's)",
    )


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="text|images|clips")
    text = commands.add_parser("text", help="text to token ids")
    text.add_argument("out", type=Path, metavar="OUT")
    text.add_argument("files", type=Path, nargs="*", metavar="FILE", help="UTF-8 text")
    text.add_argument("--wikitext", action="store_true", help="WikiText-103 instead of files")
    text.add_argument("--split", default="test", help="of WikiText-103 (%(default)s)")
    text.add_argument(
        "--tokenizer",
        required=True,
        metavar="T",
        help="tokenizer.json, a folder that holds one, or ORGANISATION/NAME on the hub",
    )
    text.add_argument(
        "--bos",
        metavar="TOKEN",
        help="puts this token before each sequence, for models that were trained with one",
    )
    text.add_argument(
        "--sequences", type=positive, default=32, help="at most so many (%(default)s)"
    )
    text.add_argument(
        "--length",
        type=positive,
        default=512,
        help="tokens of each sequence; a last shorter one is left out (%(default)s)",
    )
    text.set_defaults(make=make_text)
    images = commands.add_parser("images", help="pictures to pixels")
    images.add_argument("out", type=Path, metavar="OUT")
    images.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="pictures, in folders below it too"
    )
    images.add_argument("--imagenet", action="store_true", help="ImageNet instead of a folder")
    images.add_argument("--split", default="validation", help="of ImageNet (%(default)s)")
    add_pixel_options(images, 32, "pictures", 224)
    images.set_defaults(make=make_images)
    clips = commands.add_parser("clips", help="clips to pixels")
    clips.add_argument("out", type=Path, metavar="OUT")
    clips.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="holds a folder of frames, or a video file, for each clip",
    )
    clips.add_argument(
        "--frames",
        type=positive,
        default=64,
        help="of each clip, spread evenly over it (%(default)s)",
    )
    add_pixel_options(clips, 2, "clips", 256)
    clips.set_defaults(make=make_clips)
    return parser


def main() -> None:
    arguments = command_line().parse_args()
    if arguments.out.suffix != ".safetensors":
        raise ToolError(USAGE, f"{arguments.out}: OUT must end in .safetensors")
    arguments.make(arguments)


if __name__ == "__main__":
    run_tool(main)
