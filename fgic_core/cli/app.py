"""The commands, their options and their help. What each does stands in a module of its own, imported when called."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

# Typer's rich help costs 0.25 s of import at every `--help`; its plain help costs nothing.
_SETTINGS = {
    "rich_markup_mode": None,
    "add_completion": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

app = typer.Typer(
    name="fgic",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Fine-grained image classification from plugins: one spec, swappable backends, one ruler.",
    **_SETTINGS,  # type: ignore[arg-type]
)
plugins = typer.Typer(invoke_without_command=True, help="List the installed components, or show one.", **_SETTINGS)  # type: ignore[arg-type]
app.add_typer(plugins, name="plugins")
data = typer.Typer(no_args_is_help=True, help="Convert data sets.", **_SETTINGS)  # type: ignore[arg-type]
app.add_typer(data, name="data")
stores = typer.Typer(no_args_is_help=True, help="See what lies in the store, and tidy it up.", **_SETTINGS)  # type: ignore[arg-type]
app.add_typer(stores, name="store")

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, such as classifier.with.epochs=1. Repeatable."),
]
Store = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Where artifacts are kept; $FGIC_STORE or .fgic/store by default."),
]
RunStore = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Where the run's artifacts are kept; found by itself in a project."),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every file again; believe no digest that was taken before.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(asked: bool) -> None:
    if asked:
        from fgic_core import __version__

        typer.echo(f"fgic {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, as FGIC_DEBUG=1 does.")] = False,
) -> None:
    if debug:
        os.environ["FGIC_DEBUG"] = "1"


@app.command()
def pipeline(
    spec: Spec,
    overrides: Overrides = None,
    until: Annotated[str | None, typer.Option(metavar="STEP", help="Stop after this step.")] = None,
    only: Annotated[
        str | None, typer.Option(metavar="STEP", help="Run this step alone; its inputs must be in the store.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute every step anew.")] = False,
    verify: Verify = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(metavar="N", min=1, help="How many devices a classifier trains on.")] = 1,
    store: Store = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where run directories are made; runs by default.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the run directory and errors alone.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML report.")] = False,
    isolate: Annotated[
        bool,
        typer.Option("--isolate", help="Compute each step, and what it learns, in a process of its own, used once."),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            min=1,
            help="How many steps, or trainings of a step, to compute at once, each in a process of its own. Of those "
            "that use a GPU one at a time on each GPU: with --device cuda or auto on all there are.",
        ),
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="T",
            min=1,
            help="Threads of each of them. By default the machine's, divided by --jobs. The last bits of the numbers "
            "depend on it, and not on --jobs.",
        ),
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End a study once one of its runs has failed.")
    ] = False,
    reports: Annotated[
        bool, typer.Option("--reports", help="Write the HTML report of every run of a study too.")
    ] = False,
) -> None:
    """Run a spec, or every run of its study: compute the steps that the store does not have, and write a report."""
    from fgic_core.cli.pipeline import run_pipeline

    code = run_pipeline(
        spec,
        overrides or [],
        until=until,
        only=only,
        fresh=fresh,
        verify=verify,
        device=device,
        devices=devices,
        store=store,
        runs=runs,
        quiet=quiet,
        report=not no_report,
        isolation="step" if isolate else "run",
        jobs=jobs,
        threads=threads,
        fail_fast=fail_fast,
        reports=reports,
    )
    raise typer.Exit(code)


@app.command()
def check(
    spec: Spec, overrides: Overrides = None, store: Store = None, verify: Verify = False, as_json: AsJson = False
) -> None:
    """Check a spec; print how its steps are wired and which would be computed, and why. Runs nothing.

    Of a spec with a study it prints the runs, what they share, and what computing them may take.
    """
    from fgic_core.cli.check import print_plan

    print_plan(spec, overrides or [], store, as_json, verify=verify)


@app.command()
def predict(
    model: Annotated[
        Path,
        typer.Argument(metavar="RUN_OR_MODEL", help="A run directory, such as runs/dogs/latest, or a model's folder."),
    ],
    pictures: Annotated[
        list[Path], typer.Argument(metavar="IMAGE_OR_FOLDER...", help="Pictures, and folders to search for them.")
    ],
    top: Annotated[int, typer.Option(metavar="K", min=1, help="How many classes to print.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each picture.")] = False,
    cam: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write pictures with the explainer's map on them to this folder.")
    ] = None,
    explainer: Annotated[str, typer.Option(metavar="KIND/NAME", help="Makes the maps of --cam.")] = "explainer/cam",
    step: Annotated[
        str | None, typer.Option(metavar="NAME", help="The classifier's step, where a run has several.")
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="X1,Y1,X2,Y2", help="Where the object is, in pixels, in place of the run's detector."),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Take whole pictures, whatever the run cropped to.")] = False,
    alone: Annotated[
        bool, typer.Option("--model", help="Use the run's classifier alone, on whole pictures, and draw on its input.")
    ] = False,
    device: Device = "auto",
    store: RunStore = None,
) -> None:
    """Name what is on pictures, with a run's trained pipeline (find, cut, classify, explain) or a model alone."""
    from fgic_core.cli.predict import print_predictions

    raise typer.Exit(
        print_predictions(
            model,
            pictures,
            top=top,
            as_json=as_json,
            cam=cam,
            explainer=explainer,
            step=step,
            device=device,
            store=store,
            box=box,
            whole=whole,
            alone=alone,
        )
    )


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories, such as runs/dogs/latest; two or more.")
    ],
    step: Annotated[
        list[str] | None,
        typer.Option(
            "--step",
            metavar="NAME",
            help="Whose number is compared, where a run has several that measured it. Once for all runs, or once each.",
        ),
    ] = None,
    measure: Annotated[
        str, typer.Option(metavar="QUANTITY", help="A mean over test pictures: accuracy, loss, robust_accuracy, ...")
    ] = "accuracy",
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="NAME=VALUE", help="At what it was measured, such as eps=4/255. Repeatable."),
    ] = None,
    as_json: AsJson = False,
    store: RunStore = None,
) -> None:
    """Compare the models of runs over the same test pictures: difference, errors in common, what a vote would gain."""
    from fgic_core.cli.compare import print_comparison

    print_comparison(runs, step or [], measure, at or [], store, as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, or a study's: runs/dogs/latest.")],
    store: RunStore = None,
) -> None:
    """Write the report of a run again, or that of a study with its tables."""
    from fgic_core.store.study import is_study

    if is_study(run):
        from fgic_core.cli.study import report_study

        typer.echo(report_study(run, store))
        return
    from fgic_core.cli.output import warn
    from fgic_core.report import write_report

    typer.echo(write_report(run, store, warn))


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it here instead of printing it.")
    ] = None,
) -> None:
    """Print the JSON Schema of specs with everything installed, for completion in an editor."""
    from fgic_core.cli.schema import print_schema

    print_schema(output)


