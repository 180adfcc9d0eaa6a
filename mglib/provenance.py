"""What a result was made from: digests of code by meaning, and the record beside every file."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import time
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from mglib import paths

_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.TYPE_COMMENT}
_PACKAGES = (
    "mglib",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "umap-learn",
    "onnxruntime",
    "pyarrow",
    "safetensors",
    "papermill",
)


def digest(value: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _whole_fstrings(tokens: Iterator[tokenize.TokenInfo], text: str) -> Iterator[tuple[int, str]]:
    """Tokens with each f-string as one STRING: Python 3.12 splits them, 3.11 does not."""
    lines = text.splitlines(keepends=True)
    opens = getattr(tokenize, "FSTRING_START", -1)
    closes = getattr(tokenize, "FSTRING_END", -1)
    depth, start = 0, (0, 0)
    for token in tokens:
        if token.type == opens:
            start = start if depth else token.start
            depth += 1
        elif token.type == closes:
            depth -= 1
            if not depth:
                (first, left), (last, right) = start, token.end
                span = [*lines[first - 1 : last]]
                span[-1] = span[-1][:right]
                span[0] = span[0][left:]
                yield tokenize.STRING, "".join(span)
        elif not depth:
            yield token.type, token.string


def _meaning(text: str) -> Iterator[str]:
    """The tokens that decide what Python code does: no comments, no docstrings, no layout."""
    line: list[tuple[int, str]] = []
    for kind, string in _whole_fstrings(tokenize.generate_tokens(io.StringIO(text).readline), text):
        if kind in _SILENT:
            continue
        if kind in (tokenize.INDENT, tokenize.DEDENT):
            yield tokenize.tok_name[kind]
        elif kind in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if not (len(line) == 1 and line[0][0] == tokenize.STRING):
                yield from (string for _, string in line)
                yield "\n"
            line = []
        else:
            line.append((kind, string))


def _source(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    return "\n".join("".join(c["source"]) for c in cells) + "\n"


def code_digest(*paths_of_code: Path) -> str:
    """16 hexadecimal digits of what files (or folders) of Python code and notebooks do.

    Comments, docstrings and line breaks inside brackets do not count, nor does the Python version;
    other files (Lua, CSS, lock files) count byte for byte.
    """
    files = sorted(
        file
        for path in paths_of_code
        for file in ([path] if path.is_file() else path.rglob("*.py"))
    )
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.name.encode())
        if file.suffix in (".py", ".ipynb"):
            whole.update("\x00".join(_meaning(_source(file))).encode())
        else:
            whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(paths.ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def tracked_files() -> set[str] | None:
    """The files that git knows, by path in the checkout; None without git."""
    listed = _git("ls-files", "-z")
    return None if listed is None else {name for name in listed.split("\0") if name}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _command() -> str:
    """What was called; a notebook's kernel is told by `mglib run`, in MGLIB_COMMAND."""
    if told := os.environ.get("MGLIB_COMMAND"):
        return told
    name = Path(sys.argv[0]).name
    if name == "ipykernel_launcher.py":
        return "a notebook"
    return shlex.join(["mglib" if name == "__main__.py" else name, *sys.argv[1:]])


@cache
def _code() -> dict[str, Any]:
    """Commit and dirty flag: of the code as it was when the process began to use it."""
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status),
    }


@cache
def _environment() -> dict[str, Any]:
    """Python, system, packages and lock file of this process."""
    lock = paths.ROOT / "requirements.lock"
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "lock": file_sha256(lock) if lock.exists() else None,
    }


def processor() -> str:
    """The name of the processor, as Linux tells it; "unknown" where it does not."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


class Record:
    """Provenance of one piece of work; start it before the work, `finish` it after."""

    def __init__(self) -> None:
        self._started = time.time()
        _code()

    def seconds(self) -> float:
        """Wall time since the work began."""
        return time.time() - self._started

    def finish(self, **more: Any) -> dict[str, Any]:
        """Commit, dirty flag, command, versions, lock, wall time [s], peak memory [MiB], `more`."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            **_code(),
            "command": _command(),
            **_environment(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._started)),
            "wall_seconds": round(self.seconds(), 3),
            "peak_memory_mib": round(peak, 1),
            **more,
        }


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all."""
    paths.replace(path, json.dumps(record, indent=1, sort_keys=True) + "\n")
