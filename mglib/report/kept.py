"""Run the notebooks at their default parameters and store what their kept cells print.

`python -m mglib.report.kept [NOTEBOOK...]`: the one way outputs enter the checkout. Everything but
the text of cells tagged `keep_output` is stripped; `--check FILE...` only looks whether it is.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mglib import paths
from mglib.errors import MglibError
from mglib.report.execution import find_notebook, notebooks, run_papermill

_METADATA = {"kernelspec", "language_info"}


def strip(cells: list[dict[str, object]], executed: list[dict[str, object]]) -> None:
    """Empty all code cells, then fill the kept ones with the printed text of the executed copy."""
    outputs = {cell["id"]: cell.get("outputs", []) for cell in executed}
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tags = cell["metadata"].get("tags", [])  # type: ignore[attr-defined]
        kept = outputs[cell["id"]] if "keep_output" in tags else []
        # nbval takes a cell without a count for one that was never run.
        cell["execution_count"] = 1 if kept else None
        cell["outputs"] = [o for o in kept if o.get("name") == "stdout"]  # type: ignore[attr-defined]


def refresh(notebook: Path) -> None:
    """Execute a notebook and rewrite its file with the kept outputs alone."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / notebook.name
        executed = run_papermill(notebook, {}, copy, copy)
        strip(content["cells"], json.loads(executed.read_text(encoding="utf-8"))["cells"])
    paths.replace(notebook, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def unstripped(notebook: Path) -> list[str]:
    """What of a notebook's file does not belong into the checkout."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    found = [f"metadata '{name}'" for name in {*content["metadata"]} - _METADATA]
    for number, cell in enumerate(content["cells"]):
        kept = "keep_output" in cell["metadata"].get("tags", [])
        names = {output.get("name") for output in cell.get("outputs", [])}
        if names and not (kept and names == {"stdout"}):
            found.append(f"outputs of cell {number}")
        if extra := {*cell["metadata"]} - {"tags"}:
            found.append(f"metadata {sorted(extra)} of cell {number}")
        if cell.get("execution_count") and not names:
            found.append(f"execution count of cell {number}")
    return found


def check(names: Sequence[str]) -> None:
    """Raise MglibError naming the first notebook that holds more than it should."""
    for name in names:
        if found := unstripped(Path(name)):
            raise MglibError(
                f"{name} is not stripped ({', '.join(found)}); "
                "`python -m mglib.report.kept` runs and strips it"
            )


def main(names: Sequence[str] | None = None) -> int:
    """Refresh the named notebooks, or all of them; return the exit status."""
    names = sys.argv[1:] if names is None else names
    try:
        if "--check" in names:
            check([name for name in names if name != "--check"])
            return 0
        for name in names or notebooks():
            refresh(find_notebook(name))
            print(f"refreshed {name}")
    except MglibError as error:
        print(f"mglib: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