@plugins.callback()
def _plugins(
    context: typer.Context,
    load: Annotated[bool, typer.Option("--load", help="Import each, and say which fail and why.")] = False,
    as_json: AsJson = False,
) -> None:
    if context.invoked_subcommand is None:
        from fgic_core.cli.plugins import print_plugins

        raise typer.Exit(print_plugins(load, as_json))


@plugins.command("show")
def _show(
    uses: Annotated[str, typer.Argument(metavar="KIND/NAME", help="A component, such as classifier/timm.")],
    as_json: AsJson = False,
) -> None:
    """Print what a component does and its options: types, defaults, descriptions."""
    from fgic_core.cli.plugins import print_component

    print_component(uses, as_json)


@data.command("convert")
def _convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A spec; a reader, such as dataset/image-folder, whose options --set gives (--set root=pictures); or "
            "the folder of a run or of a data set.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write: an empty one, or a new one.")
    ],
    to: Annotated[Literal["coco"], typer.Option("--to", help="The format.")] = "coco",
    copy_pictures: Annotated[
        bool, typer.Option("--copy-pictures", help="Copy the pictures too, to the folder's images/.")
    ] = False,
    step: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The step of a spec or a run; by default the first that reads a data set."),
    ] = None,
    overrides: Overrides = None,
    store: Store = None,
) -> None:
    """Write a data set as COCO files, and print how a spec reads them."""
    from fgic_core.cli.convert import convert

    raise typer.Exit(convert(source, output, overrides or [], step=step, store=store, copy_pictures=copy_pictures))


@stores.command("ls")
def _ls(store: Store = None, as_json: AsJson = False) -> None:
    """Print what lies in the store: what made it, how large it is, and which steps use it."""
    from fgic_core.cli.store import print_contents
    from fgic_core.pipeline import default_store

    raise typer.Exit(print_contents(store or default_store(), as_json))


@stores.command("verify")
def _verify(store: Store = None, as_json: AsJson = False) -> None:
    """Read every file of the store, and name the artifacts that are damaged."""
    from fgic_core.cli.store import print_damages
    from fgic_core.pipeline import default_store

    raise typer.Exit(print_damages(store or default_store(), as_json))


@stores.command("gc")
def _gc(
    store: Store = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Where run directories lie whose artifacts are needed; runs by default."),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it, and do not only print it.")] = False,
) -> None:
    """Print, or remove, what neither the last run of a spec nor a run directory needs any more."""
    from fgic_core.cli.store import collect
    from fgic_core.pipeline import default_store

    raise typer.Exit(collect(store or default_store(), runs, delete=delete))


@stores.command("forget")
def _forget(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of specs, as store ls has them.")],
    store: Store = None,
) -> None:
    """Forget the last run of a spec that is no longer used, so that gc removes what it kept."""
    from fgic_core.cli.store import forget_specs
    from fgic_core.pipeline import default_store

    raise typer.Exit(forget_specs(store or default_store(), names))


def run(arguments: list[str] | None = None) -> int:
    """Run a command; every exception becomes a message and an exit code.

    Args:
        arguments: what follows ``fgic``; by default that of the process.
    """
    from fgic_core.cli.output import flush, report_exception
    from fgic_core.run.interrupts import Interrupts

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot write is escaped, not an exception
            stream.reconfigure(errors="backslashreplace")
    try:
        with Interrupts(sigterm=False):
            code = typer.main.get_command(app).main(arguments, prog_name="fgic", standalone_mode=False)
    except SystemExit as exit_:
        if exit_.code in (0, None):  # no command of ours ends so: a plugin did, and what was asked for is not done
            return report_exception(RuntimeError(f"sys.exit({exit_.code}) was called in the middle of the command"))
        return flush(exit_.code if isinstance(exit_.code, int) else 1)
    except (Exception, KeyboardInterrupt) as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a mistake in the command line, as typer tells it
            error.show()
            return flush(error.exit_code)
        return report_exception(KeyboardInterrupt() if isinstance(error.__cause__, KeyboardInterrupt) else error)
    return flush(code if isinstance(code, int) else 0)
