"""Sample from an OpenAI-compatible server: one request for each completion, each on disk as soon as it has come.

`n` of one request is not used: some servers ignore it (transformers serve does), and a measurement that was cut off
goes on where it was. The openai client (an extra) retries what may pass: refused connections, timeouts, 408, 409, 429
and 5xx, waiting longer each time or as long as the server asks.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rlvr.core.console import say, warn_once
from rlvr.core.errors import DataError, ModelError
from rlvr.core.json_rows import json_object
from rlvr.models.sampling import Sampling

Chat = Sequence[Mapping[str, str]]
Reply = dict[str, Any]  # text, tokens, logp, truncated


@dataclass(frozen=True)
class Endpoint:
    """Hold where completions come from, and how hard it may be asked.

    Attributes:
        url: the base, up to and including /v1. The key is in the environment variable OPENAI_API_KEY.
        model: the name that the server knows.
        at_once: requests under way together.
        per_minute: requests that may begin in a minute; 0 is no limit.
        retries: how often one request is tried again.
        timeout: seconds for one request.
    """

    url: str
    model: str
    at_once: int = 8
    per_minute: float = 0.0
    retries: int = 6
    timeout: float = 600.0
    template: Mapping[str, Any] | None = None  # for the chat template; vLLM and transformers serve take it


class RateLimit:
    """Let at most so many calls begin in a minute, evenly spread; 0 is no limit.

    >>> times = iter([0.0, 0.5, 9.0])
    >>> waited = []
    >>> limit = RateLimit(30, clock=lambda: next(times), sleep=waited.append)
    >>> for _ in range(3):
    ...     limit.wait()
    >>> waited
    [1.5]
    """

    def __init__(
        self,
        per_minute: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = time.sleep,
    ):
        self._gap = 60 / per_minute if per_minute else 0.0
        self._clock, self._sleep, self._lock, self._next = clock, sleep, threading.Lock(), 0.0

    def wait(self) -> None:
        """Return when the next call may begin."""
        with self._lock:
            now = self._clock()
            begin = max(now, self._next)
            self._next = begin + self._gap
        if begin > now:
            self._sleep(begin - now)


class Journal:
    """Keep what has been sampled, one JSON line for each completion, so that a measurement can go on.

    The first line says what is asked; a journal of another question is refused. A last line that was cut off
    by a crash is sampled again.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any]):
        self.path, self.replies = path, dict[int, Reply]()
        self._lock = threading.Lock()
        head = json.loads(json.dumps(asked))
        if path.exists():
            lines = path.read_bytes().split(b"\n")
            whole, rest = lines[:-1], lines[-1]
            if whole:
                self._check(json_object(whole[0], f"{path}, line 1"), head)
            for number, line in enumerate(whole[1:], 2):
                row = json_object(line, f"{path}, line {number}")
                self.replies[int(row.pop("row"))] = row
            if rest or not whole:
                path.write_bytes(b"".join(line + b"\n" for line in whole))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        if not path.stat().st_size:
            self._write(head)

    def _check(self, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        for name in dict.fromkeys([*stored, *asked]):
            if stored.get(name) != asked.get(name):
                raise DataError(
                    f"{self.path} holds samples of another measurement: {name} is {stored.get(name)!r:.80} there, "
                    f"{asked.get(name)!r:.80} here. Remove it to begin anew, or choose another --out."
                )

    def add(self, row: int, reply: Reply) -> None:
        """Write one completion, before anything else is done with it."""
        self._write({"row": row, **reply})
        self.replies[row] = reply

    def _write(self, row: Mapping[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def close(self, done: bool) -> None:
        """Close the file; remove it where all that it holds is kept elsewhere."""
        self._file.close()
        if done:
            self.path.unlink(missing_ok=True)


def sample_endpoint(
    endpoint: Endpoint, chats: Sequence[Chat], n: int, sampling: Sampling, seed: int, journal: Journal
) -> list[Reply]:
    """Return `n` replies to each chat, chat by chat; what the journal holds is not asked again.

    Raises ModelError where the client is not installed, or a request fails for good; what has come by then is kept.
    """
    ask = _Asker(endpoint, sampling)
    total = len(chats) * n
    left = [row for row in range(total) if row not in journal.replies]
    if done := total - len(left):
        say(f"{done} of {total} completions are there already; going on")
    with ThreadPoolExecutor(endpoint.at_once) as pool:
        futures = {pool.submit(ask, chats[row // n], seed + row): row for row in left}
        try:
            for future in as_completed(futures):
                journal.add(futures[future], future.result())
        except BaseException:
            for future in futures:
                future.cancel()
            for future, row in futures.items():  # those under way end, and are kept, too
                if row not in journal.replies and not future.cancelled():
                    with suppress(Exception):
                        journal.add(row, future.result())
            raise
    return [journal.replies[row] for row in range(total)]


class _Asker:
    """Ask for one completion; leave out what a server refuses that can be done without."""

    def __init__(self, endpoint: Endpoint, sampling: Sampling):
        try:
            import openai
        except ImportError:
            raise ModelError("Measuring an endpoint needs the openai client: pip install 'rlvr[endpoint]'.") from None
        import os

        self._openai = openai
        self._client = openai.OpenAI(
            base_url=endpoint.url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",  # servers of one's own ask for none
            max_retries=endpoint.retries,
            timeout=endpoint.timeout,
        )
        self._endpoint, self._limit = endpoint, RateLimit(endpoint.per_minute)
        self._asked: dict[str, Any] = {
            "model": endpoint.model,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "logprobs": True,
        }
        extra: dict[str, Any] = (
            {"top_k": sampling.top_k} if sampling.top_k else {}
        )  # vLLM and others; not in OpenAI's own API
        if extra := {**extra, **({"chat_template_kwargs": dict(endpoint.template)} if endpoint.template else {})}:
            self._asked["extra_body"] = extra

    def __call__(self, chat: Chat, seed: int) -> Reply:
        """Return one completion of a chat."""
        asked, messages = dict(self._asked), cast(Any, list(chat))
        while True:
            self._limit.wait()
            try:
                answer = self._client.chat.completions.create(messages=messages, seed=seed, **asked)  # type: ignore[call-overload]
                return _reply(answer)
            except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as error:
                asked = self._without(asked, str(error))
            except self._openai.APIError as error:
                raise ModelError(
                    f"{self._endpoint.url} gave no completion after {self._endpoint.retries} retries: "
                    f"{type(error).__name__}: {str(error)[:300]}. What has come is kept: the same command goes on."
                ) from error

    def _without(self, asked: dict[str, Any], message: str) -> dict[str, Any]:
        """Return the request without what the server refuses, from now on; ModelError where all of it is needed."""
        if "logprobs" in asked and "logprobs" in message:
            warn_once("WARNING: the server gives no log-probabilities, so there is no sequence probability.")
            smaller = {key: value for key, value in asked.items() if key != "logprobs"}
        elif "max_tokens" in asked and "max_completion_tokens" in message:
            smaller = {key: value for key, value in asked.items() if key != "max_tokens"}
            smaller["max_completion_tokens"] = asked["max_tokens"]
        else:
            raise ModelError(f"{self._endpoint.url} refuses the request: {message[:400]}")
        self._asked = smaller
        return smaller


def _reply(answer: Any) -> Reply:
    """Return what an evaluation keeps of a chat completion."""
    choice = answer.choices[0]
    listed = choice.logprobs.content if choice.logprobs is not None else None
    return {
        "text": choice.message.content or "",
        "tokens": None if answer.usage is None else answer.usage.completion_tokens,
        "logp": None if not listed else sum(token.logprob for token in listed),
        "truncated": None if choice.finish_reason is None else choice.finish_reason == "length",
    }
