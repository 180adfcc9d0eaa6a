"""Set-up decides right, without a network: Python and pip are played by a script."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mglib import bootstrap

# Plays an interpreter: `-m venv` makes a copy of it, `-m pip` obeys and notes what it was told.
PLAYER = f"""#!{sys.executable} -IS
import json, pathlib, shutil, sys
here = pathlib.Path(sys.argv[0]).parent
venv, arguments = here.parent, sys.argv[1:]
world = pathlib.Path("WORLD")
with (world / "calls").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if arguments[:2] == ["-m", "venv"]:
    venv = pathlib.Path(arguments[-1])
    (venv / "bin").mkdir(exist_ok=True)
    (venv / "lib" / f"python3.{{sys.version_info[1]}}" / "site-packages").mkdir(parents=True)
    shutil.copy(sys.argv[0], venv / "bin" / "python")
    (venv / "pyvenv.cfg").write_text(f"command = {{sys.argv[0]}} {{' '.join(arguments)}}\\n")
elif "import torch" in arguments[-1]:
    found = (venv / "torch") if (venv / "torch").exists() else (world / "base-torch")
    if not found.exists():
        sys.exit(1)
    print(found.read_text(), found, sep="\\n")
elif "--dry-run" in arguments:
    shutil.copy(world / "report.json", arguments[arguments.index("--report") + 1])
elif arguments[:3] == ["-m", "pip", "install"]:
    if (world / "broken").exists():
        print("ERROR: no route to the index")
        sys.exit(1)
    if any(argument.startswith("torch==") for argument in arguments):
        (venv / "torch").write_text("2.13.0+cpu")
    if "-e" in arguments:
        (venv / "bin" / "mglib").touch()
"""

CPU = {
    "install": [
        {
            "metadata": {"name": "torch", "version": "2.13.0+cpu"},
            "download_info": {"url": "file:///torch.whl"},
        }
    ]
}
CUDA = {
    "install": [
        {
            "metadata": {"name": "torch", "version": "2.13.0"},
            "download_info": {"url": "file:///torch.whl"},
        },
        {
            "metadata": {"name": "nvidia-cublas", "version": "13.1"},
            "download_info": {"url": "file:///cublas.whl"},
        },
    ]
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder that the player reads and notes its calls in."""
    folder = tmp_path / "world"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(CPU))
    player = folder / "python"
    player.write_text(PLAYER.replace("WORLD", str(folder)))
    player.chmod(0o755)
    return folder


@pytest.fixture
def setup(world: Path, tmp_path: Path) -> bootstrap.Setup:
    """The set-up of a made-up checkout by the player."""
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "requirements.lock").write_text("pip==26.3 \\\n    --hash=sha256:0\n")
    made = bootstrap.Setup(root)
    made.base = world / "python"
    return made


def calls(world: Path) -> list[list[str]]:
    """What the player was called with."""
    return [json.loads(line) for line in (world / "calls").read_text().splitlines()]


def test_needs_only_the_standard_library() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mglib.bootstrap; "
        "print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(bootstrap.ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(told.stdout.split()) == {"__main__", "mglib"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("version", [(2, 7), (3, 10), (3, 14), (4, 0)])
def test_python_out_of_bounds(version: tuple[int, int]) -> None:
    with pytest.raises(bootstrap.SetupError, match=r"3\.11 to 3\.13") as found:
        bootstrap.check_python(version)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_python_in_bounds(version: tuple[int, int]) -> None:
    bootstrap.check_python(version, modules=("venv",))
    with pytest.raises(bootstrap.SetupError, match=f"package python3.{version[1]}-venv"):
        bootstrap.check_python(version, modules=("no_such_module",))


@pytest.mark.parametrize(
    ("version", "kept"),
    [
        ("2.13.0+cpu", True),
        ("2.11.0a0+git1", True),
        ("3.0", True),
        ("2.9.1", False),
        ("1.13", False),
    ],
)
def test_which_torch_is_kept(version: str, kept: bool) -> None:
    assert bootstrap.usable((version, "torch/__init__.py")) is kept
    assert not bootstrap.usable(None)


def test_key_names_lock_metadata_python_and_place(setup: bootstrap.Setup) -> None:
    keys = {bootstrap.key(setup.root, "3.11"), bootstrap.key(setup.root, "3.12")}
    for name in ("requirements.lock", "pyproject.toml"):
        with (setup.root / name).open("a") as file:
            file.write("# changed\n")
        keys.add(bootstrap.key(setup.root, "3.11"))
    moved = setup.root.rename(setup.root.with_name("elsewhere"))
    keys.add(bootstrap.key(moved, "3.11"))
    assert len(keys) == 5


def test_pinned_takes_whole_entries() -> None:
    wanted = "pip==26.3 \\\n    --hash=b \\\n    --hash=c\n"
    lock = f"# made\nnumpy==2.4 \\\n    --hash=a\n{wanted}pipx==1\n"
    assert bootstrap.pinned(lock, ("pip",)) == wanted


