"""The package as Python sees it: what it imports, its types, and the torch that it fits."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import deadray
from deadray import _build, _predict

BUILT = Path(deadray.__file__).parent


def python(code: str, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs it in a process of its own, `path` before the package."""
    where = os.pathsep.join(str(folder) for folder in (path, BUILT.parent) if folder)
    environment = {**os.environ, "PYTHONPATH": where}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def with_torch(folder: Path, content: str) -> Path:
    """A folder in which `import torch` runs this."""
    (folder / "torch.py").write_text(content)
    return folder


def test_it_imports_at_once_and_without_torch() -> None:
    done = python(
        "import sys, time, numpy\n"
        "began = time.process_time()\n"
        "import deadray\n"
        "print(time.process_time() - began, 'torch' in sys.modules)"
    )
    seconds, torch_is_there = done.stdout.split()
    assert float(seconds) < 0.2
    assert torch_is_there == "False"


def test_its_version_is_the_projects() -> None:
    assert deadray.__version__ == _build.VERSION


def test_every_public_name_is_listed() -> None:
    assert set(deadray.__all__) <= set(dir(deadray))
    with pytest.raises(AttributeError, match="no attribute 'wach'"):
        deadray.wach  # noqa: B018


NO_TORCH = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"


def test_without_torch_watch_says_how_to_get_it(tmp_path: Path) -> None:
    done = python("import deadray; deadray.watch", path=with_torch(tmp_path, NO_TORCH))
    last = done.stderr.splitlines()[-1]
    error = "deadray.errors.NotInstalledError: deadray.watch: torch is not installed: "
    assert last.startswith(error)
    assert issubclass(deadray.NotInstalledError, deadray.ResourceError)


ASKED = "import deadray; print(hasattr(deadray, 'watch'), hasattr(deadray, 'predict'))"


def test_without_torch_there_is_no_watch(tmp_path: Path) -> None:
    done = python(ASKED, path=with_torch(tmp_path, NO_TORCH))
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_beside_another_torch_there_is_no_watch() -> None:
    pytest.importorskip("torch")
    done = python(f"import torch; torch.__version__ = '1.13.1'; {ASKED}")
    assert done.stdout.split() == ["False", "True"], done.stderr


@pytest.mark.skipif(_build.TORCH is None, reason="the measuring part is not built")
def test_another_torch_is_refused_in_a_line(tmp_path: Path) -> None:
    other = with_torch(tmp_path, "__version__ = '1.13.1+cpu'")
    done = python("import deadray.modules.native", path=other)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"deadray.errors.ResourceError: deadray._measure: compiled for torch {_build.TORCH}, "
        "found torch 1.13.1+cpu; "
    )


def test_the_stub_names_what_the_module_has() -> None:
    stub = ast.parse((BUILT / "_predict.pyi").read_text())
    top = {node.name: node for node in stub.body if hasattr(node, "name")}
    assert set(top) == {name for name in dir(_predict) if not name.startswith("_")}
    members = {node.name for node in top["Norm"].body if isinstance(node, ast.FunctionDef)}
    assert members == {name for name in dir(_predict.Norm) if not name.startswith("_")}


def test_who_uses_it_has_its_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    user = tmp_path / "user.py"
    user.write_text(
        "import numpy\n"
        "from numpy.typing import NDArray\n"
        "import deadray\n\n"
        "prediction: deadray.Prediction = deadray.predict('model', site='final')\n"
        "direction: NDArray[numpy.float64] | None = prediction.norms[0].direction\n"
        "code: int = deadray.MalformedError.exit_code\n"
        "wrong: str = prediction.norms[0].dimension\n"
    )
    settings = tmp_path / "mypy.ini"
    settings.write_text(
        "[mypy]\nstrict = True\nfollow_imports = silent\n"
        "[mypy-torch.*,transformers.*]\nfollow_imports = skip\n"  # minutes, and not ours
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), str(user)]
    environment = {**os.environ, "MYPYPATH": str(BUILT.parent)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    found = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(found) == 1 and found[0].startswith("user.py:8: error: "), done.stdout + done.stderr
