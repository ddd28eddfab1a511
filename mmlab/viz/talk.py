"""Talking with a model that reads, writes, finds and draws: turn by turn, in a terminal or in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from mmlab.data.conversations import read_picture
from mmlab.nn.drawing import draw
from mmlab.nn.splicing import IMAGE
from mmlab.viz.streaming import AnswerStream

if TYPE_CHECKING:
    from mmlab.methods.gill import GILL
    from mmlab.store.vector_index import VectorIndex

__all__ = ["Reply", "Talk", "as_image", "talk_box"]


class Reply(NamedTuple):
    """One piece of an answer.

    Attributes:
        kind: ``"text"``, ``"found"`` or ``"drawn"``; ``"meant"`` where nothing can be looked up and nothing draws.
        text: The words; of a picture that was found its name.
        picture: (3, H, W) in [-1, 1], or None.
        score: Cosine of a picture that was found, or of a drawn one where several were drawn.
    """

    kind: str
    text: str
    picture: Tensor | None = None
    score: float | None = None


class Talk:
    """A conversation that remembers what was said and shown.

    Args:
        method: The model.
        tokenizer: Its tokenizer.
        index: Pictures that can be found; their names are files, or keys of ``pictures``.
        pictures: Pictures by name, (3, H, W) in [-1, 1]; what is not in it is read as a file.
        pipeline: A pipeline of diffusers that draws, see :func:`mmlab.nn.drawing.draw`.
        stop: Texts that end an answer.
        start: Id that stands before the first words, behind pictures that lead, as in training; None is the tokenizer's
            start token, or else its end token.
        seed: Seed of the drawings.
        drawings: How many are drawn; the one nearest to what was meant is shown.
        **drawing: Arguments of draw: ``steps``, ``guidance``, ``progress``.
    """

    def __init__(
        self,
        method: GILL,
        tokenizer: Any,
        index: VectorIndex | None = None,
        pictures: dict[str, Tensor] | None = None,
        pipeline: Any = None,
        stop: Sequence[str] = ("\n",),
        start: int | None = None,
        seed: int = 0,
        drawings: int = 1,
        **drawing: Any,
    ) -> None:
        self.method, self.tokenizer, self.index, self.pipeline = method, tokenizer, index, pipeline
        self.pictures, self.drawings, self.drawing = pictures or {}, drawings, drawing
        self.rng = torch.Generator().manual_seed(seed)
        ends = [self._ids(text)[-1:] for text in stop]
        self.stop = [tokenizer.eos_token_id, *(row[0] for row in ends if row)]
        first = tokenizer.bos_token_id if start is None else start
        self.start = tokenizer.eos_token_id if first is None else first
        self.ids: list[int] = []
        self.shown: list[Tensor] = []
        self.size = int(method.vision_tower.config.image_size)
        self._found: list[int] = []

    def forget(self) -> None:
        """Begin anew."""
        self.ids, self.shown, self._found = [], [], []

    def say(self, *parts: Any, most_words: int = 32, progress: bool = False, **how: Any) -> list[Reply]:
        """Say words and show pictures, in any order, and hear the answer.

        Args:
            *parts: Texts and pictures; a picture is a tensor, an image of Pillow's or a ``Path``.
            most_words: Most tokens of the answer.
            progress: Whether the answer is shown while it is written.
            **how: Further arguments of :meth:`mmlab.methods.gill.GILL.generate`.
        """
        ids, shown = list(self.ids), list(self.shown)
        for part in parts:
            if isinstance(part, str):
                ids += [*self._start_of(ids), *self._ids(part)]
            else:
                shown.append(read_picture(part, self.size))
                ids.append(IMAGE)
        self.ids, self.shown = [*ids, *self._start_of(ids)], shown  # nothing is remembered of what could not be read
        batch = {"input_ids": torch.tensor([self.ids]), "length": torch.tensor([len(self.ids)])}
        if self.shown:
            batch["images"] = torch.stack(self.shown)[None]
        batch = {name: value.to(self.method.device) for name, value in batch.items()}
        if progress:
            how["streamer"] = AnswerStream(self.tokenizer, most_words)
        tokens = self.method.generate(batch, max_new_tokens=most_words, stop=self.stop, **how)
        row = tokens[0].tolist()
        row = row[: next((place for place, token in enumerate(row) if token in self.stop), len(row))]
        h, places = self.method.image_states(batch, tokens[:, : len(row)])
        self.ids += row
        replies, at = [], 0
        for states, (_, place) in zip(h, places.tolist(), strict=True):
            replies += self._words(row[at:place])
            replies.append(self._picture(states[None]))
            at = place + self.method.image_tokens
        return replies + self._words(row[at:])

    def _start_of(self, ids: list[int]) -> list[int]:
        """The start token, unless words stand there already: the model would take it for the end of its answer."""
        return [] if any(token != IMAGE for token in ids) else [self.start]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _words(self, ids: list[int]) -> list[Reply]:
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip() if ids else ""
        return [Reply("text", text)] if text else []

    @torch.no_grad()
    def _picture(self, states: Tensor) -> Reply:
        """Found if nothing draws, drawn if there is nothing to find in; else as the decision model has it."""
        if self.index is None and self.pipeline is None:
            return Reply("meant", "[a picture]")
        wish = self.method.decide(states)[0]
        if self.index is not None and (self.pipeline is None or wish[1] >= wish[0]):
            query = self.method.text_vectors(states)[0].cpu().numpy()
            found = self.index.search(query, 1, skip=self._found)
            if found:
                row, score = found[0]
                self._found.append(row)
                name = self.index.names[row]
                picture = self.pictures[name] if name in self.pictures else read_picture(Path(name), self.size)
                return Reply("found", name, picture, score)
        if self.pipeline is None:
            return Reply("meant", "[no other picture]")
        prompt = self.method.prompt_embeds(states).expand(self.drawings, -1, -1)
        drawn = draw(self.pipeline, prompt, self.rng, **self.drawing)
        if self.drawings == 1:
            return Reply("drawn", "", drawn[0])
        fit = torch.nn.functional.interpolate(drawn, self.size, mode="bilinear", antialias=True).to(states.device)
        scores = self.method.image_vectors(self.method.pooled(fit)) @ self.method.text_vectors(states)[0]
        return Reply("drawn", "", drawn[int(scores.argmax())], float(scores.max()))


def as_image(picture: Tensor, scale: int = 1) -> Any:
    """A picture (3, H, W) in [-1, 1] as an image of Pillow's, each pixel ``scale`` wide."""
    from PIL import Image

    pixels = ((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    image = Image.fromarray(pixels)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def talk_box(talk: Talk, most_words: int = 32) -> Any:
    """A widget to talk in a notebook: words and pictures in, words and pictures out, with a bar while it works.

    Args:
        talk: The conversation.
        most_words: Most tokens of an answer.

    Returns:
        A widget (``ipywidgets.VBox``) to display.
    """
    import io

    import ipywidgets as widgets
    from PIL import Image

    said = widgets.VBox()
    words = widgets.Text(placeholder="say something")
    upload = widgets.FileUpload(accept="image/*", multiple=True, description="Pictures")
    send = widgets.Button(description="Send", button_style="primary")
    bar = widgets.IntProgress(min=0, max=most_words, layout=widgets.Layout(visibility="hidden"))

    class Bar:
        """Moves the bar with each token."""

        def put(self, _: Tensor) -> None:
            bar.value += 1

        def end(self) -> None:
            bar.value = bar.max

    def shown(picture: Any) -> Any:
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        return widgets.Image(value=stream.getvalue(), format="png", width=160)

    def answer(_: Any) -> None:
        given = [Image.open(io.BytesIO(bytes(file["content"]))) for file in upload.value]
        lines = [widgets.HTML(f"<b>{escape(words.value)}</b>"), *map(shown, given)]
        bar.value, bar.layout.visibility, send.disabled = 0, "visible", True
        try:
            for reply in talk.say(*given, words.value, most_words=most_words, streamer=Bar()):
                lines.append(widgets.HTML(f"<p>{escape(reply.text)}</p>"))
                lines += [shown(as_image(reply.picture, 4))] if reply.picture is not None else []
        except (ValueError, TypeError, OSError) as problem:
            lines.append(widgets.HTML(f"<p>{escape(str(problem))}</p>"))
        finally:
            bar.layout.visibility, send.disabled = "hidden", False
        said.children = [*said.children, *lines]
        words.value, upload.value = "", ()

    send.on_click(answer)
    return widgets.VBox([said, widgets.HBox([words, upload, send]), bar])
