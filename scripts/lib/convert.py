"""Converts a checkpoint to safetensors, which deadray reads.

    scripts/convert pytorch_model.bin converted/              a PyTorch file (zip archive)
    scripts/convert pytorch_model.bin.index.json converted/   all its shards
    scripts/convert model.Q4_1.gguf converted/                a llama model in GGUF

Writes OUT_FOLDER/model.safetensors and OUT_FOLDER/config.json. Beside PyTorch files config.json is
taken as it is; from GGUF it is rebuilt, and quantised values become float32. Tensors that share
their memory are stored once. A training program's container around the weights (state_dict,
model_state_dict, model, module) is opened.
Exit codes are deadray's: 2 usage, 3 malformed, 4 unsupported, 6 disk or memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from safetensors_writer import Entry, write_safetensors
from tool import MALFORMED, UNSUPPORTED, USAGE, ToolError, run_tool, write_whole


@dataclass
class Conversion:
    """What is to be written, and what there is to say."""

    entries: list[Entry]
    config: dict | None
    shared: dict[str, str] = field(default_factory=dict)  # {tensor left out: where its values are}
    notes: list[str] = field(default_factory=list)


def read_config(file: Path) -> dict | None:
    """config.json beside a PyTorch file, which has none inside."""
    path = file.parent / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise ToolError(MALFORMED, f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ToolError(MALFORMED, f"{path}: a JSON object expected, {type(config).__name__} found")
    return config


def convert_bin(file: Path) -> Conversion:
    import convert_bin as reader  # torch takes seconds to load: only where it is needed

    config = read_config(file)
    untied = config is not None and config.get("tie_word_embeddings") is False
    entries, shared, notes = reader.entries(file, keep_shared=untied)
    if shared and config is not None:
        # some families' default is false: say what the file does
        config.setdefault("tie_word_embeddings", True)
    return Conversion(entries, config, shared, notes)


def convert_gguf(file: Path) -> Conversion:
    import convert_gguf as reader

    return Conversion(*reader.entries(file))


def choose(file: Path):
    """By content first: names lie."""
    if not file.exists():
        raise ToolError(USAGE, f"{file}: no such file")
    if file.is_dir():
        raise ToolError(
            USAGE, f"{file}: a folder; give its weight file (or its pytorch_model.bin.index.json)"
        )
    with file.open("rb") as stream:
        start = stream.read(64)
    if not start:
        raise ToolError(MALFORMED, f"{file}: 0 bytes (interrupted download?)")
    if start.startswith(b"version https://git-lfs"):
        raise ToolError(MALFORMED, f"{file}: a git-LFS pointer, not weights: fetch the real file")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ToolError(MALFORMED, f"{file}: a web page, not weights: fetch the real file")
    if (
        start.startswith(b"GGUF")
        or file.suffix == ".gguf"
        or start[:4] in (b"GGJT", b"GGML", b"FUGG", b"tjgg", b"lmgg")
    ):
        return convert_gguf
    if (
        start.startswith(b"PK\x03\x04")
        or file.suffix in (".bin", ".pt", ".pth")
        or file.name.endswith(".bin.index.json")
    ):
        return convert_bin
    if file.suffix == ".safetensors":
        raise ToolError(USAGE, f"{file}: safetensors already; deadray reads it as it is")
    raise ToolError(
        UNSUPPORTED, f"{file}: unknown format: a PyTorch .bin or .pt, or a .gguf file expected"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument(
        "--force", action="store_true", help="replace a model.safetensors that is already there"
    )
    arguments = parser.parse_args()
    target = arguments.out / "model.safetensors"
    if target.exists() and not arguments.force:
        raise ToolError(USAGE, f"{target}: already there; --force replaces it")

    made = choose(arguments.file)(arguments.file)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_safetensors(target, made.entries, {"format": "pt"} | made.shared)
    if made.config is not None:
        text = json.dumps(made.config, indent=2) + "\n"
        write_whole(arguments.out / "config.json", lambda stream: stream.write(text.encode()))
    for note in made.notes:
        print(note, file=sys.stderr)
    for name, stored in made.shared.items():
        print(f"{name} shares the memory of {stored}: stored once", file=sys.stderr)
    if made.config is None:
        print(
            f"no config.json beside {arguments.file}: put the model's own into {arguments.out}",
            file=sys.stderr,
        )
    print(f"{target}: {len(made.entries)} tensors, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_tool(main)
