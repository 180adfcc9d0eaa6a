"""Set-up before anything is installed: `.venv` from the lock, torch, then this package.

Runs on the system's Python with the standard library alone; a second run finds its stamp and
returns at once (what only an installation needs is imported there).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 14))  # from, below
TORCH_LEAST = (2, 11)
TORCH = "torch==2.13.0"
CUDA_PREFIXES = ("nvidia-", "cuda-", "triton")


class SetupError(Exception):
    """What failed and what to do about it, in one line."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


def check_python(version: tuple[int, ...], modules: Sequence[str] = ("venv", "ensurepip")) -> None:
    """Raise SetupError for a Python out of bounds or without what makes virtual environments."""
    low, high = PYTHONS
    found = ".".join(map(str, version[:2]))
    if not low <= version[:2] < high:
        raise SetupError(
            f"Python {found} is not supported (3.{low[1]} to 3.{high[1] - 1} are); "
            "name another one: make PYTHON=python3.11"
        )
    for name in modules:
        try:
            __import__(name)
        except ImportError:
            raise SetupError(
                f"Python {found} has no '{name}' module; on Debian install the "
                f"package python{found}-venv, then run this again"
            ) from None


def key(root: Path, version: str) -> str:
    """The name of an environment: hash of lock, package metadata, Python and place."""
    parts = [(root / name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
    parts += [version.encode(), str(root).encode()]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def pinned(lock: str, names: tuple[str, ...]) -> str:
    """The entries of the lock for these packages, hashes included."""
    kept, keep = [], False
    for line in lock.splitlines(keepends=True):
        if not line.startswith((" ", "\t", "#")):
            keep = line.partition("==")[0].strip() in names
        if keep:
            kept.append(line)
    return "".join(kept)


def parse_version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: '2.13.0+cpu' is (2, 13, 0)."""
    numbers = []
    for part in text.partition("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def cuda_urls(report: dict[str, Any]) -> list[str]:
    """The addresses in a report of `pip install`, if it would take a CUDA build; else nothing."""
    items = report["install"]
    cuda = any(
        item["metadata"]["name"].lower().startswith(CUDA_PREFIXES)
        or "+cu" in item["metadata"]["version"]
        for item in items
    )
    return [item["download_info"]["url"] for item in items] if cuda else []


def download_size(urls: list[str]) -> int | None:
    """The bytes behind these addresses by their headers, or None if one does not tell."""
    import urllib.request

    total = 0
    for url in urls:
        try:
            asked = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(asked, timeout=10) as answer:
                total += int(answer.headers["Content-Length"])
        except (OSError, ValueError, TypeError):
            return None
    return total


def cuda_warning(report: dict[str, Any]) -> str | None:
    """The line that announces a CUDA download and its size, or None for a CPU build."""
    urls = cuda_urls(report)
    if not urls:
        return None
    size = download_size(urls)
    amount = "several GB" if size is None else f"{size / 1e9:.1f} GB"
    return (
        f"WARNING: this index offers {TORCH} as a CUDA build only, {amount} to download; for a "
        "CPU build stop here and set TORCH_INDEX to the address of an index that has one"
    )


def torch_arguments(environment: dict[str, str]) -> list[str]:
    """What pip is asked for: the torch we test with, from TORCH_INDEX if that is set."""
    index = environment.get("TORCH_INDEX")
    return [TORCH, *(["--index-url", index] if index else [])]


def torch_of(python: Path | str) -> tuple[str, str] | None:
    """Version and file of the torch that this interpreter imports, or None."""
    code = "import torch; print(torch.__version__); print(torch.__file__)"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, env=clean())
    if found.returncode:
        return None
    version, file = found.stdout.splitlines()[-2:]
    return version, file


def usable(torch: tuple[str, str] | None) -> bool:
    """Whether this torch is new enough to be kept."""
    return torch is not None and parse_version(torch[0]) >= TORCH_LEAST


def clean() -> dict[str, str]:
    """The environment for subprocesses, without what would lead Python or pip elsewhere."""
    drop = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    return {**kept, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}


def repair(packages: Path) -> list[str]:
    """Forget distributions that an interruption left half written, so that pip writes them anew."""
    import csv
    import shutil

    broken = []
    for info in sorted(packages.glob("*.dist-info")):
        record = info / "RECORD"
        lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
        names = [line[0] for line in csv.reader(lines) if not line[0].endswith(".pyc")]
        if not names or not all((packages / name).exists() for name in names):
            shutil.rmtree(info)
            broken.append(info.name.partition("-")[0])
    return broken


class Setup:
    """One environment in `root/.venv` and the steps that make it."""

    def __init__(self, root: Path = ROOT):
        self.root = root
        self.base = Path(sys.executable).resolve()  # a virtual environment has no heirs
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self.stamp = self.venv / "mglib-setup.json"
        self.log = self.venv / "setup.log"
        self.key = key(root, sys.version)

    @property
    def packages(self) -> Path:
        """The folder of installed packages."""
        return self.venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"

    def runs(self, *arguments: str) -> bool:
        """Whether the environment's interpreter starts and succeeds with these arguments."""
        try:
            return (
                subprocess.run(
                    [self.python, *arguments], capture_output=True, env=clean()
                ).returncode
                == 0
            )
        except OSError:
            return False

    def read_stamp(self) -> dict[str, Any]:
        """What the last whole installation wrote, or nothing."""
        try:
            found = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def ready(self) -> bool:
        """Whether the last installation is whole, of this lock, and still there."""
        stamp = self.read_stamp()
        return (
            stamp.get("key") == self.key
            and all(Path(path).exists() for path in stamp["paths"])
            and self.runs("-I", "-S", "-c", "")
        )

    def step(self, name: str, command: list[str | Path], hint: str) -> None:
        """Run a command with its output in the log; say how long it took; raise if it fails."""
        say(f"{name} …")
        started = time.monotonic()
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n")
            log.flush()
            begin = log.tell()
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.root,
                env=clean(),
            )
            try:
                while True:
                    try:
                        status = process.wait(timeout=30)
                        break
                    except subprocess.TimeoutExpired:
                        say(f"{name} … {time.monotonic() - started:.0f} s so far")
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if status:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                log.seek(begin)
                lines = [line.strip() for line in log if line.strip()]
            errors = [line for line in lines if line.startswith(("ERROR", "Error"))]
            why = f"stopped by signal {-status}" if status < 0 else (errors or lines or ["?"])[-1]
            raise SetupError(f"{name} failed: {why[:300]} (all of it: {self.log}); {hint}")
        say(f"{name}: {time.monotonic() - started:.0f} s")

    def pip(self, name: str, *arguments: str | Path, hint: str) -> None:
        """Install with the environment's own pip."""
        self.step(
            name,
            [self.python, "-m", "pip", "install", "--no-input", "--progress-bar=off", *arguments],
            hint,
        )

    def make_venv(self) -> None:
        """Create `.venv`, or keep the one that works with this Python and place."""
        shared = ["--system-site-packages"] if usable(torch_of(self.base)) else []
        command: list[str | Path] = [self.base, "-m", "venv", *shared, self.venv]
        config = self.venv / "pyvenv.cfg"
        line = f"command = {' '.join(map(str, command))}\n"
        whole = (
            config.is_file()
            and line in config.read_text(encoding="utf-8")
            and self.packages.is_dir()
            and self.runs("-m", "pip", "--version")
        )
        self.stamp.unlink(missing_ok=True)
        if whole:
            broken = repair(self.packages)
            if broken:
                say(f"half-installed packages are installed again: {', '.join(broken)}")
            return
        if self.venv.exists():
            import shutil

            say(".venv is not usable and is made anew")
            shutil.rmtree(self.venv)
        self.venv.mkdir()
        self.step(
            "virtual environment .venv",
            command,
            f"on Debian install the package python3.{sys.version_info[1]}-venv",
        )

    def install_locked(self) -> None:
        """Install every package of the lock, each checked by its hash."""
        lock = (self.root / "requirements.lock").read_text(encoding="utf-8")
        flags = ("--no-deps", "--require-hashes", "--no-build-isolation", "-r")
        again = "check the network and run the command again, it goes on from here"
        tools = self.venv / "setup-tools.lock"
        tools.write_text(pinned(lock, ("pip", "setuptools")), encoding="utf-8")
        self.pip("installer", *flags, tools, hint=again)
        self.pip("locked packages", *flags, self.root / "requirements.lock", hint=again)

    def install_torch(self) -> str:
        """Keep an importable torch that is new enough, else install one; return its file."""
        found = torch_of(self.python)
        if found is None or not usable(found):
            arguments = torch_arguments(dict(os.environ))
            warning = self.foresee(arguments)
            if warning:
                say(warning)
            self.pip(
                TORCH,
                *arguments,
                hint="check the network, or set TORCH_INDEX to the address "
                "of another index, and run the command again",
            )
            found = torch_of(self.python)
        if found is None or not usable(found):
            raise SetupError(
                f"the installed torch does not import; run '{self.python} -c "
                '"import torch"\' to see why'
            )
        say(f"torch {found[0]}")
        return found[1]

    def foresee(self, arguments: list[str]) -> str | None:
        """Ask pip what it would take, without downloading it; the warning to print, if any."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            # fast-deps reads the metadata of wheels where the index does not serve it apart.
            asked = subprocess.run(
                [
                    self.python,
                    "-m",
                    "pip",
                    "install",
                    "--dry-run",
                    "--quiet",
                    "--use-feature=fast-deps",
                    "--report",
                    report,
                    *arguments,
                ],
                capture_output=True,
                env=clean(),
                stdin=subprocess.DEVNULL,
            )
            if asked.returncode:
                return None  # the installation itself fails next, and says why
            return cuda_warning(json.loads(report.read_text(encoding="utf-8")))

    def install(self) -> None:
        """All steps in order; the stamp is written last."""
        self.make_venv()
        self.install_locked()
        torch = self.install_torch()
        self.pip(
            "mglib",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "-e",
            self.root,
            hint="check pyproject.toml",
        )
        paths = [torch, self.venv / "bin" / "mglib", *self.packages.glob("*.dist-info/RECORD")]
        content = {"key": self.key, "paths": [str(path) for path in paths]}
        fresh = self.stamp.with_suffix(".tmp")
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(self.stamp)


def main() -> int:
    """Make the environment if it is not there; the exit status."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        check_python(tuple(sys.version_info[:2]))
        fcntl.flock(folder, fcntl.LOCK_EX)  # two makes at once: the second waits, then is done
        setup = Setup()
        if not setup.ready():
            started = time.monotonic()
            setup.install()
            say(f"ready in {time.monotonic() - started:.0f} s")
        return 0
    except SetupError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        say(f"error: {error}; free space or correct permissions, then run the command again")
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the command again, it goes on from here")
        return 130
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main())
