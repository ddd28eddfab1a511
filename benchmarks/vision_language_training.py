"""Training TinyLLaVA with mmlab.fit, against transformers' Trainer and its Llava; and what logits cost in memory.

Speed: the same weights, the same batches in the same order, the same fused AdamW and clipping, on one thread. Short
runs alternate in one process. ``Trainer, Llava`` is what one would use without mmlab (with Phi-2's bias put into its
head, so that both train the same model, to the digits that are printed); ``Trainer, TinyLLaVA`` has our method in
their loop. Steps are timed from one request for a batch to the next, in processor time of the thread. Bar: at least
0.95 of the Trainer's tokens per second.

Memory: the highest resident set of a process that trains for three steps with a vocabulary of 51,200, above what it
held before the first step: logits at the answers alone, against logits at every position.

On a GPU also: 3.2 billion random weights in bf16 with LoRA of rank 8 and 128; memory is predicted first, then measured.

Run: python benchmarks/vision_language_training.py
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from provenance import write_result
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import mmlab
from mmlab.data.tensors import TensorData
from mmlab.method import Batch
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.nn.splicing import IGNORE, IMAGE
from mmlab.train.tuning import add_lora

RESULT = Path(__file__).parent / "results" / "vision_language_training.json"
BATCH, ANSWER, VOCABULARY = 8, 8, 51_200
SIZES = {  # width, vocabulary, words, steps of a run, rounds
    "64 wide, 200 words": (64, 200, 24, 60, 9),
    "128 wide, 8,192 words": (128, 8192, 64, 16, 7),
}


def build(width: int, vocabulary: int, **how: Any) -> TinyLLaVA:
    """A language model and a tower of two layers; pictures of 32 × 32 in 16 patches, of which 15 are read."""
    size = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": 2, "num_attention_heads": 4}
    words = {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    torch.manual_seed(0)
    return TinyLLaVA(size | words, size | {"image_size": 32, "patch_size": 8}, **how)


def texts(vocabulary: int, words: int, items: int, image_size: int = 32, answer: int = ANSWER) -> dict[str, Tensor]:
    """Random conversations: a picture, a question of half to all of ``words``, an answer; rows of several lengths."""
    rng = torch.Generator().manual_seed(0)
    length = torch.randint(words // 2, words + 1, (items,), generator=rng)
    input_ids = torch.randint(1, vocabulary - 1, (items, words), generator=rng)
    input_ids[:, 1] = IMAGE
    place = torch.arange(words)
    asked = (place < length[:, None]) & (place >= length[:, None] - answer)
    images = torch.rand(items, 1, 3, image_size, image_size, generator=rng) * 2 - 1
    labels = torch.where(asked, input_ids, IGNORE)
    return {"input_ids": input_ids, "length": length, "labels": labels, "images": images}


class Timed(TensorData):
    """Notes when each batch is asked for, and which items are in it."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__(tensors)
        self.times: list[float] = []
        self.orders: list[Tensor] = []

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """As in TensorData."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() if torch.cuda.is_available() else time.thread_time())
        self.orders.append(indices)
        return super().batch(indices)

    def step_seconds(self, warm: int = 4) -> float:
        """Median time of a step since the last call."""
        times, self.times = self.times, []
        return statistics.median(b - a for a, b in itertools.pairwise(times[warm:]))


class Steps(torch.utils.data.Dataset):
    """The batches of a run that fit made, for the Trainer: one item is one batch."""

    def __init__(self, data: Timed, orders: list[Tensor]) -> None:
        self.data, self.orders = data, orders

    def __len__(self) -> int:
        return len(self.orders)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        return self.data.batch(self.orders[step])


class Wrapped(nn.Module):
    """Our method as the Trainer calls a model."""

    def __init__(self, method: TinyLLaVA) -> None:
        super().__init__()
        self.method = method

    def forward(self, input_ids: Tensor, length: Tensor, labels: Tensor, images: Tensor) -> dict[str, Tensor]:
        """The loss of a batch."""
        batch = {"input_ids": input_ids, "length": length, "labels": labels, "images": images}
        return self.method.loss(batch, torch.Generator())


def llava(method: TinyLLaVA) -> Any:
    """The Llava of transformers with our weights. The placeholder is its last word, which no text has."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    language, tower = method.language_model, method.vision_tower
    theirs: Any = LlavaForConditionalGeneration(
        LlavaConfig(
            text_config=language.config.to_dict(),
            vision_config=tower.config.to_dict(),
            image_token_id=language.config.vocab_size - 1,
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
        )
    )
    theirs.lm_head = nn.Linear(language.config.hidden_size, language.config.vocab_size)
    projector, ours = theirs.model.multi_modal_projector, method.connector
    pairs = [(language.model, theirs.model.language_model), (tower, theirs.model.vision_tower)]
    pairs += [(ours[0], projector.linear_1), (ours[2], projector.linear_2), (language.lm_head, theirs.lm_head)]  # type: ignore[index]
    for mine, its in pairs:
        its.load_state_dict(mine.state_dict())
    theirs.model.language_model.embed_tokens.padding_idx = None
    theirs.model.vision_tower.requires_grad_(False)
    return theirs


