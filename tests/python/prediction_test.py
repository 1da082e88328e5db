"""deadray.predict() of models on disk: what the program says, to the bit."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy
import pytest

import deadray
from deadray._predict import predict_norm

PROGRAM = os.environ.get("DEADRAY", "")
FIXTURES = Path(os.environ["DEADRAY_SOURCE"]) / "tests/fixtures"
# A layout of each container; layernorms and rmsnorms; with and without a family.
MODELS = [
    "models/bert-gamma-beta",
    "models/cohere-qk-norms",
    "models/gemma3-text",
    "models/llama-gqa-tied",
    "containers/pytorch/gpt2-shards",
    "containers/pytorch/bert-pooler",
    "containers/numpy/gpt2-tied",
    "gguf/models/llama-q8_0.gguf",
    "gguf/models/norms-starcoder2.gguf",
]
GPT2 = FIXTURES / "containers/pytorch/gpt2-tied"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

needs_program = pytest.mark.skipif(not PROGRAM, reason="the program deadray is not built")


def program(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "predict", *words], capture_output=True, text=True)


def record_of_program(*words: str | Path) -> dict:
    return json.loads(program(*words, "--json", "-").stdout)


def without_times(record: dict) -> dict:
    return {key: value for key, value in record.items() if key not in ("seconds", "environment")}


def write_safetensors(file: Path, tensors: dict[str, numpy.ndarray]) -> None:
    header, at = {}, 0
    for name, values in tensors.items():
        offsets = [at, at := at + values.nbytes]
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    data = b"".join(values.astype("<f4").tobytes() for values in tensors.values())
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_directions(file: Path) -> dict[str, bytes]:
    content = file.read_bytes()
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    return {
        name: content[begin + tensor["data_offsets"][0] : begin + tensor["data_offsets"][1]]
        for name, tensor in header.items()
    }


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with org/name, revision main."""
    model = tmp_path / "models--org--name"
    shutil.copytree(GPT2, model / "snapshots" / COMMIT)
    (model / "refs").mkdir()
    (model / "refs/main").write_text(COMMIT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return model


def lay_hub_program(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """A script in place of deadray-hub, which notes how it is called."""
    folder.mkdir()
    program = folder / "deadray-hub"
    program.write_text(f'#!/bin/sh\necho "$*" >> {folder}/asked\n{lines}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@needs_program
@pytest.mark.parametrize("name", MODELS)
def test_the_record_is_the_programs(name: str) -> None:
    model = FIXTURES / name
    got = deadray.predict(model).to_dict()
    want = record_of_program(model)
    assert want["schema"] == "deadray/predict/1" and want["sites"]
    assert without_times(got) == without_times(want)
    assert got["environment"] == want["environment"]
    assert list(got) == list(want)


@needs_program
@pytest.mark.parametrize("name", MODELS)
def test_directions_have_the_bits_of_the_programs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "directions.safetensors"
    assert program(FIXTURES / name, "--directions", file, "--quiet").returncode == 0
    want = read_directions(file)
    norms = deadray.predict(FIXTURES / name).norms
    got = {norm.name: norm.direction.tobytes() for norm in norms if norm.direction is not None}
    assert got == want
    assert set(want) == {norm.name for norm in norms if norm.kind == "layernorm"}


@needs_program
def test_a_type_without_a_family_is_found_in_the_packages_catalogue(tmp_path: Path) -> None:
    config = {"model_type": "gptj", "n_embd": 4, "n_layer": 1, "n_head": 1, "vocab_size": 8}
    (tmp_path / "config.json").write_text(json.dumps(config))
    scale = numpy.array([0.5, 1.0, 2.0, 4.0])
    names = [
        f"transformer.{norm}.{key}" for norm in ("h.0.ln_1", "ln_f") for key in ("weight", "bias")
    ]
    write_safetensors(tmp_path / "model.safetensors", dict.fromkeys(names, scale.astype("f4")))
    prediction = deadray.predict(tmp_path)
    assert [norm.kind for norm in prediction.norms] == ["layernorm", "layernorm"]
    assert any("catalogue of model types" in note for note in prediction.to_dict()["notes"])
    assert without_times(prediction.to_dict()) == without_times(record_of_program(tmp_path))


@needs_program
def test_site_and_tau_are_the_programs_options() -> None:
    got = deadray.predict(GPT2, site="final", tau=0.5)
    assert len(got.norms) == 1 and got.norms[0].dimension > 1
    want = record_of_program(GPT2, "--site", "final", "--tau", "0.5")
    assert without_times(got.to_dict()) == without_times(want)


def test_arrays_say_what_the_record_says() -> None:
    prediction = deadray.predict(GPT2)
    for norm, site in zip(prediction.norms, prediction.to_dict()["sites"], strict=True):
        assert (norm.name, norm.kind, norm.hidden_size) == (
            site["name"],
            site["norm"],
            site["hidden_size"],
        )
        assert json.loads(norm.json) == site["predicted"]
        assert (norm.dimension, norm.constant) == (
            site["predicted"]["dimension"],
            site["predicted"]["constant"],
        )
        assert numpy.abs(norm.gamma).min() == site["gamma"]["min"]
        assert numpy.array_equal(norm.basis, norm.direction[:, None])
        # d eps: the rounding of a sum of d squares; and of the constant's, relative to its terms.
        d, eps = norm.hidden_size, numpy.finfo(float).eps
        inverse = 1 / norm.gamma
        assert norm.direction == pytest.approx(inverse / numpy.linalg.norm(inverse), rel=d * eps)
        terms = norm.beta * inverse
        assert norm.constant == pytest.approx(terms.sum(), abs=d * eps * numpy.abs(terms).sum())


def test_arrays_outlive_their_norm_and_cannot_be_changed() -> None:
    gamma = deadray.predict(GPT2).norms[0].gamma
    assert numpy.array_equal(gamma, deadray.predict(GPT2).norms[0].gamma)
    with pytest.raises(ValueError, match="read-only"):
        gamma[0] = 0.0


def test_a_zero_scale_is_a_coordinate_of_its_own() -> None:
    norm = predict_norm("n", "layernorm", numpy.array([1.0, 0.0, 2.0, 0.0]), None)
    assert (norm.dimension, norm.coordinates, norm.direction) == (2, [1, 3], None)
    assert numpy.array_equal(norm.basis, numpy.eye(4)[:, [1, 3]])
    assert norm.beta is None and norm.constant is None


def test_an_rmsnorm_has_no_direction() -> None:
    norm = predict_norm("n", "rmsnorm", numpy.ones(3), None)
    assert (norm.dimension, norm.direction, norm.basis.shape) == (0, None, (3, 0))


def test_a_name_is_looked_up_in_the_hubs_cache(hub: Path) -> None:
    record = deadray.predict("org/name").to_dict()
    assert record["model"]["hub"] == {
        "repository": "org/name",
        "commit": COMMIT,
        "revision": "main",
    }
    for name in ("org/name@main", hub / "snapshots" / COMMIT):
        assert without_times(deadray.predict(name).to_dict()) == without_times(record)
    by_commit = deadray.predict(f"org/name@{COMMIT}").to_dict()
    assert by_commit["model"]["hub"]["revision"] == COMMIT


def test_without_its_program_a_name_is_told_how_to_be_fetched(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (hub / "snapshots" / COMMIT / "pytorch_model.bin").unlink()
    for name, wanted in (
        ("org/name", "is missing .*needs deadray-hub: .* hf download org/name"),
        ("org/name@v2", "no snapshot of revision v2.* hf download org/name --revision v2"),
    ):
        with pytest.raises(deadray.ResourceError, match=wanted) as error:
            deadray.predict(name)
        assert error.value.exit_code == 6


def test_what_the_cache_lacks_is_fetched(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {
        "name": "org/far",
        "revision": "main",
        "commit": COMMIT,
        "folder": str(GPT2),
        "endpoint": "https://hub.example",
        "source": "network",
        "file": None,
    }
    traffic = {"bytes": 12, "requests": 3, "round_trips": 2}
    answer = json.dumps({"schema": "deadray/hub/1", "models": [model], "seconds": 0.1} | traffic)
    lay_hub_program(tmp_path / "bin", monkeypatch, f"cat <<'END'\n{answer}\nEND")
    for function in (deadray.predict, deadray.census):
        hub_of = function("org/far").to_dict()["model"]["hub"]
        assert (
            hub_of
            == {
                "repository": "org/far",
                "commit": COMMIT,
                "revision": "main",
                "endpoint": "https://hub.example",
            }
            | traffic
        )
    asked = (tmp_path / "bin/asked").read_text().splitlines()
    assert asked == [f"fetch --quiet --for {what} org/far" for what in ("predict", "census")]


def test_a_failed_fetch_is_an_error_of_the_network(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "echo 'deadray: org/far: is gated' >&2; exit 5"
    lay_hub_program(tmp_path / "bin", monkeypatch, lines)
    with pytest.raises(deadray.NetworkError, match="^org/far: is gated$") as error:
        deadray.predict("org/far")
    assert error.value.exit_code == 5


@needs_program
def test_errors_are_the_programs_lines_and_codes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(GPT2, tmp_path / "cut")
    with (tmp_path / "cut/pytorch_model.bin").open("r+b") as file:
        file.truncate(1000)
    shutil.copytree(GPT2, tmp_path / "unknown")
    (tmp_path / "unknown/config.json").write_text('{"model_type": "no-such-type"}')
    classes = set()
    for words in (
        ["/no/such"],
        [tmp_path / "empty"],
        [tmp_path / "cut"],
        [tmp_path / "unknown"],
        [GPT2, "--site", "h.7"],
    ):
        want = program(*words)
        with pytest.raises(deadray.Error) as error:
            deadray.predict(words[0], site=words[2] if len(words) > 1 else "all")
        assert error.value.exit_code == want.returncode
        assert f"deadray: {error.value}\n" == want.stderr
        classes.add(type(error.value))
    assert classes >= {deadray.UsageError, deadray.MalformedError, deadray.UnsupportedError}


@pytest.mark.parametrize("tau", [-1.0, 1.0, float("nan"), "0.5"])
def test_a_tau_out_of_range_is_an_error_of_usage(tau: float) -> None:
    with pytest.raises(deadray.UsageError, match="tau: .* 0 <= x < 1") as error:
        deadray.predict(GPT2, tau=tau)
    assert isinstance(error.value, ValueError)


def test_what_is_neither_path_nor_module_is_an_error_of_usage() -> None:
    with pytest.raises(deadray.UsageError, match="not int"):
        deadray.predict(3)  # type: ignore[arg-type]


def test_a_scale_that_is_not_finite_is_malformed() -> None:
    with pytest.raises(deadray.MalformedError, match="'h.0.ln_1'"):
        predict_norm("h.0.ln_1", "layernorm", numpy.array([1.0, numpy.nan]), None)


def test_a_notebook_shows_a_row_a_norm() -> None:
    prediction = deadray.predict(GPT2)
    assert prediction._repr_html_().count("<tr>") == 1 + len(prediction.norms)


def test_printing_it_gives_a_table() -> None:
    prediction = deadray.predict(GPT2)
    heads, *rows = str(prediction).splitlines()
    assert heads.split() == ["norm", "kind", "d", "dead", "constant"]
    assert [row.split()[0] for row in rows] == [norm.name for norm in prediction.norms]
    assert "\n" not in repr(prediction)
