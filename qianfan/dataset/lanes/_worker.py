"""A worker process: does one job on the ranges of a file that it is told, until its input ends.

It is run by its path, and makes the packages around the few modules that it needs without running their `__init__`s,
which import all of the dataset layer: so it is there in some thirty milliseconds, rather than in most of a second.

Input and output are pickles, each behind its size: what to do, then ranges; for each range a list of results, or an
exception. Both ends are the same program on the same machine.
"""

import os
import pickle
import signal
import sys
import types
from typing import Any

_PACKAGES = ("qianfan", "qianfan.dataset", "qianfan.dataset.lanes", "qianfan.dataset.reading", "qianfan.dataset.shapes")


def main() -> None:
    # The parent process decides what an interrupt means; when it ends, the input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inlet, outlet = sys.stdin.buffer, sys.stdout.buffer
    # What a library prints must not come between the answers.
    sys.stdout = sys.stderr
    root, search_path, job_name, shape, is_of_kind, path = _receive(inlet)
    sys.path[:] = search_path
    for name in _PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(root, *name.split("."))]
        sys.modules[name] = package
    from qianfan.dataset.lanes.working import Work

    work = Work(job_name, shape, is_of_kind, path)
    while (task := _receive(inlet)) is not None:
        answer: Any
        try:
            answer = work(*task)
        except Exception as error:
            answer = error
        content = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        outlet.write(len(content).to_bytes(8, "big"))
        outlet.write(content)
        outlet.flush()


def _receive(inlet: Any) -> Any:
    head = inlet.read(8)
    if len(head) < 8:
        return None
    return pickle.loads(inlet.read(int.from_bytes(head, "big")))  # noqa: S301  # from the process that started this one


if __name__ == "__main__":
    # The folder of this file must not be searched for modules.
    del sys.path[0]
    try:
        main()
    except BrokenPipeError:
        # Nobody waits for the answer any more.
        os._exit(0)
