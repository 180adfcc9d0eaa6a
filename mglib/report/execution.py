"""Run parameterized notebooks: through papermill, or their cells alone without Jupyter."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mglib import paths
from mglib.errors import MglibError, unknown
from mglib.provenance import Record, write_record
from mglib.report import parameters
from mglib.report.output import results_folder
from mglib.report.parameters import check, parameters_of

PROFILES = ("quick", "laptop", "reference")
_stopped = False


def notebooks() -> dict[str, str]:
    """Name -> question (the first heading) of every notebook."""
    found = {}
    for path in sorted((paths.ROOT / "notebooks").glob("*.ipynb")):
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        found[path.stem] = "".join(first).strip().splitlines()[0].lstrip("# ")
    return found


def find_notebook(name: str) -> Path:
    """The notebook of a path or a bare name; MglibError with the nearest if there is none."""
    given = Path(name)
    if given.suffix == ".ipynb" and given.exists():
        return given
    known = notebooks()
    if given.stem not in known:
        raise unknown("notebook", given.stem if given.suffix == ".ipynb" else name, known)
    return paths.ROOT / "notebooks" / f"{given.stem}.ipynb"


def stop_if_sharded(shard: str) -> None:
    """With a shard set, skip the cells that follow: only the unsharded run collects and plots.

    Raises MglibError in an interactive session, where skipping later cells would go unseen.
    """
    global _stopped
    if not shard:
        return
    print(f"Shard {shard} is done; the run without a shard collects, plots and answers.")
    if parameters.running is not None:
        _stopped = True
        return
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return
    if not any(str(cell).startswith("# Parameters") for cell in shell.user_ns["In"]):
        raise MglibError(f"shard {shard} is trained; set shard to '' to collect and plot")
    shell.input_transformers_post.append(lambda lines: [])


def _injected(given: Mapping[str, Any]) -> str:
    return "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())


def run_cells(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Execute a notebook's code cells in this process, without Jupyter; return their namespace."""
    global _stopped
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    parameters.running, _stopped = [], False
    try:
        for number, cell in enumerate(cells):
            if cell["cell_type"] != "code" or _stopped:
                continue
            sources = ["".join(cell["source"])]
            if "parameters" in cell["metadata"].get("tags", []) and given:
                sources.append(_injected(given))
            for source in sources:
                parameters.running.append(source)
                exec(compile(source, f"{notebook.name}[{number}]", "exec"), namespace)
    finally:
        parameters.running = None
    return namespace


def estimate_notebook(notebook: Path, given: Mapping[str, Any]) -> str:
    """What a notebook would train with these parameters, in words; nothing is trained.

    Its cells run, without Jupyter, to the first that would train or measure something.
    """
    from mglib.trials.estimate import Estimated

    check(given, parameters_of(notebook), notebook.stem)
    os.environ["MGLIB_ESTIMATE"] = "1"
    try:
        run_cells(notebook, given)
    except Estimated as told:
        return str(told)
    finally:
        del os.environ["MGLIB_ESTIMATE"]
    return f"{notebook.stem}: nothing to train"


def _command(notebook: Path, given: Mapping[str, Any]) -> str:
    texts = {name: v if isinstance(v, str) else json.dumps(v) for name, v in given.items()}
    options = [word for name, text in texts.items() for word in ("-p", name, text)]
    return shlex.join(["mglib", "run", notebook.stem, *options])


def run_papermill(notebook: Path, given: Mapping[str, Any], executed: Path, log: Path) -> Path:
    """Execute a notebook with papermill and keep the executed copy at `executed`.

    The copy grows cell by cell at `log` and is copied only when the run succeeded, so that a
    failed run leaves its traceback there. Raises MglibError naming the cell that failed.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # papermill warns of declared parameters that its own reading misses; ours were checked.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    log.parent.mkdir(parents=True, exist_ok=True)
    # The kernel inherits these: plain lines of progress, and the command for its records.
    told = {"MGLIB_BATCH": "1", "MGLIB_COMMAND": _command(notebook, given)}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(log),
            parameters=dict(given),
            cwd=str(paths.ROOT),
            kernel_name="python3",
            progress_bar=False,
            stderr_file=sys.stderr,
            # Sockets in the file system: no ports for notebooks run side by side to fight over.
            config=Config({"KernelManager": {"transport": "ipc"}}),
        )
    except PapermillExecutionError as error:
        what = error.evalue if error.ename == "MglibError" else f"{error.ename}: {error.evalue}"
        raise MglibError(
            f"{notebook.name}: {what} (in cell {error.exec_count}; the executed copy with "
            f"its traceback is {log})"
        ) from error
    except DeadKernelError as error:
        raise MglibError(
            f"{notebook.name}: the kernel died (out of memory, or killed); finished trials are "
            "kept, run again to go on"
        ) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    if executed != log:
        paths.replace(executed, log.read_bytes())
    return executed


def run_notebook(notebook: Path, given: Mapping[str, Any], plain: bool = False) -> Path | None:
    """Check the parameters, then run a notebook; `plain` runs its cells without Jupyter.

    Returns the executed copy (None if plain); that of a shard stays among the logs. Raises
    MglibError for unknown or mistyped parameters before anything starts.
    """
    known = parameters_of(notebook)
    check(given, known, notebook.stem)
    if plain:
        run_cells(notebook, given)
        return None
    defaults = {name: default for name, (_, default) in known.items()}
    folder = results_folder({**defaults, **given}, defaults)
    shard = str(given.get("shard", "")).replace("/", "-of-")
    name = f"{notebook.stem}.shard-{shard}.ipynb" if shard else notebook.name
    log = paths.report() / "log" / folder.name / name
    if shard:
        return run_papermill(notebook, given, log, log)
    record = Record()
    executed = run_papermill(notebook, given, folder / "notebooks" / name, log)
    told = record.finish(notebook=notebook.stem, parameters={**defaults, **given})
    write_record(executed.with_name(f"{name}.json"), told)
    return executed
