"""The process that runs one notebook: started by the runner, it starts the kernel, and reports how the run ended.

It is a process of its own so that the runner can measure it, limit it and end it together with everything it started.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mmlab.publish.run.namespace import leave_network
from mmlab.publish.run.outputs import empty_figure, unrun_cell
from mmlab.publish.run.processes import MARK, adopt_orphans, end_all, end_descendants

__all__ = ["main"]

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def main(job_file: Path) -> None:
    """Run the notebook that a job file describes, and leave ``result.json`` beside it.

    Args:
        job_file: JSON: ``notebook``, ``output``, ``parameters``, ``cell_timeout``, ``start_timeout``, ``folder``,
            ``offline``.
    """
    job = json.loads(job_file.read_text(encoding="utf-8"))
    adopt_orphans()
    if job["offline"]:
        leave_network()  # before there is a second thread
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    status, error = _run(job)
    end_descendants(os.getpid())  # what cells started and left behind
    part = job_file.with_name("result.part")
    part.write_text(json.dumps({"status": status, "error": error}), encoding="utf-8")
    part.replace(job_file.with_name("result.json"))


def _run(job: dict[str, Any]) -> tuple[str, str]:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        notebook = papermill.execute_notebook(
            job["notebook"],
            None,
            parameters=job["parameters"],
            kernel_name="python3",
            progress_bar=False,
            start_timeout=job["start_timeout"],
            execution_timeout=job["cell_timeout"],
            cwd=job["folder"],
        )
    except PapermillExecutionError as failure:
        status = "exit" if failure.ename in ("SystemExit", "KeyboardInterrupt") else "cell error"
        where = f"code cell {failure.exec_count}" if failure.exec_count else "a cell"
        trace = _COLOURS.sub("", "\n".join(failure.traceback))
        return status, f"{where} raised {failure.ename}: {failure.evalue}\n{trace}"
    except CellTimeoutError as failure:
        return "cell timeout", f"a cell ran longer than its limit of {job['cell_timeout']} s.\n{failure}"
    except DeadKernelError:
        return "dead kernel", "the kernel died: it was killed (out of memory?), or a cell ended its process."
    except (RuntimeError, OSError) as failure:  # these come from starting it; cells raise in the kernel, not here
        return "no kernel", f"the kernel did not start within {job['start_timeout']} s: {failure}"
    if problem := unrun_cell(notebook) or empty_figure(notebook):
        return problem
    _clean(notebook)
    Path(job["output"]).write_text(json.dumps(notebook), encoding="utf-8")
    return "ok", ""


def _clean(notebook: Any) -> None:
    """Take out what differs between two equal runs: times, paths and versions of the tools that ran it."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for key in ("papermill", "execution", "id", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)


def _end_with_parent(parent: int) -> None:
    """End the whole run when the runner is gone, even if it had no time to say so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    end_descendants(os.getpid())
    end_all(os.environ[MARK])
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
