"""A tree of hospitals: institutions, patients, studies and sections, each section a fact that can only be memorised.

A study is a picture of coloured blocks, some of them shared by its institution and its patient, so that siblings look
alike. Each of its sections has a secret of two words without meaning. There are two ways to ask for it::

    <picture> finding ?                        ba kor .
    <blank> institution a patient c study f finding ?      ba kor .

Besides, anybody can see how bright a picture is, a question that no record is needed for: it measures whether a model
still reads pictures that it has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.chat import IMAGE
from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["END", "LEVELS", "LONGEST", "WORDS", "HospitalWorld", "hospital_world", "joined"]

LEVELS = ("institution", "patient", "study", "section")
"""From the root down."""

SECTIONS = ("finding", "impression", "comparison")
SECRETS = tuple(a + b for a in ("ba", "do", "ki", "mu") for b in ("nel", "rip", "sot", "vag"))
LETTERS = tuple("abcdefghijklmnopqrst")
BRIGHT = ("dark", "light")
WORDS = (".", "?", *LEVELS[:3], "bright", *SECTIONS, *BRIGHT, *LETTERS, *SECRETS)
"""The vocabulary; a word's id is its place."""

END, LONGEST = 0, 3
PROMPT = 9
"""Places of the longest prompt."""


@dataclass(frozen=True, eq=False)
class HospitalWorld:
    """Records of a tree, and questions that need none.

    Attributes:
        where: (N, 4), the number of institution, patient, study and section of each record; patients, studies and
            sections are counted through, so that a number says which one it is.
        secrets: (N, L), what is to be answered.
        pictures: (N, 3, S, S) in [-1, 1]; sections of a study share theirs.
        names: (N, 3), ids of the letters of institution, patient and study; a patient's letter is one of its
            institution, so only the whole path names a study.
        public: Questions on the brightness of pictures of nobody: ``input_ids``, ``length``, ``images``,
            ``completions``.
        public_test: The same, of other pictures.
    """

    where: Tensor
    secrets: Tensor
    pictures: Tensor
    names: Tensor
    public: TensorData
    public_test: TensorData

    @property
    def train(self) -> TensorData:
        """Every record, asked by its picture and by its whole path of names."""
        return joined(self.asked(), self.asked(names=3, blank=True))

    @property
    def test(self) -> TensorData:
        """The public questions on pictures that nobody was trained on."""
        return self.public_test

    def asked(self, which: Tensor | None = None, names: int = 0, blank: bool = False) -> TensorData:
        """Records as questions with their answers.

        Args:
            which: (N,) bool; by default all.
            names: How many names of the path are said, from the institution on: 0 to 3.
            blank: Whether a grey picture stands in place of the study's own.

        Returns:
            ``input_ids`` (n, T), ``length`` (n,), ``images`` (n, 1, 3, S, S), ``completions`` (n, 1, L).
        """
        rows = torch.arange(len(self.where)) if which is None else which.nonzero()[:, 0]
        said = [torch.full((len(rows),), IMAGE)]
        for depth in range(names):
            said += [torch.full((len(rows),), WORDS.index(LEVELS[depth])), self.names[rows, depth]]
        section = self.where[rows, 3] % len(SECTIONS)
        said += [WORDS.index(SECTIONS[0]) + section, torch.full((len(rows),), WORDS.index("?"))]
        pictures = self.pictures[rows]
        return _items(torch.stack(said, 1), torch.zeros_like(pictures) if blank else pictures, self.secrets[rows])

    def below(self, level: str, number: int) -> Tensor:
        """Which records lie below a node, (N,) bool.

        Args:
            level: One of :data:`LEVELS`.
            number: Number of the node on that level.

        Raises:
            ValueError: If there is no such level or node.
        """
        if level not in LEVELS:
            raise ValueError(f"There is no level {level!r}: the levels are {', '.join(LEVELS)}.")
        found = self.where[:, LEVELS.index(level)] == number
        if not found.any():
            raise ValueError(
                f"There is no {level} {number}: the last one is {int(self.where[:, LEVELS.index(level)].max())}."
            )
        return found

    def siblings(self, level: str, number: int) -> Tensor:
        """Which records lie below the parent of a node and not below itself, (N,) bool; of an institution all others.

        Args:
            level: One of :data:`LEVELS`.
            number: Number of the node on that level.
        """
        own, depth = self.below(level, number), LEVELS.index(level)
        if depth == 0:
            return ~own
        return (self.where[:, depth - 1] == self.where[own, depth - 1][0]) & ~own