def as_llava_reads(tensors: dict[str, Tensor], tokens: int, vocabulary: int) -> dict[str, Tensor]:
    """The same items with the placeholder repeated."""
    ids, labels = tensors["input_ids"], tensors["labels"]
    picture = torch.full((len(ids), tokens), vocabulary - 1)
    ids = torch.cat([ids[:, :1], picture, ids[:, 2:]], 1)
    mask = (torch.arange(ids.shape[1]) < tensors["length"][:, None] - 1 + tokens).long()
    labels = torch.cat([labels[:, :1], picture.new_full(picture.shape, IGNORE), labels[:, 2:]], 1)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "pixel_values": tensors["images"][:, 0]}


def with_trainer(model: nn.Module, data: Timed, orders: list[Tensor], log: bool = False) -> list[float]:
    """Train with transformers' Trainer on these batches, and return its losses if it is to log them."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class OnTheseBatches(Trainer):
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Steps(data, orders), batch_size=None)

    how = TrainingArguments(
        output_dir=tempfile.gettempdir(), max_steps=len(orders), learning_rate=1e-3, lr_scheduler_type="constant",
        optim="adamw_torch_fused", weight_decay=0.0, max_grad_norm=1.0, use_cpu=True, report_to="none",
        save_strategy="no", logging_strategy="steps" if log else "no", logging_steps=1, disable_tqdm=True,
        remove_unused_columns=False,
    )  # fmt: skip
    trainer = OnTheseBatches(model=model, args=how, train_dataset=Steps(data, orders))
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def compare(width: int, vocabulary: int, words: int, steps: int, rounds: int) -> dict[str, Any]:
    """Alternate the three and compare their tokens per second, round by round."""
    tensors = texts(vocabulary, words, BATCH * 10)
    start = build(width, vocabulary)
    ours = Timed(tensors)
    theirs = Timed(as_llava_reads(tensors, start.image_tokens, vocabulary))
    history = mmlab.fit(build(width, vocabulary), ours, steps=steps, batch_size=BATCH, progress=False)
    orders = ours.orders[:steps]
    losses = with_trainer(llava(start), theirs, orders, log=True)
    apart = max(abs(a - b) / b for a, b in zip(history.values(), losses, strict=True))
    names = ("fit, TinyLLaVA", "Trainer, TinyLLaVA", "Trainer, Llava")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    ours.times, theirs.times = [], []
    for turn in range(rounds + 1):
        for name in names if turn % 2 else names[::-1]:
            method = build(width, vocabulary)
            data = theirs if name == "Trainer, Llava" else ours
            if name == "fit, TinyLLaVA":
                mmlab.fit(method, ours, steps=steps, batch_size=BATCH, progress=False)
            else:
                with_trainer(llava(method) if data is theirs else Wrapped(method), data, orders)
            seconds[name].append(data.step_seconds())
    tokens = float(theirs.tensors["attention_mask"].sum() / len(theirs) * BATCH)
    row: dict[str, Any] = {"tokens a batch": round(tokens), "losses apart by at most": apart}
    for name in names:
        row[name] = {"tokens per second": tokens / statistics.median(seconds[name][1:])}  # the first round warms up
        if name != names[0]:
            ratios = sorted(b / a for a, b in zip(seconds[names[0]][1:], seconds[name][1:], strict=True))
            quarter = len(ratios) // 4
            row[name] |= {
                "fit against it": statistics.median(ratios),
                "middle half": [ratios[quarter], ratios[-quarter - 1]],
            }
    return row


class FullLogits(TinyLLaVA):
    """Logits at every position, as nearly everywhere."""

    card = TinyLLaVA.card

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The same number, from all B × T' × V logits."""
        sequence = self.embed(batch)
        assert sequence.labels is not None
        logits = self.language_model(inputs_embeds=sequence.vectors, attention_mask=sequence.mask).logits[:, :-1]
        return {"loss": cross_entropy(logits.float().flatten(0, 1), sequence.labels[:, 1:].flatten())}


