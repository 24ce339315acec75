# SPDX-License-Identifier: Apache-2.0
"""`python -m nemo_trainer.remote`: the trainer in a pod, away from the customizer's disk.

Fetches the job from the customizer, runs `nemo_trainer` as a child in the workspace, sends its events and log while
they grow, and brings the output back. The standard library does all of it. Everything may be repeated: a customizer
that restarts, even with an empty disk, is told again; a pod that is killed goes on in the same workspace.

Ends with the child's code: 0 completed, 1 failed with a `failed` event, 143 stopped by SIGTERM; 3 when the customizer
has no use for the job any more.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import IO

from .callback import Callback, Gone, Stopping
from .models import find_model
from .streams import Stream

GONE = 3
STOPPED = 143
POLL_S = 0.5
# Within the pod's termination grace, which leaves the child its time for a checkpoint.
LAST_WORDS_S = 10.0
MANIFEST = "inputs.json"
EXIT = "exit"


class Remote:
    """One run of one job in `workspace`; `say` is for the pod's own log."""

    def __init__(self, callback: Callback, workspace: str) -> None:
        self.callback = callback
        self.workdir = workspace
        self.stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Forwards a signal: the child writes a checkpoint and ends."""
        self.stopping.set()
        child = self._child
        if child is not None and child.poll() is None:
            child.terminate()

    def run(self) -> int:
        os.makedirs(self.workdir, exist_ok=True)
        self._take_workspace()
        events = Stream(self.callback, self.workdir, "events.jsonl", whole_lines=True)
        log = Stream(self.callback, self.workdir, "trainer.log", whole_lines=False)
        try:
            code = self._known_end()
            if code is None:
                self._prepare()
                code = self._train([events, log])
                self._note_end(code)
            return self._report(code, [events, log])
        except Stopping:
            return STOPPED
        except Gone as error:
            say(str(error))
            self._end_child()
            return GONE
        finally:
            if self._lock is not None:
                self._lock.close()

    def _take_workspace(self) -> None:
        """A pod that is still ending elsewhere must not train in the same folder."""
        self._lock = open(os.path.join(self.workdir, "lock"), "w")
        told = False
        while not self.stopping.is_set():
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not told:
                    say("another pod still holds the workspace: waiting for its end")
                told = True
                time.sleep(POLL_S)
            except OSError as error:
                say(f"the workspace cannot be locked ({error}); going on without")
                return

    def _known_end(self) -> int | None:
        """The exit code of an earlier run that ended for good; a run that was stopped goes on."""
        try:
            with open(os.path.join(self.workdir, EXIT), encoding="utf-8") as file:
                code = int(file.read())
        except (OSError, ValueError):
            return None
        whole = code == 1 or os.path.isdir(os.path.join(self.workdir, "output"))
        return code if whole else None

    def _note_end(self, code: int) -> None:
        if code not in (0, 1):
            return
        write_file(os.path.join(self.workdir, EXIT), str(code))

    def _prepare(self) -> None:
        """Brings job and inputs here, once; `job.json` gets the paths of this pod."""
        manifest = os.path.join(self.workdir, MANIFEST)
        if os.path.exists(manifest) and os.path.exists(os.path.join(self.workdir, "job.json")):
            return
        job = json.loads(self.callback.fetch("job.json", self.stopping))
        for key in ("training_files", "validation_files"):
            job[key] = [self._bring(path) for path in job[key]]
        if job.get("chat_template_file"):
            job["chat_template_file"] = self._bring(job["chat_template_file"])
        job["model_dir"] = find_model(job.pop("model"), self.callback, self.workdir, self.stopping, say)
        threads = os.environ.get("NEMO_TRAINER_THREADS")
        job["threads"] = int(threads) if threads else cores()
        write_file(os.path.join(self.workdir, "job.json"), json.dumps(job, indent=2))
        write_file(manifest, "{}")

    def _bring(self, path: str) -> str:
        target = os.path.join(self.workdir, *safe_parts(path))
        self.callback.download(f"workdir/{path}", target, self.stopping)
        return target

    def _train(self, streams: list[Stream]) -> int:
        if self.stopping.is_set():
            return STOPPED
        command = json.loads(os.environ.get("NEMO_TRAINER_COMMAND", "null")) or [sys.executable, "-m", "nemo_trainer"]
        with open(os.path.join(self.workdir, "trainer.log"), "ab") as log:
            self._child = subprocess.Popen(
                [*command, self.workdir], cwd=self.workdir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=child_environment(),
            )
        if self.stopping.is_set():
            self._child.terminate()
        while self._child.poll() is None:
            for stream in streams:
                stream.send_some()
            try:
                self._child.wait(POLL_S)
            except subprocess.TimeoutExpired:
                pass
        code = self._child.returncode
        return 128 - code if code < 0 else code

    def _report(self, code: int, streams: list[Stream]) -> int:
        """What is left to send; a run that is stopping tries for a short while only: it goes on elsewhere."""
        if code not in (0, 1):
            deadline = time.monotonic() + LAST_WORDS_S
            for stream in streams:
                stream.drain(threading.Event(), deadline)
            return code
        if code == 0:
            self.callback.upload_folder(os.path.join(self.workdir, "output"), self.stopping)
        # After the output: whoever reads `completed` there finds it.
        told = all(stream.drain(self.stopping, None) for stream in streams)
        return code if told else STOPPED

    def _end_child(self) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def safe_parts(path: str) -> list[str]:
    """The parts of a relative path below the workspace. Raises ValueError for any other."""
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or "\\" in path or "\0" in path:
        raise ValueError(f"{path!r} is no path below the work folder")
    return parts


def cores() -> int:
    """The cores that this container may use, from its cgroup's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="utf-8") as file:
            quota, period = file.read().split()[:2]
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return max(1, count)


def child_environment() -> dict[str, str]:
    """Without the token: what trains has no business with the customizer."""
    env = {key: value for key, value in os.environ.items() if key not in ("NEMO_JOB_TOKEN",)}
    env.setdefault("OMP_WAIT_POLICY", "passive")
    return env


def write_file(path: str, text: str) -> None:
    tmp = f"{path}.tmp"
    with open(tmp, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(tmp, path)


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> int:
    missing = [name for name in ("NEMO_JOB_URL", "NEMO_JOB_TOKEN", "NEMO_JOB_ID") if not os.environ.get(name)]
    if missing:
        say(f"set {', '.join(missing)}: this program runs in a pod of a NemoTrainingJob")
        return 2
    root = os.environ.get("NEMO_WORKSPACE", "/pvc/workspace")
    callback = Callback(os.environ["NEMO_JOB_URL"], os.environ["NEMO_JOB_TOKEN"], say)
    workspace = os.path.join(root, *safe_parts(os.environ["NEMO_JOB_ID"]))
    remote = Remote(callback, workspace)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, remote.stop)
    return remote.run()


if __name__ == "__main__":
    sys.exit(main())
