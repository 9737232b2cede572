# SPDX-License-Identifier: MIT
"""`mhost chat` at a terminal: editing, Ctrl-C in a reply and in a line, Ctrl-D. Arguments: BIN MODEL; with "reasons" after
them how reasoning is shown, by a model whose template has <think>."""
import os
import pty
import re
import select
import subprocess
import sys
import time

LIMIT_S = 30


class Terminal:
    def __init__(self, *command, **env):
        self.fd, end = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, start_new_session=True,
                                        preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0),
                                        env={**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8", **env})
        os.close(end)

    def type(self, text):
        self.seen = ""
        os.write(self.fd, text.encode())

    def prompt(self, pattern=r"(^|\n)> $"):
        """A prompt after which nothing comes: the reply may hold its characters too."""
        while True:
            self.wait_for(pattern)
            if not select.select([self.fd], [], [], 0.3)[0]:
                return
            self.seen += os.read(self.fd, 4096).decode(errors="replace")

    def wait_for(self, pattern):
        end = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.seen):
            if time.monotonic() > end or not select.select([self.fd], [], [], 1)[0] and self.process.poll() is not None:
                raise SystemExit(f"# waited for {pattern!r}, saw {self.seen!r}")
            try:
                self.seen += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                pass


def reasons():
    for env, dim, plain in ({"TERM": "xterm", "NO_COLOR": ""}, r"\x1b\[2m", r"\x1b\[0m"), ({"TERM": "xterm", "NO_COLOR": "1"}, "", ""), ({}, "", ""):
        t = Terminal(sys.argv[1], "chat", sys.argv[2], "--regex", "<think>hm</think>Yes\\.", **env)
        t.prompt("> ")
        t.type("Well?\n")
        t.prompt(rf"Well\?\r?\n(\x1b\[\?2004l)?\r?{dim}hm{plain}\r?\n\r?\nYes\.\r?\n[^\n]*> ")
        t.type("\x04")
        if t.process.wait(LIMIT_S):
            raise SystemExit(f"# exit status {t.process.returncode}, saw {t.seen!r}")


def main():
    t = Terminal(sys.argv[1], "chat", sys.argv[2], "--ignore-eos", "--temperature", "2", "--seed", "7")
    t.prompt()
    t.type("Tell me a long story.\n")
    t.wait_for(r"story\.\r?\n[^\n]*\w{2,}[^\n]*")   # it streams
    t.type("\x03")                                  # ends the reply, not the program
    t.prompt()
    t.type("never sent\x03")                        # drops the line
    t.prompt()
    t.type("a\x08/nonesuch\n")                      # backspace: the line is edited
    t.wait_for("/nonesuch is no command")
    t.prompt()
    t.type("/clear\n")
    t.prompt()
    t.type("Again?\n")
    t.wait_for(r"Again\?\r?\n[^\n]*\w{2,}")
    t.type("\x03")
    t.prompt()
    t.type("\x04")                                  # the end
    status = t.process.wait(LIMIT_S)
    if status:
        raise SystemExit(f"# exit status {status}, saw {t.seen!r}")


reasons() if "reasons" in sys.argv else main()