def test_cuda_is_announced_with_its_size(tmp_path: Path) -> None:
    assert bootstrap.cuda_warning(CPU) is None
    unknown = bootstrap.cuda_warning(CUDA)
    assert unknown is not None and "several GB" in unknown and "TORCH_INDEX" in unknown
    report = json.loads(json.dumps(CUDA))
    for item, size in zip(report["install"], (1_500_000_000, 1_200_000_000), strict=True):
        wheel = tmp_path / item["metadata"]["name"]
        with wheel.open("wb") as file:
            file.truncate(size)  # sparse: takes no space
        item["download_info"]["url"] = wheel.as_uri()
    told = bootstrap.cuda_warning(report)
    assert told is not None and "2.7 GB" in told
    local = {
        "install": [
            {
                "metadata": {"name": "torch", "version": "2.13.0+cu130"},
                "download_info": {"url": "file:///torch.whl"},
            }
        ]
    }
    assert bootstrap.cuda_warning(local) is not None


def test_installs_once(setup: bootstrap.Setup, world: Path) -> None:
    assert not setup.ready()
    setup.install()
    assert setup.ready()
    installs = [call for call in calls(world) if call[:3] == ["-m", "pip", "install"]]
    locked = [call for call in installs if "-r" in call]
    assert len(locked) == 2 and all("--require-hashes" in call for call in locked)
    assert [call[-1] for call in installs if "--dry-run" not in call][2] == bootstrap.TORCH
    assert installs[-1][-2:] == ["-e", str(setup.root)] and "--no-index" in installs[-1]
    assert bootstrap.Setup(setup.root).ready()


def test_torch_index_is_passed_on(
    setup: bootstrap.Setup, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_INDEX", "https://index.example/cpu")
    setup.install()
    asked = [call for call in calls(world) if bootstrap.TORCH in call]
    assert len(asked) == 2  # the question and the installation
    assert all(call[-2:] == ["--index-url", "https://index.example/cpu"] for call in asked)


def test_cuda_warning_is_printed_and_set_up_goes_on(
    setup: bootstrap.Setup, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (world / "report.json").write_text(json.dumps(CUDA))
    setup.install()
    assert "WARNING" in capsys.readouterr().err
    assert setup.ready()


@pytest.mark.parametrize(("version", "shared"), [("2.12.1", True), ("2.9.0", False)])
def test_torch_of_the_base_is_kept_if_new_enough(
    setup: bootstrap.Setup, world: Path, version: str, shared: bool
) -> None:
    (world / "base-torch").write_text(version)
    setup.install()
    made = next(call for call in calls(world) if call[:2] == ["-m", "venv"])
    assert ("--system-site-packages" in made) is shared
    assert any(bootstrap.TORCH in call for call in calls(world)) is not shared


def test_failure_is_one_line_and_the_next_run_repairs(setup: bootstrap.Setup, world: Path) -> None:
    (world / "broken").touch()
    with pytest.raises(bootstrap.SetupError, match="installer failed: ERROR: no route") as found:
        setup.install()
    assert "\n" not in str(found.value)
    assert not setup.stamp.exists() and not setup.ready()
    (world / "broken").unlink()
    setup.install()
    assert setup.ready()
    assert sum(call[:2] == ["-m", "venv"] for call in calls(world)) == 1


def test_a_failing_update_leaves_no_stamp(setup: bootstrap.Setup, world: Path) -> None:
    setup.install()
    (world / "broken").touch()
    with pytest.raises(bootstrap.SetupError):
        setup.install()
    assert not setup.ready()


@pytest.mark.parametrize("damage", ["torch", "bin/mglib", "bin/python", "mglib-setup.json"])
def test_a_broken_environment_is_noticed(setup: bootstrap.Setup, damage: str) -> None:
    setup.install()
    (setup.venv / damage).unlink()
    assert not setup.ready()
    setup.install()
    assert setup.ready()


def test_an_unreadable_stamp_is_no_stamp(setup: bootstrap.Setup) -> None:
    setup.install()
    for text in ("", "[]", "{"):
        setup.stamp.write_text(text)
        assert not setup.ready()


def test_half_written_packages_are_forgotten(tmp_path: Path) -> None:
    for name in ("whole", "cut", "gone"):
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}.py").touch()
    for name in ("whole", "gone"):
        (tmp_path / f"{name}-1.dist-info" / "RECORD").write_text(
            f'"{name}.py",sha256=x,0\n__pycache__/{name}.cpython-311.pyc,,\n'
        )
    (tmp_path / "gone.py").unlink()
    assert bootstrap.repair(tmp_path) == ["cut", "gone"]
    assert [path.name for path in tmp_path.glob("*.dist-info")] == ["whole-1.dist-info"]


def test_main_says_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, status in (
        (bootstrap.SetupError("torch failed"), 1),
        (OSError(28, "disk full"), 1),
        (KeyboardInterrupt(), 130),
    ):

        def fail(self: bootstrap.Setup, error: BaseException = error) -> bool:
            raise error

        monkeypatch.setattr(bootstrap.Setup, "ready", fail)
        assert bootstrap.main() == status
        assert len(capsys.readouterr().err.splitlines()) == 1
