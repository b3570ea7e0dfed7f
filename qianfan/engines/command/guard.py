"""Runs a program in a process group of its own, and ends all of that group when nobody is left to wait for it.

Usage: python guard.py GRACE PROGRAM [ARGUMENT...]. It ends the group when its own stdin ends, which happens also when
whoever started it is killed: first by asking, after GRACE seconds by force. What the program leaves behind when it
ends by itself is ended in the same way. It exits with the program's code, or 128 plus the number of a signal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

_LOOK_SECONDS = 0.05


def main(arguments: list[str]) -> int:
    """Run the program to its end."""
    grace = float(arguments[0])
    program = subprocess.Popen(arguments[1:], stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    threading.Thread(target=_end_with_stdin, args=(program, grace), daemon=True).start()
    code = program.wait()
    end_group(program.pid, grace)
    return code if code >= 0 else 128 - code


def _end_with_stdin(program: subprocess.Popen[bytes], grace: float) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not through the buffer, whose lock would be held when this process exits
        pass
    end_group(program.pid, grace)


if sys.platform == "win32":

    def end_group(group: int, grace: float) -> None:
        """End a process and all that it has started; there is no way to ask there."""
        command = ["taskkill", "/T", "/F", "/PID", str(group)]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603

else:

    def end_group(group: int, grace: float) -> None:
        """Ask all processes of a group to end, and kill what is left of them after `grace` seconds."""
        if not _signal(group, signal.SIGTERM):
            return
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if not _signal(group, 0):
                return
            time.sleep(_LOOK_SECONDS)
        _signal(group, signal.SIGKILL)

    def _signal(group: int, number: int) -> bool:
        """Whether there was anyone in the group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            return True
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
