"""Every error that qianfan raises, as one tree.

```
QianfanError
├── APIError                      the platform answered with an error of its own
│   ├── AuthError                 keys unknown, signature refused, client id unknown
│   │   ├── AccessTokenExpiredError   OAuth token refused even after a refresh (110, 111)
│   │   └── BearerTokenExpiredError   V2 bearer token refused even after a refresh
│   └── RateLimitError            too many requests or tokens (18, 336501, 336502, HTTP 429)
├── RequestError                  no usable answer came back
│   ├── ConnectionFailedError     the request never reached the platform
│   ├── RequestTimeoutError       no answer within the deadline
│   └── StreamInterruptedError    a stream ended without its end mark
├── InvalidArgumentError          wrong input, found before anything is sent
│   ├── ArgumentNotFoundError     a required argument is missing
│   ├── UnknownArgumentError      a keyword that does not exist; also a TypeError
│   ├── ConfigurationError        a setting has a wrong value or no value
│   │   └── MissingCredentialsError
│   ├── DataFileError             a data file cannot be read or written
│   │   ├── DataFileChangedError  it changed while it was being read
│   │   └── UnsafeArchiveError    an archive that leads out of its folder, or unpacks to far too much
│   ├── ValidationError           rows or hyper-parameters break the platform's rules; all problems listed
│   │   └── UnclearFormatError    rows could be of several formats, and nobody said which
│   ├── RowFunctionError          a function that was given for rows failed, or made something that is no row
│   ├── TrainerFileError          a file holds no trainer or pipeline that this version can read
│   └── PipelineError             a graph of actions that cannot run
│       └── PipelineChanged       a run is gone on with by other actions or parameters than it began with
├── InternalError                 a remote piece of work ended badly, or a state that should not exist
│   ├── TrainJobFailedError       training ended as Failed or Stopped
│   ├── ModelPublishFailedError   publishing ended as Fail
│   ├── ModelCompressFailedError  a compression ended as failed, or was stopped
│   ├── BatchInferenceFailedError an offline batch inference ended as Failed or Expired, or was stopped
│   ├── EvaluationFailedError     an evaluation on the platform came to no result
│   ├── ServiceDeployFailedError  a deployment ended in another state than Serving
│   ├── DatasetImportError        the platform could not import the data
│   ├── DatasetReleaseError       the platform could not release the dataset
│   ├── DatasetExportError        the platform could not export the rows, or what it exported cannot be read
│   ├── OutcomeUnknownError       a paid call got no answer and its effect could not be found
│   └── IntentMismatch            an order of unknown fate was to be repeated with another content
├── JournalError                  the journal of runs cannot be used, or does not allow this; nothing was sent
│   ├── JournalCorruptError       the file is damaged or no journal
│   ├── JournalVersionError       a newer version of qianfan wrote it
│   ├── JournalBusyError          another program keeps it locked
│   ├── JournalWriteError         it cannot be written: disk full, or read-only
│   ├── UnknownRunError           it has no run of that id
│   ├── RunBusyError              a live process drives the run
│   ├── ForeignOwner              a process on another machine drives the run
│   └── LeaseLost                 another process took the run over
├── ActionTimeoutError            an action took longer than its own timeout
├── MissingExtraError             a feature needs an optional dependency
├── FileSizeOverflow              an export is larger than the configured limit
├── QianfanRequestError           a platform request inside a dataset operation failed
└── NotImplmentError              (sic) the documented spelling
```

Messages name the place and the value that is wrong and, where there is one, the fix. They never contain
headers, tokens or keys. Facts are attributes, so nobody has to parse a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qianfan._types import RefusedRow


class QianfanError(Exception):
    """The root of the tree: `except QianfanError` catches everything qianfan raises on purpose."""


# --- the platform answered with an error ---------------------------------------------------------------------


class APIError(QianfanError):
    """The platform answered with an error.

    error_code: the platform's code as received, a number (V1) or a word (V2).
    error_msg: the platform's own message, often Chinese, unchanged.
    req_id: what Baidu's support asks for; also `request_id`.
    http_status: HTTP status of the answer; V1 reports errors under 200.
    retryable: whether the same request may succeed later.
    retry_after: seconds the platform asked to wait, if it did.
    """

    def __init__(
        self,
        error_code: int | str,
        error_msg: str,
        req_id: str | None = None,
        *,
        http_status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        hint: str | None = None,
        call: str | None = None,
    ) -> None:
        self.error_code = error_code
        self.error_msg = error_msg
        self.req_id = req_id
        self.http_status = http_status
        self.retryable = retryable
        self.retry_after = retry_after
        self.hint = hint
        self.call = call
        text = f"{call} failed: " if call else ""
        text += f"code {error_code}: {error_msg}"
        if req_id:
            text += f" (request id {req_id})"
        if hint:
            text += f". {hint}"
        super().__init__(text)

    @property
    def code(self) -> int | str:
        """The platform's code as received."""
        return self.error_code

    @property
    def request_id(self) -> str | None:
        """The id that Baidu's support asks for."""
        return self.req_id


