"""``mmlab arena``: blind competitions, from the plan to the report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmlab.paths import expand

if TYPE_CHECKING:
    from mmlab.arena.competition import Competition
    from mmlab.arena.store import Store

__all__ = ["arena"]

arena = typer.Typer(no_args_is_help=True, help="Blind competitions: people judge, and nobody knows whose answers.")


def _path(text: str | Path) -> Path:
    return expand(text, "A path of the command")


File = Annotated[Path, typer.Argument(help="The competition, a .toml file.", parser=_path)]
Where = Annotated[
    str | None, typer.Option("--store", help="SQLite file or postgresql+psycopg://...; default: beside the file.")
]


@arena.command()
def serve(
    competition: File,
    store: Where = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for other machines.")] = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Show the page to respondents. MMLAB_ARENA_SECRET is the administrator's password; without it one is made."""
    import secrets

    from mmlab.arena.server import serve as run

    if not 1 <= port < 2**16:
        raise ValueError(f"port is {port}: choose one from 1024 to 65535.")
    secret = os.environ.get("MMLAB_ARENA_SECRET", "")
    with _open(competition, store) as opened:
        typer.echo(f"http://{host}:{port} (Ctrl-C stops it)")
        if not secret:
            secret = secrets.token_urlsafe(12)
            typer.echo(f"http://{host}:{port}/admin with the password {secret} shows how far it is.")
        run(opened, secret, host, port)


@arena.command()
def invite(
    competition: File,
    count: Annotated[int, typer.Option(help="How many.")] = 10,
    address: Annotated[str, typer.Option(help="Where the page is.")] = "http://127.0.0.1:8000",
    store: Where = None,
) -> None:
    """Make invitations, and print a link for each. They are not stored: these are the only copies."""
    with _open(competition, store) as opened:
        for token in opened.invite(count):
            typer.echo(f"{address.rstrip('/')}/#{token}")


@arena.command()
def export(
    competition: File,
    out: Annotated[Path, typer.Option(help="File to write, .jsonl or .csv.", parser=_path)] = Path("votes.jsonl"),
    store: Where = None,
) -> None:
    """Write every vote as a row, with the hidden mapping joined."""
    from mmlab.arena.votes import write_votes

    with _open(competition, store, must_exist=True) as opened:
        votes = opened.votes()
    typer.echo(f"{write_votes(votes, out)}: {len(votes)} votes")


@arena.command("import")
def import_votes(
    source: Annotated[
        Path, typer.Argument(help="Votes as Chatbot Arena publishes them, .json or .jsonl.", parser=_path)
    ],
    out: Annotated[Path, typer.Option(help="File to write, .jsonl or .csv.", parser=_path)] = Path("votes.jsonl"),
) -> None:
    """Turn the votes of others into rows that `mmlab arena report` reads."""
    from mmlab.arena.votes import read_chatbot_arena, write_votes

    votes = read_chatbot_arena(source)
    typer.echo(f"{write_votes(votes, out)}: {len(votes)} votes")


@arena.command()
def report(
    source: Annotated[
        Path, typer.Argument(help="The competition, a .toml file, or votes, .jsonl or .csv.", parser=_path)
    ],
    out: Annotated[Path, typer.Option(help="Folder for page and table.", parser=_path)] = Path("report"),
    store: Where = None,
) -> None:
    """Write a page and a table: every number with n and interval, and a winner only if the interval supports one."""
    from mmlab.arena.report import write_report
    from mmlab.arena.results import judge
    from mmlab.arena.votes import read_votes

    if source.suffix == ".toml":
        with _open(source, store, must_exist=True) as opened:
            c, votes = opened.competition, opened.votes()
        texts = {item.name: {name: answer.text for name, answer in item.answers.items()} for item in c.items}
        said = any(text for answers in texts.values() for text in answers.values())
        found = judge(votes, texts=texts if said else None, attention_share=c.attention_share)
        title = c.title
    else:
        found, title = judge(read_votes(source)), source.stem
    page, table = write_report(found, out, title)
    typer.echo(found.verdict())
    typer.echo(f"{page}\n{table}")


@arena.command()
def plan(
    share: Annotated[float, typer.Argument(help="Share of votes that should be told from one half, as 0.6.")],
    power: Annotated[float, typer.Option(help="Chance to tell it.")] = 0.8,
    items: Annotated[int | None, typer.Option(help="Number of items, if it is given.")] = None,
    respondents: Annotated[int | None, typer.Option(help="Number of respondents, if it is given.")] = None,
    respondent_spread: Annotated[float, typer.Option(help="Deviation of log-odds between respondents.")] = 0.5,
    item_spread: Annotated[float, typer.Option(help="Deviation of log-odds between items.")] = 0.8,
) -> None:
    """How many respondents and items does it take, if each judges every item?"""
    from mmlab.compare import power as powers

    options: dict[str, Any] = {"respondent_spread": respondent_spread, "item_spread": item_spread}
    if items and respondents:
        chance = powers.power(respondents, items, share, **options)
        typer.echo(f"{respondents} respondents and {items} items tell it with a chance of {chance:.0%}.")
        return
    found = powers.plan(share, wanted=power, items=items, respondents=respondents, **options)
    if found is None:
        typer.echo(
            f"No number of {'respondents' if items else 'items'} is enough: "
            f"take more {'items' if items else 'respondents'}."
        )
        raise typer.Exit(1)
    typer.echo(f"{found.respondents} respondents and {found.items} items tell it with a chance of {found.power:.0%}.")
    typer.echo(
        f"(Independent votes, each of another person on another item: {powers.independent_votes(share, power)}.)"
    )


def _open(source: Path, store: str | None, must_exist: bool = False) -> Store:
    from mmlab.arena.competition import read_competition
    from mmlab.arena.store import Store

    competition: Competition = read_competition(source)
    address = store or str(source.with_suffix(".sqlite"))
    if must_exist and "://" not in address and not expand(address).is_file():
        raise FileNotFoundError(f"There is no store {address} yet: `mmlab arena serve {source}` makes it.")
    return Store(competition, address)
