"""Programs that are more than one process, or whose threads are not Python's: forks, pools, gunicorn, uWSGI, gevent, eventlet."""

from __future__ import annotations

import signal
import sys
import textwrap
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.delivery import program
from tests.delivery.server import Server

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

METHODS = ["fork", "forkserver", "spawn"]
PATIENCE = 30.0
"""Seconds for what takes one: a loaded machine is no failure."""


def names(server: Server) -> list[str]:
    return sorted(event["event"] for event in server.accepted)


def test_a_forked_child_sends_its_own_events_and_none_of_its_parents() -> None:
    """What waits in the parent at the fork is sent once, by the parent; the child has a queue and a thread of its own."""
    with Server() as server:
        ended = program.run(
            """
            d = make(); d.put(event('parent'))
            pid = os.fork()
            if not pid:
                d.put(event('child')); print(d.flush(20), tally.read()['admitted.events'], flush=True); os._exit(0)
            os.waitpid(pid, 0)
            """,
            server.url,
        )
        assert ended.out == "True 1\n"
        assert names(server) == ["child", "parent"]
        assert len({event["properties"]["pid"] for event in server.accepted}) == 2


def test_a_forked_child_that_returns_from_main_delivers_at_its_exit() -> None:
    """A child that ends through the interpreter's exit uses it."""
    with Server() as server:
        program.run(
            "d = make(); d.put(event('parent')); pid = os.fork(); d.put(event('both')); pid and os.waitpid(pid, 0)",
            server.url,
        )
        assert names(server) == ["both", "both", "parent"]


def test_two_hundred_forks_under_load_and_no_deadlock(tmp_path: Path) -> None:
    """Forks at any moment, also while threads of the parent hold our locks; every child delivers its event."""
    with Server() as server:
        ended = program.run(
            f"""
            d = make(flush_at=20, flush_interval=0.05, spool_dir={str(tmp_path)!r})
            stop = False
            def storm():
                while not stop:
                    time.sleep(0 if d.stats()['lanes']['events']['queued'] < 500 else 0.002)
                    d.put(event('storm'))
            threads = [threading.Thread(target=storm) for _ in range(2)]
            for thread in threads: thread.start()
            for n in range(20):
                pids = []
                for _ in range(10):
                    pid = os.fork()
                    if not pid:
                        d.put(event('child'), 'errors')
                        os._exit(0 if d.flush(30) else 9)
                    pids.append(pid)
                for pid in pids:
                    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            stop = True
            for thread in threads: thread.join()
            print(d.flush(30), tally.read()['admitted.events'])
            """,
            server.url,
            python=("-W", "ignore::DeprecationWarning"),
        )
        assert ended.err == ""
        flushed, admitted = ended.out.split()
        counts = server.count()
        assert flushed == "True" and set(counts.values()) == {1}
        assert names(server).count("child") == 200
        assert names(server).count("storm") == int(admitted)


CHILDREN = """
import multiprocessing

def work(n):
    import phtrack
    phtrack.capture('worked', distinct_id=str(n))

def die(n):
    raise RuntimeError('child')

if __name__ == '__main__':
    sys_method = {method!r}
    context = multiprocessing.get_context(sys_method)
    for target in (work, die):
        process = context.Process(target=target, args=(1,)); process.start(); process.join()
    with context.Pool(2) as pool:
        pool.map(work, range(4)); pool.close(); pool.join()
"""


@pytest.mark.parametrize("method", METHODS)
def test_children_of_multiprocessing_lose_nothing(method: str, tmp_path: Path) -> None:
    """They end without atexit: their events arrive, and an exception that kills one is reported once."""
    with Server() as server:
        script = tmp_path / "program.py"
        head = f"""
            {{guard}}
            import sys; sys.path.insert(0, {str(program.ROOT)!r})
            import phtrack
            phtrack.init("k", host={server.url!r}, enable_exception_autocapture=True)
        """
        head = textwrap.dedent(head).format(guard=program.GUARD.format(parent=0))
        script.write_text(head + CHILDREN.format(method=method))
        ended = program.end(program.start_command([sys.executable, str(script)]))
        assert ended.code == 0, ended.err
        assert ended.err.count("Traceback") == 1  # Python's own of the child
        found = [event["event"] for event in server.accepted]
        assert found.count("worked") == 5
        assert found.count("$exception") == 1


