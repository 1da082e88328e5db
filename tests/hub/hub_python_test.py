#!/usr/bin/env python3
"""One cache, two programs: huggingface_hub reads what deadray downloaded, and the other way round.
In the environment of scripts/setup --python."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import nginx_hub
from hub_run import MODELS, Home, comparable, faults_of_caches, missing, skip_without, snapshot_of
from hub_tree import Tree
from nginx_hub import NginxHub

NAMES = {"org/gpt2-sharded": MODELS / "gpt2-sharded", "org/llama": MODELS / "llama-mha"}
DEAD_END = "http://127.0.0.1:9"


class PythonClientTest(unittest.TestCase):
    redirect = False

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.tree = Tree(cls.folder / "tree")
        for name, path in NAMES.items():
            cls.tree.add(name, path)
        cls.hub = cls.enterClassContext(
            NginxHub(cls.folder / "nginx", cls.tree, redirect=cls.redirect)
        )

    def setUp(self) -> None:
        self.home = Home(Path(self.enterContext(tempfile.TemporaryDirectory())), self.hub.http)
        self.hub.forget()

    def python(self, code: str, **more: str) -> object:
        """What it prints, as JSON."""
        ended = subprocess.run(
            [sys.executable, "-B", "-c", code],
            env=self.home.variables | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"} | more,
            capture_output=True,
            text=True,
            timeout=250,
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return json.loads(ended.stdout.splitlines()[-1])

    def snapshot(self, name: str) -> Path:
        repository = self.home.hf / f"models--{name.replace('/', '--')}"
        return repository / "snapshots" / self.commit(name)

    def commit(self, name: str) -> str:
        return self.tree.repositories[name].commit

    def local_record(self, name: str) -> dict:
        repository = self.tree.repositories[name]
        files = {k: f.path for k, f in repository.commits[repository.commit].items()}
        local = snapshot_of(self.folder / "local", name, repository.commit, files)
        return comparable(self.home.record("predict", str(local)))

    def bodies(self) -> list[str]:
        """Weights that nginx sent."""
        return [
            r.uri for r in self.hub.requests() if r.uri.endswith(".safetensors") and r.body > 1000
        ]

    def test_reads_what_deadray_downloaded(self):
        for name in NAMES:
            ended = self.home.hub("download", name)
            self.assertEqual(ended.code, 0, ended.err)
        self.hub.forget()
        code = """
import json
from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
from transformers import AutoConfig
from safetensors import safe_open
import glob
found = {}
for name in ("org/gpt2-sharded", "org/llama"):
    folder = snapshot_download(name, local_files_only=True)
    keys = sum(len(safe_open(f, "np").keys()) for f in glob.glob(folder + "/*.safetensors"))
    found[name] = [folder, try_to_load_from_cache(name, "config.json"),
                   AutoConfig.from_pretrained(name).model_type, keys]
cache = scan_cache_dir()
found["warnings"] = [str(warning) for warning in cache.warnings]
found["bytes"] = cache.size_on_disk
found["refs"] = sorted(ref for repo in cache.repos for ref in repo.refs)
print(json.dumps(found))
"""
        found = self.python(code, HF_HUB_OFFLINE="1")
        for name, kind in (("org/gpt2-sharded", "gpt2"), ("org/llama", "llama")):
            folder, config, model_type, keys = found[name]
            self.assertEqual(folder, str(self.snapshot(name)))
            self.assertEqual(config, str(self.snapshot(name) / "config.json"))
            self.assertEqual(model_type, kind)
            self.assertGreater(keys, 10)
        self.assertEqual((found["warnings"], found["refs"]), ([], ["main", "main"]))
        self.assertEqual(self.hub.requests(), [])

    def test_finds_nothing_to_fetch_after_deadray(self):
        self.assertEqual(self.home.hub("download", "org/gpt2-sharded").code, 0)
        self.hub.forget()
        code = "import json; from huggingface_hub import snapshot_download as s;"
        folder = self.python(code + "print(json.dumps(s('org/gpt2-sharded')))")
        self.assertEqual(folder, str(self.snapshot("org/gpt2-sharded")))
        self.assertEqual(self.bodies(), [])

    def test_deadray_reads_what_it_downloaded(self):
        code = "import json; from huggingface_hub import snapshot_download as s;"
        for name in NAMES:
            self.python(code + f"print(json.dumps(s('{name}')))")
            self.hub.forget()
            record = self.home.record("predict", name, HF_ENDPOINT=DEAD_END)
            self.assertEqual(comparable(record), self.local_record(name))
            ended = self.home.hub("download", name)
            self.assertEqual(ended.code, 0, ended.err)
            self.assertEqual(self.bodies(), [])
        self.assertFalse(self.home.own.exists(), "nothing was fetched")

    def test_deadray_fetches_what_it_left_out(self):
        code = "import json; from huggingface_hub import snapshot_download as s;"
        self.python(code + "print(json.dumps(s('org/llama', allow_patterns='*.json')))")
        record = self.home.record("predict", "org/llama")
        self.assertEqual(comparable(record), self.local_record("org/llama"))
        self.assertEqual(faults_of_caches(self.home), [])

    def test_sees_nothing_of_what_deadray_keeps_for_itself(self):
        self.home.record("predict", "org/llama")
        code = """
import json
from huggingface_hub import try_to_load_from_cache
print(json.dumps(try_to_load_from_cache("org/llama", "model.safetensors") is None))
"""
        self.assertTrue(self.python(code))
        self.assertFalse(self.home.hf.exists())


class PythonClientElsewhereTest(PythonClientTest):
    """The same, with weights that another host sends."""

    redirect = True

    def test_reads_what_deadray_downloaded(self):
        """The cache is the same, and loading transformers takes seconds."""
        for name in NAMES:
            ended = self.home.hub("download", name)
            self.assertEqual(ended.code, 0, ended.err)
            for key, file in self.tree.repositories[name].commits[self.commit(name)].items():
                kept = self.snapshot(name) / key
                self.assertEqual(kept.resolve().name, file.etag, "X-Linked-Etag")
                self.assertEqual(kept.read_bytes(), file.path.read_bytes())


if __name__ == "__main__":
    packages = ("huggingface_hub", "transformers", "safetensors")
    absent = [name for name in packages if not importlib.util.find_spec(name)]
    skip_without(missing(), nginx_hub.missing(), f"no {absent[0]}" if absent else "")
    unittest.main(verbosity=2)
