"""TIP: a picture and a table with holes, pre-trained on pairs without labels, then fine-tuned with three heads.

Symbols: x_j is the cell of column j, k_j whether it is known; D is the width, M the number of columns. A column is
categorical, with n_j categories, or a number. s_ij is the cosine between picture i and table j over a temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy
from mmlab.losses.contrastive import cosine_similarity, identity_targets, soft_contrastive
from mmlab.method import Batch, Method
from mmlab.nn.modalities import presence

__all__ = ["TIP", "draw_wrong", "reconstruction", "sees"]


def sees(known: Tensor) -> Tensor:
    """Which token may look at which, bool (B, 1 + M, 1 + M): at known cells, at the class token, and at itself.

    Args:
        known: k, bool (B, M); the class token stands before the columns and is always known.
    """
    whole = torch.cat([torch.ones_like(known[:, :1]), known], 1)
    itself = torch.eye(whole.shape[1], dtype=torch.bool, device=known.device)
    return whole[:, None, :] | itself  # Eq. (2)


def draw_wrong(similarity: Tensor, u: Tensor) -> Tensor:
    """A wrong partner for each row, (B,): j ≠ i with probability proportional to softmax_j(s_ij) + 0.0001.

    Args:
        similarity: s, (B, B) with B > 1; no gradient flows into the draw.
        u: Uniform draws in [0, 1), (B,).
    """
    weight = similarity.detach().softmax(1) + 1e-4
    weight = weight * (1 - torch.eye(len(weight), device=weight.device))  # Eq. (4)
    reached = weight.cumsum(1)
    target = u[:, None] * (1 - 1e-6) * reached[:, -1:]
    return (reached <= target).sum(1).clamp(max=len(weight) - 1)


def reconstruction(
    categories: Tensor, numbers: Tensor, table: Tensor, hidden: Tensor, offsets: Tensor
) -> dict[str, Tensor]:
    """What the hidden cells cost: cross-entropy over the union of all categories, and squares.

    Args:
        categories: Log-probabilities for the categorical columns, (B, J, union of the categories).
        numbers: Expected values of the columns with numbers, (B, M - J).
        table: The true cells x, (B, M), categorical columns first.
        hidden: Which cells were hidden and are known, bool (B, M); the others count nowhere.
        offsets: Where the categories of each categorical column begin, (J,).

    Returns:
        ``categories`` and ``numbers``, means over their hidden cells: 0 where nothing is hidden.
    """
    count = categories.shape[1]
    place = torch.where(hidden[:, :count], table[:, :count], 0).long() + offsets
    each = -categories.gather(2, place[..., None])[..., 0]
    squares = (numbers - torch.where(hidden[:, count:], table[:, count:], 0)).square()
    parts = (("categories", each, hidden[:, :count]), ("numbers", squares, hidden[:, count:]))
    return {name: (cost * on).sum() / on.sum().clamp(min=1) for name, cost, on in parts}  # Eq. (6)


class _Attention(nn.Module):
    """Attention with two heads of queries to a context; a mask says which query sees what."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would shift all scores alike
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, Q, D), (B, T, D) and bool (B, Q, T) to (B, Q, D)."""
        q, k, v = (
            part.view(*part.shape[:2], 2, -1).transpose(1, 2)  # (B, H, ., D / H)
            for part in (self.query(tokens), self.key(context), self.value(context))
        )
        score = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            score = score.masked_fill(~mask[:, None], -1e9)
        return self.out((score.softmax(-1) @ v).transpose(1, 2).flatten(2))


class _Block(nn.Module):
    """Pre-norm attention among the tokens, then to a picture if there is one, then a perceptron."""

    def __init__(self, width: int, crossed: bool) -> None:
        super().__init__()
        self.own = _Attention(width)
        self.cross = _Attention(width) if crossed else None
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if crossed else 2))
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, picture: Tensor | None = None, asked: int | None = None
    ) -> Tensor:
        """(B, T, D) to the same, or to the states of the first ``asked`` tokens alone, (B, asked, D)."""
        seen = self.norms[0](tokens)
        tokens = tokens[:, :asked] + self.own(seen[:, :asked], seen, mask)
        if self.cross is not None and picture is not None:
            tokens = tokens + self.cross(self.norms[2](tokens), picture)
        return tokens + self.perceptron(self.norms[1](tokens))


class TIP(Method):
    """A missing-aware transformer over columns, an encoder of pictures, and a transformer that reads both.

    Pre-training needs pairs and no label: contrast, matching and the reconstruction of hidden cells. Fine-tuning is the
    same class with ``pretraining=0``, given the weights by ``load_state_dict``; with both weights above 0, both happen
    at once. Items without a label count in pre-training alone. What stands in a cell that is not known has no effect.

    Three things differ from the released code. Without a hidden cell the reconstruction is 0 and not NaN. The draws
    that replace cells for the contrast come from the batch, and a hole may be drawn. And the encoder of pictures
    is a small one, of patches.

    Args:
        shape: Shape of a picture (C, H, W).
        categories: n_j of each categorical column; these come first.
        numbers: How many columns with numbers follow.
        classes: Number of classes.
        width: Width of the tokens D, an even number.
        depth: Blocks of the table's transformer, and of the one that reads both.
        patch: Side of a patch, which divides the picture.
        temperature: τ of the contrast.
        hidden: Share of the cells that are hidden for the reconstruction.
        replaced: Share of the cells that are replaced for contrast and matching.
        pretraining: Weight of the mean of the three losses without labels.
        labelled: Weight of the cross-entropy of the classes.

    Raises:
        ValueError: If the patch does not divide the picture, or a number is out of its range.

    Source:
        Du et al. 2024, TIP.
    """

    card = Card(
        name="TIP",
        family="fusion",
        paper="tip",
        summary="Pre-trains on pictures and tables with holes: contrast, matching, and reconstruction of hidden cells.",
        inputs=("image", "table", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "mode", "higher", name="tip-cells-mode"),
            Claim("accuracy", "shuffled picture", "higher", kind="sanity", name="tip-cells-shuffled-picture"),
            Claim("accuracy", "boosted trees", "higher", kind="sanity", name="tip-cells-boosted-trees"),
            Claim("accuracy", "picture only", "higher", kind="sanity", name="tip-cells-picture-only"),
            Claim("accuracy", "from scratch", "higher", name="tip-classes-from-scratch"),
            Claim("accuracy", "picture only", "higher", kind="sanity", name="tip-classes-picture-only"),
            Claim("accuracy", "boosted trees", "higher", kind="sanity", name="tip-classes-boosted-trees"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("medical", "image", "tables", "missing values", "contrastive", "masked modelling"),
    )

    offsets: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        categories: Sequence[int],
        numbers: int,
        classes: int = 4,
        width: int = 16,
        depth: int = 1,
        patch: int = 4,
        temperature: float = 0.1,
        hidden: float = 0.5,
        replaced: float = 0.3,
        pretraining: float = 1.0,
        labelled: float = 1.0,
    ) -> None:
        super().__init__()
        channels, height, breadth = shape
        if patch < 1 or height % patch or breadth % patch:
            raise ValueError(f"patch={patch} does not divide a picture of {height} x {breadth}.")
        if not categories or min(categories) < 2 or numbers < 1:
            raise ValueError(
                f"categories={list(categories)}, numbers={numbers}: give a categorical column with two categories and "
                "a column with numbers at least."
            )
        if width % 2 or not (0 < hidden <= 1 and 0 <= replaced <= 1):
            raise ValueError(f"width={width}, hidden={hidden}, replaced={replaced}: an even width, and two shares.")
        self.categories, self.numbers, self.patch = list(categories), numbers, patch
        self.temperature, self.hidden, self.replaced = temperature, hidden, replaced
        self.pretraining, self.labelled = pretraining, labelled
        union, columns = sum(categories), len(categories) + numbers
        ends = torch.tensor([0, *categories]).cumsum(0)
        self.register_buffer("offsets", ends[:-1], persistent=False)
        self.category = nn.Embedding(union, width)
        self.number = nn.Linear(1, width)
        self.missing = nn.Parameter(0.02 * torch.randn(width))
        self.start = nn.Parameter(0.02 * torch.randn(width))
        self.column = nn.Parameter(0.5 * torch.randn(1 + columns, width))
        self.table_norm = nn.LayerNorm(width)
        self.table_blocks = nn.ModuleList(_Block(width, False) for _ in range(depth))
        self.patches = nn.Sequential(nn.Linear(channels * patch**2, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.positions = nn.Parameter(0.5 * torch.randn((height // patch) * (breadth // patch), width))
        self.picture_norm = nn.LayerNorm(width)
        self.joint_blocks = nn.ModuleList(_Block(width, True) for _ in range(depth))
        self.joint_norm = nn.LayerNorm(width)
        self.project_picture = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.project_table = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.match = nn.Linear(width, 2)
        self.to_categories = nn.Linear(width, union)
        self.to_number = nn.Linear(width, 1)
        self.heads = nn.ModuleList(nn.Linear(width, classes) for _ in range(3))  # picture, table, both

    def tokens_of_table(self, table: Tensor, known: Tensor) -> Tensor:
        """The class token and the cells, (B, 1 + M, D), after the table's own transformer.

        Args:
            table: x, (B, M), categorical columns first; anything may stand in a cell that is not known.
            known: k, bool (B, M).
        """
        count = len(self.categories)
        x = torch.where(known, table, 0)
        cells = torch.cat([self.category(x[:, :count].long() + self.offsets), self.number(x[:, count:, None])], 1)
        cells = torch.where(known[..., None], cells, self.missing)
        tokens = torch.cat([self.start.expand(len(x), 1, -1), cells], 1)
        tokens = self.table_norm(tokens + self.column)  # Eq. (1)
        mask = sees(known)
        for block in self.table_blocks:
            tokens = block(tokens, mask)
        return tokens

    def tokens_of_picture(self, image: Tensor) -> Tensor:
        """Pictures (B, C, H, W) to a token for each patch, (B, N, D)."""
        p, (count, channels, height, breadth) = self.patch, image.shape
        cut = image.view(count, channels, height // p, p, breadth // p, p)
        return self.patches(cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)) + self.positions

    def both(self, cells: Tensor, picture: Tensor, asked: int | None = None) -> Tensor:
        """Tokens of the table after they have looked at a picture.

        Args:
            cells: (B, 1 + M, D).
            picture: (B, N, D).
            asked: How many tokens are wanted, from the first; the others need not be computed in the last block.
        """
        seen = self.picture_norm(picture)
        *earlier, last = self.joint_blocks
        for block in earlier:
            cells = block(cells, picture=seen)
        return self.joint_norm(last(cells, picture=seen, asked=asked))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Contrast, matching, reconstruction, and the cross-entropy of the classes, each if it has a weight.

        Args:
            batch: ``image`` (B, C, H, W), ``table`` (B, M), optionally ``table_known`` (B, M), ``label`` (B,) and
                ``label_present`` (B,); and ``uniforms`` (B, 3 M + 2) in [0, 1), if the draws are given from outside.
            rng: Says which cells are hidden and replaced, and which wrong partners are taken.
        """
        table, known = batch["table"], _known(batch)
        picture = self.tokens_of_picture(batch["image"])
        terms: dict[str, Tensor] = {}
        total = picture.new_zeros(())
        if self.pretraining:
            size = (len(table), 3 * table.shape[1] + 2)
            u = batch.get("uniforms")
            u = torch.rand(size, generator=rng, device=table.device) if u is None else u
            terms = self.without_labels(picture, table, known, u)
            total = total + self.pretraining * (terms["contrast"] + terms["matching"] + terms["reconstruction"]) / 3
        if self.labelled and "label" in batch:
            there = presence(batch, "label")
            answers = self._answers(picture, table, known)
            terms["classes"] = cross_entropy(answers, batch["label"].where(there, 0), there)
            total = total + self.labelled * terms["classes"]
        return {"loss": total, **terms}

    def without_labels(self, picture: Tensor, table: Tensor, known: Tensor, u: Tensor) -> dict[str, Tensor]:
        """The three losses of pre-training, whose mean is (7).

        Args:
            picture: Tokens of the pictures (B, N, D).
            table: x, (B, M).
            known: k, (B, M).
            u: Uniform draws, (B, 3 M + 2).

        Returns:
            ``contrast``, ``matching`` and ``reconstruction``.
        """
        columns = table.shape[1]
        donor = (u[:, columns : 2 * columns] * len(table)).long().clamp(max=len(table) - 1)
        swap = u[:, :columns] < self.replaced
        cells = self.tokens_of_table(
            torch.where(swap, table.gather(0, donor), table), torch.where(swap, known.gather(0, donor), known)
        )
        a, b = self.project_picture(picture.mean(1)), self.project_table(cells[:, 0])
        contrast = soft_contrastive(a, b, identity_targets(len(a), a), self.temperature)  # Eq. (3)
        hidden = (u[:, 2 * columns : 3 * columns] < self.hidden) & known
        found = self.both(self.tokens_of_table(table, known & ~hidden), picture)
        costs = reconstruction(*self._cells(found), table, hidden, self.offsets)
        return {
            "contrast": contrast,
            "matching": self._matching(picture, cells, cosine_similarity(a, b) / self.temperature, u[:, -2:]),
            "reconstruction": (costs["categories"] + costs["numbers"]) / 2,  # Eq. (7)
        }

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K).

        Args:
            batch: ``image`` and ``table``, optionally ``table_known``.
        """
        with self.evaluating():
            picture = self.tokens_of_picture(batch["image"])
            return self._answers(picture, batch["table"], _known(batch)).softmax(-1)

    def cells(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """What the cells would be, from the picture and the known cells.

        Args:
            batch: As for :meth:`predict`.

        Returns:
            Probabilities (B, n_j) for each categorical column, and expected numbers (B, M - J).
        """
        with self.evaluating():
            tokens = self.tokens_of_table(batch["table"], _known(batch))
            categories, numbers = self._cells(self.both(tokens, self.tokens_of_picture(batch["image"])))
        split = torch.split(categories.exp(), self.categories, -1)
        own = [part[:, j] for j, part in enumerate(split)]  # a column can only hold its own categories
        return [part / part.sum(1, keepdim=True) for part in own], numbers

    def impute(self, batch: Batch) -> Tensor:
        """The table (B, M) with its holes filled: the most probable category, or the expected number."""
        categories, numbers = self.cells(batch)
        filled = torch.cat([torch.stack([part.argmax(1) for part in categories], 1).to(numbers), numbers], 1)
        return torch.where(_known(batch), batch["table"], filled)

    def _cells(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.categories)
        log_p = self.to_categories(tokens[:, 1 : 1 + count]).log_softmax(-1)
        return log_p, self.to_number(tokens[:, 1 + count :])[..., 0]

    def _matching(self, picture: Tensor, cells: Tensor, similarity: Tensor, u: Tensor) -> Tensor:
        """Cross-entropy of the question whether picture and table belong together, one pair right and two wrong."""
        if len(picture) < 2:  # there is no wrong partner
            return self.match(self.both(cells, picture, 1)[:, 0]).log_softmax(-1)[:, 1].mean().neg()
        table, other = draw_wrong(similarity, u[:, 0]), draw_wrong(similarity.mT, u[:, 1])
        left, right = torch.cat([cells, cells[table], cells]), torch.cat([picture, picture, picture[other]])
        log_p = self.match(self.both(left, right, 1)[:, 0]).log_softmax(-1)
        right_ones, wrong_ones = log_p[: len(picture), 1], log_p[len(picture) :, 0]
        return -(right_ones.sum() + wrong_ones.sum()) / len(log_p)  # Eq. (5)

    def _answers(self, picture: Tensor, table: Tensor, known: Tensor) -> Tensor:
        cells = self.tokens_of_table(table, known)
        seen = (picture.mean(1), cells[:, 0], self.both(cells, picture, 1)[:, 0])
        return torch.stack([head(part) for head, part in zip(self.heads, seen, strict=True)]).mean(0)  # Eq. (8)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Shape of the picture, and the columns by ``table_sizes`` (M,): numbers of categories, 0 for a number.

        Raises:
            ValueError: If the data have no picture, no table, or do not say what its columns are.
        """
        wanted = ("image", "table", "table_sizes")
        if absent := [name for name in wanted if name not in item]:
            raise ValueError(f"TIP needs {', '.join(wanted)}; the data have no {', '.join(absent)}.")
        sizes = [int(size) for size in item["table_sizes"]]
        categories = [size for size in sizes if size]
        if sizes[: len(categories)] != categories:
            raise ValueError(f"table_sizes is {sizes}: categorical columns come first, numbers (0) after them.")
        return {
            "shape": list(item["image"].shape),
            "categories": categories,
            "numbers": len(sizes) - len(categories),
        }

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Small pictures whose brightness shows the class, which also stands in two of three columns."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, (1, 2, 2), [2, 3], 1, classes=2, width=8, patch=1, labelled=3.0)
        label = torch.arange(16) % 2
        image = (2.0 * label - 1).view(-1, 1, 1, 1) + 0.3 * torch.randn(16, 1, 2, 2, generator=rng)
        table = torch.stack([label, torch.arange(16) % 3, label + torch.randn(16, generator=rng)], 1)
        known = torch.rand(16, 3, generator=rng) < 0.8
        table = torch.where(known, table, 0)
        return method, {"image": image, "table": table, "table_known": known, "label": label}


def _known(batch: Batch) -> Tensor:
    return batch.get("table_known", torch.ones_like(batch["table"], dtype=torch.bool))
