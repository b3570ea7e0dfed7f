"""The table of what was tried and what came of it: `python -m tests.crashes.report FILE [--write]`.

FILE holds the lines that `--fault-report` asked for. With --write the table also goes into the pages on reliability,
between their marks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"

LABELS = {
    "crash point": ("killed at a crash point", "在崩溃点被杀死"),
    "random kills": (
        "`kill -9` at random, two processes, and 15 % of all requests fail",
        "两个进程随机被 `kill -9`，同时 15 % 的请求出错",
    ),
    "many runs": ("many runs in one process, 1 % of all requests fail", "一个进程里有很多运行，1 % 的请求出错"),
    "lost request": ("every request for a task is lost; held for a person", "创建任务的请求次次丢失，留给人决定"),
    "full disk": ("disk full at the intent, at the answer, at the end of a step", "写意图、收应答、步骤完成时磁盘已满"),
    "locked journal": ("journal locked by another program", "日志文件被别的程序锁住"),
    "read-only journal": ("journal read-only", "日志文件只读"),
    "six processes": ("six processes start one run", "六个进程启动同一个运行"),
    "frozen owner": ("process frozen, another one tries", "进程被冻结，另一个进程来接手"),
    "taken over": ("process frozen and taken over by order, then thawed", "进程被冻结后由人下令接管，随后解冻"),
    "killed owner": ("process killed while another one follows", "进程被杀死，另一个进程正在跟随"),
    "fork": ("fork during a run, then the parent is killed", "运行中 fork，随后父进程被杀死"),
    "spawn": ("a spawned child on the same journal", "spawn 出的子进程共用日志"),
    "event loops": ("two event loops on the same journal", "两个事件循环共用日志"),
    "signals": (
        "Ctrl-C, SIGTERM, SIGHUP; in a wait, in an order, twice",
        "等待中、下单中的 Ctrl-C、SIGTERM、SIGHUP，及连按两次",
    ),
    "terminal": ("Ctrl-C on a terminal, and the terminal closed", "终端里按 Ctrl-C，关闭终端"),
    "clock": ("clock an hour off, or jumping", "时钟偏差一小时，或者跳变"),
}
"""For each kind of fault what the two pages call it, in the order of the table."""

PAGES = {
    "reliability.md": (0, "| fault | tried | runs | duplicates | lost |"),
    "reliability.zh.md": (1, "| 故障 | 次数 | 运行 | duplicates | lost |"),
}


@dataclass
class Row:
    """What came of one kind of fault. megabytes: what the largest process took, where that was measured."""

    faults: int = 0
    runs: int = 0
    duplicates: int = 0
    lost: int = 0
    megabytes: int = 0

    def add(self, line: dict[str, int | None]) -> None:
        self.faults += line["faults"] or 0
        self.runs += line["runs"] or 0
        self.duplicates += line["duplicates"] or 0
        self.lost += line["lost"] or 0
        self.megabytes = max(self.megabytes, line["megabytes"] or 0)


def read(file: Path) -> dict[str, Row]:
    """The rows of the table, in its order. Raises KeyError for a kind that has no label."""
    rows = {what: Row() for what in LABELS}
    for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        rows[line["what"]].add(line)
    return {what: row for what, row in rows.items() if row.runs}


def table(rows: dict[str, Row], language: int, heading: str) -> str:
    lines = [heading, "| --- | ---: | ---: | ---: | ---: |"]
    for what, row in rows.items():
        label = LABELS[what][language] + (f" ({row.megabytes} MB)" if row.megabytes else "")
        lines.append(f"| {label} | {row.faults} | {row.runs} | {row.duplicates} | {row.lost} |")
    return "\n".join(lines)


def between_the_marks(page: str, content: str) -> str:
    """A page with other content between its marks. Raises ValueError when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} … {END} to write between")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    rows = read(options.file)
    for name, (language, heading) in PAGES.items():
        text = table(rows, language, heading)
        if language == 0:
            print(text)
        if options.write:
            page = DOCS / name
            page.write_text(between_the_marks(page.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
