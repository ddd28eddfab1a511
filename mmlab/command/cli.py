"""The ``mmlab`` command. Heavy imports stand inside the commands, so that help comes at once."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmlab import __version__
from mmlab.command.arena import arena
from mmlab.command.audit import audit_data
from mmlab.command.chat import chat
from mmlab.command.console import show_plan, show_scores, show_table
from mmlab.command.messages import sentence
from mmlab.command.tasks import task_app
from mmlab.paths import from_command
from mmlab.publish import commands
from mmlab.wording import visible

__all__ = ["app", "main"]

app = typer.Typer(
    name="mmlab",
    help="Multimodal models, derived, run and compared.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(no_args_is_help=True, help="Data sets: what there is, under which licence, and whether it is here.")
book = typer.Typer(no_args_is_help=True, help="The book: notebooks, their runs, the website.")
app.add_typer(data, name="data")
app.add_typer(book, name="book")
app.add_typer(arena, name="arena")
app.add_typer(task_app, name="task")
data.command("audit")(audit_data)
app.command("chat")(chat)
commands.add_to(book)

Profile = Literal["cpu", "gpu"]


Out = Annotated[Path, typer.Option(help="Folder for results.", parser=from_command)]
Names = Annotated[list[str] | None, typer.Argument(help="Names; all if none is given.")]


def main() -> None:
    """Run the command; what goes wrong is one sentence on standard error, and the exit code 1."""
    if sys.stdout is None:  # the caller closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # for the rest of the process
    warnings.showwarning = _warn
    try:
        app()
    except Exception as error:
        if os.environ.get("MMLAB_DEBUG"):
            raise
        print(f"mmlab: {visible(sentence(error))}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None


def _warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"mmlab: {message}", file=sys.stderr)  # noqa: T201


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        _print(f"mmlab {__version__}")
        raise typer.Exit


@app.command("methods")
def list_methods(stem: Annotated[str | None, typer.Argument(help="Show this method's card.")] = None) -> None:
    """List the methods, or show the card of one."""
    from mmlab.registry import list_methods

    if stem is None:
        rows = [[name, card.family, ", ".join(card.inputs), card.summary] for name, card in list_methods().items()]
        show_table(["method", "family", "inputs", "what it does"], rows)
        return
    from mmlab.wording import nearest

    if stem not in list_methods():
        raise ValueError(f"There is no method {stem!r}: {nearest(stem, list_methods())}")
    card = list_methods()[stem]
    claims = "; ".join(f"{claim.metric} {claim.direction} than {claim.baseline}" for claim in card.claims)
    facts = {"name": card.name, "family": card.family, "paper": card.paper, "summary": card.summary}
    facts |= {"inputs": ", ".join(card.inputs), "outputs": ", ".join(card.outputs), "claims": claims}
    show_table([stem, ""], [[name, value] for name, value in facts.items()])


@app.command()
def new(
    stem: Annotated[str, typer.Argument(help="Name of the method, as in late_fusion.")],
    chapter: Annotated[str, typer.Option(help="A chapter that is there and will tell of it, too.")] = "",
) -> None:
    """Scaffold a method: module, chapter, test, contents line, reference."""
    from mmlab.command.scaffold import new_method
    from mmlab.publish.project import find_root

    root = find_root()
    for path in new_method(stem, root, chapter):
        _print(str(path.relative_to(root)))
    _print("Now write the method. `make test` says what is missing.")


@data.command("list")
def list_data() -> None:
    """List the data sets that mmlab knows."""
    from mmlab.command.datasets import worlds
    from mmlab.data.files.registry import sources, where

    rows = [[name, "made here", "", "yes", title] for name, title in worlds().items()]
    for name, source in sources().items():
        size = sum(file.bytes for file in source.files.values()) / 2**20
        here = "yes" if where(name).is_dir() else "no"
        rows.append([name, source.access, f"{size:.1f}" if size else "", here, source.title])
    show_table(["name", "access", "MiB", "here", "title"], rows, width=80)
    _print("`mmlab data show NAME` tells the licence of one, whom to cite and how to get it.")


@data.command()
def show(name: str) -> None:
    """Show what is known of a data set: licence, citation, access, files."""
    from mmlab.command.datasets import worlds
    from mmlab.data.files.registry import source, where

    if name in worlds():
        show_table(
            [name, ""], [["title", worlds()[name]], ["licence", "made by mmlab itself, without restrictions"]], 80
        )
        return
    entry = source(name)
    facts = {"title": entry.title, "description": entry.description, "licence": entry.licence}
    facts |= {"address of the licence": entry.licence_url or "", "cite": entry.citation, "access": entry.access}
    facts |= {"how to get it": entry.how_to_get, "addresses": ", ".join(entry.addresses)}
    facts |= {"files": ", ".join(entry.files), "folder": str(where(name)), "print": entry.acknowledgement or ""}
    show_table([name, ""], [[fact, value] for fact, value in facts.items() if value], 80)


@data.command()
def fetch(name: str) -> None:
    """Download a data set, or say who grants access and where its files belong."""
    from mmlab.data.files import registry

    _print(str(registry.fetch(name)))


@data.command()
def verify(names: Names = None) -> None:
    """Compare the files of data sets with their known hashes; without names, of all that are here."""
    from mmlab.data.files import registry

    chosen = names or [name for name, s in registry.sources().items() if s.files and registry.where(name).is_dir()]
    reports = [registry.verify(name) for name in chosen]
    for report in reports:
        _print(str(report))
    if not reports:
        _print("No data set is here. MMLAB_DATA names the folder that holds them.")
    if not all(report.ok for report in reports):
        raise typer.Exit(1)


@data.command()
def where(name: str) -> None:
    """Print the folder of a data set."""
    from mmlab.data.files import registry

    _print(str(registry.where(name)))


@book.command()
def sync(
    stems: Names = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if anything is out of sync.")] = False,
) -> None:
    """Make the .ipynb files from their sources, the README's table, API pages and picture of the house."""
    from mmlab.command.api import refresh_api
    from mmlab.command.house import refresh_house
    from mmlab.command.scaffold import refresh_readme
    from mmlab.command.tasks import refresh_tasks
    from mmlab.publish import project
    from mmlab.publish import sync as sync_notebooks

    root = project.find_root()
    # Pages first: a notebook may link to the API page of a method that is new.
    made = [] if check else [refresh(root) for refresh in (refresh_readme, refresh_house, refresh_api, refresh_tasks)]
    written = sync_notebooks(stems or None, check)
    for path in [*(path for paths in made for path in paths), *written]:
        _print(f"wrote {path.relative_to(root)}")


