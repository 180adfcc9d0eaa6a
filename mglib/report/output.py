"""What a notebook hands to the paper: figures, tables and numbers, each with its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mglib import paths
from mglib.figures.style import as_svg
from mglib.provenance import Record, digest, write_record
from mglib.report.parameters import Parameters
from mglib.rows import read_records

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

# Parameters that change where or how a notebook runs, not what it says.
_INCIDENTAL = {"profile", "device", "shard"}


class Output:
    """The folder `_report/<profile>/` that the paper of that profile is assembled from.

    A run with other parameters changed writes beside it, so that exploring never alters the paper.
    """

    def __init__(self, notebook: str, parameters: Parameters):
        self.notebook = notebook
        self.parameters = dict(parameters)
        changed = {
            k: v
            for k, v in parameters.items()
            if k not in _INCIDENTAL and v != parameters.defaults[k]
        }
        name = f"{parameters.profile}-{digest(changed)[:8]}" if changed else str(parameters.profile)
        self.folder = paths.report() / name
        self._record = Record()

    def _write(self, path: Path, data: bytes | str, **more: Any) -> Path:
        paths.replace(path, data)
        write_record(
            path.with_name(path.name + ".json"),
            self._record.finish(notebook=self.notebook, parameters=self.parameters, **more),
        )
        return path

    def figure(self, name: str, figure: Figure) -> Path:
        """Write a figure as SVG for the paper, named without folder or ending."""
        return self._write(self.folder / "figures" / f"{name}.svg", as_svg(figure))

    def table(self, name: str, table: pd.DataFrame, align: str) -> Path:
        """Write a table as Markdown; `align` has one letter l, c or r for each column."""
        rule = {"l": ":--", "c": ":-:", "r": "--:"}
        lines = [
            "| " + " | ".join(map(str, table.columns)) + " |",
            "|" + "|".join(rule[letter] for letter in align) + "|",
            *("| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)),
        ]
        return self._write(self.folder / "tables" / f"{name}.md", "\n".join(lines) + "\n")

    def provenance(self, rows: pa.Table) -> pd.DataFrame:
        """What made some rows, as two columns: commit, versions, device, training time."""
        import pandas as pd
        import pyarrow.compute as pc

        keys = pc.unique(rows["key"]).to_pylist()
        here = self._record.finish()
        records = read_records(self.notebook, keys)

        def seen(name: str) -> str:
            return ", ".join(dict.fromkeys(str(r[name]) for r in records)) or "not recorded"

        dirty = here["dirty"] or any(r["dirty"] for r in records)
        commit = (here["commit"] or "unknown")[:12] + (" with uncommitted changes" if dirty else "")
        seconds = sum(r["wall_seconds"] for r in records)
        versions = ", ".join(f"{name} {v}" for name, v in here["versions"].items())
        return pd.DataFrame(
            [
                ("Commit", f"`{commit}`"),
                ("Profile", self.parameters["profile"]),
                ("Training runs", f"{len(keys):,} in {len(records)} stacks"),
                ("Training time", f"{seconds / 60:.1f} minutes of one thread each"),
                ("Device", seen("device")),
                ("System", f"{here['platform']}, Python {here['python']}"),
                ("Packages", versions),
                ("Lock file", f"`{here['lock'][:16]}`" if here["lock"] else "none"),
            ],
            columns=["What", "Value"],
        )

    def numbers(self, **groups: Mapping[str, Any]) -> Path:
        """Write the values that the paper's text prints, as formatted strings by group and name."""
        texts = {
            group: {name: str(value) for name, value in values.items()}
            for group, values in groups.items()
        }
        return self._write(
            self.folder / "numbers" / f"{self.notebook}.json",
            json.dumps(texts, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        )
