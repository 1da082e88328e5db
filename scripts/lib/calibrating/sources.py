"""What scripts/calibration reads: data sets of the hub, tokenizers, text files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tool import MALFORMED, NETWORK, USAGE, ToolError, one_line

WIKITEXT = ("Salesforce/wikitext", "wikitext-103-raw-v1")
IMAGENET = ("ILSVRC/imagenet-1k",)


def fetched(dataset: tuple[str, ...], split: str):
    """A data set of the hub, read as it comes."""
    import datasets

    try:
        return datasets.load_dataset(*dataset, split=split, streaming=True)
    except Exception as error:  # every kind of failure comes out of it, by whatever library failed
        raise ToolError(
            NETWORK,
            f"{'/'.join(dataset)}, split {split}: {one_line(error)}; give files of your own "
            "instead",
        ) from error


def from_network(items: Iterator, what: str) -> Iterator:
    """A connection may fail at any item."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except Exception as error:
            raise ToolError(
                NETWORK, f"{what}: {one_line(error)}; give files of your own instead"
            ) from error
        yield item


def load_tokenizer(name: str):
    from tokenizers import Tokenizer

    path = Path(name)
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.is_file():
            return Tokenizer.from_file(str(file))
        if path.is_dir() or file.suffix == ".json":
            raise ToolError(
                USAGE,
                f"{file}: no such file; a tokenizer.json, a folder that holds one, or "
                "ORGANISATION/NAME on the hub expected",
            )
    except ToolError:
        raise
    except Exception as error:
        raise ToolError(MALFORMED, f"{file}: not a tokenizer: {one_line(error)}") from error
    try:
        return Tokenizer.from_pretrained(name)
    except Exception as error:
        raise ToolError(
            NETWORK, f"tokenizer {name}: {one_line(error)}; give the path of its tokenizer.json"
        ) from error


def lines_of(files: list[Path]) -> Iterator[str]:
    for file in files:
        try:
            with file.open(encoding="utf-8") as stream:
                yield from stream
        except FileNotFoundError as error:
            raise ToolError(USAGE, f"{file}: no such file") from error
        except UnicodeDecodeError as error:
            raise ToolError(
                MALFORMED, f"{file}: not UTF-8 at byte {error.start}; text files expected"
            ) from error


def tokens_of(lines: Iterator[str], tokenizer, wanted: int, digest) -> list[int]:
    """Returns the first `wanted` tokens of running text, without special ones.

    `digest` takes what was read.
    """
    ids: list[int] = []
    for line in lines:
        digest.update(line.encode())
        ids += tokenizer.encode(line, add_special_tokens=False).ids
        if len(ids) >= wanted:
            break
    return ids[:wanted]


def first_token(tokenizer, token: str | None) -> list[int]:
    if token is None:
        return []
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ToolError(USAGE, f"--bos {token}: the tokenizer has no such token")
    return [number]
