"""The journal of runs: what makes a run outlive its process.

A SQLite file of the standard library, or the same in memory. Every order is in it before it leaves, every id before it
is used; a run has one owner at a time, and the kernel says whether that owner lives.
"""

from qianfan.journal._facts import NodeFacts, RunFacts
from qianfan.journal._journal import SqliteJournal
from qianfan.journal._record import JournalRecord
from qianfan.journal._shelf import close_journals, journal_at, open_journal

__all__ = ["JournalRecord", "NodeFacts", "RunFacts", "SqliteJournal", "close_journals", "journal_at", "open_journal"]
