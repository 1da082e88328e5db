#!/usr/bin/env python3
"""Downloads into the cache of the Python client: killed at any moment, resumed, bit-identical.

DEADRAY=build/release/bin/deadray tests/hub/hub_download_test.py [--kills N]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fault_server import Answer, FaultServer, Request, Rule, commit_of, read_folder
from hub_run import (
    DEADRAY,
    HUB,
    MODELS,
    SECRET,
    Home,
    comparable,
    faults_of_caches,
    kill,
    missing,
    skip_without,
    snapshot_of,
)

NAME = "org/model"
KILLS = 20
RATE = 4e6  # bytes a second of each file, so that there are moments to kill at


def large_model() -> dict[str, bytes]:
    """A model's files whose weights take a while; what they hold matters to nobody here."""
    chance = random.Random(5)
    files = {"config.json": b'{"model_type": "gpt2"}', "tokenizer.json": chance.randbytes(9000)}
    shards = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    weight_map = {}
    for number, name in enumerate(shards):
        data = chance.randbytes(1_000_000 + number)
        tensor = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
        header = json.dumps({f"t{number}": tensor}).encode()
        files[name] = len(header).to_bytes(8, "little") + header + data
        weight_map[f"t{number}"] = name
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    return files | {"README.md": b"not needed", "pytorch_model.bin": b"the same, not needed"}


LARGE = large_model()
WANTED = sorted(set(LARGE) - {"README.md", "pytorch_model.bin"})
SMALL = read_folder(MODELS / "gpt2-sharded")


def slowly(request: Request, right: Answer) -> Answer:
    return replace(right, rate=RATE)


def bodies(hub: FaultServer) -> list[Request]:
    return [r for r in hub.requests if r.method == "GET" and r.path.endswith(".safetensors")]


