"""Kills `rlvr` at a chosen file event: whatever a run writes, opens or renames is a moment at which it can die.

`python -m tests.kill_points` imports the product once and then forks: a line of JSON {"argv", "env", "log", "kill"} on
standard input runs `rlvr argv` in a child and answers with a line {"status", "events"}. `kill` is null, an event's number
(the first is 0), or [pattern, n]: the n-th event whose text the pattern finds, "open PATH" or "rename FROM TO". The
child sends itself SIGKILL *before* that event happens. Events count in the main process and thread order, so the same
number is the same moment, whatever the clock.
"""

import json
import os
import re
import signal
import sys

WRITING = os.O_WRONLY | os.O_RDWR


def watch(kill, events):
    """Count the file events of this process, and die before the chosen one."""
    left = [kill[1]] if isinstance(kill, list) else [kill]
    pattern = re.compile(kill[0]) if isinstance(kill, list) else None

    def hook(name, args):
        if name == "open" and isinstance(args[0], str) and args[2] & WRITING and not args[0].startswith("/dev"):
            text = f"open {args[0]}"
        elif name == "os.rename":
            text = f"rename {args[0]} {args[1]}"
        else:
            return
        os.write(events, (text + "\n").encode())
        if left[0] is not None and (pattern is None or pattern.search(text)):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    sys.addaudithook(hook)


def child(request):
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= request["env"]
    events = os.open(request["log"] + ".events", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    watch(request["kill"], events)
    from rlvr.commands.main import main

    status = 1
    try:
        status = main(request["argv"])
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve():
    import rlvr.commands.train
    import rlvr.report
    import rlvr.train  # noqa: F401  # the imports that take seconds, once

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(request)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    serve()
