# The order of work, and nothing else: each rule is one call of our own command. A rule runs again
# when the digest of its code and sources changes (comments do not count); what has its row or its
# feature file is not computed again even then. Use `mglib paper`, or Snakemake itself.
import os
import sys
from pathlib import Path

from mglib import paths
from mglib.provenance import code_digest

PROFILE = config.get("profile", "laptop")
TO = config.get("to", "all")
DATASETS = ["emoji_concepts"]
SPLITS = 10 if PROFILE == "reference" else 5
NOTEBOOKS = ["20_weak_generalization"]
CACHE, REPORT = paths.cache(), paths.report()
MATERIAL = REPORT / PROFILE
MGLIB = paths.ROOT / "mglib"
PREPARATION = [MGLIB / "data", MGLIB / "perceptors", MGLIB / "features.py"]
PAPER = ["paper.qmd", "references.bib", "_quarto.yml"]

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


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
    threads: workflow.cores
    shell:
        "mglib prepare {wildcards.dataset} --splits {wildcards.splits}"


rule notebook:
    message:
        "run {wildcards.notebook} ({params.profile})"
    input:
        expand(CACHE / "{dataset}.{splits}.prepared", dataset=DATASETS, splits=SPLITS),
    output:
        MATERIAL / "numbers" / "{notebook}.json",
        MATERIAL / "notebooks" / "{notebook}.ipynb",
    params:
        profile=PROFILE,
        digest=lambda found: code_digest(MGLIB, Path("notebooks") / f"{found.notebook}.ipynb"),
    log:
        # A log outlives a failing rule, an output does not: it holds the traceback.
        REPORT / "log" / PROFILE / "{notebook}.ipynb",
    threads: workflow.cores
    shell:
        "mglib run notebooks/{wildcards.notebook}.ipynb --profile {params.profile}"


rule paper:
    message:
        "render the paper: {wildcards.form}"
    input:
        expand(MATERIAL / "notebooks" / "{notebook}.ipynb", notebook=NOTEBOOKS),
    output:
        REPORT / "paper.{form}",
    params:
        profile=PROFILE,
        digest=code_digest(*map(Path, PAPER), *(MGLIB / "report").glob("*.*")),
    shell:
        "python -m mglib.report.paper --to {wildcards.form} --profile {params.profile}"
