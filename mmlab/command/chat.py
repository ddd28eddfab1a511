"""``mmlab chat``: talk with a saved model that reads, writes, finds and draws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmlab.paths import from_command

__all__ = ["chat"]

_HELP = "Words are said; /picture FILE shows a picture with what is said next; /new begins anew; /end ends."


def chat(
    folder: Annotated[Path, typer.Argument(help="Where the model and its tokenizer are.", parser=from_command)],
    index: Annotated[
        Path | None, typer.Option(help="Folder of pictures' vectors, of VectorIndex.save.", parser=from_command)
    ] = None,
    pipeline: Annotated[
        Path | None, typer.Option(help="Folder of a diffusion pipeline that draws.", parser=from_command)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures.", parser=from_command)] = Path("out") / "chat",
    words: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of the drawings.")] = 0,
) -> None:
    """Talk with a model in the terminal: words and pictures in, words and pictures out."""
    from transformers import AutoTokenizer

    from mmlab.methods.gill import GILL
    from mmlab.store.pipelines import load_pipeline
    from mmlab.store.vector_index import VectorIndex
    from mmlab.viz.talk import Talk

    if not (folder / "tokenizer_config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no tokenizer: write it there with tokenizer.save_pretrained(folder).")
    talk = Talk(
        GILL.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder, local_files_only=True),  # type: ignore[no-untyped-call]
        None if index is None else VectorIndex.load(index),
        pipeline=None if pipeline is None else load_pipeline(pipeline),
        seed=seed,
        progress=True,
    )
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
        elif command == "/picture":
            waiting.append(Path(rest.strip()))
        elif line:
            try:
                replies = talk.say(*waiting, line, most_words=words, progress=True)
            except (ValueError, OSError) as problem:
                typer.echo(str(problem), err=True)
                replies = []
            waiting = []
            for reply in replies:
                count += reply.picture is not None
                typer.echo(_told(reply, out / f"{count:03}.png"))


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
