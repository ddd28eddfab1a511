"""MultiMAE: most patches of all modalities are hidden, and one encoder learns to fill them in from the few others.

Symbols: modality m has N_m patches; λ are the shares of the modalities among the K visible tokens; M is the set of an
item's hidden patches; x and x̂ are the values of a patch and their prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import AttentionBlock
from mmlab.nn.modalities import read, sorted_shapes
from mmlab.wording import nearest, require_at_least

__all__ = ["MultiMAE", "choose_tokens", "draw_shares", "masked_error", "standardised", "to_patches", "to_pictures"]

Error = Literal["squared", "absolute", "classes"]


def to_patches(x: Tensor, patch: int) -> Tensor:
    """Pictures (B, C, H, W) to patches (B, N, P) with P = C p², row by row."""
    cut = x.unfold(2, patch, patch).unfold(3, patch, patch)  # (B, C, h, w, p, p)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def to_pictures(patches: Tensor, shape: Sequence[int], patch: int) -> Tensor:
    """Patches (B, N, P) back to pictures (B, C, H, W)."""
    channels, height, width = shape
    rows, columns = height // patch, width // patch
    cut = patches.reshape(-1, rows, columns, channels, patch, patch).permute(0, 3, 1, 4, 2, 5)
    return cut.reshape(-1, channels, height, width)


def draw_shares(count: int, modalities: int, concentration: float, rng: torch.Generator) -> Tensor:
    """Shares λ (B, M) of the modalities among the visible tokens, from a symmetric Dirichlet law.

    Args:
        count: B.
        modalities: M.
        concentration: α; 1 makes all shares equally likely, a large one makes them equal.
        rng: The only source of randomness.
    """
    from scipy.special import gammaincinv

    draws = torch.rand(count, modalities, generator=rng, device=rng.device).clamp(1e-6, 1 - 1e-6)
    # The quantile function turns uniform draws into draws of Gamma, which torch cannot take from a generator.
    gamma = torch.as_tensor(gammaincinv(concentration, draws.double().cpu().numpy())).clamp_min(1e-30)
    return (gamma / gamma.sum(1, keepdim=True)).to(draws)  # Eq. (1)


def choose_tokens(shares: Tensor, there: Mapping[str, Tensor], visible: int, rng: torch.Generator) -> Tensor:
    """The tokens that the encoder sees: of modality m about λ_m K, at random places, and K of each item in all.

    Args:
        shares: λ (B, M), in the order of ``there``.
        there: Which tokens exist, (B, N_m) by modality.
        visible: K.
        rng: The only source of randomness.

    Returns:
        Numbers of the chosen tokens, counted through all modalities, (B, K). An item with fewer tokens gets some that
        do not exist, last.
    """
    counts = (shares * visible).round()  # Eq. (2)
    ranks = []
    for m, exists in enumerate(there.values()):
        noise = torch.rand(exists.shape, generator=rng, device=rng.device)
        place = (noise + 2 * ~exists).argsort(1).argsort(1)  # what does not exist comes last
        # first those within the count, then the others, in random order among themselves; then what is not there
        ranks.append(noise + 2 * (place >= counts[:, m, None]) + 4 * ~exists)
    return torch.cat(ranks, 1).argsort(1)[:, :visible]


def standardised(patches: Tensor) -> Tensor:
    """Patches (B, N, P), each with mean 0 and variance 1 (that of P - 1, with 1e-6 added)."""
    centred = patches - patches.mean(-1, keepdim=True)
    variance = centred.square().sum(-1, keepdim=True) / max(1, patches.shape[-1] - 1)
    return centred / (variance + 1e-6).sqrt()


def masked_error(prediction: Tensor, target: Tensor, hidden: Tensor, kind: Error = "squared") -> Tensor:
    """Error on the hidden patches: their mean in each item, then the mean over the items that have any.

    Args:
        prediction: x̂ (B, N, P). For ``"classes"`` P is a multiple of the number of classes; then see ``target``.
        target: x, of the same shape. For ``"classes"`` both are (B, N, K, P'), logits and one-hot classes.
        hidden: Which patches count, (B, N).
        kind: ``"squared"``, ``"absolute"`` or ``"classes"``.

    Returns:
        A scalar; 0 if nothing is hidden.
    """
    if kind == "classes":
        each = -(target * prediction.log_softmax(2)).sum(2).mean(-1)  # Eq. (5)
    else:
        difference = prediction - target
        each = (difference.square() if kind == "squared" else difference.abs()).mean(-1)  # Eq. (3)
    count = hidden.sum(1)
    of_items = torch.where(hidden, each, 0).sum(1) / count.clamp_min(1)
    return of_items.sum() / (count > 0).sum().clamp_min(1)  # Eq. (4)


class MultiMAE(Method):
    """A transformer over the visible patches of all modalities, and a small decoder for each that fills in the hidden.

    With one modality it is a masked autoencoder. After training any subset of the modalities will do: see
    :meth:`reconstruct` and :meth:`embed`.

    Where rounding gives a token too many or too few, the authors leave it to the order of a sort; here it is drawn.
    Their branch for masks of one's own counts the visible tokens of the whole batch and so works with one item at a
    time; here each item has its own.

    Args:
        shapes: Shape (C, H, W) of each modality.
        errors: ``"squared"`` (default), ``"absolute"`` or ``"classes"`` (its channels are one-hot classes) by modality.
        visible: K, how many tokens the encoder sees in training.
        patch: Side of a patch in pixels.
        width: Width of the encoder.
        depth: Blocks of the encoder.
        decoder_width: Width of the decoders.
        decoder_depth: Blocks of each decoder after the one that looks at the encoded tokens.
        heads: Attention heads; they divide both widths.
        concentration: α of the Dirichlet law of the shares.
        normalise: Whether targets with a squared error are standardised patch by patch.

    Raises:
        ValueError: If a modality is no picture that can be cut, an error is unknown, or K is impossible.

    Source:
        Bachmann et al. 2022.
    """

    card = Card(
        name="MultiMAE",
        family="fusion",
        paper="multimae",
        summary="One encoder that fills in the hidden patches of all modalities from a few visible ones.",
        inputs=("image",),
        claims=(
            Claim("squared error", "nearest copy", "lower", kind="sanity", name="multimae-edge-nearest-copy"),
            Claim("squared error", "shuffled image", "lower", kind="sanity", name="multimae-edge-shuffled-image"),
            Claim("squared error", "trained for edges alone", "lower", kind="sanity", name="multimae-edge-specialist"),
            Claim("squared error", "Gaussian", "lower", kind="sanity", name="multimae-mixed-gaussian"),
            Claim("accuracy", "masked autoencoder", "higher", name="multimae-probe-mae"),
            Claim("accuracy", "three copies", "higher", kind="sanity", name="multimae-probe-three-copies"),
            Claim("accuracy", "raw pixels", "higher", kind="sanity", name="multimae-probe-raw-pixels"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("masked autoencoder", "pre-training", "vision transformer", "missing modalities"),
    )

    places: Tensor
    decoder_places: Tensor
    owner: Tensor

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        errors: Mapping[str, str] | None = None,
        visible: int = 8,
        patch: int = 2,
        width: int = 32,
        depth: int = 2,
        decoder_width: int = 16,
        decoder_depth: int = 1,
        heads: int = 4,
        concentration: float = 1.0,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        self.shapes, self.patch, self.visible = sorted_shapes(shapes), patch, visible
        self.concentration, self.normalise = concentration, normalise
        self.errors: dict[str, Any] = dict.fromkeys(self.shapes, "squared") | dict(errors or {})
        self._check()
        self.counts = {m: (s[1] // patch) * (s[2] // patch) for m, s in self.shapes.items()}
        require_at_least(visible=(visible, 1), concentration=(concentration, 1e-3))
        if visible > sum(self.counts.values()):
            total = sum(self.counts.values())
            raise ValueError(f"visible={visible}, but there are {total} patches: choose fewer visible ones.")
        values = {m: s[0] * patch**2 for m, s in self.shapes.items()}
        self.embed_patch = nn.ModuleDict({m: nn.Linear(p, width) for m, p in values.items()})
        for size, name in ((width, "places"), (decoder_width, "decoder_places")):
            grids = [_places(s[1] // patch, s[2] // patch, size) for s in self.shapes.values()]
            self.register_buffer(name, torch.cat(grids), persistent=False)  # (T, width)
        self.summary = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.into_decoder = nn.ModuleDict({m: nn.Linear(width, decoder_width) for m in self.shapes})
        self.kind = nn.ParameterDict({m: 0.02 * torch.randn(len(self.shapes), decoder_width) for m in self.shapes})
        self.hidden = nn.ParameterDict({m: 0.02 * torch.randn(decoder_width) for m in self.shapes})
        self.look = nn.ModuleDict({m: AttentionBlock(decoder_width, heads) for m in self.shapes})
        self.refine = nn.ModuleDict(
            {m: nn.ModuleList(AttentionBlock(decoder_width, heads) for _ in range(decoder_depth)) for m in self.shapes}
        )
        self.fill = nn.ModuleDict({m: nn.Linear(decoder_width, p) for m, p in values.items()})
        owner = torch.cat([torch.full((n,), k) for k, n in enumerate(self.counts.values())])
        self.register_buffer("owner", owner, persistent=False)  # (T,), which modality a token belongs to

    def _check(self) -> None:
        for m, shape in self.shapes.items():
            if len(shape) != 3 or any(side % self.patch or not side for side in shape[1:]):
                raise ValueError(
                    f"An item of {m!r} has shape {shape}, which cannot be cut into patches of {self.patch} x "
                    f"{self.patch}: give pictures (C, H, W) and a patch that divides their sides."
                )
        for m, kind in self.errors.items():
            if m not in self.shapes:
                raise ValueError(f"errors: there is no modality {m!r}; {nearest(m, self.shapes)}")
            if kind not in get_args(Error):
                raise ValueError(f"errors[{m!r}] is {kind!r}; {nearest(kind, get_args(Error))}")

    def tokens(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Pictures by modality to tokens (B, T, D) of all of them."""
        made = [self.embed_patch[m](to_patches(inputs[m], self.patch)) for m in self.shapes]
        return torch.cat(made, 1) + self.places

    def encode(self, tokens: Tensor, kept: Tensor, there: Tensor) -> Tensor:
        """The visible tokens and the summary token after the encoder, (B, K + 1, D); the summary comes last.

        Args:
            tokens: (B, T, D).
            kept: Numbers of the visible tokens (B, K).
            there: Which of them exist, (B, K).
        """
        x = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[-1]))
        x = torch.cat([x, self.summary.expand(len(x), 1, -1)], 1)
        mask = torch.cat([there, torch.ones_like(there[:, :1])], 1)
        for block in self.blocks:
            x = block(x, x, mask)
        return self.norm(x)

    def decode(self, name: str, encoded: Tensor, kept: Tensor, there: Tensor) -> Tensor:
        """Values of all patches of one modality, (B, N, P).

        Its places ask: with the encoded token where one is visible, else with a token that says *hidden*. They look at
        all encoded tokens of all modalities, then at each other.

        Args:
            name: The modality.
            encoded: From :meth:`encode`.
            kept: Numbers of the visible tokens (B, K).
            there: Which of them exist, (B, K).
        """
        code = self.into_decoder[name](encoded)  # (B, K + 1, d)
        seen = torch.where(there[..., None], code[:, :-1], self.hidden[name])
        index = kept[..., None].expand(-1, -1, code.shape[-1])
        total = len(self.owner)
        places = self.hidden[name].expand(len(code), total, -1).scatter(1, index, seen) + self.decoder_places
        start = sum(n for m, n in self.counts.items() if m < name)
        ask = places[:, start : start + self.counts[name]]
        context = code[:, :-1] + self.decoder_places[kept] + self.kind[name][self.owner[kept]]
        mask = torch.cat([there, torch.ones_like(there[:, :1])], 1)
        x = self.look[name](ask, torch.cat([context, code[:, -1:]], 1), mask)
        blocks: Any = self.refine[name]
        for block in blocks:
            x = block(x, x)
        return self.fill[name](x)

    def _existing(self, present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {m: present[m][:, None].expand(-1, n) for m, n in self.counts.items()}

    def choose(self, present: Mapping[str, Tensor], rng: torch.Generator) -> Tensor:
        """Numbers of K visible tokens of each item, (B, K), by (1) and (2)."""
        there = self._existing(present)
        shares = draw_shares(len(next(iter(there.values()))), len(there), self.concentration, rng)
        return choose_tokens(shares, there, self.visible, rng)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Sum over modalities of the error (3) to (5) on hidden patches.

        Args:
            batch: The modalities (B, C, H, W), with ``"<modality>_present"`` (B,) where some lack one. ``kept`` (B, K)
                says which tokens are visible; without it they are drawn.
            rng: Draws the visible tokens.
        """
        inputs, present = read(batch, self.shapes)
        exists = torch.cat(list(self._existing(present).values()), 1)  # (B, T)
        kept = batch["kept"] if "kept" in batch else self.choose(present, rng)
        there = exists.gather(1, kept)
        encoded = self.encode(self.tokens(inputs), kept, there)
        hidden = exists & ~torch.zeros_like(exists).scatter(1, kept, there)
        found: dict[str, Tensor] = {}
        parts = torch.split(hidden, list(self.counts.values()), 1)
        for m, part in zip(self.shapes, parts, strict=True):
            made, target = self.decode(m, encoded, kept, there), to_patches(inputs[m], self.patch)
            if self.errors[m] == "classes":
                made, target = (x.reshape(*x.shape[:2], self.shapes[m][0], -1) for x in (made, target))
            elif self.errors[m] == "squared" and self.normalise:
                target = standardised(target)
            found[m] = masked_error(made, target, part, self.errors[m])
        return {"loss": torch.stack(list(found.values())).sum()} | found  # Eq. (6)

    def see(self, batch: Batch, given: Sequence[str] | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Encode all patches of some modalities: encoded tokens, their numbers, and which of them exist.

        Args:
            batch: At least one modality; one that is given needs to be there.
            given: Modalities to look at; by default all that the batch has. ``"<modality>_visible"`` (B, N_m) in the
                batch hides patches of it, as many of each item as one likes.

        Raises:
            ValueError: If there is no such modality.
            KeyError: If the batch has none of them.
        """
        names = [m for m in self.shapes if m in batch] if given is None else list(given)
        for m in names:
            if m not in self.shapes:
                raise ValueError(f"There is no modality {m!r}: {nearest(m, self.shapes)}")
        if not names:
            raise KeyError(f"The batch has none of the modalities {', '.join(self.shapes)}: give at least one of them.")
        inputs, present = read(batch, {m: self.shapes[m] for m in names})
        some = next(iter(inputs.values()))
        for m, shape in self.shapes.items():
            if m not in inputs:
                inputs[m] = some.new_zeros(len(some), *shape)
                present[m] = torch.zeros_like(next(iter(present.values())))
        there = self._existing(present)
        exists = torch.cat([e & batch[f"{m}_visible"] if f"{m}_visible" in batch else e for m, e in there.items()], 1)
        kept = (~exists).to(torch.uint8).argsort(dim=1, stable=True)[:, : max(1, int(exists.sum(1).max()))]
        there_kept = exists.gather(1, kept)  # the count is each item's own
        return self.encode(self.tokens(inputs), kept, there_kept), kept, there_kept

    @torch.no_grad()
    def reconstruct(self, batch: Batch, wanted: str, given: Sequence[str] | None = None) -> Tensor:
        """A modality as the decoder fills it in, (B, C, H, W), from what is given.

        Args:
            batch: As for :meth:`see`.
            wanted: The modality to fill in. With ``"classes"`` its channels are logits.
            given: As for :meth:`see`.

        Raises:
            ValueError: If there is no such modality.
        """
        if wanted not in self.shapes:
            raise ValueError(f"There is no modality {wanted!r}: {nearest(wanted, self.shapes)}")
        with self.evaluating():
            patches = self.decode(wanted, *self.see(batch, given))
        return to_pictures(patches, self.shapes[wanted], self.patch)

    def embed(self, batch: Batch, given: Sequence[str] | None = None) -> Tensor:
        """Features (B, D): the mean of the encoded tokens of what is given, without the summary token.

        Args:
            batch: As for :meth:`see`.
            given: As for :meth:`see`.
        """
        with self.evaluating():
            encoded, _, there = self.see(batch, given)
        weight = there[..., None].to(encoded)
        return (encoded[:, :-1] * weight).sum(1) / weight.sum(1).clamp_min(1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Stripes in three modalities: a picture, its negative, and two classes of pixels."""
        rng = torch.Generator().manual_seed(seed)
        shapes = {"image": (1, 4, 4), "edge": (1, 4, 4), "area": (2, 4, 4)}
        errors = {"edge": "absolute", "area": "classes"}
        method = cls.seeded(
            seed, shapes, errors, visible=6, width=16, depth=1, decoder_width=16, decoder_depth=0, heads=1
        )
        image = torch.randn(16, 1, 1, 4, generator=rng).sign().expand(-1, -1, 4, -1).contiguous()
        image = image * (1 + 0.1 * torch.rand(16, 1, 4, 4, generator=rng))
        area = torch.cat([image > 0, image <= 0], 1).float()
        return method, {"image": image, "edge": -image, "area": area, "edge_present": torch.arange(16) % 8 != 3}

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shapes of all modalities, and the largest patch up to 4 that divides them."""
        found = super().arguments_for(item)
        sides = [side for shape in found["shapes"].values() if len(shape) == 3 for side in shape[1:]]
        return found | {"patch": next((p for p in (4, 2) if sides and all(s % p == 0 for s in sides)), 1)}


def _places(rows: int, columns: int, width: int) -> Tensor:
    """Sines and cosines of rows and columns, (rows · columns, width)."""
    quarter = max(1, width // 4)
    speed = 100.0 ** -(torch.arange(quarter) / quarter)
    turns = [torch.arange(n)[:, None] * speed for n in (rows, columns)]
    parts = [torch.cat([t.sin(), t.cos()], 1) for t in turns]
    grid = torch.cat(
        [parts[0][:, None].expand(-1, columns, -1), parts[1][None].expand(rows, -1, -1)], -1
    )  # (rows, columns, 4 quarter)
    return F.pad(grid.reshape(rows * columns, -1), (0, max(0, width - 4 * quarter)))[:, :width]