class AuthError(APIError):
    """The platform refused the credentials: unknown key, wrong secret, clock off, or the wrong kind of key."""


class AccessTokenExpiredError(AuthError):
    """An OAuth access token was refused (110, 111) and a fresh one was refused too."""


class BearerTokenExpiredError(AuthError):
    """A V2 bearer token was refused and could not be replaced."""


class RateLimitError(APIError):
    """Too many requests or tokens for now. `retry_after` holds the wait the platform asked for, if any."""


# --- no usable answer --------------------------------------------------------------------------------------


class RequestError(QianfanError):
    """No usable answer: a bare HTTP error, a body that is not JSON, a dropped connection.

    status_code: HTTP status, None when no answer came.
    body: the start of the body as text, at most 500 characters.
    request_id: the platform's id for this request, when the answer carried one.
    sent: False when the request provably did not reach the platform, so that even a paid call may be repeated.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        body: str | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        sent: bool = True,
    ) -> None:
        self.status_code = status_code
        self.body = body
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after = retry_after
        self.sent = sent
        super().__init__(message)

    @property
    def headers(self) -> dict[str, str]:
        """Always empty: headers carry credentials and stay out of errors."""
        return {}


class ConnectionFailedError(RequestError):
    """The platform could not be reached: refused connection, DNS, TLS, proxy, or no free connection in time."""


class RequestTimeoutError(RequestError):
    """No answer within the deadline. The platform may or may not have acted on the request."""


class StreamInterruptedError(RequestError):
    """A stream of answers ended without its end mark, so the text so far may be incomplete."""


# --- wrong input, nothing was sent ---------------------------------------------------------------------------


class InvalidArgumentError(QianfanError):
    """An argument is wrong. Nothing was sent."""


class ArgumentNotFoundError(InvalidArgumentError):
    """A required argument is missing."""


class UnknownArgumentError(InvalidArgumentError, TypeError):
    """A keyword that does not exist; the message names the nearest one."""


class ConfigurationError(InvalidArgumentError):
    """A setting has a value that cannot be used; the message names the setting and where it came from."""


class MissingCredentialsError(ConfigurationError):
    """A call needs keys that are not configured."""


class ValidationError(InvalidArgumentError):
    """Several things break the rules at once; `problems` lists each as one readable line."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        lines = [message, *(f"  - {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines))


class UnclearFormatError(ValidationError):
    """Rows could be of several formats. candidates: their names; one of them as `format=` settles it."""

    def __init__(self, message: str, problems: Sequence[str] = (), *, candidates: Sequence[str] = ()) -> None:
        super().__init__(message, problems)
        self.candidates = tuple(candidates)


