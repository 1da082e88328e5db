"""How NumPy, SciPy, torch and others do what `deadray bench timing` times: a table of ways.

Each library is imported only where one of its ways is prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# the linear head whose Fisher is taken, and the rows that it reads
HEAD_OUTPUTS, HEAD_ROWS = (1024, 512)


@dataclass
class Problem:
    tensors: dict[str, Any]  # NumPy arrays
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        return self.tensors["rows"].shape

    @property
    def rows(self):
        return self.tensors["rows"]

    @property
    def covariance(self):
        return self.tensors["covariance"]


@dataclass
class Way:
    """One library's way to one method."""

    method: str
    peer: str
    package: str  # as its distribution is called
    prepare: Callable[[Problem], Callable[[], Any]]  # what `prepare` does is not timed
    matrices: float = 0  # that a call makes, of d by d
    copies: float = 0  # of the rows
    needs_model: bool = False

    def bytes(self, problem: Problem) -> float:
        n, d = problem.shape
        return 8.0 * (self.matrices * d * d + self.copies * n * d)


def numpy_moments(problem: Problem):
    def run():
        centred = problem.rows - problem.rows.mean(0)
        return centred.T @ centred / len(centred)

    return run


def torch_moments(problem: Problem):
    import torch

    rows = torch.from_numpy(problem.rows)

    def run():
        centred = rows - rows.mean(0)
        return centred.T @ centred / len(centred)

    return run


def numpy_eigh(problem: Problem):
    import numpy

    return lambda: numpy.linalg.eigh(problem.covariance)


def scipy_eigh(driver: str, **options):
    def prepare(problem: Problem):
        import scipy.linalg

        return lambda: scipy.linalg.eigh(
            problem.covariance, driver=driver, check_finite=False, **options
        )

    return prepare


def torch_eigh(problem: Problem):
    import torch

    covariance = torch.from_numpy(problem.covariance)
    return lambda: torch.linalg.eigh(covariance)


def numpy_svd(problem: Problem):
    import numpy

    return lambda: numpy.linalg.svd(problem.rows - problem.rows.mean(0), full_matrices=False)


def scipy_svd(problem: Problem):
    import scipy.linalg

    return lambda: scipy.linalg.svd(
        problem.rows - problem.rows.mean(0),
        full_matrices=False,
        overwrite_a=True,
        check_finite=False,
    )


def torch_svd(problem: Problem):
    import torch

    rows = torch.from_numpy(problem.rows)
    return lambda: torch.linalg.svd(rows - rows.mean(0), full_matrices=False)


def weightwatcher_spectrum(problem: Problem):
    """weightwatcher's spectrum of a layer: the eigenvalues of the covariance.

    The layer's weight is the centred rows over sqrt(n).
    """
    import torch
    import weightwatcher

    n, d = problem.shape
    layer = torch.nn.Linear(d, n, bias=False)
    layer.weight.data = torch.from_numpy((problem.rows - problem.rows.mean(0)) / n**0.5)
    model = torch.nn.Sequential(layer)
    watcher = weightwatcher.WeightWatcher(model=model, log_level="ERROR")
    number = int(watcher.describe(model=model)["layer_id"].iloc[0])
    return lambda: watcher.get_ESD(model=model, layer=number)


def curvlinops_fisher(problem: Problem):
    """u^T F u along u = e_1 (1/gamma)^T, u a direction of the weight of a random head.

    For softmax and cross-entropy the Fisher is the generalised Gauss-Newton matrix.
    """
    import torch
    from curvlinops import GGNLinearOperator

    generator = torch.Generator().manual_seed(0)
    d = problem.shape[1]
    rows = torch.from_numpy(problem.rows[:HEAD_ROWS])
    head = torch.nn.Linear(d, HEAD_OUTPUTS, dtype=torch.float64)
    head.weight.data = (
        torch.randn(HEAD_OUTPUTS, d, generator=generator, dtype=torch.float64) / d**0.5
    )
    labels = torch.randint(HEAD_OUTPUTS, (len(rows),), generator=generator)
    direction = [torch.zeros_like(head.weight), torch.zeros_like(head.bias)]
    direction[0][0] = 1 / torch.from_numpy(problem.tensors["weight"])
    fisher = GGNLinearOperator(
        head,
        torch.nn.CrossEntropyLoss(),
        list(head.parameters()),
        [(rows, labels)],
        check_deterministic=False,
    )

    def run() -> float:
        return sum((a * b).sum() for a, b in zip(direction, fisher @ direction, strict=True)).item()

    run()  # torch's transforms build their machinery at the first call, for seconds
    return run


def transformers_forward(problem: Problem):
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    path = problem.metadata["model"]
    if problem.metadata["init"] == "random":
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(
            transformers.AutoConfig.from_pretrained(path), dtype=torch.float32
        ).eval()
    else:
        model = transformers.AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    tokens = torch.from_numpy(problem.tensors["input_ids"])
    options = {} if model.config.model_type == "bert" else {"use_cache": False}

    def run():
        with torch.inference_mode():
            model(tokens, **options)

    return run


WAYS = [
    Way("moments", "numpy", "numpy", numpy_moments, matrices=2, copies=1),
    Way("moments", "torch", "torch", torch_moments, matrices=2, copies=1),
    Way("eigh", "numpy", "numpy", numpy_eigh, matrices=4),
    Way("eigh", "scipy evr", "scipy", scipy_eigh("evr"), matrices=3),
    Way("eigh", "scipy evd", "scipy", scipy_eigh("evd"), matrices=4),
    Way("eigh", "torch", "torch", torch_eigh, matrices=4),
    Way("eigh_bottom", "scipy evr", "scipy", scipy_eigh("evr", subset_by_index=[0, 1]), matrices=2),
    Way(
        "eigenvalues",
        "weightwatcher",
        "weightwatcher",
        weightwatcher_spectrum,
        matrices=4,
        copies=4,
    ),
    Way("svd", "numpy", "numpy", numpy_svd, matrices=6, copies=3),
    Way("svd", "scipy", "scipy", scipy_svd, matrices=6, copies=2),
    Way("svd", "torch", "torch", torch_svd, matrices=6, copies=3),
    Way("fisher", "curvlinops", "curvlinops-for-pytorch", curvlinops_fisher, copies=4),
    Way("forward", "transformers", "transformers", transformers_forward, needs_model=True),
]
