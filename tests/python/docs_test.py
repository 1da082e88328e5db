"""What docs/python.md and its notebook show runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler

import deadray
from notebook import run_cells
from tiny_models import VOCABULARY, tiny_model

DOCS = Path(os.environ.get("DEADRAY_SOURCE", Path(__file__).resolve().parents[2])) / "docs"


def blocks(heading: str) -> list[str]:
    """The code of a section."""
    page = (DOCS / "python.md").read_text("utf-8")
    section = re.split(r"^#+ ", page.split(f"# {heading}\n")[1], maxsplit=1, flags=re.M)[0]
    return [
        textwrap.dedent(code) for code in re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.M)
    ]


def run(code: str, **names) -> dict:
    names["__name__"] = "__main__"
    exec(compile(code, "python.md", "exec"), names)
    return names


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    """path/to/model, from where the page is."""
    tiny_model("roberta").model.save_pretrained(tmp_path / "path/to/model")
    monkeypatch.chdir(tmp_path)


def ids(*shape: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {"input_ids": torch.randint(3, VOCABULARY, shape, generator=generator)}


def test_five_lines_print_a_table(model_folder, capsys):
    code, table = blocks("Five lines to a table")[0].split("\n\n")[:2]
    assert len(code.splitlines()) == 5
    run(code)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    shown = table.splitlines()[0].split()
    assert [*lines[0].split()[: len(shown) - 1], "…"] == shown
    assert all(line.endswith("confirmed") for line in lines[1:])


def test_predict_gives_a_direction(model_folder):
    names = run("import deadray\n" + blocks("predict")[0])
    assert names["norm"].direction.shape == (16,)


class Mine(nn.Module):
    """A model of one's own."""

    def __init__(self, d: int = 12):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.read = nn.LayerNorm(d), nn.Linear(d, d)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(self.norm(x))


def test_recipe_one_checks_a_model(capsys):
    code = blocks("Check one's own model")[0]
    loader = [torch.randn(40, 12) for _ in range(3)]
    assert run(code, model=Mine(), loader=loader)["report"].sites[0].rows == 120
    assert "confirmed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:  # fewer rows than the norm is wide
        run(code, model=Mine(), loader=[torch.randn(5, 12)])
    assert ended.value.code == 8
    assert capsys.readouterr().err.startswith("norm: ")


def test_recipe_two_logs_the_drift_of_a_training():
    model = tiny_model("roberta").model.train()
    callback = run(blocks("Drift during training")[0], batches=[ids(8, 30)])["callback"]
    callback.every = 2
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    handler = CallbackHandler([callback], model, None, optimiser, None)
    state = TrainerState()
    handler.on_train_begin(None, state, TrainerControl())
    for _ in range(5):
        model(**ids(4, 30)).last_hidden_state.square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
        state.global_step += 1
        handler.on_step_end(None, state, TrainerControl())
    assert model.training
    assert [log["step"] for log in state.log_history] == [2, 4]
    for log in state.log_history:
        assert log["dead/abs_cos"] > 1 - 1e-9
        assert log["dead/depth"] < 1e-20
        assert 0 < log["dead/gamma_min"] < 1.5
    turned = [log["dead/turned"] for log in state.log_history]
    assert 0 < turned[1] < turned[0] < 1


def test_recipe_three_leaves_dead_directions_out():
    tiny = tiny_model("roberta")
    model, name = tiny.model.double(), "encoder.layer.1.intermediate.dense"
    torch.set_default_dtype(torch.float64)
    try:
        leaves_dead_directions_out(model, name)
    finally:
        torch.set_default_dtype(torch.float32)


def leaves_dead_directions_out(model: nn.Module, name: str) -> None:
    recipe, gradients = blocks("Leave dead directions out of a LoRA or K-FAC")
    example, read = ids(8, 30), []
    layer = model.get_submodule(name)
    handle = layer.register_forward_pre_hook(lambda _m, x: read.append(x[0].detach().flatten(0, 1)))
    with torch.no_grad():
        model(**example)
    handle.remove()
    x = torch.cat((read[0], torch.ones(len(read[0]), 1)), 1)
    b, a = torch.randn(len(layer.weight), 4), torch.randn(4, layer.in_features)
    lora, factors = {name: (b, a)}, {name: x.T @ x / len(x)}
    factor = factors[name].clone()

    run(recipe, model=model, example=example, lora=lora, factors=factors)

    same, wide = lora[name]
    assert same is b and wide.shape == (4, layer.in_features + 1)
    outputs = read[0] @ (b @ a).T
    assert torch.allclose(
        x @ (b @ wide).T, outputs, atol=1e-12 * outputs.abs().max().item(), rtol=0
    )
    assert (wide.square().sum(1) < a.square().sum(1)).all()
    # The factor had that direction as its null space already, up to rounding: now exactly.
    assert torch.allclose(factors[name], factor, atol=1e-12, rtol=0)
    dead = next(d for d in deadray.dead_parameters(model, example) if d.consumer == name)
    assert (factors[name] @ dead.null_space.T).abs().max() < 1e-14

    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    run(gradients, deadray=deadray, model=model, example=example)
    grads = {n: p.grad for n, p in model.named_parameters()}
    for tangent in dead.directions():
        assert abs(sum((grads[n] * t).sum() for n, t in tangent.items())) < 1e-12


def test_the_notebook_runs_and_shows_what_it_has_stored():
    notebook = json.loads((DOCS / "python.ipynb").read_text("utf-8"))
    stored = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    ran = run_cells(notebook)
    assert any(stored), "tests/python/notebook.py stores outputs"
    for before, now in zip(stored, ran, strict=True):
        assert [_shown(output) for output in now] == [_shown(output) for output in before]


def _shown(output: dict) -> object:
    """Text to the letter; of tables and pictures that they are there: digits of rounding differ."""
    return output["text"] if output["output_type"] == "stream" else sorted(output["data"])
