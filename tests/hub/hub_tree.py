"""Folders in the shape in which the hub serves them, as files that any web server can send.

    api/models/org/name/revision/<rev>/index.json    {"id", "sha", "siblings": [{"rfilename"}]}
    api/models/org/name/refs/index.json              branches and tags
    api/models/org/name/tree/<sha>/index.json        what huggingface_hub lists
    org/name/resolve/<sha>/<file>                    links to the files; <rev> links to <sha>

Tree.served() says what headers a server adds to each.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

SMALL = 10**7  # the hub keeps smaller files in git, and sends larger ones from elsewhere
SKIPPED = ("reference", "fisher", "original")  # the fixtures' own answers are not the model's


@dataclass
class ServedFile:
    path: Path
    etag: str
    size: int
    large: bool


@dataclass
class Repository:
    name: str
    refs: dict[str, str] = field(default_factory=dict)  # branch or tag: commit
    tags: set[str] = field(default_factory=set)
    commits: dict[str, dict[str, ServedFile]] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        return self.refs["main"]


def etag_of(file: Path) -> str:
    """As the hub does: git's sha1 of what git holds, sha256 of the rest. Of a file of gigabytes
    that is a hole only its beginning is read."""
    size = file.stat().st_size
    with file.open("rb") as data:
        if size < SMALL and file.suffix == ".json":
            return hashlib.sha1(b"blob %d\0" % size + data.read()).hexdigest()
        return hashlib.sha256(b"%d\0" % size * (size > 10**9) + data.read(10**9 // 100)).hexdigest()


def model_files(folder: Path) -> dict[str, Path]:
    """What would be uploaded of a folder: no answers of tests, no folders within."""
    if folder.is_file():
        return {folder.name: folder}
    return {
        file.name: file
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(SKIPPED)
    }


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.repositories: dict[str, Repository] = {}
        root.mkdir(parents=True, exist_ok=True)

    def add(
        self, name: str, folder: Path, revision: str = "main", *, tag: bool = False
    ) -> Repository:
        """Serves a folder as that revision of org/name; its files are not copied."""
        repository = self.repositories.setdefault(name, Repository(name))
        files = {
            key: ServedFile(path.resolve(), etag_of(path), path.stat().st_size, self._large(path))
            for key, path in model_files(folder).items()
        }
        # As with git, another revision with the same files is another commit.
        text = json.dumps([name, revision, {key: file.etag for key, file in files.items()}])
        commit = hashlib.sha1(text.encode()).hexdigest()
        repository.commits[commit] = files
        repository.refs[revision] = commit
        if tag:
            repository.tags.add(revision)
        self._write_files(name, commit, files)
        self._write_api(repository)
        return repository

    @staticmethod
    def _large(path: Path) -> bool:
        return path.suffix in (".safetensors", ".bin", ".gguf") or path.stat().st_size >= SMALL

    def _write_files(self, name: str, commit: str, files: dict[str, ServedFile]) -> None:
        folder = self.root / name / "resolve" / commit
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for key, file in files.items():
            link = folder / key
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.path)

    def _write_json(self, path: str, value: object) -> None:
        file = self.root / path / "index.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))

    def _write_api(self, repository: Repository) -> None:
        name, api = repository.name, f"api/models/{repository.name}"
        for revision in [*repository.refs, *repository.commits]:
            commit = repository.refs.get(revision, revision)
            files = repository.commits[commit]
            siblings = [{"rfilename": key} for key in files]
            info = {"_id": commit[:24], "id": name, "modelId": name, "sha": commit}
            info |= {"private": False, "gated": False, "disabled": False, "tags": []}
            self._write_json(f"{api}/revision/{revision}", info | {"siblings": siblings})
            self._write_json(
                f"{api}/tree/{revision}",
                [self._tree_entry(key, file) for key, file in files.items()],
            )
            if revision == "main":
                self._write_json(api, info | {"siblings": siblings})
            link = self.root / name / "resolve" / revision
            if revision != commit:
                link.unlink(missing_ok=True)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(self.root.resolve() / name / "resolve" / commit)
        refs: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
        for revision, commit in repository.refs.items():
            kind = "tags" if revision in repository.tags else "branches"
            ref = f"refs/{'tags' if kind == 'tags' else 'heads'}/{revision}"
            refs[kind].append({"name": revision, "ref": ref, "targetCommit": commit})
        self._write_json(f"{api}/refs", refs)

    @staticmethod
    def _tree_entry(key: str, file: ServedFile) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": key, "size": file.size}
        if file.large:
            sums = {"oid": file.etag, "size": file.size, "pointerSize": 134}
            return entry | {"oid": hashlib.sha1(file.etag.encode()).hexdigest(), "lfs": sums}
        return entry | {"oid": file.etag}

    def served(self) -> dict[str, tuple[ServedFile, str]]:
        """Path below the root: file and commit, for every revision."""
        found = {}
        for name, repository in self.repositories.items():
            for revision in [*repository.refs, *repository.commits]:
                commit = repository.refs.get(revision, revision)
                for key, file in repository.commits[commit].items():
                    found[f"/{name}/resolve/{revision}/{key}"] = (file, commit)
        return found
