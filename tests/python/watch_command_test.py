"""python -m deadray watch: what it reads, what it says, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM

import deadray
from deadray.__main__ import parse
from deadray.command.watch_command import watch_command
from deadray.errors import Error
from tiny_models import NAMES, VOCABULARY, tiny_model

# Rows of the tiny mobilevit hardly differ: their covariance is null in more directions.
VARIED = [name for name in NAMES if name != "mobilevit"]
TOKENS = torch.randint(3, VOCABULARY, (8, 16), generator=torch.Generator().manual_seed(1))


def saved(folder: Path, name: str) -> Path:
    """A tiny model in a folder, and its inputs beside it."""
    tiny = tiny_model(name)
    tiny.model.save_pretrained(folder / name)
    save_file(tiny.inputs, folder / "data.safetensors")
    return folder / name


@pytest.fixture(scope="module")
def roberta(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("models"), "roberta")


def watch(*words: str | Path) -> int:
    return watch_command(parse(["watch", *map(str, words)]))


def record_of(capsys, *words: str | Path) -> dict:
    capsys.readouterr()
    assert watch(*words, "--json", "-") in (0, 1, 8)
    return json.loads(capsys.readouterr().out)


def refused(*words: str | Path) -> tuple[int, str]:
    """Exit code and line of the error."""
    with pytest.raises(Error) as caught:
        watch(*words)
    return caught.value.exit_code, str(caught.value)


def spawned(*words: str | Path, **settings) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "deadray", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **settings,
    )


@pytest.mark.parametrize("name", VARIED)
def test_every_type_of_model_gets_its_verdicts_from_a_file_of_inputs(name, tmp_path, capsys):
    model = saved(tmp_path, name)
    record = record_of(capsys, model, "--data", tmp_path / "data.safetensors")
    assert record["model"]["family"] == name
    assert record["calibration"]["kind"] == "data.safetensors"
    wanted = {"layernorm": "confirmed", "rmsnorm": "absent"}
    assert record["sites"]
    for site in record["sites"]:
        if site["rows"] > site["hidden_size"]:
            assert site["verdict"] == wanted[site["norm"]], (site["name"], site["reason"])


def test_tokens_come_from_npy_npz_and_safetensors_alike(roberta, tmp_path, capsys):
    np.save(tmp_path / "ids.npy", TOKENS.numpy().astype(np.int32))
    np.savez(tmp_path / "ids.npz", input_ids=TOKENS.numpy())
    save_file({"input_ids": TOKENS}, tmp_path / "ids.safetensors")
    files = [tmp_path / f"ids.{kind}" for kind in ("npy", "npz", "safetensors")]
    sites = [record_of(capsys, roberta, "--data", file)["sites"] for file in files]
    assert sites[0] == sites[1] == sites[2]
    assert sites[0][0]["rows"] == TOKENS.numel()


def test_hidden_tokens_enter_no_statistic(roberta, tmp_path, capsys):
    mask = torch.ones_like(TOKENS)
    mask[::2, 10:] = 0
    save_file({"input_ids": TOKENS, "attention_mask": mask}, tmp_path / "padded.safetensors")
    record = record_of(capsys, roberta, "--data", tmp_path / "padded.safetensors", "--batch", 3)
    assert record["calibration"]["masked"] == 24
    assert {site["rows"] for site in record["sites"]} == {TOKENS.numel() - 24}


def test_a_decoder_reads_the_ids_of_its_encoder(tmp_path, capsys):
    model = saved(tmp_path, "t5")
    save_file({"input_ids": TOKENS}, tmp_path / "ids.safetensors")
    record = record_of(capsys, model, "--data", tmp_path / "ids.safetensors")
    ran = {site["name"].split(".")[0] for site in record["sites"]}
    assert ran == {"encoder", "decoder"}
    assert not record["notes"]


def test_random_tokens_fill_whole_sequences(roberta, capsys):
    record = record_of(capsys, roberta, "--random-tokens", 100, "--sequence-length", 30)
    assert record["calibration"]["tokens"] == 120
    assert record["calibration"]["sequence_length"] == 30
    assert record["calibration"]["kind"] == "random"
    other = record_of(capsys, roberta, "--random-tokens", 100, "--sequence-length", 30)
    assert record["sites"] == other["sites"]
    other = record_of(capsys, roberta, "--random-tokens", 100, "--sequence-length", 30, "--seed", 1)
    assert record["sites"] != other["sites"]


def test_sequences_are_as_long_as_the_model_has_positions(roberta, capsys):
    # 40 positions, of which RoBERTa counts from behind the padding's.
    assert record_of(capsys, roberta)["calibration"]["sequence_length"] == 39
    assert refused(roberta, "--sequence-length", 40)[0] == 2


def test_text_is_cut_by_the_folders_tokenizer(tmp_path, capsys):
    model = saved(tmp_path, "roberta")
    text = tmp_path / "text.txt"
    text.write_text("a word or two " * 100, "utf-8")
    code, line = refused(model, "--text", text)
    assert code == 4 and "tokenizer" in line and "--data" in line
    write_tokenizer(model)
    record = record_of(capsys, model, "--text", text, "--sequence-length", 30)
    assert record["calibration"]["kind"] == "text.txt"
    assert record["calibration"]["tokens"] == 390
    assert any("10 tokens of text.txt" in note for note in record["notes"])
    text.write_bytes(b"\xff\xfe")
    code, line = refused(model, "--text", text)
    assert code == 3 and "byte 0 is not UTF-8" in line


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "a": 5, "word": 6, "or": 7, "two": 8}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def test_norms_are_chosen_by_name_and_pattern(roberta, capsys):
    everything = [site["name"] for site in record_of(capsys, roberta)["sites"]]
    one = record_of(capsys, roberta, "--norms", everything[-1])["sites"]
    assert [site["name"] for site in one] == [everything[-1]]
    several = record_of(capsys, roberta, "--norms", "encoder.layer.0*,embeddings.*")["sites"]
    assert [site["name"] for site in several] == everything[:3]
    code, line = refused(roberta, "--norms", "encoder.layer.0.output.LayerNrm")
    assert code == 2 and "did you mean encoder.layer.0.output.LayerNorm?" in line
    code, line = refused(roberta, "--norms", "decoder.*")
    assert code == 2 and "decoder.*" in line


def test_the_head_that_config_json_names_has_norms_too(tmp_path, capsys):
    tiny_model("roberta", AutoModelForMaskedLM).model.save_pretrained(tmp_path)
    names = [
        [s["name"] for s in record_of(capsys, tmp_path, *w)["sites"]] for w in ([], ["--head"])
    ]
    assert names[1] == [*(f"roberta.{name}" for name in names[0]), "lm_head.layer_norm"]


def test_weights_that_the_files_lack_are_told(tmp_path, capsys):
    model = saved(tmp_path, "roberta")
    file = model / "model.safetensors"
    tensors = load_file(file)
    del tensors["encoder.layer.1.output.LayerNorm.weight"]
    save_file(tensors, file, {"format": "pt"})
    notes = record_of(capsys, model)["notes"]
    assert any("encoder.layer.1.output.LayerNorm.weight" in note for note in notes)


def test_number_types_and_methods(roberta, capsys):
    record = record_of(capsys, roberta, "--dtype", "bfloat16", "--method", "certificate")
    assert record["model"]["dtype"] == "bfloat16"
    assert record["sites"][0]["spectrum"] is None
    directional = record_of(capsys, roberta, "--method", "directional")
    assert {site["verdict"] for site in directional["sites"]} == {"confirmed"}


def test_what_does_not_fit_the_model_is_named(roberta, tmp_path):
    file = tmp_path / "data.safetensors"
    cases = [
        ({"input_ids": TOKENS * 99}, ["token", "expected 0 to 98"]),
        ({"ids": TOKENS}, ["tensor 'ids'", "input_ids"]),
        (
            {"input_ids": TOKENS, "attention_mask": TOKENS + 0},
            ["attention_mask", "expected 0 or 1"],
        ),
        ({"input_ids": TOKENS, "attention_mask": TOKENS * 0}, ["hides every token"]),
        ({"input_ids": TOKENS[:0]}, ["n > 0"]),
        ({"attention_mask": TOKENS * 0 + 1}, ["does not run on attention_mask"]),
    ]
    for tensors, parts in cases:
        save_file(tensors, file)
        code, line = refused(roberta, "--data", file)
        assert code == 3 and all(part in line for part in parts), line
    file.write_bytes(b"no tensors")
    assert refused(roberta, "--data", file)[0] == 3
    np.save(tmp_path / "floats.npy", np.ones((2, 3)))
    code, line = refused(roberta, "--data", tmp_path / "floats.npy")
    assert code == 3 and "float64 [2, 3], expected integers" in line
    assert refused(roberta, "--data", tmp_path / "nothing.npy")[0] == 2


def test_models_that_cannot_be_are_refused(tmp_path, roberta):
    assert refused(tmp_path)[0] == 2
    config = tmp_path / "config.json"
    for text, wanted, part in (
        ("{", 3, "config.json"),
        ('{"model_type": "nobodys"}', 4, "'nobodys'"),
        ('{"model_type": "nobodys", "auto_map": {}}', 4, "never runs"),
        ('{"model_type": "roberta"}', 3, "cannot load it"),
    ):
        config.write_text(text)
        code, line = refused(tmp_path)
        assert (code, part in line) == (wanted, True), line
    assert refused(roberta, "--device", "tpu")[0] == 2
    if not torch.cuda.is_available():
        code, line = refused(roberta, "--device", "cuda")
        assert code == 6 and "--device cpu" in line


def test_code_of_a_folder_is_never_run(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}'
    )
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert refused(tmp_path)[0] == 4
    assert not (tmp_path / "ran").exists()


def test_a_model_that_reads_no_tokens_asks_for_data(tmp_path):
    model = saved(tmp_path, "wav2vec2")
    code, line = refused(model)
    assert code == 2 and "input_values" in line and "--data" in line


def test_no_record_replaces_what_the_command_reads(roberta, tmp_path):
    np.save(tmp_path / "ids.npy", TOKENS.numpy())
    os.symlink(tmp_path / "ids.npy", tmp_path / "link")
    assert refused(roberta, "--data", tmp_path / "ids.npy", "--json", tmp_path / "link")[0] == 2
    assert refused(roberta, "--json", roberta / "config.json")[0] == 2
    assert refused(roberta, "--json", tmp_path / "nowhere/x.json")[0] == 6
    for _ in range(2):  # its own record is written anew
        assert watch(roberta, "--quiet", "--json", roberta / "record.json") == 0
    assert json.loads((roberta / "record.json").read_text())["schema"] == "deadray/verify/1"
    (roberta / "record.json").unlink()


def test_a_table_with_one_line_a_norm(roberta, capsys):
    assert watch(roberta) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["norm", "kind", "d"]
    assert len(lines) == 6 and all(line.endswith("confirmed") for line in lines[1:])


def test_too_few_rows_are_undetermined(roberta, capsys):
    assert watch(roberta, "--random-tokens", 8, "--sequence-length", 4) == 8
    assert "undetermined" in capsys.readouterr().out


def test_its_version_is_the_packages():
    process = spawned("--version")
    assert process.communicate(timeout=60)[0].strip() == f"deadray {deadray.__version__}"
    assert process.returncode == 0


def test_wrong_words_end_with_one_line_and_2():
    process = spawned("watch", "x", "--dta", "y")
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, out) == (2, "")
    assert errors.count("\n") == 1 and "--dta" in errors and "Traceback" not in errors


def test_errors_are_one_line_without_control_characters(tmp_path):
    name = "no\x1b[31m\nfolder"
    process = spawned("watch", tmp_path / name)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 2
    assert errors.count("\n") == 1 and "\x1b" not in errors


def test_a_reader_that_is_gone_ends_it_quietly(roberta):
    process = spawned("watch", roberta)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=240) == 141


def test_an_interrupt_ends_it_quietly(roberta, tmp_path):
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = spawned("watch", roberta, "--random-tokens", 10**7)
        time.sleep(4)
        assert process.poll() is None, process.stderr.read()
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
        assert (process.returncode, out, errors) == (code, "", "")
