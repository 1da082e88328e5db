"""The words of `python -m deadray watch`. Imports nothing that is slow."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """Measures the norms of a model that transformers runs, and compares with what gamma
alone predicts. Without --data and --text the tokens are random."""


def add_watch_command(commands) -> None:
    parser = commands.add_parser(
        "watch",
        help="measure the norms of a model that transformers runs",
        description=DESCRIPTION,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder with config.json")
    inputs = parser.add_mutually_exclusive_group()
    inputs.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="what the model reads: .safetensors or .npz with tensors [n, ...] named as its "
        "forward names them, or .npy of token ids [n, length]",
    )
    inputs.add_argument(
        "--text", type=Path, metavar="FILE", help="UTF-8, cut into tokens by MODEL's tokenizer"
    )
    inputs.add_argument(
        "--random-tokens",
        type=_positive,
        metavar="N",
        help="so many, rounded up to whole sequences (max(1.25 d, 4096))",
    )
    parser.add_argument(
        "--norms",
        default="all",
        metavar="NAMES",
        help="all, or names with commas between them; * stands for anything (all)",
    )
    parser.add_argument(
        "--method", choices=("eigh", "certificate", "directional"), default="eigh", help="(eigh)"
    )
    parser.add_argument("--batch", type=_positive, default=16, help="sequences a pass (16)")
    parser.add_argument(
        "--sequence-length",
        type=_positive,
        metavar="T",
        help="tokens of a sequence of --text and --random-tokens (256, or what MODEL takes)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "float64"),
        default="float32",
        help="number type of the forward pass (float32); moments are FP64",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (cpu)")
    parser.add_argument(
        "--head", action="store_true", help="with the head that config.json names, and its norms"
    )
    parser.add_argument("--seed", type=int, default=0, help="of random tokens and directions (0)")
    parser.add_argument(
        "--json", metavar="FILE", help="write the record; - is standard output, without a table"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no table and no notes")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive number")
    return value