GUNICORN_APP = """
import os, sys
sys.path.insert(0, {root!r})
import phtrack
client = phtrack.Posthog("k", host={url!r}{options})
client.capture("master", distinct_id="m")

def app(environ, start_response):
    client.capture("request", distinct_id="r", properties={{"pid": os.getpid()}})
    pid = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(pid)))])
    return [pid]
"""


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn_with_a_preloaded_application(worker: str, tmp_path: Path) -> None:
    """
    A client made in the master works in both workers, and what the workers captured last arrives at their stop.

    It is told to stop when both have answered: gunicorn (27.0, without phtrack too) loses a SIGTERM that reaches a worker while it
    starts, before it has set its handlers, and then waits for that worker until its `graceful_timeout` of 30 s is over. A worker
    of gevent starts slowly enough for that.
    """
    with Server() as server:
        (tmp_path / "shop.py").write_text(
            program.GUARD.format(parent=0) + GUNICORN_APP.format(root=str(program.ROOT), url=server.url, options="")
        )
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "gunicorn", "--preload", "-w", "2"]
        command += ["-k", worker, "-b", "127.0.0.1:0", "--chdir", str(tmp_path), "--worker-tmp-dir", str(tmp_path)]
        command += ["--no-control-socket", "shop:app"]
        log = tmp_path / "log"
        with open(log, "w") as out:
            process = program.start_command(command, out)
        address = _listening(process, log)
        pids: set[bytes] = set()
        sent = 0
        deadline = time.monotonic() + PATIENCE
        while len(pids) < 2 and time.monotonic() < deadline:
            pids.add(urllib.request.urlopen(address, timeout=PATIENCE).read())
            sent += 1
        assert len(pids) == 2, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
        requests = [event for event in server.accepted if event["event"] == "request"]
        assert {str(event["properties"]["pid"]).encode() for event in requests} == pids
        assert len(requests) == sent
        assert names(server).count("master") == 1


