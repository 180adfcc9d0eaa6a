# The order of work, and nothing else: each rule is one call of our own command. A rule runs again
# when the digest of its code and sources changes (comments do not count); what has its row or its
# feature file is not computed again even then. Use `mglib paper`, or Snakemake itself.
import os
import sys
from pathlib import Path

from mglib import paths
from mglib.provenance import code_digest

# This machine computes its own rows at PROFILE. The paper prints the reference rows: they are
# committed, and trained only where PROFILE is "reference".
PROFILE = config.get("profile", "laptop")
TO = config.get("to", "all")
ROAD = config.get("road", "built-in")
RENDER = config.get("render") == "yes"  # from what is committed: no data prepared, no rows computed
# What laptops recompute needs two datasets and a half; the reference all, and more modalities.
FULL = PROFILE == "reference"
DATASETS = ["emoji_concepts", "emoji_sentiment", "numerals"]
DATASETS += ["smartwatch", "multiple_features"] if FULL else []
NUMERALS = ["handwriting_occluded", "speech", "words", "handwriting_clean", "speech_clean"]
MODALITIES = {
    "emoji_concepts": "art glyph speech text text_de text_ja".split() if FULL else [],
    "numerals": [*NUMERALS, "glyph"] if FULL else NUMERALS,
}
PERCEPTORS = {"numerals": [] if FULL else ["frozen"]}
SPLITS = 10 if FULL else 5
CACHE, REPORT, RESULTS = paths.cache(), paths.report(), paths.results()
MGLIB = paths.ROOT / "mglib"
PREPARATION = [MGLIB / "data", MGLIB / "perceptors", MGLIB / "features.py"]
NOTEBOOKS = sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
PRINTED = [name for name in NOTEBOOKS if not RENDER or (RESULTS / f"{name}.parquet").exists()]
EXECUTED = REPORT / "{profile}" / "notebooks" / "{notebook}.ipynb"
RECOMPUTED = expand(EXECUTED, profile=PROFILE, notebook=NOTEBOOKS)
# Where nothing is computed, what an earlier run left is compared.
COMPARED = RECOMPUTED if not RENDER else sorted((REPORT / PROFILE / "rows").glob("*.parquet"))
COMMITTED = sorted([*RESULTS.rglob("*.*"), *Path("figures").glob("*.svg")])
PAPER = ["paper.qmd", "references.bib", "_quarto.yml"]

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

os.environ.setdefault("MGLIB_BUDGET", "told")  # a slow machine is told so, and gets its paper


rule all:
    message:
        "the paper is up to date"
    input:
        [REPORT / f"paper.{form}" for form in (("html", "pdf") if TO == "all" else (TO,))],


rule prepare:
    message:
        "prepare {wildcards.dataset}, {wildcards.splits} splits"
    output:
        touch(CACHE / "{dataset}.{splits}.prepared"),
    params:
        digest=code_digest(*PREPARATION),
        more=lambda found: " ".join(
            [f"--modality {name}" for name in MODALITIES.get(found.dataset, ())]
            + [f"--perceptor {name}" for name in PERCEPTORS.get(found.dataset, ())]
        ),
    threads: workflow.cores
    shell:
        "mglib prepare {wildcards.dataset} --splits {wildcards.splits} {params.more}"


rule notebook:
    message:
        "run {wildcards.notebook} ({wildcards.profile})"
    input:
        [] if RENDER else expand(CACHE / "{d}.{n}.prepared", d=DATASETS, n=SPLITS),
        lambda found: sorted(RESULTS.glob(f"{found.notebook}.parquet")),
    output:
        EXECUTED,
    params:
        # The reference is read and never trained, unless it is what is to be computed again.
        how=lambda found: "" if found.profile != "reference"
        else f"MGLIB_RESULTS={REPORT}/none" if PROFILE == "reference" else "MGLIB_TRAIN=never",
        digest=lambda found: code_digest(MGLIB, Path("notebooks") / f"{found.notebook}.ipynb"),
    log:
        # A log outlives a failing rule, an output does not: it holds the traceback.
        REPORT / "log" / "{profile}" / "{notebook}.ipynb",
    threads: workflow.cores
    shell:
        "{params.how} mglib run notebooks/{wildcards.notebook}.ipynb --profile {wildcards.profile}"


rule compare:
    message:
        "compare what was computed here with the reference"
    input:
        COMPARED,
        COMMITTED,
    output:
        REPORT / "reference" / "tables" / "compare.md",
    params:
        profile=PROFILE,
        digest=code_digest(MGLIB / "report", MGLIB / "analysis", MGLIB / "rows.py"),
    shell:
        "mglib compare --paper --profile {params.profile}"


rule paper:
    message:
        "render the paper: {wildcards.form}"
    input:
        expand(EXECUTED, profile="reference", notebook=PRINTED),
        REPORT / "reference" / "tables" / "compare.md",
        COMMITTED,
    output:
        REPORT / "paper.{form}",
    params:
        road=ROAD,
        digest=code_digest(*map(Path, PAPER), *(MGLIB / "report").glob("*.*")),
    shell:
        "python -m mglib.report.paper --to {wildcards.form} --road {params.road}"
