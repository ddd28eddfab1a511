"""``mmlab chat``: talk with a saved model that reads, writes, finds and draws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmlab.paths import from_command

__all__ = ["chat"]

_HELP = "Words are said; /picture FILE shows a picture with what is said next; /new begins anew; /end ends."
_SMALL = (
    "No folder was given: the book's small model draws each line, by itself, and reads no pictures. It knows sentences "
    "such as: Generate an image with one large sessile polyp in the upper left. At its first use it is trained, which "
    "takes some minutes."
)


def chat(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Where the model and its tokenizer are; without it the book's small one draws.", parser=from_command
        ),
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="Folder of pictures' vectors, of VectorIndex.save.", parser=from_command)
    ] = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a diffusion pipeline that draws; without it, and without an index, the book's small base "
            "does, if the model fits it.",
            parser=from_command,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures.", parser=from_command)] = Path("out") / "chat",
    words: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of the drawings.")] = 0,
) -> None:
    """Talk with a model in the terminal: words and pictures in, words and pictures out."""
    talk = _talk(folder, index, pipeline, seed)
    how: dict[str, Any] = {"most_words": words}
    if folder is None:
        how = {"most_words": 1, "scale": 1e5}  # a picture at once
    typer.echo(_HELP)
    waiting: list[Any] = []
    count = 0
    for line in iter(_asked, None):
        command, _, rest = line.partition(" ")
        if command == "/end":
            return
        if command == "/new":
            talk.forget()
            waiting = []
        elif command == "/picture" and folder is None:
            typer.echo("The small model reads no pictures: give the folder of one that does.", err=True)
        elif command == "/picture":
            waiting.append(Path(rest.strip()))
        elif line:
            if folder is None:
                talk.forget()
            try:
                replies = talk.say(*waiting, line, progress=True, **how)
            except (ValueError, OSError) as problem:
                typer.echo(str(problem), err=True)
                replies = []
            waiting = []
            for reply in replies:
                count += reply.picture is not None
                typer.echo(_told(reply, out / f"{count:03}.png"))


def _talk(folder: Path | None, index: Path | None, pipeline: Path | None, seed: int) -> Any:
    """The conversation, with whatever finds and draws in it."""
    from mmlab.bases import drawing_gill as small
    from mmlab.bases.colonoscopy import tokenizer as small_tokenizer
    from mmlab.store.pipelines import load_pipeline
    from mmlab.store.vector_index import VectorIndex
    from mmlab.viz.talk import Talk

    if folder is None and index is not None:
        raise ValueError("--index needs the folder of a model that finds pictures: the book's small one only draws.")
    if folder is None:
        typer.echo(_SMALL)
        method, tokenizer = small.drawing_gill()[0], small_tokenizer()
    else:
        method, tokenizer = _loaded(folder)
    painter, drawing = None if pipeline is None else load_pipeline(pipeline), {}
    if painter is None and index is None and small.fits_the_base(method):
        painter, drawing = small.small_pipeline(), small.DRAWING
    found = None if index is None else VectorIndex.load(index)
    return Talk(method, tokenizer, found, pipeline=painter, seed=seed, progress=True, **drawing)


def _loaded(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a folder."""
    from transformers import AutoTokenizer

    from mmlab.methods.gill import GILL

    if not (folder / "tokenizer_config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no tokenizer: write it there with tokenizer.save_pretrained(folder).")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
    return GILL.from_pretrained(folder), tokenizer


def _asked() -> str | None:
    """The next line; None at the end of the input."""
    try:
        return input("> ").strip()
    except EOFError:
        return None


def _told(reply: Any, file: Path) -> str:
    """A reply as one line; a picture is written down."""
    from mmlab.viz.talk import as_image

    if reply.picture is None:
        return str(reply.text)
    file.parent.mkdir(parents=True, exist_ok=True)
    as_image(reply.picture).save(file)
    score = "" if reply.score is None else f", cosine {reply.score:.2f}"
    return f"[{reply.kind}: {file}{f', {reply.text}' if reply.text else ''}{score}]"
