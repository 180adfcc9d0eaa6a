"""The `mglib` command: status 0 only if what was asked was done, errors as one line on stderr."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mglib import __version__, paths
from mglib.errors import MglibError, unknown

KINDS = (
    *("datasets", "perceptors", "algorithms", "bodies", "transfers"),
    *("missing_methods", "laws", "pairings", "notebooks"),
)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are MglibError, with the nearest option."""

    def error(self, message: str) -> NoReturn:
        """Raise MglibError instead of printing the usage."""
        raise MglibError(f"{message}; see `{self.prog} --help`")


def _parser() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="mglib",
        description="What carries over when a model meets a modality it was "
        "not trained for, or loses one that it was?",
    )
    parser.add_argument("--version", action="version", version=f"mglib {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    made: dict[str, Parser] = {}

    def command(name: str, text: str) -> Parser:
        made[name] = commands.add_parser(name, help=text, description=text)
        return made[name]

    one = command("list", f"what can be named: {', '.join(KINDS)}")
    one.add_argument("kind", nargs="?", help=", ".join(KINDS))
    one.add_argument("--json", action="store_true", help="machine-readable")

    one = command("prepare", "download, generate and encode datasets into the feature store")
    one.add_argument("dataset", nargs="+", help="names; `mglib list datasets` shows them")
    one.add_argument(
        "--perceptor",
        action="append",
        metavar="P",
        help="only this one, such as frozen or bound@pairs=20 (repeatable)",
    )
    one.add_argument(
        "--modality", action="append", help="these modalities (default: the core ones)"
    )
    one.add_argument(
        "--splits", type=int, metavar="N", help="split seeds 0 to N-1 (default: the standard ones)"
    )

    one.add_argument(
        "--from", dest="bundle", metavar="FILE", help="first take what an archive of `bundle` holds"
    )

    one = command("bundle", "prepared features in one archive, for machines without a network")
    one.add_argument("file", help="such as features.zip")
    one.add_argument("dataset", nargs="*", help="names (default: all that is prepared)")

    one = command(
        "import-features", "feature files that others extracted, such as ModalBed's, into the store"
    )
    one.add_argument("file", nargs="+", help="such as MSR_VTT_imagebind.h5")
    one.add_argument("--index", metavar="FILE", help="modalities.json (default: beside each file)")
    one.add_argument("--dataset", help="of the files (default: as their names say)")
    one.add_argument("--perceptor", help="that made them (default: as their names say)")

    one = command("run", "run notebooks with parameters, through papermill")
    one.add_argument("notebook", nargs="+", help="a name such as 20_weak_generalization, or a path")
    one.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a notebook parameter (repeatable)",
    )
    one.add_argument("--profile", help="quick, laptop or reference")
    one.add_argument("--device", help="auto, cpu or cuda")
    one.add_argument("--estimate", action="store_true", help="only say trials, hours and gigabytes")
    one.add_argument("--no-notebook", action="store_true", help="run the cells without Jupyter")

    one = command("paper", "run what is missing and render the paper (Snakemake knows the order)")
    one.add_argument("--profile", default="laptop", help="quick, laptop or reference (laptop)")
    one.add_argument("--to", default="all", choices=("html", "pdf", "all"))

    one.add_argument("--road", default="auto", help="auto (Quarto if there), quarto or built-in")
    one.add_argument(
        "--render", action="store_true", help="compute nothing: render the committed rows"
    )

    one = command("compare", "what was computed here beside the committed reference rows")
    one.add_argument("experiment", nargs="*", help="names (default: all with committed rows)")
    one.add_argument("--profile", default="laptop", help="of the fresh rows (laptop)")
    one.add_argument("--json", action="store_true", help="machine-readable: every cell")
    one.add_argument("--paper", action="store_true", help="write the paper's table of it")

    one = command("why", "what a key of rows stands for, what made them, whether it still holds")
    one.add_argument("key", help="a key, or the beginning of one")
    one.add_argument("--json", action="store_true", help="machine-readable")

    one = command("gc", "list rows, states and features that nothing asks for any more")
    one.add_argument("--delete", action="store_true", help="delete what is listed")

    one = command("bench", "speed side by side with what a user would run instead")
    one.add_argument("name", nargs="*", help="files of benchmarks/ (default: all of them)")
    one.add_argument("--quick", action="store_true", help="a look in under a minute, not a figure")
    one.add_argument("--json", action="store_true", help="machine-readable")

    one = command("check", "what works on this machine and what does not")
    one.add_argument("--json", action="store_true", help="machine-readable")
    return parser, made


