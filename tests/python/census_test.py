"""deadray.census() of files and configurations: what the program says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import deadray

PROGRAM = os.environ.get("DEADRAY", "")
FIXTURES = Path(os.environ["DEADRAY_SOURCE"]) / "tests/fixtures"
MEASURED = json.loads((FIXTURES / "census.json").read_text())
# With weights: a family of each kind, a layout of each container.
MODELS = [
    "models/bert-gamma-beta",
    "models/gemma3-text",
    "models/llama-gqa-tied",
    "containers/pytorch/gpt2-shards",
    "containers/numpy/gpt2-tied",
    "gguf/models/falcon-7b.gguf",
]
TWO_BLOCKS = {  # docs/census.md
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 2,
    "n_inner": 12,
    "n_positions": 6,
    "vocab_size": 11,
    "tie_word_embeddings": False,
}
needs_program = pytest.mark.skipif(not PROGRAM, reason="the program deadray is not built")


def program(*words: str | Path) -> str:
    done = subprocess.run([PROGRAM, "census", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_program
@pytest.mark.parametrize("name", MODELS)
def test_record_and_table_of_a_model_on_disk_are_the_programs(name: str) -> None:
    model = FIXTURES / name
    census = deadray.census(model)
    want = json.loads(program(model, "--json", "-"))
    assert want["model"]["weights"]
    assert census.to_dict() == want
    assert list(census.to_dict()) == list(want)
    assert json.loads(census.to_json()) == want
    assert f"{census}\n" == program(model)


@needs_program
@pytest.mark.parametrize("model", MEASURED, ids=lambda model: model["name"])
def test_the_keys_of_a_configuration_suffice(model: dict, tmp_path: Path) -> None:
    census = deadray.census(model["config"])
    assert census.parameters == model["parameters"]
    assert census.flat + census.unreached == model["null"]
    assert census.bound == (model["parameters"] - model["null"]) / 2
    file = tmp_path / "config.json"
    file.write_text(json.dumps(model["config"]))
    want = json.loads(program(file, "--json", "-"))
    got = census.to_dict()
    assert got.pop("model") == want.pop("model") | {"name": model["config"]["model_type"]}
    assert got == want
    assert deadray.census(file).to_dict()["causes"] == want["causes"]


def test_blocks_that_are_alike_share_a_cause() -> None:
    census = deadray.census(TWO_BLOCKS)
    assert (census.parameters, census.flat, census.unreached) == (1304, 409, 0)
    assert census.bound == 447.5
    shown = {(cause.name, cause.blocks): cause for cause in census.causes}
    kernel = shown["norm_kernel", (0, 1)]
    assert (kernel.stack, kernel.each, kernel.dimension, kernel.why) == ("model", 36, 72, None)
    assert shown["norm_kernel", ()].dimension == 0
    assert "no bias" in shown["norm_kernel", ()].why
    assert shown["rotation", ()].dimension == 21
    assert sum(cause.dimension for cause in census.causes) == census.flat
    assert [(cause.name, cause.dimension) for cause in census.up_to_eps] == [("stream_scale", 1)]


def test_what_is_shown() -> None:
    census = deadray.census(TWO_BLOCKS)
    assert str(census).splitlines()[-1].endswith("(1304 - 409 - 0)/2 = 447.5")
    assert repr(census) == "Census('gpt2', 409 of 1304 flat)"
    given = sum(cause.dimension > 0 for cause in census.causes)
    assert census._repr_html_().count("<tr>") == 1 + given
    assert "409 of 1304" in census._repr_html_()


def test_torch_is_not_needed() -> None:
    code = f"import sys, deadray; print(deadray.census({TWO_BLOCKS}).flat, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["409", "False"], done.stderr


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        ("/no/such", deadray.UsageError, "/no/such"),
        ({"model_type": "no-such-type"}, deadray.UnsupportedError, "no-such-type"),
        ({"model_type": "gpt2", "n_embd": "wide"}, deadray.MalformedError, "n_embd"),
        ({"model_type": object()}, deadray.UsageError, "no JSON"),
        (3, deadray.UsageError, "not int"),
    ],
)
def test_what_is_refused_is_named(model, kind: type, says: str) -> None:
    with pytest.raises(kind, match=says):
        deadray.census(model)
