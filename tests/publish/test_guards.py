"""What a run may reach, show and leave behind: hosts, variables, paths of the machine, processes, temporary folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from mmlab.publish import execute
from mmlab.publish.run import key, places
from mmlab.publish.run.workplace import workplace


def python(code, **more):
    environment = {**os.environ, "PYTHONPATH": str(key.PACKAGE.parent), **more}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split() or done.stderr.strip().splitlines()[-1:]


ASK = """
import shutil
import subprocess, sys
from mmlab.publish.run.offline import block_network
block_network()
def ask(event, *arguments):
    try:
        sys.audit(event, *arguments)
        print("through")
    except PermissionError:
        print("refused")
"""


ELSEWHERE = [
    "'socket.sendmsg', None, ('192.0.2.1', 9)",
    "'socket.sendto', None, ('192.0.2.1', 9)",
    "'socket.gethostbyname', 'name.invalid'",
    "'socket.gethostbyaddr', '192.0.2.1'",
    "'socket.getnameinfo', ('192.0.2.1', 80)",
    "'socket.getaddrinfo', b'name.invalid', 80, 0, 0, 0",
    "'socket.connect', None, ('127.name.invalid', 80)",
    "'socket.connect', None, ('127.0.0.1.name.invalid', 80)",
    "'socket.connect', None, ('localhost.name.invalid', 80)",
    "'socket.connect', None, ('2001:db8::1', 80, 0, 0)",
    "'socket.connect', None, ('::ffff:192.0.2.1', 80, 0, 0)",
    "'socket.connect', None, (2, 80)",
]
HERE = [
    "'socket.connect', None, ('127.0.0.1', 80)",
    "'socket.connect', None, ('127.9.9.9', 80)",
    "'socket.connect', None, ('::1', 80, 0, 0)",
    "'socket.connect', None, ('::ffff:127.0.0.1', 80, 0, 0)",
    "'socket.connect', None, '/tmp/x.sock'",
    "'socket.sendmsg', None, None",
    "'socket.getaddrinfo', 'localhost', 80, 0, 0, 0",
    "'socket.getaddrinfo', None, 80, 0, 0, 0",
]


@pytest.fixture(scope="module")
def answered():
    """What became of each event; all are asked in one process, since none leaves anything behind."""
    events = [*ELSEWHERE, *HERE]
    answers = python("\n".join([ASK, *(f"ask({event})" for event in events)]))
    return dict(zip(events, answers, strict=True))


@pytest.mark.parametrize("event", ELSEWHERE)
def test_a_host_elsewhere_is_refused(event, answered):
    assert answered[event] == "refused"


@pytest.mark.parametrize("event", HERE)
def test_this_machine_can_be_reached(event, answered):
    assert answered[event] == "through"


@pytest.mark.parametrize("start", ["subprocess.run([sys.executable, '-c', code])", "os.spawnv(os.P_WAIT, *args)"])
def test_a_child_in_python_is_offline_too(start):
    code = "import sys; sys.audit('socket.connect', None, ('192.0.2.1', 9)); print('through')"
    begin = f"{ASK}import os\ncode = {code!r}\nargs = (sys.executable, [sys.executable, '-c', repr(code)[1:-1]])\n"
    found = python(f"import sys\nsys.stderr = sys.stdout\n{begin}{start}")
    assert "through" not in found
    assert "offline" in " ".join(found)


LEAVE = """
import os, subprocess, sys
from mmlab.publish.run import namespace
{before}
alone = namespace.leave_network()
print(alone)
print(subprocess.run(sys.argv[1:], capture_output=True, timeout=5).returncode if sys.argv[1:] else os.environ)
"""


def leave(*command, before=""):
    environment = {**os.environ, "PYTHONPATH": str(key.PACKAGE.parent)}
    code = [sys.executable, "-c", LEAVE.format(before=before), *command]
    done = subprocess.run(code, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split("\n", 1)


def test_a_program_of_any_kind_finds_no_other_machine():
    """A program that knows no Python: bash opens sockets itself. The kernel says at once that there is no way."""
    if leave()[0] != "True" or not shutil.which("bash"):
        pytest.skip("this system lets nobody have a network namespace, or has no bash")
    assert leave("bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/80")[1].strip() == "1"


def test_where_there_is_no_namespace_proxies_lead_nowhere():
    alone, told = leave(before="namespace._possible = lambda: False")
    assert alone == "False"
    for name in ("http_proxy", "HTTPS_PROXY", "all_proxy"):
        assert f"'{name}': 'http://127.0.0.1:9'" in told
    assert python(f"{ASK}ask('socket.connect', None, ('127.0.0.1', 9))") == ["refused"]
    if shutil.which("curl"):
        before = "namespace._possible = lambda: False"
        assert (
            leave("curl", "http://example.invalid/", before=before)[1].strip() == "7"
        )  # the proxy does not answer: it never came to ask for the name


def test_a_chapter_runs_apart_and_its_kernel_still_answers(root, write):
    write("one", "import os\nprint(os.readlink('/proc/self/ns/net') if os.path.exists('/proc/self/ns') else '')")
    execute("one", root=root)
    shown = outputs(root)[0]["text"]
    if leave()[0] == "True":
        assert "".join(shown).strip() != str(Path("/proc/self/ns/net").readlink())


def outputs(root, stem="one"):
    cells = json.loads((root / "out" / "cpu" / f"{stem}.ipynb").read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def test_a_kernel_gets_the_variables_that_are_named_and_no_others(root, write, monkeypatch):
    secrets = (
        "HF_TOKEN",
        "GH_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "MY_PASSWORD",
        "PGPASSWORD",
        "http_proxy",
        "SSH_AUTH_SOCK",
    )
    for name in secrets:
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("ONE_MORE", "given")
    monkeypatch.setenv("MMLAB_KERNEL_ENV", "ONE_MORE, NOT_THERE")
    write("one", "import json, os\nfrom mmlab.viz import record", "record(seen=dict(os.environ))")
    seen = execute("one", root=root).metrics["seen"]
    assert "hunter2" not in seen.values()
    assert not seen.keys() & (set(secrets) - {"http_proxy"})  # which may lead nowhere
    assert (seen["LC_TIME"], seen["ONE_MORE"], seen["OMP_NUM_THREADS"]) == ("C", "given", "1")
    assert "PATH" in seen


SHOW = """
import os, sys, tempfile, warnings
from pathlib import Path
from mmlab.viz import record, say
print(os.getcwd(), Path.home() / "x.txt", sys.prefix, os.__file__)
print(f"file://{os.getcwd()}/a.png", repr(Path.cwd()), tempfile.gettempdir() + "/x")
record(where=os.getcwd(), inner={os.getcwd(): [sys.prefix]})
say(f"It is in `{os.getcwd()}/table.csv`.")
warnings.warn("look")
"""


def test_paths_of_the_machine_are_not_shown_and_equal_runs_are_equal(root, write):
    write("one", SHOW)
    receipt = execute("one", root=root)
    first = (root / "out" / "cpu" / "one.ipynb").read_text()
    assert receipt.metrics == {"where": "…/run", "inner": {"…/run": ["…/python"]}}
    shown = json.dumps(outputs(root), ensure_ascii=False)
    assert "mmlab-run-" not in shown
    assert "ipykernel_" not in shown
    assert sys.prefix not in shown
    assert f"…/run {Path.home()}/x.txt …/python" in shown  # the reader on this machine finds it
    assert "file://…/run/a.png" in shown
    again = execute("one", root=root, force=True)
    assert (root / "out" / "cpu" / "one.ipynb").read_text() == first
    assert again.output == receipt.output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada", "~"),
        ("/home/ada/x.py:3", "~/x.py:3"),
        ("/home/adam/x", "/home/adam/x"),
        ("s3://home/ada", "s3://home/ada"),
        ("a/home/ada", "a/home/ada"),
        ("'/home/ada',", "'~',"),
        ("/tmp/r/work/a /tmp/r/b", "…/run/a …/run/b"),
        ("/tmp/ipykernel_12/345.py:1: UserWarning", "cell:1: UserWarning"),
        ("/home/ada-lovelace", "/home/ada-lovelace"),
    ],
)
def test_a_folder_is_masked_and_what_only_looks_like_it_is_not(text, shown):
    known = {"/tmp/r/work": "…/run", "/home/ada": "~", "/tmp/r": "…/run", "/tmp": "…/tmp"}
    assert places.masked({"a": [text]}, known) == {"a": [shown]}


def test_pages_and_releases_name_nobody_s_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    monkeypatch.setenv("MMLAB_DATA", "~/studies")
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "kept"))
    text = (
        f"{tmp_path}/ada/x {tmp_path}/ada/studies/a.csv {tmp_path}/kept/b /home/bob/c '/Users/eve/d' C:\\Users\\kim\\e"
    )
    html = {"output_type": "display_data", "data": {"text/html": [f"<img alt='{tmp_path}/ada/y'>"]}}
    out = {"output_type": "stream", "text": [text, "https://x.org/home/bob and a/home/b stay"]}
    cells = [{"cell_type": "code", "source": ["'/home/bob'"], "outputs": [out, html]}, {"cell_type": "markdown"}]
    executed = {"cells": cells, "metadata": {"widgets": {"state": {"w": {"value": f"{tmp_path}/ada/z"}}}}}
    made = places.public(executed)
    assert made["cells"][0]["outputs"][0]["text"] == [
        "~/x …/data/a.csv …/cache/b ~/c '~/d' ~\\e",
        "https://x.org/home/bob and a/home/b stay",
    ]
    assert made["cells"][0]["outputs"][1]["data"]["text/html"] == ["<img alt='~/y'>"]
    assert made["metadata"]["widgets"]["state"]["w"]["value"] == "~/z"
    assert made["cells"][0]["source"] == ["'/home/bob'"], "what an author wrote is the author's"
    assert executed["cells"][0]["outputs"][0]["text"][0] == text, "the run's own notebook stays as it is"
    assert places.public_metrics({"at": f"{tmp_path}/ada/m", "n": 1.5}) == {"at": "~/m", "n": 1.5}


STARTED = (
    "env={}, start_new_session=True",
    "env={'PATH': '/bin'}",
    "start_new_session=True",
    "env={}, start_new_session=True, preexec_fn=lambda: os.fork() and os._exit(0)",
    "env={}, cwd='/', close_fds=True, process_group=0",
)


@pytest.mark.parametrize("how", ["ends well", "fails", "is ended", "is killed"])
def test_no_process_outlives_its_run(root, write, how):
    """However it was started: the run starts one of each kind, and says so before it ends."""
    stamp = time.monotonic_ns() % 10**9
    marks = {f"6{number}.{stamp:09d}": options for number, options in enumerate(STARTED, start=1)}
    last = {
        "ends well": "time.sleep(0.1)",
        "fails": "1 / 0",
        "is ended": "time.sleep(60)",
        "is killed": "time.sleep(1.5)\nos.kill(os.getpid(), 9)",
    }[how]
    starts = "\n".join(f"subprocess.Popen(['/bin/sleep', '{mark}'], {options})" for mark, options in marks.items())
    seen = root / "seen"
    look = (
        "import pathlib, psutil\ntime.sleep(0.2)\n"
        "running = {word for p in psutil.process_iter(['cmdline']) for word in p.info['cmdline'] or []}\n"
        f"pathlib.Path({str(seen)!r}).write_text(' '.join(sorted(running & set({list(marks)!r}))))"
    )
    write("one", "import os, subprocess, time", starts, look, last)
    try:
        execute("one", root=root, timeout=15 if how == "is ended" else None)
    except RuntimeError:
        assert how != "ends well"
    assert seen.read_text().split() == sorted(marks)
    left = {}
    for process in psutil.process_iter(["cmdline"]):
        for mark in marks.keys() & set(process.info["cmdline"] or []):
            left[marks[mark]] = process
            process.kill()
    assert left == {}


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary ones, of this process and of those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    monkeypatch.undo()
    tempfile.tempdir = None


_ENDS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGTERM", "SIGINT", "SIGKILL"])
def test_a_run_that_is_ended_leaves_no_folder_or_the_next_one_clears_it(root, write, temporary, name):
    started = root / "started"
    write("one", f"import pathlib, time\npathlib.Path({str(started)!r}).touch()", "time.sleep(60)")
    call = (
        "from pathlib import Path; from mmlab.publish import execute; from mmlab.publish.run import launch\n"
        "launch.factor = lambda together=1: 1.0\n"  # measuring it takes seconds
        f"execute('one', root=Path({str(root)!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", call],
        cwd=key.PACKAGE.parent,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in _ENDS],  # a shell's jobs ignore some
    )
    until = time.monotonic() + 60
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert list(temporary.glob("mmlab-run-*"))
    process.send_signal(getattr(signal, name))
    process.wait(45)  # less than the cell sleeps: it is ended, not waited for
    if name == "SIGKILL":
        assert list(temporary.glob("mmlab-run-*"))
        with workplace():
            pass
    assert list(temporary.glob("mmlab-run-*")) == []


def test_only_what_a_dead_run_left_is_cleared(temporary):
    own = temporary / "mmlab-run-of-my-own"
    own.mkdir()
    (own / "precious.txt").write_text("x")
    (temporary / "mmlab-run-notes.lock").write_text("x")
    with workplace() as living:
        (living / "x").touch()
        with workplace() as second:
            assert living != second
            assert (living / "x").exists()
        assert not second.exists()
    assert sorted(path.name for path in temporary.iterdir()) == ["mmlab-run-notes.lock", "mmlab-run-of-my-own"]


def test_a_hangup_that_is_ignored_stays_ignored():
    from mmlab.publish.run.processes import terminable

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