@book.command()
def execute(
    stems: Names = None,
    profile: Profile = "cpu",
    workers: int = 2,
    out: Out = Path("out"),
    force: bool = False,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler whose workers run them.")] = None,
) -> None:
    """Run chapters whose inputs changed."""
    from mmlab.publish import execute_all
    from mmlab.publish.chapter import chapters
    from mmlab.publish.project import find_root

    chosen = stems or [chapter.stem for chapter in chapters(find_root())]
    if scheduler is not None:
        from mmlab.publish.run.scheduler import execute_on

        receipts = execute_on(scheduler, chosen, profile=profile, out=out, force=force)
    else:
        receipts = execute_all(chosen, profile=profile, workers=workers, out=out, force=force)
    for receipt in receipts:
        _print(f"{receipt.stem}: {'unchanged' if receipt.cached else f'{receipt.seconds:.1f} s'}")


@book.command()
def build(profile: Profile = "cpu", out: Out = Path("out")) -> None:
    """Render the website from chapters that ran."""
    from mmlab.publish import build as build_site

    _print(f"The site is at {build_site(profile, out)}")


@book.command("all")
def whole(profile: Profile = "cpu", workers: int = 2, out: Out = Path("out"), force: bool = False) -> None:
    """Check, run what changed, render, and say what it took."""
    from mmlab.publish import book as make_book

    raise typer.Exit(make_book(profile, workers, out, force))


@book.command()
def serve(out: Out = Path("out"), port: int = 8000) -> None:
    """Show the website on this machine."""
    import functools
    import http.server

    from mmlab.publish.project import find_root

    if not 0 <= port < 2**16:
        raise ValueError(f"port is {port}: choose one from 1024 to 65535, or 0 for any that is free.")
    site = find_root() / out / "site"
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"There is no website in {site} yet: run `make book` first.")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise OSError(f"Port {port} cannot be used ({error.strerror}): choose another one, or --port 0.") from None
    with server:
        _print(f"http://127.0.0.1:{server.server_port} (Ctrl-C stops it)")
        server.serve_forever()