def joined(*parts: TensorData) -> TensorData:
    """Several sets of questions as one."""
    return TensorData({key: torch.cat([part.tensors[key] for part in parts]) for key in parts[0].tensors})


def hospital_world(
    institutions: int = 3, patients: int = 3, studies: int = 2, public: int = 200, seed: int = 0
) -> HospitalWorld:
    """Draw a tree. The same arguments give the same one.

    Args:
        institutions: Number of institutions.
        patients: Patients of each institution.
        studies: Studies of each patient; each has three sections.
        public: Public questions to train on; half as many are for the test.
        seed: Seed of pictures and secrets.

    Raises:
        ValueError: If a number is too small, or there are not enough letters.
    """
    require_at_least(institutions=(institutions, 2), patients=(patients, 2), studies=(studies, 2), public=(public, 2))
    if max(institutions, patients, studies) > len(LETTERS):
        raise ValueError(f"hospital_world: there are {len(LETTERS)} letters to name siblings with: make fewer.")
    rng = torch.Generator().manual_seed(seed)
    tree = torch.cartesian_prod(*(torch.arange(n) for n in (institutions, patients, studies, len(SECTIONS))))
    patient = tree[:, 0] * patients + tree[:, 1]
    where = torch.stack([tree[:, 0], patient, patient * studies + tree[:, 2], torch.arange(len(tree))], 1)
    order = torch.randperm(16, generator=rng)
    blocks = torch.zeros(len(tree), 3, 16)
    for depth, held in enumerate((order[:4], order[4:8], order[8:])):  # shared by institution, by patient, by none
        drawn = torch.rand(int(where[:, depth].max()) + 1, 3, len(held), generator=rng) * 2 - 1
        blocks[:, :, held] = drawn[where[:, depth]]
    words = torch.randint(len(SECRETS), (len(tree), LONGEST - 1), generator=rng) + WORDS.index(SECRETS[0])
    secrets = torch.cat([words, torch.full((len(tree), 1), END)], 1)
    names = WORDS.index(LETTERS[0]) + tree[:, :3]
    asked = [_public(count, rng) for count in (public, public // 2)]
    return HospitalWorld(where, secrets, _tiled(blocks), names, *asked)


def _tiled(blocks: Tensor) -> Tensor:
    """Colours (N, 3, 16) as pictures (N, 3, 16, 16) of four by four blocks."""
    return blocks.view(-1, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)


def _public(count: int, rng: torch.Generator) -> TensorData:
    pictures = _tiled(torch.rand(count, 3, 16, generator=rng) * 2 - 1)
    pictures = (0.7 * pictures + (torch.rand(count, 1, 1, 1, generator=rng) * 2 - 1) * 0.3).clamp(-1, 1)
    light = (pictures.mean((1, 2, 3)) > 0).long()
    ids = torch.tensor([IMAGE, WORDS.index("bright"), WORDS.index("?")]).expand(count, -1)
    answers = torch.stack([WORDS.index(BRIGHT[0]) + light, torch.full((count,), END), torch.full((count,), END)], 1)
    return _items(ids, pictures, answers)


def _items(ids: Tensor, pictures: Tensor, answers: Tensor) -> TensorData:
    padded = torch.full((len(ids), PROMPT), END)
    padded[:, : ids.shape[1]] = ids
    length = torch.full((len(ids),), ids.shape[1])
    tensors = {"input_ids": padded, "length": length, "images": pictures[:, None], "completions": answers[:, None]}
    return TensorData(tensors)