def _list(args: argparse.Namespace) -> int:
    from mglib import registry
    from mglib.report.execution import notebooks

    if args.kind and args.kind not in KINDS:
        raise unknown("kind", args.kind, KINDS)
    found: dict[str, dict[str, str]] = {}
    for kind in (args.kind,) if args.kind else KINDS:
        if kind == "notebooks":
            found[kind] = notebooks()
        else:
            entries = getattr(registry, kind)
            found[kind] = {name: entries.about(name) for name in entries.names()}
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    for kind, entries in found.items():
        print(kind)
        for name, text in entries.items():
            print(f"  {name:<28} {text}")
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from mglib.features import STANDARD_SPLITS
    from mglib.perceptors.prepare import prepare
    from mglib.registry import datasets, perceptors

    for name in args.dataset:
        datasets.get(name)
    for name in args.perceptor or []:
        perceptors.get(name)
    splits = STANDARD_SPLITS if args.splits is None else args.splits
    if splits < 1:
        raise MglibError(f"--splits {splits}: at least 1 split is needed")
    if args.bundle:
        _take(args.bundle, args.dataset)
    chosen: dict[str, Any] = {"perceptors": tuple(args.perceptor)} if args.perceptor else {}
    for name in args.dataset:
        done = prepare(name, modalities=args.modality, split_seeds=range(splits), **chosen)
        for word in ("made", "rebuilt", "kept"):
            if stages := [item.stage for item in done if item.outcome == word]:
                last = f" to {stages[-1]}" if len(stages) > 1 else ""
                print(f"{name}: {word} {len(stages)} ({stages[0]}{last})")
    return 0


def _take(file: str, names: Sequence[str]) -> None:
    from mglib.perceptors.bundle import take_bundle

    found = take_bundle(Path(file), names)
    print(f"{file}: took {found.taken}, there already {found.kept}, of other code {found.outdated}")


def _bundle(args: argparse.Namespace) -> int:
    from mglib.perceptors.bundle import write_bundle

    count = write_bundle(Path(args.file), args.dataset)
    size = Path(args.file).stat().st_size / 2**20
    print(f"{args.file}: {count} feature files, {size:.0f} MiB")
    return 0


def _import_features(args: argparse.Namespace) -> int:
    from mglib.perceptors.import_features import import_features

    index = Path(args.index) if args.index else None
    for name in args.file:
        print(import_features(Path(name), index, args.dataset, args.perceptor).told())
    return 0


def _run(args: argparse.Namespace) -> int:
    from mglib.report.budget import overrun
    from mglib.report.execution import PROFILES, estimate_notebook, find_notebook, run_notebook
    from mglib.report.parameters import parameters_of, parse
    from mglib.shard import check_shard

    texts = dict(args.p)
    for name in ("profile", "device"):
        if getattr(args, name):
            texts[name] = getattr(args, name)
    notebooks = [find_notebook(name) for name in args.notebook]
    late = []
    given = [parse(texts, parameters_of(notebook), notebook.stem) for notebook in notebooks]
    if "profile" in texts and texts["profile"] not in PROFILES:
        raise unknown("profile", texts["profile"], PROFILES)
    check_shard(texts.get("shard", ""))
    if args.estimate:
        for notebook, values in zip(notebooks, given, strict=True):
            print(estimate_notebook(notebook, values))
        return 0
    for notebook, values in zip(notebooks, given, strict=True):
        started = time.monotonic()
        executed = run_notebook(notebook, values, plain=args.no_notebook)
        late += [overrun(notebook, values, time.monotonic() - started)]
        if executed:
            print(f"executed copy: {executed}")
    for line in filter(None, late):
        print(f"mglib: {line}", file=sys.stderr)
    return 1 if any(late) and os.environ.get("MGLIB_BUDGET") != "told" else 0