class DownloadCase(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def server(self, files: dict[str, bytes], *rules: tuple[str, Rule]) -> FaultServer:
        hub = self.enterContext(FaultServer({NAME: files}))
        for path, rule in rules:
            hub.rule(path, rule)
        return hub

    def repository(self, home: Home) -> Path:
        return home.hf / "models--org--model"

    def snapshot(self, home: Home, files: dict[str, bytes]) -> Path:
        return self.repository(home) / "snapshots" / commit_of(NAME, files)

    def check_moment(self, home: Home, files: dict[str, bytes]) -> None:
        """What must hold whenever the program is killed."""
        snapshot = self.snapshot(home, files)
        whole = {name: data for name, data in files.items() if (snapshot / name).exists()}
        for name, data in whole.items():
            self.assertEqual((snapshot / name).read_bytes(), data, f"{name} is half written")
        by_etag = {hub_etag(data): data for data in files.values()}
        for blob in (self.repository(home) / "blobs").glob("*"):
            data = by_etag[blob.name.split(".")[0]]
            if blob.name.endswith(".incomplete"):
                self.assertTrue(data.startswith(blob.read_bytes()), blob.name)
            else:
                self.assertEqual(blob.read_bytes(), data, blob.name)
        ref = self.repository(home) / "refs/main"
        if ref.exists():
            self.assertEqual(ref.read_text(), commit_of(NAME, files))
            self.assertEqual(sorted(whole), WANTED, "a ref before all its files")

    def check_end(self, home: Home, files: dict[str, bytes], wanted: list[str]) -> None:
        snapshot = self.snapshot(home, files)
        self.assertEqual(sorted(path.name for path in snapshot.iterdir()), wanted)
        for name in wanted:
            self.assertEqual((snapshot / name).read_bytes(), files[name])
            link = os.readlink(snapshot / name)
            self.assertEqual(link, f"../../blobs/{hub_etag(files[name])}")
        ref = self.repository(home) / "refs/main"
        self.assertEqual(ref.read_bytes(), commit_of(NAME, files).encode(), "no newline")
        left = list(self.repository(home).rglob("*.incomplete"))
        self.assertEqual(left + faults_of_caches(home, files), [])


def hub_etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class KilledTest(DownloadCase):
    def test_at_any_moment(self):
        hub = self.server(LARGE, (r"\.safetensors$", slowly))
        home = Home(self.folder / "whole", hub.url)
        begin = time.monotonic()
        self.assertEqual(home.hub("download", NAME).code, 0)
        seconds = time.monotonic() - begin
        self.check_end(home, LARGE, WANTED)
        moments = random.Random(7)
        kills = resumed = runs = 0
        while kills < KILLS:
            runs += 1
            home = Home(self.folder / f"run{runs}", hub.url)
            while kills < KILLS:
                held = self.incomplete(home)
                hub.requests.clear()
                process = home.start(HUB, ["download", NAME], HF_TOKEN=SECRET)
                try:
                    process.communicate(timeout=moments.uniform(0.02, seconds))
                    self.assertEqual(process.returncode, 0)
                except subprocess.TimeoutExpired:
                    kills += 1
                    kill(process)
                resumed += self.check_resumed(hub, held)
                self.check_moment(home, LARGE)
                if process.returncode == 0:
                    break
            held = self.incomplete(home)
            hub.requests.clear()
            ended = home.hub("download", NAME)
            self.assertEqual(ended.code, 0, ended.err)
            resumed += self.check_resumed(hub, held)
            self.check_end(home, LARGE, WANTED)
        self.assertGreater(resumed, 0, "nothing was ever resumed")
        print(
            f"{kills} kills of downloads of {seconds:.2f} s in {runs} caches; {resumed} files went "
            "on where they were",
            file=sys.stderr,
        )

    def incomplete(self, home: Home) -> dict[str, int]:
        blobs = self.repository(home) / "blobs"
        return {f.name.split(".")[0]: f.stat().st_size for f in blobs.glob("*.incomplete")}

    def check_resumed(self, hub: FaultServer, held: dict[str, int]) -> int:
        """Files that were asked for from where they had ended."""
        count = 0
        for request in bodies(hub):
            size = held.get(hub_etag(LARGE[request.path.rpartition("/")[2]]), 0)
            if size:
                self.assertTrue(request.range.startswith(f"bytes={size}-"), request)
                count += 1
        return count

    def test_by_deadray_and_killed_alone(self):
        """The program that it has started ends too, or goes on to a good end."""
        hub = self.server(SMALL, (r"\.safetensors$", lambda r, a: replace(a, rate=2e5)))
        home = Home(self.folder / "home", hub.url)
        for seconds in (0.1, 0.2, 0.3):
            process = home.start(DEADRAY, ["predict", NAME, "--download"])
            time.sleep(seconds)
            process.kill()
            process.communicate()
            self.assertIn(process.returncode, (-9, 0))
        ended = home.run("predict", NAME, "--download", "--json", "-")
        self.assertEqual(ended.code, 0, ended.err)
        self.check_end(home, SMALL, sorted(SMALL))
        paths = {name: MODELS / "gpt2-sharded" / name for name in SMALL}
        local = snapshot_of(self.folder / "local", NAME, commit_of(NAME, SMALL), paths)
        record = home.record("predict", str(local))
        self.assertEqual(comparable(ended.record), comparable(record))


class ServerFaultsTest(DownloadCase):
    def test_a_body_that_ends_early_is_gone_on_with(self):
        def early(request: Request, right: Answer) -> Answer:
            return right.cut(400_000) if request.number == 0 and right.status == 200 else right

        hub = self.server(LARGE, (r"-00002-of.*\.safetensors$", early))
        home = Home(self.folder, hub.url)
        for _ in range(2):  # at once, or the next time
            ended = home.hub("download", NAME)
            self.check_moment(home, LARGE)
            if ended.code == 0:
                break
            self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended.err)
        self.check_end(home, LARGE, WANTED)

    def test_another_content_under_the_same_name_is_refused(self):
        """What a server sends must have the length that it said."""

        def longer(request: Request, right: Answer) -> Answer:
            return replace(right, body=right.body + b"x") if request.method == "GET" else right

        hub = self.server(LARGE, (r"-00002-of.*\.safetensors$", longer))
        home = Home(self.folder, hub.url)
        home.hub("download", NAME)
        hub.forget()
        self.assertEqual(home.hub("download", NAME).code, 0)
        self.check_end(home, LARGE, WANTED)

    def test_a_stalled_one_ends_in_time(self):
        hub = self.server(LARGE, (r"-00002-of", lambda r, a: a.stalled(1000)))
        home = Home(self.folder, hub.url)
        ended = home.hub(
            "download", NAME, limit=8, HF_HUB_DOWNLOAD_TIMEOUT="1", HF_HUB_ETAG_TIMEOUT="1"
        )
        self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended.err)
        self.check_moment(home, LARGE)
        hub.forget()
        self.assertEqual(home.hub("download", NAME).code, 0)
        self.check_end(home, LARGE, WANTED)

    def test_names_that_lead_outside(self):
        tricks = {"../../../evil.json": b"{}", "/etc/evil.json": b"{}", "a/../../evil.json": b"{}"}
        tricks |= {"x\x1b[2J.json": b"{}", "con\0trol.json": b"{}", "-rf.json": b"{}"}
        hub = self.server(SMALL | tricks)
        home = Home(self.folder / "home", hub.url)
        ended = home.hub("download", NAME)
        self.assertNotIn("\x1b", ended.err)
        self.assertEqual(list(self.folder.rglob("*evil*")), [])
        self.assertFalse(Path("/etc/evil.json").exists())
        if ended.code:
            self.assertEqual((ended.code, ended.err.count("\n")), (3, 1), ended.err)