class DataFileError(InvalidArgumentError):
    """A data file cannot be read or written. path: which; line: where in it, counted from 1, if that is known."""

    def __init__(self, message: str, *, path: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class DataFileChangedError(DataFileError):
    """A data file changed while it was being read, so that nobody can say what was in it."""


class UnsafeArchiveError(DataFileError):
    """An archive that is not unpacked: it leads out of its folder, holds links, or unpacks to far too much."""


class RowFunctionError(InvalidArgumentError):
    """A function that was given for rows failed at one of them, or made something that is no row.

    source: where the row comes from. line: its line there, or its number, counted from 1. What the function raised is
    the cause.
    """

    def __init__(self, message: str, *, source: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.line = line


class TrainerFileError(InvalidArgumentError):
    """A file holds no trainer or pipeline that this version can read. file: its path. place: where in it, or empty."""

    def __init__(self, why: str, *, file: str, place: str = "") -> None:
        self.file = file
        self.place = place
        super().__init__(f"{file!r}{f', {place}' if place else ''}: {why}")


class PipelineError(InvalidArgumentError):
    """A graph of actions cannot run: a need without a source, two candidates, a circle, a repeated id."""


class PipelineChanged(PipelineError):
    """The run began with other actions or parameters than it is to go on with. Nothing was sent."""


# --- remote work that ended badly ------------------------------------------------------------------------------


class InternalError(QianfanError):
    """A remote piece of work ended badly, or a state was met that should not exist."""


class TrainJobFailedError(InternalError):
    """A training task ended as Failed, or was stopped from elsewhere.

    job_id, task_id: the platform's ids; status: the final status; reason: the server's own words, if any.
    """

    def __init__(
        self, message: str, *, job_id: str | None = None, task_id: str | None = None, status: str = "", reason: str = ""
    ) -> None:
        self.job_id = job_id
        self.task_id = task_id
        self.status = status
        self.reason = reason
        super().__init__(message)


class ModelPublishFailedError(InternalError):
    """Publishing a model version ended as Fail."""

    def __init__(self, message: str, *, model_id: str | None = None, status: str = "") -> None:
        self.model_id = model_id
        self.status = status
        super().__init__(message)


class BatchInferenceFailedError(InternalError):
    """An offline batch inference ended as Failed or Expired, or was stopped from elsewhere.

    task_id: the platform's id; status: the final status; reason: the server's own words, if any.
    """

    def __init__(self, message: str, *, task_id: str | None = None, status: str = "", reason: str = "") -> None:
        self.task_id = task_id
        self.status = status
        self.reason = reason
        super().__init__(message)


class EvaluationFailedError(InternalError):
    """An evaluation on the platform ended without a result for any model, or was stopped from elsewhere.

    evaluation_id: the platform's id; status: the final status; reason: the server's own words, if any.
    """

    def __init__(self, message: str, *, evaluation_id: str | None = None, status: str = "", reason: str = "") -> None:
        self.evaluation_id = evaluation_id
        self.status = status
        self.reason = reason
        super().__init__(message)


class ModelCompressFailedError(InternalError):
    """A compression ended as failed, or was stopped from elsewhere.

    model_id: what was to be compressed; task_id: the compression; reason: the server's own words, if any.
    """

    def __init__(
        self,
        message: str,
        *,
        model_id: str | None = None,
        task_id: str | None = None,
        status: str = "",
        reason: str = "",
    ) -> None:
        self.model_id = model_id
        self.task_id = task_id
        self.status = status
        self.reason = reason
        super().__init__(message)


class ServiceDeployFailedError(InternalError):
    """A deployment ended in another state than Serving."""

    def __init__(self, message: str, *, service_id: str | None = None, status: str = "") -> None:
        self.service_id = service_id
        self.status = status
        super().__init__(message)


class DatasetImportError(InternalError):
    """The platform could not import the data. `detail` holds its error report, line by line, when it gave one.

    problems: which rows the report is about, with their places in what was uploaded from here; empty when the data
    came from elsewhere.
    """

    def __init__(
        self,
        message: str,
        *,
        dataset_id: str | None = None,
        code: int | str | None = None,
        detail: Sequence[str] = (),
        problems: Sequence[RefusedRow] = (),
    ) -> None:
        self.dataset_id = dataset_id
        self.code = code
        self.detail = tuple(detail)
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *(f"  - {line}" for line in self.detail)]))


class DatasetReleaseError(InternalError):
    """The platform could not release (publish) a dataset version."""

    def __init__(self, message: str, *, dataset_id: str | None = None, code: int | str | None = None) -> None:
        self.dataset_id = dataset_id
        self.code = code
        super().__init__(message)