def _paper(args: argparse.Namespace) -> int:
    from mglib.report.execution import PROFILES
    from mglib.report.quarto import choose_road

    if args.profile not in PROFILES:
        raise unknown("profile", args.profile, PROFILES)
    road = choose_road(args.road)
    if args.render and not any(paths.results().glob("*.parquet")):
        raise MglibError(
            f"no reference rows in {paths.results()}: `mglib paper --profile reference` computes "
            "them (hours), `python -m mglib.report.publish` keeps them"
        )
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--profile",
        "profiles/local",
        "--config",
        f"profile={args.profile}",
        f"to={args.to}",
        f"road={road}",
        *(["render=yes"] if args.render else []),
    ]
    status = subprocess.run(command, cwd=paths.ROOT, check=False).returncode
    if status:
        raise MglibError(
            f"the paper was not built (Snakemake ended with status {status}; the first "
            "error above says why); what was finished is kept, run again to go on"
        )
    for ending in ("html", "pdf") if args.to == "all" else (args.to,):
        print(paths.report() / f"paper.{ending}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from mglib.report.compare import compare, listing, write
    from mglib.report.execution import PROFILES

    if args.profile not in PROFILES:
        raise unknown("profile", args.profile, PROFILES)
    found = compare(args.experiment, args.profile)
    if args.paper:
        write(found, args.profile)
    elif not any(found.values()):
        raise MglibError(
            f"no rows of profile {args.profile} to compare; `mglib run NOTEBOOK --profile "
            f"{args.profile}` computes them (with committed rows: {', '.join(found) or 'none'})"
        )
    elif args.json:
        print(json.dumps(listing(found), indent=1))
    else:
        for name, one in found.items():
            print(f"{name}: {one.told() if one else 'not computed here'}")
    for name, one in found.items():
        if one and one.beyond:
            worst = one.worst()
            print(
                f"mglib: {name}: {one.beyond} of {len(one.cells)} cells are beyond tolerance, "
                f"most of all {worst}; see `mglib compare`",
                file=sys.stderr,
            )
    return 1 if any(one and one.beyond for one in found.values()) else 0


def _why(args: argparse.Namespace) -> int:
    from mglib.keys.why import lines, why

    found = why(args.key)
    print(json.dumps(found, indent=1) if args.json else "\n".join(lines(found)))
    return 0


def _gc(args: argparse.Namespace) -> int:
    from mglib.keys.gc import gc

    print("\n".join(gc(args.delete)))
    return 0


def _bench(args: argparse.Namespace) -> int:
    from mglib.report.bench import run_benchmarks, table

    found = run_benchmarks(args.name, args.quick, lambda line: print(line, file=sys.stderr))
    print(json.dumps(found, indent=1) if args.json else table(found))
    return 0


def _check(args: argparse.Namespace) -> int:
    from mglib.report.check import check

    found = check()
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for item in found:
            print(f"{'ok ' if item['ok'] else 'no '} {item['name']:<22} {item['detail']}")
    return 0 if all(item["ok"] or not item["needed"] for item in found) else 1


def _quick_exit(arguments: Sequence[str], commands: dict[str, Parser]) -> None:
    """Name the nearest command before argparse lists them all."""
    word = next((a for a in arguments if not a.startswith("-")), None)
    if word is not None and word not in commands:
        raise unknown("command", word, commands)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return 0 done, 1 a check failed, 2 an error, 130 stopped."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    try:
        parser, commands = _parser()
        _quick_exit(arguments, commands)
        args, rest = parser.parse_known_args(arguments)
        if args.command is None:
            parser.print_help()
            return 2
        if rest:
            options = commands[args.command]._option_string_actions
            raise unknown(f"option of `mglib {args.command}`", rest[0], options)
        actions = {
            "list": _list,
            "prepare": _prepare,
            "import-features": _import_features,
            "bundle": _bundle,
            "run": _run,
            "paper": _paper,
            "compare": _compare,
            "why": _why,
            "gc": _gc,
            "bench": _bench,
            "check": _check,
        }
        return actions[args.command](args)
    except MglibError as error:
        if debug:
            raise
        print(f"mglib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mglib: stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