class TogetherTest(DownloadCase):
    def test_two_at_once_fetch_everything_once(self):
        hub = self.server(LARGE, (r"\.safetensors$", slowly))
        home = Home(self.folder, hub.url)
        both = [home.start(HUB, ["download", NAME]) for _ in range(2)]
        for process in both:
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err)
        self.check_end(home, LARGE, WANTED)
        names = [r.path.rpartition("/")[2] for r in bodies(hub) if not r.range.endswith("=0-0")]
        self.assertEqual(len(names), 3, f"shards that were fetched: {sorted(names)}")

    def test_predictions_at_once_of_one_model(self):
        hub = self.server(SMALL)
        home = Home(self.folder, hub.url)
        several = [home.start(DEADRAY, ["predict", NAME, "--json", "-"]) for _ in range(5)]
        records = []
        for process in several:
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err)
            records.append(comparable(json.loads(out)))
        self.assertTrue(all(record == records[0] for record in records))
        self.assertEqual(faults_of_caches(home, SMALL), [])

    def test_waits_for_the_lock_of_the_python_client(self):
        hub = self.server(SMALL)
        home = Home(self.folder, hub.url)
        name = next(name for name in SMALL if name.endswith("safetensors"))
        lock = home.hf / ".locks/models--org--model" / f"{hub_etag(SMALL[name])}.lock"
        lock.parent.mkdir(parents=True)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = home.start(HUB, ["download", NAME])
            with self.assertRaises(subprocess.TimeoutExpired):
                process.communicate(timeout=1)
            self.assertEqual([r for r in bodies(hub) if r.path.endswith(name) and not r.range], [])
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        self.check_end(home, SMALL, sorted(SMALL))

    def test_the_second_time_fetches_no_file(self):
        hub = self.server(SMALL)
        home = Home(self.folder, hub.url)
        self.assertEqual(home.hub("download", NAME).code, 0)
        hub.requests.clear()
        self.assertEqual(home.hub("download", NAME).code, 0)
        self.assertEqual(bodies(hub), [])


class CacheFirstTest(DownloadCase):
    """What the Python client's cache holds is read without any request."""

    def cached(self, newline: bool = False, links: bool = True) -> Home:
        home = Home(self.folder / f"{newline}{links}", "http://127.0.0.1:9")
        commit = commit_of(NAME, SMALL)
        snapshot = self.snapshot(home, SMALL)
        snapshot.mkdir(parents=True)
        for name, data in SMALL.items():
            blob = self.repository(home) / "blobs" / hub_etag(data)
            blob.parent.mkdir(exist_ok=True)
            blob.write_bytes(data)
            if links:
                (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
            else:
                blob.rename(snapshot / name)
        ref = self.repository(home) / "refs/main"
        ref.parent.mkdir()
        ref.write_text(commit + ("\n" if newline else ""))
        return home

    def test_links_copies_and_a_newline(self):
        for newline in (False, True):
            for links in (True, False):
                with self.subTest(newline=newline, links=links):
                    home = self.cached(newline, links)
                    record = home.record("predict", NAME)
                    hub = record["model"]["hub"]
                    self.assertEqual(hub["repository"], NAME)
                    self.assertEqual(hub["commit"], commit_of(NAME, SMALL))
                    self.assertNotIn("requests", {k for k, v in hub.items() if v})
                    self.assertFalse(home.own.exists())

    def test_a_shard_that_is_missing_there_is_fetched(self):
        home = self.cached()
        shard = next(n for n in SMALL if n.endswith(".safetensors"))
        (self.snapshot(home, SMALL) / shard).unlink()
        hub = self.server(SMALL)
        record = home.record("predict", NAME, HF_ENDPOINT=hub.url)
        self.assertGreater(len(hub.requests), 0)
        self.assertEqual(record["model"]["hub"]["commit"], commit_of(NAME, SMALL))
        offline = home.run(
            "predict", NAME, HF_HUB_OFFLINE="1", DEADRAY_CACHE=str(self.folder / "n")
        )
        self.assertEqual((offline.code, offline.err.count("\n")), (5, 1), offline.err)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "deadray-test", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        raise unittest.SkipTest("not allowed to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class FullDiskTest(DownloadCase):
    def test_no_room_for_a_download(self):
        hub = self.server(LARGE)
        with small_disk(self.folder / "disk", "2m") as disk:
            home = Home(self.folder / "home", hub.url)
            ended = home.hub("download", NAME, HF_HOME=str(disk / "hf"))
            self.assertEqual((ended.code, ended.err.count("\n")), (6, 1), ended.err)
            self.assertRegex(ended.err, r"\d.*\d")
            self.assertEqual(bodies(hub), [], "asked before anything is fetched")
            self.assertEqual(list(disk.rglob("*.safetensors")), [])

    def test_no_room_for_a_prediction(self):
        hub = self.server(SMALL)
        with small_disk(self.folder / "disk", "16k") as disk:
            home = Home(self.folder / "home", hub.url)
            ended = home.run("predict", NAME, DEADRAY_CACHE=str(disk / "own"))
            self.assertEqual((ended.code, ended.err.count("\n")), (6, 1), ended.err)
            self.assertEqual(list(disk.rglob("*.part")), [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    options, rest = parser.parse_known_args()
    globals().update(KILLS=options.kills)
    skip_without(missing())
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
