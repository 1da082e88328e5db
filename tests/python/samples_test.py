"""Trained models, loaded by transformers, against `deadray verify` on the same tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModel

import deadray

SOURCE = Path(os.environ["DEADRAY_SOURCE"])
SAMPLES = SOURCE / "samples"
NAMES = ("microformer-mgm", "all-minilm-l6-v2", "smollm2-135m")
# Of the largest eigenvalue, in float64: two programs sum the same products in their own orders.
RELATIVE = 1e-9

# transformers computes RMSNorm in float32 whatever the dtype; this mode keeps float64.
sys.path.append(str(SOURCE / "scripts/lib"))
from census_ranking.widening import Widening  # noqa: E402


def run(*arguments: str | Path) -> None:
    subprocess.run([os.environ["DEADRAY"], *map(str, arguments), "--quiet"], check=False)


def named_like(sites: dict, name: str):
    """The site that a module's name stands for: the program's may have more in front."""
    (found,) = [s for own, s in sites.items() if own == name or own.endswith("." + name)]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_watch_gives_the_verdicts_of_verify(name, tmp_path):
    folder = SAMPLES / name
    if not (folder / "config.json").exists():
        pytest.skip(f"samples/{name} is missing: run scripts/samples")
    model = AutoModel.from_pretrained(folder, dtype=torch.float64).eval()
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (8, 160))
    np.save(tmp_path / "ids.npy", ids)
    run("verify", folder, "--site", "all", "--tokens", tmp_path / "ids.npy", "--dtype", "float64",
        "--json", tmp_path / "record.json")  # fmt: skip
    run("predict", folder, "--directions", tmp_path / "directions.safetensors")

    with deadray.watch(model) as probe, torch.no_grad(), Widening(model):
        for part in torch.from_numpy(ids).split(3):
            model(part)
    report = probe.report()

    theirs = {
        site["name"]: site for site in json.loads((tmp_path / "record.json").read_text())["sites"]
    }
    assert len(report.sites) == len(theirs)
    for site in report.sites:
        other = named_like(theirs, site.name)
        assert (site.verdict, site.rows) == (other["verdict"], ids.size)
        assert site.predicted == other["predicted"]
        for reading in ("exact", "deployed"):
            ours, wanted = site.record[reading]["eigenvalues"], other[reading]["eigenvalues"]
            for key, value in wanted.items():
                assert abs(ours[key] - value) <= RELATIVE * wanted["last"], (site.name, key)
        for key in ("input", "output"):
            if other["schur"][key] is None:
                assert site.schur[key] is None
            else:
                assert site.schur[key] == pytest.approx(other["schur"][key], rel=1e-6)

    directions = load_file(tmp_path / "directions.safetensors")
    layernorms = [norm for norm in deadray.predict(model).norms if norm.kind == "layernorm"]
    assert len(layernorms) == len(directions)
    for norm in layernorms:
        if norm.direction is not None:
            np.testing.assert_array_equal(norm.direction, named_like(directions, norm.name))