def _listening(process: subprocess.Popen[str], log: Path) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for line in log.read_text().splitlines():
            if "Listening at: " in line or "bound to TCP address" in line:
                return "http://" + line.split("TCP address ")[-1].split("http://")[-1].split(" ")[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    raise AssertionError(log.read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: uWSGI's wheels")
@pytest.mark.parametrize("threads", [False, True])
def test_uwsgi(threads: bool, tmp_path: Path) -> None:
    """Without --enable-threads a thread would never run: told once, and sent by the request; with it, as anywhere."""
    uwsgi = Path(sys.executable).with_name("uwsgi")
    with Server() as server:
        app = GUNICORN_APP.format(root=str(program.ROOT), url=server.url, options=", flush_interval=0.2")
        (tmp_path / "shop.py").write_text(app.replace("def app", "def application"))
        log = tmp_path / "log"
        command = [str(uwsgi), "--http-socket", "127.0.0.1:0", "--master", "--processes", "1", "--no-orphans"]
        command += ["--module", "shop", "--chdir", str(tmp_path), "--virtualenv", sys.prefix, "--die-on-term"]
        command += ["--enable-threads"] if threads else []
        with open(log, "w") as out:
            process = program.start_command(command, out)
        address = _listening(process, log)
        for _ in range(3):
            assert urllib.request.urlopen(address, timeout=PATIENCE).status == 200
        if threads:
            # uWSGI runs no `atexit` in a worker that it stops during a request, which lasts some moments longer than the answer
            # takes: what is due leaves by itself.
            _until(lambda: names(server).count("request") == 3)
        else:
            assert names(server).count("request") == 3  # delivered before the answer was given
            assert log.read_text().count("uWSGI runs without threads") >= 1
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        assert names(server).count("request") == 3
        assert names(server).count("master") == 1
        assert set(server.count().values()) == {1}


def _until(done: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until *done*, or for *seconds*: the assertion that follows says what is missing."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


GREEN = """
{patch}
d = make(flush_interval=0.2)
def work(n):
    for k in range(50):
        d.put(event('e')); {sleep}
jobs = [{spawn} for n in range(20)]
for job in jobs: {join}
# While the main thread waits in flush, other greenlets go on.
ticks = []
def tick():
    while True: ticks.append(1); {sleep}
{ticker}
d.put(event('last'), 'errors')
print(d.flush(20), len(ticks) > 0)
{busy}
"""
GEVENT = dict(
    spawn="gevent.spawn(work, n)", join="job.join()", sleep="gevent.sleep(0.001)", ticker="gevent.spawn(tick)",
    busy="d.put(event('behind a busy loop'), 'errors'); end = time.perf_counter() + 30\n"
    "while tally.read().get('delivered.errors') != 2 and time.perf_counter() < end: pass\nprint(tally.read().get('delivered.errors'))",
)  # fmt: skip
EVENTLET = dict(
    GEVENT,
    spawn="eventlet.spawn(work, n)",
    join="job.wait()",
    sleep="eventlet.sleep(0.001)",
    ticker="eventlet.spawn(tick)",
)


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_green_threads(library: str, when: str) -> None:
    """Patched before or after phtrack is imported: everything arrives, flush lets others run, a busy loop does not stop delivery."""
    patch = {
        "gevent": "import gevent, gevent.monkey; gevent.monkey.patch_all()",
        "eventlet": "import eventlet; eventlet.monkey_patch()",
    }[library]
    parts = GEVENT if library == "gevent" else EVENTLET
    source = GREEN.format(patch="" if when == "before" else patch, **parts)
    prelude = (patch + "\n" if when == "before" else "") + program.PRELUDE
    with Server(
        always=lambda request: __import__("tests.delivery.server", fromlist=["Answer"]).Answer(200, delay=0.05)
    ) as server:
        ended = program.run(
            (f"import {library}\n" if when == "before" else "") + source,
            server.url,
            prelude=prelude,
            python=("-W", "ignore"),
        )
        assert ended.err == "" and ended.code == 0
        assert ended.out.split() == ["True", "True", "2"]
        assert names(server).count("e") == 1000
        assert set(server.count().values()) == {1}


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_what_sending_threads_share_with_greenlets_has_locks_of_the_system(library: str) -> None:
    """Counters and pending exceptions: a lock of a hub would keep the sending thread behind a busy loop, or fail in it."""
    patch = {
        "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
        "eventlet": "import eventlet; eventlet.monkey_patch()",
    }
    ended = program.run(
        """
        from phtrack.delivery import native
        from phtrack.errors.pending import PendingException
        def add(): tally.add('seen')
        tally._lock.acquire()
        native.start_thread(add, 'adds')
        time.sleep(0.05)
        tally._lock.release()
        end = time.perf_counter() + 30
        while not tally._counts and time.perf_counter() < end: pass
        print(tally.read())
        print(type(PendingException('u', None, None)._lock) is type(tally._lock))
        """,
        "http://127.0.0.1:9",
        prelude=patch[library] + "\n" + program.PRELUDE,
        python=("-W", "ignore"),
    )
    assert (ended.err, ended.out) == ("", "{'seen': 1}\nTrue\n")


def test_nothing_is_started_or_opened_before_it_is_needed() -> None:
    """A client that captured nothing has no thread, no file, no signal handler, no network library."""
    with Server() as server:
        ended = program.run(
            """
            before = set(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else set()
            d = make()
            after = set(os.listdir('/proc/self/fd')) if before else set()
            print(threading.active_count(), len(after) - len(before), sorted({'requests', 'urllib3', 'ssl', 'asyncio', 'sqlite3', 'logging'} & set(sys.modules)))
            """,
            server.url,
        )
        assert ended.out == "1 0 []\n"
        assert server.connections == 0


def test_no_subprocess_is_ever_started() -> None:
    """An audit hook sees neither a fork nor an exec from first event to exit."""
    with Server() as server:
        ended = program.run(
            """
            sys.addaudithook(lambda name, args: name in ('os.fork', 'os.exec', 'os.posix_spawn', 'subprocess.Popen') and print(name))
            d = make(); d.put(event('a'), 'errors'); d.flush()
            """,
            server.url,
        )
        assert ended.out == "" and names(server) == ["a"]
