"""What a hub can do wrong, and how deadray shall end then."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate

from fault_server import (
    Answer,
    Request,
    Rule,
    error_answer,
    json_answer,
    read_folder,
    redirect_to,
)
from hub_run import MODELS, SECRET

# A file larger than what is asked of it at once, so that ranges follow one another.
SHARDED = read_folder(MODELS / "gpt2-sharded")
SINGLE = read_folder(MODELS / "gpt2-tied")
NAME = "org/model"
HTML = Answer(200, b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"})
SHORT_TIMES = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}


def padded(files: dict[str, bytes], least: int = 300_000) -> dict[str, bytes]:
    """The same model with a header of so many bytes: blanks at its end are allowed."""
    data = files["model.safetensors"]
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].ljust(least)
    return files | {
        "model.safetensors": len(header).to_bytes(8, "little") + header + data[8 + length :]
    }


PADDED = padded(SINGLE)


def always(answer: Answer) -> Rule:
    return lambda request, right: answer


def first(count: int, answer: Answer) -> Rule:
    """So many times, each path by itself."""
    return lambda request, right: answer if request.number < count else right


def of_parts(change: Callable[[Answer], Answer]) -> Rule:
    """Of each answer that brings bytes of a file."""
    return lambda request, right: change(right) if right.status in (200, 206) else right


def after_the_first(change: Callable[[Answer], Answer]) -> Rule:
    return lambda request, right: change(right) if request.number else right


def content_range(text: str) -> Rule:
    return of_parts(lambda answer: answer.with_headers(Content_Range=text))


def whole(request: Request, right: Answer) -> Answer:
    """As a server that knows no ranges: 200."""
    data = PADDED["model.safetensors"]
    headers = {
        k: v for k, v in right.headers.items() if k not in ("Content-Range", "Accept-Ranges")
    }
    return Answer(200, data, headers) if right.status == 206 else right


def header_of(length: int) -> Rule:
    def change(request: Request, right: Answer) -> Answer:
        if right.status in (200, 206):
            return replace(right, body=length.to_bytes(8, "little") + right.body[8:])
        return right

    return change


def larger_file(length: int) -> Rule:
    """A file that is said to be so long, and its header to be as long as fits."""

    def change(request: Request, right: Answer) -> Answer:
        if right.status != 206:
            return right
        span = right.headers["Content-Range"].partition("/")[0]
        body = (length - 1000).to_bytes(8, "little") + right.body[8:]
        return replace(right, body=body).with_headers(Content_Range=f"{span}/{length}")

    return change


@dataclass
class Fault:
    name: str
    code: int
    says: str  # a regular expression that the line matches
    rules: list[tuple[str, Rule]]
    files: dict[str, bytes] | None = None
    model: str = NAME
    more: dict[str, str] | None = None
    limit: float = 12
    recovers: bool = True  # the next run, without the fault, does


API, CONFIG = "/api/models", "config.json"
WEIGHTS = r"/model.*\.safetensors$"
INDEX = "index.json"


def listing(*names: str) -> Rule:
    def change(request: Request, right: Answer) -> Answer:
        info = json.loads(right.body)
        info["siblings"] = [{"rfilename": name} for name in names]
        return json_answer(info)

    return change


FAULTS = [
    Fault(
        "gated", 5, "gated.*licen[cs]e.*HF_TOKEN", [("", always(error_answer(403, "GatedRepo")))]
    ),
    Fault("gated 401", 5, "gated", [("", always(error_answer(401, "GatedRepo")))]),
    Fault("gated files", 5, "gated", [("/resolve/", always(error_answer(403, "GatedRepo")))]),
    Fault("forbidden", 5, "HF_TOKEN|403", [("", always(error_answer(403, None)))]),
    Fault(
        "private",
        5,
        "unknown repository.*(private|not yours).*HF_TOKEN",
        [("", always(Answer(401)))],
    ),
    Fault("repository", 5, "unknown repository|no such repository", [], model="org/nothing"),
    Fault("repository 404", 5, "repository", [("", always(Answer(404)))]),
    Fault("revision", 5, "revision", [], model=NAME + "@nothing"),
    Fault(
        "no config.json", 5, "config.json", [(CONFIG, always(error_answer(404, "EntryNotFound")))]
    ),
    Fault("no weights", 5, "weights|safetensors", [(API, listing("config.json", "README.md"))]),
    Fault(
        "shard missing",
        5,
        r"model-0000\d-of-0000\d\.safetensors",
        [(API, listing(*sorted(set(SHARDED) - {sorted(SHARDED)[1]})))],
        SHARDED,
    ),
    Fault(
        "shard 404",
        5,
        r"model-0000\d-of-0000\d\.safetensors",
        [(r"-0000\d-of", always(error_answer(404, "EntryNotFound")))],
        SHARDED,
    ),
    Fault("no ranges", 0, "", [(WEIGHTS, whole)], PADDED),
    Fault("short body", 5, "short|bytes|closed", [(WEIGHTS, of_parts(lambda a: a.cut(100)))]),
    Fault(
        "fewer bytes than asked",
        5,
        "Content-Range|bytes|short",
        [(WEIGHTS, of_parts(lambda a: replace(a, body=a.body[:-1])))],
    ),
    Fault(
        "range elsewhere",
        5,
        "Content-Range|bytes 5 to 10",
        [(WEIGHTS, content_range("bytes 5-9/75008"))],
    ),
    Fault("range nonsense", 5, "Content-Range", [(WEIGHTS, content_range("octets all"))]),
    Fault(
        "range unsaid",
        5,
        "Content-Range",
        [(WEIGHTS, of_parts(lambda a: a.with_headers(Content_Range=None)))],
    ),
    Fault(
        "another length",
        5,
        "changed|Content-Range|length|size",
        [
            (
                WEIGHTS,
                after_the_first(
                    lambda a: a.with_headers(
                        Content_Range=a.headers.get("Content-Range", "").partition("/")[0]
                        + "/999999999"
                    )
                ),
            )
        ],
        PADDED,
    ),
    Fault(
        "another ETag",
        5,
        "changed",
        [(WEIGHTS, after_the_first(lambda a: a.with_headers(ETag='"0123"')))],
        PADDED,
    ),
    Fault("416", 5, "416|range", [(WEIGHTS, of_parts(lambda a: Answer(416)))]),
    Fault(
        "stalled",
        5,
        r"stalled.*1 s",
        [(WEIGHTS, of_parts(lambda a: a.stalled(20)))],
        more=SHORT_TIMES,
        limit=6,
    ),
    Fault(
        "silent",
        5,
        r"\b1 s|timed out|no answer",
        [("", always(Answer(200, wait=30)))],
        more=SHORT_TIMES,
        limit=6,
    ),
    Fault(
        "trickle",
        5,
        "stalled|slow|s",
        [(WEIGHTS, of_parts(lambda a: replace(a, stall=30, sent=1)))],
        more=SHORT_TIMES,
        limit=6,
    ),
    Fault("redirect loop", 5, "redirect", [("/resolve/", lambda r, a: redirect_to(r.path))]),
    Fault("redirect nowhere", 5, "redirect|Location", [("/resolve/", always(Answer(302)))]),
    Fault(
        "redirect to a file",
        5,
        "redirect|protocol|file:",
        [("/resolve/", always(redirect_to("file:///etc/passwd")))],
    ),
    Fault(
        "redirect elsewhere shut",
        5,
        "127.0.0.1:9|refused|connect",
        [(WEIGHTS, always(redirect_to("http://127.0.0.1:9/x")))],
    ),
    Fault("HTML for the API", 3, "<!doctype|HTML", [(API, always(HTML))]),
    Fault("HTML for config.json", 3, "<!doctype|HTML|config.json", [(CONFIG, always(HTML))]),
    Fault("HTML for the index", 3, "index", [(INDEX, always(HTML))], SHARDED),
    Fault("empty API", 3, "JSON|empty|sha", [(API, always(Answer(200)))]),
    Fault("list for the API", 3, "JSON|object|sha", [(API, always(json_answer([1, 2])))]),
    Fault("no commit", 3, "sha|commit", [(API, always(json_answer({"id": NAME, "siblings": []})))]),
    Fault(
        "commit elsewhere",
        3,
        "sha|commit",
        [(API, always(json_answer({"sha": "../../x", "siblings": []})))],
    ),
    Fault(
        "siblings of numbers",
        3,
        "siblings|rfilename",
        [(API, always(json_answer({"sha": "0" * 40, "siblings": [1]})))],
    ),
    Fault("deep JSON", 3, "deep|nest|JSON", [(API, always(Answer(200, b"[" * 200_000)))]),
    Fault(
        "huge JSON",
        3,
        "large|limit|bytes|JSON",
        [(API, always(Answer(200, b'{"a":"' + b"x" * 130_000_000 + b'"}')))],
        limit=20,
    ),
    Fault(
        "endless JSON",
        3,
        "large|limit|bytes|JSON",
        [(API, always(Answer(200, b"{" + b" " * 1000, length=10**13)))],
        limit=20,
    ),
    Fault("garbage index", 3, "index", [(INDEX, always(Answer(200, b"\0\1\2garbage")))], SHARDED),
    Fault(
        "index of numbers",
        3,
        "index|weight_map",
        [(INDEX, always(json_answer({"weight_map": {"a": 1}})))],
        SHARDED,
    ),
    Fault(
        "index elsewhere",
        3,
        r"index|\.\./",
        [(INDEX, always(json_answer({"weight_map": {"a": "../../../x.safetensors"}})))],
        SHARDED,
    ),
    Fault("garbage config.json", 3, "config.json", [(CONFIG, always(Answer(200, b'{"a":')))]),
    Fault("header of 10 GB", 3, "header", [(WEIGHTS, header_of(10**10))]),
    Fault("header of 10 GB that fit", 3, "header", [(WEIGHTS, larger_file(10**10))]),
    Fault("header of 2^63", 3, "header", [(WEIGHTS, header_of(2**63))]),
    Fault(
        "busy",
        5,
        "429|busy|many requests",
        [("", always(Answer(429, headers={"Retry-After": "0"})))],
    ),
    Fault("broken", 5, "500|502|503", [("", always(Answer(503)))], limit=15),
    Fault("broken weights", 5, "500", [(WEIGHTS, always(Answer(500)))], limit=15),
    Fault("reset", 5, "reset|closed|connection", [("", always(Answer(200, reset=True)))], limit=15),
    Fault(
        "reset in the middle",
        5,
        "reset|closed|connection|short|bytes",
        [(WEIGHTS, of_parts(lambda a: replace(a, reset=True, sent=30)))],
        limit=15,
    ),
    Fault("teapot", 5, "418", [("", always(Answer(418)))]),
    Fault("odd status", 5, "999|status|answer", [("", always(Answer(999)))]),
    Fault("offline", 5, "offline.*not in cache", [], more={"HF_HUB_OFFLINE": "1"}),
    Fault("token with a newline", 2, "token|TOKEN", [], more={"HF_TOKEN": SECRET + "\r\nX: y"}),
    # What a server gets wrong and a client can live with.
    Fault("5xx, then good", 0, "", [("", first(2, Answer(503)))]),
    Fault("resets, then good", 0, "", [("", first(2, Answer(200, reset=True)))]),
    Fault(
        "429 of a second",
        0,
        "",
        [("/resolve/", first(1, Answer(429, headers={"Retry-After": "1"})))],
    ),
    Fault(
        "429 until a date",
        0,
        "",
        [
            (
                CONFIG,
                lambda r, a: Answer(
                    429, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)}
                )
                if r.number == 0
                else a,
            )
        ],
    ),
    Fault(
        "siblings with tricks",
        0,
        "",
        [
            (
                API,
                listing(
                    *SINGLE,
                    "../../x",
                    "/etc/passwd",
                    "a/../../b.json",
                    "x\u001b[2J\n.json",
                    "..",
                    "",
                    "a//b",
                    "con\0trol",
                ),
            )
        ],
    ),
]
