"""See an answer while it is written: a progress bar whose text is the answer so far."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["AnswerStream"]


class AnswerStream:
    """What ``generate`` takes as its ``streamer``: counts the tokens and shows the words as they come.

    It serves one answer at a time, as transformers' own streamers do; beams cannot be streamed, since the best one is
    only known at the end. The bar tells tokens per second. What was written stays in :attr:`text`.

    Args:
        tokenizer: Turns tokens into words.
        limit: Most tokens that will come, ``max_new_tokens``.
        delay: Seconds before anything is shown; short answers need no bar.
        file: Where it is shown; by default what tqdm chooses.
        width: Most letters of the answer on the line, its end.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        limit: int,
        delay: float = 0.0,
        file: TextIO | None = None,
        width: int = 60,
    ) -> None:
        from tqdm.auto import tqdm

        self.tokenizer, self.width = tokenizer, width
        self.tokens: list[int] = []
        self.text = ""
        self._bar: Any = tqdm(total=limit, unit=" tokens", delay=delay, file=file or sys.stderr, leave=True)

    def put(self, value: Tensor) -> None:
        """Take the next token, (1,); or the prompt, (1, T), which is not shown.

        Raises:
            ValueError: If more than one answer is being written.
        """
        if len(value) != 1:
            raise ValueError(f"AnswerStream shows one answer at a time, and {len(value)} are being written.")
        if value.ndim > 1:
            return
        self.tokens += value.flatten().tolist()
        # The whole is decoded each time: a letter may be made of several tokens.
        self.text = str(self.tokenizer.decode(self.tokens, skip_special_tokens=True)).strip()
        self._bar.set_postfix_str(self.text[-self.width :], refresh=False)
        self._bar.update()

    def end(self) -> None:
        """The answer is complete."""
        self._bar.close()
