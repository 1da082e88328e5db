"""What a user of transformers would write instead of `deadray verify`, for the final norm.

    PYTHON=.venv-python/bin/python
    $PYTHON scripts/lib/baseline_hf.py samples/microformer-mgm --batch 16 --sequence-length 256
    $PYTHON scripts/lib/baseline_hf.py FOLDER --random         FOLDER holds a config.json

Loads the model and runs seeded random tokens through it in one batch. A hook takes the final norm's
output. Forms its FP64 covariance, calls torch.linalg.eigh, and prints |cos| between the bottom
eigenvector and 1/gamma, the seconds and the peak resident memory.

The choices are meant to be fair:
- AutoModel, so that no logits are computed; inference mode; no key-value cache; float32
- transformers' default (fused) attention and torch's default number of threads
- one reading only, of the activations as the model computed them; deadray also recomputes the norm
  in FP64
- seconds count from the interpreter's first line, imports included: a user waits for them too
"""

from __future__ import annotations

import time

START = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402

import torch  # noqa: E402
from transformers import AutoConfig, AutoModel  # noqa: E402
from transformers.utils import logging  # noqa: E402


def final_norm(model: torch.nn.Module) -> torch.nn.Module:
    # gpt2; llama and its kin; gpt_neox; bert
    for path in ("ln_f", "norm", "final_layer_norm", "encoder.layer.-1.output.LayerNorm"):
        module = model
        for part in path.split("."):
            module = (
                module[int(part)]
                if part.lstrip("-").isdigit() and isinstance(module, torch.nn.ModuleList)
                else getattr(module, part, None)
            )
            if module is None:
                break
        if module is not None:
            return module
    raise SystemExit(f"baseline_hf.py: no final norm known for {type(model).__name__}")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--sequence-length", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--random", action="store_true", help="random initialisation, from config.json alone"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()

    logging.disable_progress_bar()
    if arguments.random:
        torch.manual_seed(arguments.seed)
        model = AutoModel.from_config(
            AutoConfig.from_pretrained(arguments.model), dtype=torch.float32
        ).eval()
    else:
        model = AutoModel.from_pretrained(arguments.model, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(arguments.seed)
    tokens = torch.randint(
        model.config.vocab_size, (arguments.batch, arguments.sequence_length), generator=generator
    )
    captured: list[torch.Tensor] = []
    norm = final_norm(model)
    norm.register_forward_hook(lambda module, args, output: captured.append(output))
    options = {} if model.config.model_type == "bert" else {"use_cache": False}
    model(tokens, **options)

    rows = captured[0].reshape(-1, captured[0].shape[-1]).double()
    rows -= rows.mean(0)
    covariance = rows.T @ rows / rows.shape[0]
    values, vectors = torch.linalg.eigh(covariance)
    direction = 1 / norm.weight.double()
    direction /= direction.norm()
    result = {
        "abs_cos": (vectors[:, 0] @ direction).abs().item(),
        "eigenvalues": {
            "first": values[0].item(),
            "second": values[1].item(),
            "last": values[-1].item(),
        },
        "tokens": rows.shape[0],
        "seconds": time.perf_counter() - START,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"|cos| {result['abs_cos']:.6f}, eigenvalues {values[0]:.2e} {values[1]:.2e} … "
            f"{values[-1]:.2e}, {rows.shape[0]} tokens, {result['seconds']:.2f} s, "
            f"{result['peak_rss_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