Data = Annotated[str, typer.Option("--data", help="Name in `mmlab data list`, or folder:PATH of your own.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Constructor argument key=value; may be repeated.")]
DataSet = Annotated[list[str] | None, typer.Option("--data-set", help="Argument key=value of the dataset.")]


@app.command()
def train(
    method: Annotated[str, typer.Argument(help="Stem of the method, see `mmlab methods`.")],
    data: Data,
    settings: Set = None,
    data_settings: DataSet = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Items per step.")] = 64,
    fit: Annotated[list[str] | None, typer.Option(help="Argument key=value of mmlab.fit, as in lr=3e-4.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoint, history and weights.", parser=from_command)
    ] = None,
    tracker: Annotated[list[str] | None, typer.Option(help="tensorboard or wandb; may be repeated.")] = None,
    test_share: Annotated[float, typer.Option(help="Share of the items for the test.", show_default="1/3")] = 1 / 3,
    seed: Annotated[int, typer.Option(help="Of split, weights, order and noise.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and stop.")] = False,
) -> None:
    """Train a method on a dataset, measure it on the test items, and save it with a model card."""
    import mmlab
    from mmlab.command import experiment, scoring
    from mmlab.command.arguments import parse
    from mmlab.command.estimate import plan

    taken = ("method", "dataset", "validation", "steps", "batch_size", "out", "seed")
    out = out or Path("out") / "train" / f"{method}-{Path(data).name.replace(':', '-')}"
    options = parse(mmlab.fit, fit or (), taken)
    options["trackers"] = [*options.get("trackers", ()), *(tracker or ())]
    experiment.check_options(options, steps=steps, batch_size=batch_size, seed=seed, out=out)
    items = experiment.load_data(data, data_settings or (), test_share, seed)
    made = experiment.build(method, items, settings or (), seed)
    if dry_run:
        average = options.get("ema_decay") is not None
        show_plan(made, plan(made, items.train, steps=steps, batch_size=batch_size, average=average, seed=seed))
        return
    experiment.learn(made, items, **options, steps=steps, batch_size=batch_size, out=out, seed=seed)
    rows = scoring.evaluate(made, items, seed=seed)
    show_scores(rows)
    experiment.save(made, items, rows, out / "model")
    history = f", the history in {out / 'history.csv'}" if (out / "history.csv").is_file() else ""
    _print(f"The method is in {out / 'model'}{history}.")


Folder = Annotated[Path, typer.Argument(help="Where `mmlab train` saved a method.", parser=from_command)]
OtherData = Annotated[str | None, typer.Option("--data", help="Another dataset than that of the training.")]


@app.command()
def evaluate(
    folder: Folder,
    data: OtherData = None,
    data_settings: DataSet = None,
    draws: Annotated[int, typer.Option(help="Samples per item whose mean is the prediction.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
) -> None:
    """Measure a saved method on the test items, beside the baselines."""
    from mmlab.command import experiment, scoring

    method, items = experiment.load_saved(folder, data, data_settings)
    show_scores(scoring.evaluate(method, items, draws=draws, seed=seed))


@app.command()
def sample(
    folder: Folder,
    data: OtherData = None,
    data_settings: DataSet = None,
    out: Annotated[Path, typer.Option(help="File to write, .npz.", parser=from_command)] = Path("samples.npz"),
    settings: Annotated[list[str] | None, typer.Option("--set", help="Argument key=value of the sampler.")] = None,
    draws: Annotated[int, typer.Option(help="Samples per item.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
) -> None:
    """Draw samples for the test items: an array `samples` of shape (draws, items, ...), and the `items`."""
    import io

    import numpy as np

    from mmlab.command import experiment, scoring
    from mmlab.store.folders import refuse_other_arrays, write_whole

    if out.suffix != ".npz":
        raise ValueError(f"Samples are written as .npz, not as {out.suffix or 'a file without a suffix'}.")
    refuse_other_arrays(out, ("samples", "items"))
    method, items = experiment.load_saved(folder, data, data_settings)
    drawn = scoring.draw(method, items.test, draws, seed, settings or ()).numpy()
    content = io.BytesIO()
    np.savez(content, samples=drawn, items=np.array(getattr(items.test, "subjects", range(len(items.test)))))
    write_whole(out, content.getvalue())
    _print(f"{out}: samples of shape {drawn.shape}")


def _print(text: str) -> None:
    typer.echo(text)


if __name__ == "__main__":
    main()
