"""`pip wheel .` and what an environment without torch can do with it."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

SOURCE = Path(os.environ["DEADRAY_SOURCE"])
GPT2 = SOURCE / "tests/fixtures/containers/pytorch/gpt2-tied"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    hidden = ("PYTHONPATH", "CMAKE_ARGS", "SKBUILD_CMAKE_ARGS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run([*words], env=environment, capture_output=True, text=True, cwd="/")


class Environment:
    """A fresh virtual environment."""

    def __init__(self, folder: Path):
        venv.create(folder, with_pip=True)
        self.python = folder / "bin/python"

    def pip(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *words)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def wheel(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """pip finds what it builds with by itself; what the wheel holds is looked at below."""
    folder = tmp_path_factory.mktemp("wheel")
    if environment.pip("download", "--no-deps", "--dest", folder / "tried", "nanobind").returncode:
        pytest.skip("no package index can be reached")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = environment.pip("wheel", "--no-deps", "--wheel-dir", folder, SOURCE)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"the predictor's wheel: {seconds:.0f} s, {processor:.0f} s of processor time")
    (file,) = folder.glob("*.whl")
    yield file


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"deadray"}
    assert {"deadray/norms.jsonl", "deadray/py.typed", "deadray/_predict.pyi"} <= set(names)
    libraries = [name for name in names if name.endswith(".so")]
    assert len(libraries) == 1 and libraries[0].startswith("deadray/_predict.")
    python_files = {name for name in names if name.endswith(".py")} - {"deadray/_build.py"}
    package = SOURCE / "python"
    assert python_files == {
        file.relative_to(package).as_posix() for file in (package / "deadray").rglob("*.py")
    }


def test_the_extras_ask_for_the_torch_that_is_compiled_for(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    (fits,) = re.findall(r'^FITS_TORCH = "(.+)"', archive.read("deadray/_build.py").decode(), re.M)
    major, minor = fits.split(".")
    asked = re.findall(r"^Requires-Dist: torch(\S+);", archive.read(metadata).decode(), re.M)
    assert set(asked) == {f"<{major}.{int(minor) + 1},>={fits}"}


def test_an_environment_without_torch_predicts(environment: Environment, wheel: Path) -> None:
    installed = environment.pip("install", wheel)
    assert installed.returncode == 0, installed.stderr
    code = f"import deadray; print(len(deadray.predict({str(GPT2)!r}).norms), deadray.__file__)"
    done = run(environment.python, "-I", "-c", code)
    count, file = done.stdout.split()
    assert count == "7"
    assert Path(file).is_relative_to(environment.python.parents[1])
    done = run(environment.python, "-I", "-c", "import deadray; deadray.watch")
    last = done.stderr.splitlines()[-1]
    error = "deadray.errors.NotInstalledError: deadray.watch: torch is not installed: "
    assert last.startswith(error)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-s"]))
