"""Run a program that a model wrote, or the tests of a row, fenced in; plain values go in and out.

Started by code.py as `python -I -S code_host.py FOLDER SECONDS MEGABYTES`; only the standard library is here. Each line
of standard input is a request, each line of standard output its reply, both JSON:

    {"program": "def add(a, b): ..."}                       -> {"names": ["add"]}
    {"call": "add", "args": ..., "kwargs": ...}             -> {"value": ...} or {"error": "ZeroDivisionError"}
    {"tests": ["assert add(2, 3) == 5"], "names": ["add"]}  -> {"call": ...}, which the next request answers with a
                                                               value or an error, ..., then {"passed": true}
"""

import builtins
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

UNFENCED = 97  # exit status where this machine has no namespaces to fence a program in
_NEW_MOUNTS, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x10000000, 0x20000000, 0x40000000
_MOUNT_SETATTR, _READ_ONLY, _RECURSIVE, _HERE = 442, 1, 0x8000, -100
_DIE_WITH_PARENT, _DROP_BOUND, _NO_NEW_RIGHTS = 1, 24, 38
_COLLECTIONS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


def encode(value: Any) -> Any:
    """Return a plain value as JSON that keeps its types; TypeError for any other, subclasses of plain ones too.

    >>> encode((1, [2.5, None]))
    {'tuple': [{'int': '0x1'}, {'list': [{'float': '0x1.4000000000000p+1'}, None]}]}
    """
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return {"int": hex(value)}
    if kind in (float, bytes):
        return {kind.__name__: value.hex()}
    if kind.__name__ in _COLLECTIONS and kind is _COLLECTIONS[kind.__name__]:
        return {kind.__name__: [encode(item) for item in value]}
    if kind is dict:
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    raise TypeError(f"{kind.__name__} is no plain value")


def decode(value: Any) -> Any:
    """Return the value that `encode` wrote; ValueError or TypeError for anything else.

    >>> decode(encode({(1, 2): {3.5, b"x"}})) == {(1, 2): {3.5, b"x"}}
    True
    """
    if value is None or isinstance(value, bool | str):
        return value
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("not written by encode")
    [(kind, content)] = value.items()
    if kind == "int":
        return int(content, 16)
    if kind == "float":
        return float.fromhex(content)
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "dict":
        return {decode(key): decode(item) for key, item in content}
    return _COLLECTIONS[kind](decode(item) for item in content)


def main() -> None:
    """Fence this process in, then answer requests until there are no more."""
    folder, seconds, megabytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    requests, replies = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # what the program prints is nobody's answer
        os.dup2(nowhere, descriptor)
    try:
        _fence(folder)
    except OSError:
        os._exit(UNFENCED)
    os.chdir(folder)
    for what, limit in (
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 16 << 20),
        (resource.RLIMIT_NPROC, 32),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    program: dict[str, Any] = {"__name__": "program"}
    for line in requests:
        try:
            request = json.loads(line)
            reply = _test(request, requests, replies) if "tests" in request else _reply(request, program)
        except BaseException as error:  # SystemExit and what a program raises of its own
            reply = {"error": type(error).__name__}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _reply(request: dict[str, Any], program: dict[str, Any]) -> dict[str, Any]:
    if "program" in request:
        exec(compile(request["program"], "<program>", "exec"), program)
        return {"names": sorted(name for name, value in program.items() if callable(value) and name[:2] != "__")}
    value = program[request["call"]](*decode(request["args"]), **decode(request["kwargs"]))
    return {"value": encode(value)}


def _test(request: dict[str, Any], requests: TextIO, replies: TextIO) -> dict[str, Any]:
    """Run tests whose functions are a program's in another process; a built-in name stays Python's own."""
    names = [name for name in request["names"] if not hasattr(builtins, name)]
    functions = {name: _elsewhere(name, requests, replies) for name in names}
    for test in request["tests"]:
        exec(compile(test, "<test>", "exec"), dict(functions))
    return {"passed": True}


def _elsewhere(name: str, requests: TextIO, replies: TextIO) -> Callable[..., Any]:
    """Return a function that asks for the value of one call; a built-in exception of the program's is raised here."""

    def call(*args: Any, **kwargs: Any) -> Any:
        replies.write(json.dumps({"call": name, "args": encode(list(args)), "kwargs": encode(kwargs)}) + "\n")
        replies.flush()
        reply = json.loads(requests.readline())
        if "value" in reply:
            return decode(reply["value"])
        error = getattr(builtins, str(reply.get("error")), None)
        if isinstance(error, type) and issubclass(error, Exception):
            raise error
        raise RuntimeError(reply.get("error"))

    return call


def _fence(folder: str) -> None:
    """Give up the network, other processes and the right to write outside of `folder`; OSError where that fails."""
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEW_USER | _NEW_MOUNTS | _NEW_PROCESSES | _NEW_NETWORK)
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{file}", "w") as target:
            target.write(text)
    if child := os.fork():  # the child is the first process of its namespace: when it ends, all of them do
        _die_with_parent()
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    _die_with_parent()
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    _call("syscall", _MOUNT_SETATTR, _HERE, b"/", _RECURSIVE, attributes, ctypes.sizeof(attributes))
    _call("mount", b"program", folder.encode(), b"tmpfs", 0, b"size=64m,mode=700")
    for capability in range(64):  # the rights that the new namespace gave, which could undo all this
        _LIBC.prctl(_DROP_BOUND, capability, 0, 0, 0)
    _call("prctl", _NO_NEW_RIGHTS, 1, 0, 0, 0)
    _call("capset", (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())


def _die_with_parent() -> None:
    _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library; OSError where it fails or does not exist."""
    function = getattr(_LIBC, name, None)
    if function is None or function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


if __name__ == "__main__":
    main()
