"""What a notebook hands to the paper: figures, tables and numbers, each with its record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mglib import paths
from mglib.errors import MglibError
from mglib.figures.style import as_svg
from mglib.provenance import Record, digest, write_record
from mglib.report.parameters import Parameters, parameters_of
from mglib.rows import as_parquet, read_records

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

DIRTY = " with uncommitted changes"
# Parameters that change where or how a notebook runs, not what it says.
INCIDENTAL = {"profile", "device", "shard", "weights"}


def results_folder(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Path:
    """`_report/<profile>`, which the paper of that profile is assembled from.

    A run with other parameters changed gets a folder beside it: exploring never alters the paper.
    """
    changed = {k: v for k, v in values.items() if k not in INCIDENTAL and v != defaults.get(k)}
    profile = str(values.get("profile", defaults.get("profile", "quick")))
    return paths.report() / (f"{profile}-{digest(changed)[:8]}" if changed else profile)


class Output:
    """What one run of a notebook leaves for the paper, in the run's results folder."""

    def __init__(self, notebook: str, parameters: Parameters):
        self.notebook = notebook
        self.parameters = dict(parameters)
        # The file's defaults: a parameters cell edited while exploring is no default.
        file = paths.ROOT / "notebooks" / f"{notebook}.ipynb"
        known = parameters_of(file) if file.exists() else {}
        defaults = {name: default for name, (_, default) in known.items()}
        self.folder = results_folder(self.parameters, {**parameters.defaults, **defaults})
        self._record = Record()

    def _write(self, path: Path, data: bytes | str, **more: Any) -> Path:
        record = self._record.finish(notebook=self.notebook, parameters=self.parameters, **more)
        with paths.writing(path, "MGLIB_REPORT"):
            paths.replace(path, data)
            write_record(path.with_name(path.name + ".json"), record)
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

    def rows(self, *tables: pa.Table) -> Path:
        """Write the rows that this run used, each once: what `mglib.report.publish` commits.

        Raises MglibError for rows of another experiment: they would not be found again.
        """
        import pyarrow.compute as pc

        for table in tables:
            for name in pc.unique(table["experiment"]).to_pylist():
                if name != self.notebook:
                    raise MglibError(f"rows of '{name}' cannot be kept as those of {self.notebook}")
        path = self.folder / "rows" / f"{self.notebook}.parquet"
        return self._write(path, as_parquet(tables))

    def provenance(self, rows: pa.Table) -> pd.DataFrame:
        """What made some rows, as two columns: commit, versions, device, training time."""
        import pandas as pd
        import pyarrow.compute as pc

        keys = pc.unique(rows["key"]).to_pylist()
        found = read_records(self.notebook, keys, self.parameters["profile"])
        records = [r for r in found if r.get("device") and r.get("trained", True)]

        def seen(make: Callable[[dict[str, Any]], str]) -> str:
            return ", ".join(dict.fromkeys(make(r) for r in records)) or "not recorded"

        seconds = sum(r["wall_seconds"] for r in records)
        stacks = sum(r.get("parts", 1) for r in records)
        return pd.DataFrame(
            [
                ("Commit", seen(lambda r: f"`{str(r['commit'])[:12]}`" + DIRTY * bool(r["dirty"]))),
                ("Profile", self.parameters["profile"]),
                ("Computed", f"in {seconds / 60:.1f} minutes of wall time, in {stacks} parts"),
                ("Device", seen(lambda r: f"{r['device']}, {r['threads']} thread per part")),
                ("System", seen(lambda r: f"{r['platform']}, Python {r['python']}")),
                ("Packages", seen(lambda r: ", ".join(map(" ".join, r["versions"].items())))),
                ("Lock file", seen(lambda r: f"`{str(r['lock'])[:16]}`")),
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

    def claims(self, **claims: bool) -> Path:
        """Write the verdicts of the paper's text, by name; a false one fails the paper."""
        return self._write(
            self.folder / "claims" / f"{self.notebook}.json",
            json.dumps({k: bool(v) for k, v in claims.items()}, indent=1, sort_keys=True) + "\n",
        )
