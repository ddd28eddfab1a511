"""Several processes do the same run as one: the same curve, one checkpoint, on whatever number it goes on."""

import csv
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from training_toys import checkpoint

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")]),
    "OMP_NUM_THREADS": "1",
}
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def read(out: Path) -> dict:
    with (out / "history.csv").open() as file:
        return {(row["step"], row["split"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}


def assert_same_run(ours: Path, theirs: Path) -> None:
    a, b = read(ours), read(theirs)
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert math.isclose(value, b[key], rel_tol=1e-5), key
    a, b = checkpoint(ours), checkpoint(theirs)
    assert a.about == b.about
    for group, named in a.tensors.items():
        assert named.keys() == b.tensors[group].keys()
        for name, tensor in named.items():
            torch.testing.assert_close(tensor, b.tensors[group][name], rtol=1e-4, atol=1e-6)


def test_several_processes_do_the_run_of_one():
    """One test, since all its cases come from one server."""
    memory = Path("/dev/shm")  # faster to flush than a disk
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        command = [sys.executable, str(HERE / "process_server.py"), name]
        run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=200)
        assert run.returncode == 0, run.stderr
        folder, codes = Path(name), json.loads(run.stdout)
        for kind in ("one", "two"):
            the_curve_is_the_same(folder, codes, kind)
        it_goes_on_with_another_number_of_processes(folder, codes)
        a_number_that_does_not_divide_the_pieces_is_refused(folder, codes)
        a_bad_loss_in_one_process_stops_both(folder, codes)
        sharding_gives_the_same_run(folder, codes)


def the_curve_is_the_same(folder, codes, kind):
    assert codes[f"{kind}: 1"] == [0]
    assert codes[f"{kind}: 2"] == [0, 0]
    assert_same_run(folder / f"{kind} 2", folder / f"{kind} 1")
    assert sorted(path.name for path in (folder / f"{kind} 2").iterdir()) == ["checkpoint", "history.csv"]
    assert [path.name for path in (folder / f"{kind} 2" / "checkpoint").glob("step*")] == ["step-00000010"]


def it_goes_on_with_another_number_of_processes(folder, codes):
    assert codes["stop 2"] == [143, 143]  # one heard the signal, both stopped
    assert codes["then 1"] == [0]
    assert_same_run(folder / "2 then 1", folder / "one 1")
    assert codes["stop 1"] == [143]
    assert codes["then 2"] == [0, 0]
    assert_same_run(folder / "1 then 2", folder / "two 1")


def a_number_that_does_not_divide_the_pieces_is_refused(folder, codes):
    assert codes["then 3"] == [3, 3, 3]
    for rank in range(3):
        message = (folder / "1 then 2" / f"refusal {rank}").read_text()
        assert "cuts its batches into 2 pieces, which 3 processes cannot share evenly" in message


def a_bad_loss_in_one_process_stops_both(folder, codes):
    assert codes["nan"] == [3, 3]
    messages = [(folder / "nan" / f"refusal {rank}").read_text() for rank in range(2)]
    assert messages[0].split(";")[0] == messages[1].split(";")[0]
    step = int(re.match(r"Step (\d+): the loss is nan", messages[0])[1])
    assert re.search(r"samples \[.*\b17\b.*\]", messages[0])
    assert checkpoint(folder / "nan").about["step"] == step - 1 >= 1


def sharding_gives_the_same_run(folder, codes):
    assert codes["sharded"] == [0, 0]
    assert_same_run(folder / "sharded", folder / "one 1")
    assert codes["sharded, stop"] == [143, 143]
    assert codes["sharded, then 1"] == [0]
    assert_same_run(folder / "sharded then 1", folder / "one 1")
    assert codes["2, then sharded"] == [0, 0]
    assert_same_run(folder / "2 then sharded", folder / "one 1")
    assert codes["sharded, two"] == [3, 3]
    assert "shards methods with one objective" in (folder / "sharded two" / "refusal 0").read_text()


def test_the_script_of_the_page_under_torchrun(tmp_path):
    """The page's own script: first alone, then with two processes; the curve is the same, and one model is saved."""
    page = (HERE.parents[1] / "book" / "how_to" / "train_anywhere.md").read_text(encoding="utf-8")
    (tmp_path / "train.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    launchers = {"one": [sys.executable], "two": [sys.executable, "-m", *TORCHRUN]}
    for name, launcher in launchers.items():
        (tmp_path / name).mkdir()
        run = subprocess.run(
            [*launcher, "../train.py"],
            cwd=tmp_path / name,
            env={**ENVIRONMENT, "STEPS": "3"},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("History(") == 1
        assert (tmp_path / name / "out" / "bridge" / "model" / "model.safetensors").exists()
    assert_same_run(tmp_path / "two" / "out" / "bridge", tmp_path / "one" / "out" / "bridge")