def highest() -> int:
    """The most memory that this process has held at once, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # what getrusage says may be the parent's
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def memory_here(kind: str, words: int) -> dict[str, float]:
    """Train for three steps, and say by how much the peak rose and what the loss was."""
    cls = FullLogits if kind == "every position" else TinyLLaVA
    size = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    method = cls(size | {"vocab_size": VOCABULARY}, size | {"image_size": 32, "patch_size": 8})
    data = TensorData(texts(VOCABULARY, words, BATCH))
    loss = method.loss(TensorData(texts(VOCABULARY, 12, 1)).batch(torch.arange(1)), torch.Generator())["loss"]
    loss.backward()  # libraries are loaded, gradients are there
    before = highest()
    history = mmlab.fit(method, data, steps=3, batch_size=BATCH, progress=False)
    return {"MB": (highest() - before) / 1e6, "loss": history.values()[0]}


def memory() -> list[dict[str, Any]]:
    """Each in a process of its own."""
    rows = []
    for words, kind in itertools.product((100, 200, 400), ("answers alone", "every position")):
        command = [sys.executable, __file__, "--memory", kind, str(words)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows.append({"positions": words + 14, "logits at": kind} | json.loads(answer.splitlines()[-1]))
    return rows


def predicted(batch: int, tokens: int, rank: int, checkpointing: bool, full: bool) -> float:
    """Gigabytes at the peak of a step of the 3.2 B model in bf16 with LoRA, from its sizes alone.

    Weights take 2 bytes; what is trained 16 in float32 (weight, gradient, two moments). A layer of Phi-2 keeps about
    34 numbers of 2 bytes per token and unit of width where it is not computed again, and 1 where it is, beside one
    whole layer. Logits take 2 bytes and three copies of 4.
    """
    width, layers, adapter = 2560, 32, 1_474_560 * rank
    trained = 16 * (adapter + 9_507_840)
    a_layer = batch * tokens * width * 2
    activations = a_layer * (layers + 34) if checkpointing else a_layer * 34 * layers
    logits = (batch * tokens if full else batch * 30) * VOCABULARY * 14
    return (2 * 3_217_417_280 + trained + activations + logits) / 1e9


def on_gpu() -> list[dict[str, Any]]:
    """Published size, random weights, 800 positions of which 30 are answers."""
    rows = []
    for rank, checkpointing, full in itertools.product((8, 128), (True, False), (False, True)):
        torch.set_default_dtype(torch.bfloat16)
        with torch.device("cuda"):
            method: Any = (FullLogits if full else TinyLLaVA)(checkpointing=checkpointing)
        torch.set_default_dtype(torch.float32)
        model = add_lora(method, rank, dropout=0.05)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        for batch in (1, 4, 8):
            words = 800 - method.image_tokens + 1
            data = Timed(
                texts(VOCABULARY, words, batch * 8, 384, answer=30) | {"length": torch.full((batch * 8,), words)}
            )
            guess = predicted(batch, 800, rank, checkpointing, full)
            torch.cuda.reset_peak_memory_stats()
            mmlab.fit(method, data, steps=8, batch_size=batch, lr=1e-4, precision="bf16", progress=False)
            row = {
                "rank": rank, "checkpointing": checkpointing, "batch": batch, "predicted GB": guess,
                "logits at": "every position" if full else "answers alone",
                "measured GB": torch.cuda.max_memory_allocated() / 1e9,
                "tokens per second": 800 * batch / data.step_seconds(2),
            }  # fmt: skip
            print(row, flush=True)
            rows.append(row)
        del method, model
        torch.cuda.empty_cache()
    return rows


def main() -> None:
    """Print the tables and write the JSON; what only a GPU can say is kept from the last run on one."""
    torch.set_num_threads(1)
    if "--memory" in sys.argv:
        print(json.dumps(memory_here(sys.argv[-2], int(sys.argv[-1]))))
        return
    old = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    results: dict[str, Any] = {"torch": torch.__version__, "machine": platform.machine(), "batch": BATCH}
    if torch.cuda.is_available():
        results = old | {"gpu": {"device": torch.cuda.get_device_name(), "rows": on_gpu()}}
    else:
        results["speed"] = {name: compare(*size) for name, size in SIZES.items()}
        results["memory"] = memory()
        results |= {"gpu": old["gpu"]} if "gpu" in old else {}
    print(json.dumps(results, indent=1))
    write_result(results, __file__)


if __name__ == "__main__":
    main()