class DatasetExportError(InternalError):
    """The platform could not export the rows of a dataset, or what it exported is no archive of rows."""

    def __init__(self, message: str, *, dataset_id: str | None = None) -> None:
        self.dataset_id = dataset_id
        super().__init__(message)


class OutcomeUnknownError(InternalError):
    """A call that creates something got no answer, and looking for its effect settled nothing.

    It was not repeated, since the thing may exist and cost money. `what` names it, `name` is the name to look for.
    run_id, node: what `decide` needs to be told; empty outside of a run. decided: a person has given it up already.
    """

    decided: bool = False

    def __init__(self, message: str, *, what: str = "", name: str = "", run_id: str = "", node: str = "") -> None:
        self.what = what
        self.name = name
        self.run_id = run_id
        self.node = node
        super().__init__(message)


class IntentMismatch(InternalError):
    """An order whose fate is unknown was to be repeated, but its content is another one now.

    node: the order. It is neither sent nor forgotten.
    """

    def __init__(self, message: str, *, node: str = "") -> None:
        self.node = node
        super().__init__(message)


# --- the journal of runs ---------------------------------------------------------------------------------------


class JournalError(QianfanError):
    """The journal of runs cannot be used, or does not allow what was asked. Nothing was sent."""


class JournalCorruptError(JournalError):
    """The file is damaged, or no journal. It is left as it is."""


class JournalVersionError(JournalError):
    """A newer version of qianfan wrote the file. It is left as it is."""


class JournalBusyError(JournalError):
    """Another program kept the file locked for longer than a write may wait."""

    retryable = True


class JournalWriteError(JournalError):
    """The file cannot be written: the disk is full, or the file is read-only."""

    retryable = True


class UnknownRunError(JournalError, InvalidArgumentError):
    """The journal has no run of that id."""


class RunBusyError(JournalError):
    """A live process drives the run, so this process must not. `pid`: that process."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        self.pid = pid
        super().__init__(message)


class ForeignOwner(JournalError):
    """A process on another machine, `host`, drives the run; whether it lives cannot be seen from here."""

    def __init__(self, message: str, *, host: str = "") -> None:
        self.host = host
        super().__init__(message)


class LeaseLost(JournalError):
    """Another process took the run over. This one drops it without another request."""


# --- the rest ------------------------------------------------------------------------------------------------


class ActionTimeoutError(QianfanError, TimeoutError):
    """An action took longer than its own `timeout`."""


class MissingExtraError(QianfanError, ImportError):
    """A feature needs an optional dependency; the message holds the pip command."""


class FileSizeOverflow(QianfanError):
    """A downloaded export is larger than `EXPORT_FILE_SIZE_LIMIT`."""


class QianfanRequestError(QianfanError):
    """A platform request inside a dataset operation failed."""


class NotImplmentError(QianfanError, NotImplementedError):
    """The feature is not there. The spelling is the documented one."""


def describe(error: BaseException) -> str:
    """One line for people: the error's own text, or its type when it has none."""
    return str(error) or type(error).__name__


def is_retryable(error: BaseException) -> bool:
    """Whether the same request may succeed later. Anything that does not say so is permanent."""
    value: Any = getattr(error, "retryable", False)
    return bool(value)


def facts_of(error: BaseException) -> dict[str, Any]:
    """An error as JSON values, which `revived` makes into an error again."""
    facts = {name: value for name, value in vars(error).items() if _is_plain(value)}
    return {"type": type(error).__name__, "message": describe(error), "facts": facts}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, (str, int, float, bool))


def revived(facts: Mapping[str, Any]) -> QianfanError:
    """The error that `facts_of` described; an InternalError where its class is not one of these."""
    known = globals().get(str(facts.get("type")))
    kind = known if isinstance(known, type) and issubclass(known, QianfanError) else InternalError
    error = kind.__new__(kind)
    Exception.__init__(error, str(facts.get("message", "")))
    error.__dict__.update(facts.get("facts") or {})
    return error
