"""Run the notebooks at their default parameters and store what their kept cells print.

`python -m mglib.report.kept [NOTEBOOK...]`: the one way outputs enter the checkout. Everything but
the text of cells tagged `keep_output` is stripped.
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


def main(names: Sequence[str] | None = None) -> int:
    """Refresh the named notebooks, or all of them; return the exit status."""
    try:
        for name in (sys.argv[1:] if names is None else names) or notebooks():
            refresh(find_notebook(name))
            print(f"refreshed {name}")
    except MglibError as error:
        print(f"mglib: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
