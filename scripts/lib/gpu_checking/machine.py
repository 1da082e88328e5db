"""What scripts/gpu_check finds: the commit, the devices, the compilers, torch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CORES = len(os.sched_getaffinity(0))


def first_line(command: list, pattern: str = "(.+)") -> str | None:
    """What the pattern's group finds in the output, None where the program is missing or fails."""
    try:
        output = subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=ROOT
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(pattern, output)
    return found.group(1).strip() if found else None


def commit() -> str:
    """The commit as git has it, or as scripts/bundle wrote it down where the tree has no .git."""
    git = ["git", "-c", "safe.directory=*"]
    if (ROOT / ".git").exists() and (head := first_line([*git, "rev-parse", "HEAD"])):
        return head + ("-dirty" if first_line([*git, "status", "--porcelain"]) else "")
    noted = ROOT / ".bundle" / "commit"
    return noted.read_text().strip() if noted.exists() else "unknown"


def torch_folder() -> Path | None:
    given = os.environ.get("DEADRAY_TORCH_DIR")
    code = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    found = given or first_line(["python3", "-c", code])
    return Path(found) if found and (Path(found) / "include").is_dir() else None


def torch_version(folder: Path | None) -> str | None:
    version = folder and folder / "version.py"
    if not version or not version.exists():
        return None
    found = re.search(r"__version__ = '(.+?)'", version.read_text())
    return found.group(1) if found else None


def in_toolkit(program: str) -> str | None:
    """Where a program of the CUDA toolkit is: on PATH, or where the toolkit usually lies."""
    usual = f"/usr/local/cuda/bin/{program}"
    return shutil.which(program) or (usual if os.access(usual, os.X_OK) else None)


def devices() -> list[dict]:
    names = ("name", "driver_version", "memory.total", "compute_cap")
    try:
        output = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    if output.returncode:
        return []
    return [
        dict(zip(names, map(str.strip, line.split(",")), strict=True))
        for line in output.stdout.splitlines()
        if line.count(",") == len(names) - 1
    ]


def architecture(found: list[dict]) -> str:
    capability = found[0]["compute_cap"].replace(".", "") if found else "90"
    return f"{capability}{'a' if int(capability) >= 90 else ''}-real"


# What decides which copy of a library is loaded, and what it may do.
VARIABLES = re.compile(r"LD_LIBRARY_PATH|LD_PRELOAD|CUDA_.*|CUBLAS_.*|NVIDIA_.*|DEADRAY_.*")


def environment() -> dict:
    found, torch, nvcc = devices(), torch_folder(), in_toolkit("nvcc")
    return {
        "commit": commit(),
        "devices": found,
        "device": found[0]["name"] if found else None,
        "driver": found[0]["driver_version"] if found else None,
        "cuda": first_line([nvcc, "--version"], r"release [\d.]+, V([\d.]+)") if nvcc else None,
        "torch": torch_version(torch),
        "torch_folder": str(torch) if torch else None,
        "architecture": architecture(found),
        "variables": {k: v for k, v in sorted(os.environ.items()) if VARIABLES.fullmatch(k)},
        "machine": {
            "system": platform.platform(),
            "cores": CORES,
            "python": platform.python_version(),
            "compiler": first_line(["c++", "--version"]),
            "cmake": first_line(["cmake", "--version"], r"version (\S+)"),
        },
    }
