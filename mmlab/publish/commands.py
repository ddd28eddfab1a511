"""The commands of ``mmlab book`` that make and check releases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmlab.paths import from_command

__all__ = ["add_to"]

Profile = Literal["cpu", "gpu"]


Out = Annotated[Path, typer.Option(help="Folder for results.", parser=from_command)]


def add_to(app: typer.Typer) -> None:
    """Add the commands to a group."""
    app.command("release")(_release)
    app.command("pdf")(_pdf)
    app.command("rebuild")(_rebuild)


def _release(
    profile: Profile = "cpu",
    out: Out = Path("out"),
    dist: Annotated[Path, typer.Option(help="Folder for the archive.", parser=from_command)] = Path("dist"),
    pdf: Annotated[bool, typer.Option(help="Print the book to a PDF too, if there is a browser.")] = True,
) -> None:
    """Pack the site, the runs behind it and their sources into one archive."""
    from mmlab.publish.release import release

    archive = release(profile, out, dist)
    typer.echo(f"The release is {archive} ({archive.stat().st_size / 2**20:.1f} MiB).")
    if pdf:
        from mmlab.publish.site.pdf import PdfError, find_browser

        try:
            find_browser()
        except PdfError as error:  # the archive is whole without it
            typer.echo(str(error))
            return
        _pdf(dist / archive.name.replace(".tar.gz", ".pdf"), out)


def _pdf(
    target: Annotated[Path, typer.Argument(help="File to write.", parser=from_command)] = Path("dist/mmlab.pdf"),
    out: Out = Path("out"),
) -> None:
    """Print the website to one PDF. It takes Chromium or Chrome."""
    from mmlab.publish.site.pdf import pdf

    written = pdf(target, out)
    typer.echo(f"The PDF is {written} ({written.stat().st_size / 2**20:.1f} MiB).")


def _rebuild(
    archive: Annotated[Path, typer.Argument(help="What `mmlab book release` wrote.", parser=from_command)],
    stem: Annotated[str | None, typer.Argument(help="The chapter; without it, the first one.")] = None,
    into: Annotated[Path, typer.Option(help="Folder to unpack to.", parser=from_command)] = Path("out/rebuilt"),
    profile: Profile = "cpu",
    tolerance: Annotated[float, typer.Option(help="Relative difference that passes for equal.")] = 1e-3,
) -> None:
    """Check a release, run one of its chapters again, and compare what it measured."""
    from mmlab.publish.rebuild import rebuild

    found = rebuild(archive, stem, into, profile=profile, tolerance=tolerance)
    stem = found.again.stem
    inputs = f"inputs differ: {found.changed}" if found.changed else "its inputs are as released"
    typer.echo(f"All files are as released. {stem} ran again in {found.again.seconds:.1f} s; {inputs}.")
    for name in found.differing:
        old, new = found.metrics[name]
        typer.echo(f"  {name}: {old} as released, {new} now")
    typer.echo(f"{len(found.metrics) - len(found.differing)} of {len(found.metrics)} metrics are as released.")
    typer.echo(f"The executed notebook is {found.notebook}")
    if found.differing:
        raise typer.Exit(1)
