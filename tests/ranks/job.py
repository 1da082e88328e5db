"""A job of several ranks, watched from outside: its processes, how it ends, what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

DEADRAY = os.environ.get("DEADRAY", "deadray")
MODELS = Path(__file__).resolve().parents[1] / "fixtures/models"
MARK = "DEADRAY_TEST_JOB"


def missing() -> str:
    """What these tests lack here; empty where they can run."""
    if not shutil.which("mpirun"):
        return "no mpirun"
    if not Path(DEADRAY).with_name("libdeadray_mpi.so").exists():
        return "deadray was built without MPI"
    return ""


def environment(**more: str) -> dict[str, str]:
    """One thread a rank, so that four of them do not fight for two cores."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        **more,
    }


def mpirun(ranks: int) -> list[str]:
    return ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]


def record_of(arguments: list[str], ranks: int = 1) -> dict:
    """The record of a run that ends well."""
    launcher = mpirun(ranks) if ranks > 1 else []
    ended = subprocess.run(
        [*launcher, DEADRAY, *arguments, "--json", "-"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    if ended.returncode not in (0, 8):
        raise AssertionError(f"{arguments} on {ranks} ranks: {ended.returncode}: {ended.stderr}")
    return json.loads(ended.stdout)


class Job:
    """deadray on several ranks, in the background."""

    def __init__(self, arguments: list[str], ranks: int, **more: str) -> None:
        self.mark = uuid.uuid4().hex
        self.ranks = ranks
        launcher = mpirun(ranks) if ranks > 1 else []
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*launcher, DEADRAY, *arguments],
            env=environment(**{MARK: self.mark}, **more),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> dict[int, int]:
        """Rank and process number of every living copy of deadray."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            if f"{MARK}={self.mark}".encode() in variables and state != "Z":
                rank = [v for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
                if name.startswith("deadray"):
                    found[int(rank[0].split(b"=")[1]) if rank else 0] = int(entry.name)
        return found

    def signal_rank(self, rank: int, number: signal.Signals) -> bool:
        """Whether that rank was still there."""
        process = self.processes().get(rank)
        if process is None:
            return False
        try:
            os.kill(process, number)
        except ProcessLookupError:
            return False
        return True

    def end(self, seconds: float = 30) -> tuple[int, str]:
        """The exit code and standard error of a job that ends within so many seconds."""
        try:
            _, errors = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
            for process in self.processes().values():
                os.kill(process, signal.SIGKILL)
        return self.process.returncode, errors
