"""The `mglib` command: status 0 only if what was asked was done, errors as one line on stderr."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from mglib import __version__, paths
from mglib.errors import MglibError, unknown

KINDS = ("datasets", "perceptors", "algorithms", "notebooks")


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

    one = command("list", "what can be named: datasets, perceptors, algorithms, notebooks")
    one.add_argument("kind", nargs="?", help=", ".join(KINDS))
    one.add_argument("--json", action="store_true", help="machine-readable")

    one = command("prepare", "download, generate and encode datasets into the feature store")
    one.add_argument("dataset", nargs="+", help="names; `mglib list datasets` shows them")
    one.add_argument("--perceptor", action="append", help="only this perceptor (repeatable)")
    one.add_argument(
        "--modality", action="append", help="these modalities (default: the core ones)"
    )
    one.add_argument(
        "--splits", type=int, metavar="N", help="split seeds 0 to N-1 (default: the standard ones)"
    )

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
    one.add_argument("--no-notebook", action="store_true", help="run the cells without Jupyter")

    one = command("paper", "run what is missing and render the paper (Snakemake knows the order)")
    one.add_argument("--profile", default="laptop", help="quick, laptop or reference (laptop)")
    one.add_argument("--to", default="all", choices=("html", "pdf", "all"))

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
            found[kind] = {
                name: (entries.get(name).__doc__ or "").strip().splitlines()[0]
                for name in entries.names()
            }
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
    chosen: dict[str, Any] = {"perceptors": tuple(args.perceptor)} if args.perceptor else {}
    for name in args.dataset:
        done = prepare(name, modalities=args.modality, split_seeds=range(splits), **chosen)
        for word in ("made", "rebuilt", "kept"):
            if stages := [item.stage for item in done if item.outcome == word]:
                last = f" to {stages[-1]}" if len(stages) > 1 else ""
                print(f"{name}: {word} {len(stages)} ({stages[0]}{last})")
    return 0


def _run(args: argparse.Namespace) -> int:
    from mglib.report.execution import find_notebook, run_notebook
    from mglib.report.parameters import parameters_of, parse

    texts = dict(args.p)
    for name in ("profile", "device"):
        if getattr(args, name):
            texts[name] = getattr(args, name)
    notebooks = [find_notebook(name) for name in args.notebook]
    given = [parse(texts, parameters_of(notebook), notebook.stem) for notebook in notebooks]
    for notebook, values in zip(notebooks, given, strict=True):
        executed = run_notebook(notebook, values, plain=args.no_notebook)
        if executed:
            print(f"executed copy: {executed}")
    return 0


def _paper(args: argparse.Namespace) -> int:
    from mglib.report.execution import PROFILES

    if args.profile not in PROFILES:
        raise unknown("profile", args.profile, PROFILES)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--profile",
        "profiles/local",
        "--config",
        f"profile={args.profile}",
        f"to={args.to}",
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
            "run": _run,
            "paper": _paper,
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
