"""python -m deadray watch as several processes: one report, and one end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tiny_models import VOCABULARY, tiny_model
from watched_block import Block, ids_of, watched

RANKS = 4
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={RANKS}"]
SLOW, FAILING, IN_GROUPS = (
    Path(__file__).with_name(name)
    for name in ("slow_watch.py", "failing_watch.py", "watch_in_groups.py")
)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model and 25 sequences: the last rank has fewer than the others."""
    folder = tmp_path_factory.mktemp("ranks")
    tiny_model("roberta").model.save_pretrained(folder / "model")
    ids = torch.randint(3, VOCABULARY, (25, 30), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[3::5, 20:] = 0
    save_file({"input_ids": ids, "attention_mask": mask}, folder / "data.safetensors")
    return folder


def words(folder: Path) -> list[str]:
    return ["watch", str(folder / "model"), "--data", str(folder / "data.safetensors")]


def record_of(command: list[str]) -> dict:
    ended = subprocess.run(
        [*command, "--json", "-", "--dtype", "float64"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)  # one record: rank 0 alone prints


def test_four_ranks_give_the_report_of_one_process(folder):
    one = record_of([sys.executable, "-m", "deadray", *words(folder)])
    four = record_of([*TORCHRUN, "-m", "deadray", *words(folder)])
    assert four["environment"]["ranks"] == RANKS
    assert four["calibration"] == one["calibration"]
    assert four["calibration"]["masked"] == 50
    assert_same_sites(four["sites"], one["sites"])


def assert_same_sites(sites: list[dict], others: list[dict]) -> None:
    assert [site["name"] for site in sites] == [site["name"] for site in others]
    for mine, theirs in zip(sites, others, strict=True):
        for key in ("verdict", "predicted", "inherited", "rows", "gamma"):
            assert mine[key] == theirs[key], (mine["name"], key)
        for reading in ("exact", "deployed"):
            a, b = mine[reading]["eigenvalues"], theirs[reading]["eigenvalues"]
            for key, value in b.items():
                # Rows come in another order; a forward pass in float64 rounds far below this.
                assert abs(a[key] - value) <= 1e-12 * b["last"], (mine["name"], reading, key)
            assert mine[reading]["abs_cos"] == pytest.approx(theirs[reading]["abs_cos"], rel=1e-12)


class Job:
    """Slow ranks, watched from outside. launcher: torchrun, or none: each started by itself."""

    def __init__(self, folder: Path, torchrun: bool, **variables: str):
        command = [str(SLOW), *words(folder), "--batch", "1"]
        if torchrun:
            starts = [([*TORCHRUN, *command], {})]
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = str(free.getsockname()[1])
            shared = {"WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            alone = [sys.executable, *command]
            starts = [(alone, shared | {"RANK": str(rank)}) for rank in range(RANKS)]
        self.processes = [
            subprocess.Popen(
                command, env=ENVIRONMENT | own | variables, stderr=subprocess.PIPE, text=True
            )
            for command, own in starts
        ]
        self.ranks: dict[int, int] = {}  # process numbers, once their first pass is over
        self.lines: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(process,)) for process in self.processes
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stderr:
            if told := re.match(r"pass (\d+) (\d+)\n", line):
                self.ranks[int(told[1])] = int(told[2])
            else:
                self.lines.append(line)

    def wait_for_passes(self) -> None:
        deadline = time.monotonic() + 240
        while len(self.ranks) < RANKS:
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.05)

    def ended_within(self, seconds: float, but: int | None = None) -> None:
        """Waits for all ranks `but` one, and then ends that one."""
        deadline = time.monotonic() + seconds
        try:
            alive = {rank for rank in self.ranks if rank != but}
            while alive := {rank for rank in alive if _is_alive(self.ranks[rank])}:
                assert time.monotonic() < deadline, f"ranks {alive} go on"
                time.sleep(0.1)
        finally:
            for number in self.ranks.values():
                if _is_alive(number):
                    os.kill(number, signal.SIGKILL)
            for process in self.processes:
                process.wait(timeout=60)
            for reader in self._readers:
                reader.join()

    @property
    def ours(self) -> list[str]:
        return [line for line in self.lines if line.startswith("deadray")]


def _is_alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


# Without torchrun rank 0 keeps what the others find each other by.
@pytest.mark.parametrize(("torchrun", "killed"), [(True, 2), (False, 0)])
def test_where_a_rank_is_killed_the_others_end_with_one_line(folder, torchrun, killed):
    job = Job(folder, torchrun)
    job.wait_for_passes()
    os.kill(job.ranks[killed], signal.SIGKILL)
    job.ended_within(60)
    assert len(job.ours) == 1, job.lines
    assert "lost" in job.ours[0]
    assert all(process.returncode for process in job.processes)


def test_a_rank_without_a_sign_of_life_ends_the_others(folder):
    job = Job(folder, torchrun=False, DEADRAY_RANK_TIMEOUT="8")
    job.wait_for_passes()
    os.kill(job.ranks[1], signal.SIGSTOP)
    job.ended_within(60, but=1)
    assert len(job.ours) == 1, job.lines
    assert "rank 1 showed no sign of life" in job.ours[0]


def test_what_all_ranks_find_wrong_is_told_once():
    ended = subprocess.run(
        [*TORCHRUN, "-m", "deadray", "watch", "no-folder"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1  # torchrun's own
    ours = [line for line in ended.stderr.splitlines() if line.startswith("deadray watch")]
    assert len(ours) == 1 and "no-folder" in ours[0]


OUT_OF_MEMORY = "ResourceError: rank 1 of 4: not enough memory: you tried to allocate"
CHANGED = "UnsupportedError: rank 1 of 4: norm 'first': its parameters changed while "


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("decompose_due", OUT_OF_MEMORY),
        ("decompose", OUT_OF_MEMORY),
        ("add_nothing", OUT_OF_MEMORY),
        ("values", CHANGED),
    ],
)
def test_where_one_rank_fails_in_its_report_all_raise_its_line(tmp_path, place, line):
    command = [*TORCHRUN, str(FAILING), str(tmp_path), place]
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=120)
    ended = {(tmp_path / str(rank)).read_text() for rank in range(RANKS)}
    assert len(ended) == 1 and ended.pop().startswith(line)


def test_each_group_gives_the_report_of_its_own_data(tmp_path):
    command = [*TORCHRUN, str(IN_GROUPS), str(tmp_path)]
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=120)
    reports = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(RANKS)]
    assert reports[0]["sites"] != reports[2]["sites"]
    for first in (0, 2):
        assert reports[first]["sites"] == reports[first + 1]["sites"]
        calls = ({"ids": ids_of(rank)} for rank in (first, first + 1))
        one = watched(Block().double(), *calls).to_dict()
        assert reports[first]["calibration"] == one["calibration"]
        assert_same_sites(reports[first]["sites"], one["sites"])
