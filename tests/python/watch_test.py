"""What `watch` measures of live models."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import torch
from torch import nn

import deadray
from deadray.modules.norms import find_norms
from tiny_models import NAMES, tiny_model
from watched_block import Block, refused, watched

torch.set_num_threads(1)


# What is judged.


# The pictures that mobilevit gets are so small that its last norms see few different rows: their
# null directions are explained by nothing, and the verdict is undetermined, as it should be.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "mobilevit"])
def test_norms_of_models_that_the_executor_does_not_know(name):
    tiny = tiny_model(name)
    report = watched(tiny.model, tiny.inputs)
    assert len(report.sites) == len(find_norms(tiny.model))
    for site in report.sites:
        assert site.rows > site.hidden_size, site.name
        wanted = "confirmed" if site.norm == "layernorm" else "absent"
        assert site.verdict == wanted, f"{site.name}: {site.reason}"
    assert report.exit_code == 0


def test_the_direction_is_that_of_the_prediction(ids):
    block = Block()
    (norm,) = deadray.predict(block, "first").norms
    site = next(site for site in watched(block, {"ids": ids}).sites if site.name == "first")
    assert site.predicted["constant"] == norm.constant
    assert site.abs_cos > 1 - 1e-12


def test_passes_add_up(ids):
    whole = watched(Block().double(), {"ids": ids})
    parts = watched(Block().double(), *({"ids": part} for part in ids.split(3)))
    for a, b in zip(whole.sites, parts.sites, strict=True):
        assert a.rows == b.rows == ids.numel()
        last = a.exact["eigenvalues"]["last"]
        for which in a.exact["eigenvalues"]:
            difference = abs(a.exact["eigenvalues"][which] - b.exact["eigenvalues"][which])
            # Sums of the same products in another order, each within N u of the largest.
            assert difference < 1e-13 * last


@pytest.mark.parametrize("method", ["eigh", "certificate", "directional"])
def test_methods(ids, method):
    report = watched(Block(), {"ids": ids}, norms=["first"], method=method)
    assert [site.verdict for site in report.sites] == ["confirmed"]


@pytest.mark.parametrize("method", ["eigh", "certificate", "directional"])
def test_one_reading_is_that_of_both(ids, method):
    both = watched(Block(), {"ids": ids}, method=method, norms="first").sites[0]
    for reading, other in (("exact", "deployed"), ("deployed", "exact")):
        (site,) = watched(
            Block(), {"ids": ids}, method=method, norms="first", readings=reading
        ).sites
        assert site.record[reading] == both.record[reading]
        assert site.record[other] is None
        assert (site.verdict, site.rows) == ("confirmed", ids.numel())


def test_a_norm_whose_output_is_altered_is_not_confirmed(ids):
    """The deployed reading is of what the model made: noise on it shows."""
    block = Block()
    block.first.register_forward_hook(lambda *see: see[2] + 0.1 * torch.randn_like(see[2]))
    torch.manual_seed(0)
    site = watched(block, {"ids": ids}, norms="first").sites[0]
    assert site.deployed["lambda_v"] > 1e-3 > 1e-20 > site.exact["lambda_v"]


# Which rows count.


def padded(ids: torch.Tensor) -> torch.Tensor:
    mask = torch.ones_like(ids)
    mask[2, 30:] = 0
    mask[5, :7] = 0
    return mask


def test_hidden_rows_do_not_count(ids):
    mask = padded(ids)
    for options in ({}, {"mask": mask}, {"mask": lambda _, keywords: keywords["attention_mask"]}):
        report = watched(Block(), {"ids": ids, "attention_mask": mask}, **options)
        calibration = report.to_dict()["calibration"]
        assert (calibration["rows"], calibration["masked"]) == (ids.numel() - 17, 17)
    report = watched(Block(), {"ids": ids, "attention_mask": mask}, mask=False)
    assert report.to_dict()["calibration"]["masked"] == 0


def test_hidden_rows_of_heads(ids):
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(8)

        def forward(self, x, attention_mask):
            return self.norm(x)

    x = torch.randn(8, 4, 40, 8, generator=torch.Generator().manual_seed(2))
    for given in (x, x.transpose(1, 2)):
        report = watched(Heads(), {"x": given, "attention_mask": padded(ids)})
        assert report.sites[0].rows == 4 * (ids.numel() - 17)
    report = watched(Heads(), {"x": x[:, :, :9], "attention_mask": padded(ids)})
    assert report.sites[0].rows == x[:, :, :9].numel() // 8
    assert "no mask fits: norm" in report.to_dict()["notes"][0]


def test_a_mask_given_by_place_counts(ids):
    report = report_of_call(Block(), ids, padded(ids))
    assert report.to_dict()["calibration"]["masked"] == 17


def report_of_call(model: nn.Module, *arguments) -> deadray.Report:
    with deadray.watch(model) as probe, torch.no_grad():
        model(*arguments)
    return probe.report()


def test_masks_that_are_added_to_scores_are_refused(ids):
    mask = (1.0 - padded(ids)) * -1e9
    block = Block()
    with deadray.watch(block):
        refused(lambda: block(ids, mask), deadray.UsageError, "0 and 1")


def test_the_encoders_mask_is_not_the_decoders():
    tiny = tiny_model("t5")
    mask = torch.ones_like(tiny.inputs["input_ids"])
    mask[:, 10:] = 0
    report = watched(tiny.model, tiny.inputs | {"attention_mask": mask})
    rows = {site.name.split(".")[0]: site.rows for site in report.sites}
    assert rows == {"encoder": int(mask.sum()), "decoder": mask.numel()}


def test_a_norm_called_with_a_gate_is_left_out(ids):
    class Gated(nn.LayerNorm):
        def forward(self, x, gate=None):
            y = super().forward(x)
            return y if gate is None else y * gate

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain, self.gated = nn.LayerNorm(16), Gated(16)

        def forward(self, x):
            return self.gated(self.plain(x), x)

    report = watched(Model(), {"x": torch.randn(64, 16)})
    assert [site.name for site in report.sites] == ["plain"]
    assert "more than the norm's input are not measured: gated" in str(report)


def test_wrong_arguments(ids):
    block = Block()
    for options, words in (
        ({"norms": "frist"}, ["'frist'", "did you mean first?"]),
        ({"norms": lambda *_: False}, ["chose none of the 2"]),
        ({"norms": ["q"]}, ["'q'", "first, last"]),
        ({"method": "qr"}, ["'qr'", "eigh, certificate or directional"]),
        ({"mask": "attention_mask"}, ["mask"]),
        ({"norms": "model.first"}, ["did you mean first?"]),
        ({"tau": 2.0}, ["tau", "2"]),
        ({"tau": "much"}, ["tau", "not str"]),
        ({"seed": -1}, ["seed -1"]),
        ({"readings": "all"}, ["'all'", "both, exact, deployed"]),
    ):
        refused(lambda o=options: deadray.watch(block, **o), deadray.UsageError, *words)
    refused(lambda: deadray.watch(block).report(), deadray.UsageError, "no norm has run")
    refused(lambda: deadray.watch(nn.Linear(4, 4)), deadray.UsageError, "no LayerNorm")
    refused(lambda: deadray.watch("a/path"), deadray.UsageError, "Module", "not str")


def test_norms_are_chosen(ids):
    block = Block()
    for norms in (
        "first",
        ["first"],
        ["first", "first"],
        lambda name, module: isinstance(module, nn.LayerNorm),
    ):
        report = watched(block, {"ids": ids}, norms=norms)
        assert [site.name for site in report.sites] == ["first"]


# What is shown.


def test_records_and_tables(ids):
    report = watched(Block(), {"ids": ids})
    record = json.loads(report.to_json())
    assert record == report.to_dict()
    assert record["schema"] == "deadray/verify/1"
    assert record["model"]["parameters"] == sum(p.numel() for p in Block().parameters())
    assert "confirmed" in str(report) and "first" in str(report)
    assert "<table>" in report._repr_html_() and "<svg" in report._repr_html_()
    pandas = pytest.importorskip("pandas")
    frame = report.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["verdict"]) == ["confirmed", "absent"]


def test_reports_travel(ids):
    report = watched(Block(), {"ids": ids})
    assert pickle.loads(pickle.dumps(report)).to_dict() == report.to_dict()
    assert copy.copy(report.sites[0]).verdict == "confirmed"


def test_markup_in_names_is_shown_as_text(ids):
    model = nn.ModuleDict({"<b>": Block()})
    model.forward = lambda ids: model["<b>"](ids)
    assert "<b>" not in watched(model, {"ids": ids})._repr_html_()


def test_rows_are_not_kept(ids):
    """What a probe keeps does not grow with the rows."""
    block = Block()
    seen: list = []
    block.first.register_forward_hook(
        lambda *see: seen.append(see[2].untyped_storage()._weak_ref())
    )
    with deadray.watch(block), torch.no_grad():
        block(ids)
        assert all(torch.UntypedStorage._expired(ref) for ref in seen)
