"""deadray with caches and a hub of its own, and what it leaves in them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

DEADRAY = Path(os.environ.get("DEADRAY", "deadray"))
HUB = Path(os.environ.get("DEADRAY_HUB", DEADRAY.with_name("deadray-hub")))
MODELS = Path(__file__).resolve().parents[1] / "fixtures/models"
GGUF_MODELS = MODELS.parent / "gguf/models"
SAMPLES = MODELS.parents[2] / "samples"
SECRET = "hf_deadrayTestToken0123456789abcdef"  # what must appear nowhere
MAGIC = b"deadray partial\n"
VARYING = ("seconds", "environment", "started", "command", "peak_memory_bytes")


def missing() -> str:
    """What these tests lack here; empty where they can run."""
    return "" if HUB.exists() else "deadray was built without deadray-hub (libcurl)"


def skip_without(*reasons: str) -> None:
    """Ends the program as ctest expects of a test that is skipped."""
    for reason in filter(None, reasons):
        print(f"skipped: {reason}", file=sys.stderr)
        sys.exit(77)


@dataclass
class Ended:
    code: int
    out: str
    err: str
    seconds: float

    @property
    def record(self) -> dict:
        return json.loads(self.out)


class Home:
    """A user's folders, all in one that a test throws away."""

    def __init__(self, folder: Path, endpoint: str, certificate: Path | None = None) -> None:
        self.folder = folder
        self.hf = folder / "hf/hub"  # the cache of the Python client
        self.own = folder / "deadray"  # deadray's
        folder.mkdir(parents=True, exist_ok=True)
        dropped = ("HF_", "HUGGING", "DEADRAY_", "XDG_", "CURL_", "SSL_", "REQUESTS_")
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(dropped) and not name.lower().endswith("_proxy")
        }
        self.variables |= {
            "HOME": str(folder),
            "HF_HOME": str(folder / "hf"),
            "DEADRAY_CACHE": str(self.own),
            "HF_ENDPOINT": endpoint,
            "no_proxy": "127.0.0.1,127.0.0.2,localhost",
        }
        if certificate:
            self.variables["SSL_CERT_FILE"] = str(certificate)

    def start(self, program: Path, arguments: list[str], **more: str) -> subprocess.Popen[str]:
        """In a process group of its own, which kill() ends."""
        return subprocess.Popen(
            [str(program), *arguments],
            env=self.variables | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def run(
        self, *arguments: str, program: Path | None = None, limit: float = 60, **more: str
    ) -> Ended:
        begin = time.monotonic()
        process = self.start(program or DEADRAY, list(arguments), **more)
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            kill(process)
            raise AssertionError(f"{arguments} took more than {limit} s") from None
        return Ended(process.returncode, out, err, time.monotonic() - begin)

    def hub(self, *arguments: str, limit: float = 60, **more: str) -> Ended:
        return self.run(*arguments, program=HUB, limit=limit, **more)

    def record(self, *arguments: str, **more: str) -> dict:
        """Of a run that ends well."""
        ended = self.run(*arguments, "--json", "-", **more)
        if ended.code != 0:
            raise AssertionError(f"{arguments}: {ended.code}: {ended.err}")
        return ended.record


def kill(process: subprocess.Popen[str]) -> None:
    """And what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def snapshot_of(folder: Path, name: str, commit: str, files: dict[str, Path]) -> Path:
    """The same files locally, below a path that tells the model's name."""
    repository = folder / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    for key, path in files.items():
        if not (snapshot / key).is_symlink():
            (snapshot / key).symlink_to(path.resolve())
    return snapshot


def without_varying(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_varying(v) for k, v in value.items() if k not in VARYING}
    return list(map(without_varying, value)) if isinstance(value, list) else value


def comparable(record: dict) -> dict:
    """All but what may differ between two places of one model."""
    rest = without_varying(record)
    assert isinstance(rest, dict)
    for about in (rest, rest.get("model", {})):
        about.pop("hub", None)
    return rest


def partial_ranges(file: Path) -> dict | None:
    """What a partial file says of itself, None of others. @throws where it is not whole"""
    with file.open("rb") as data:
        if data.read(16) != MAGIC:
            return None
        length = int.from_bytes(data.read(8), "little")
        what = json.loads(data.read(length))
    held = sum(end - begin for begin, end in what["ranges"])
    if file.stat().st_size != 24 + length + held:
        raise AssertionError(f"{file}: {file.stat().st_size} bytes, says {24 + length + held}")
    return what


def faults_of_caches(home: Home, served: dict[str, bytes] | None = None) -> list[str]:
    """What is half written there, or left over."""
    found = []
    by_name = served or {}
    for root in (home.own, home.hf):
        for file in sorted(root.rglob("*")) if root.exists() else []:
            where = str(file.relative_to(root))
            if file.is_symlink() and not file.exists():
                found.append(f"dangling {where}")
            if not file.is_file() or ".locks" in where or file.suffix == ".lock":
                continue
            if file.name.endswith((".part", ".tmp")):
                found.append(f"left over {where}")
                continue
            if file.name.endswith(".incomplete"):
                continue  # for the next run to go on with
            what = None
            try:
                what = partial_ranges(file)
            except (AssertionError, ValueError, KeyError) as error:
                found.append(f"damaged {where}: {error}")
            whole = by_name.get(file.name) if "snapshots" in where else None
            if what is None and whole is not None and file.read_bytes() != whole:
                found.append(f"not the server's bytes: {where}")
    return found
