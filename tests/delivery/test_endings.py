"""How programs end, really: exits, signals and kills in processes of their own. Nothing is lost that isn't counted or kept."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from phtrack.delivery.segment import parse
from tests.delivery import program
from tests.delivery.server import Server

HANG = 20.0
"""Seconds after which an exit counts as hung; the bound it keeps is measured in `fault_matrix`."""


def names(server: Server) -> list[str]:
    return sorted(event["event"] for event in server.accepted)


def spooled(directory: Path) -> list[str]:
    """Names of the events in a spool directory."""
    return sorted(envelope.name for path in directory.glob("*.spool") for _, _, envelope in parse(path.read_bytes())[1])


def test_a_short_script_delivers_at_its_end() -> None:
    """One event, captured a moment before the end, arrives; nothing is printed."""
    with Server() as server:
        ended = program.run("d = make(); d.put(event('last'))", server.url)
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        assert names(server) == ["last"]


@pytest.mark.parametrize("fault", ["refused", "blackhole", "garbage", "503"])
def test_an_exit_without_a_server_is_quick_and_silent_and_loses_nothing(fault: str, tmp_path: Path) -> None:
    """The events are on disk, no line of ours is on stderr, and the next process delivers them, uuids unchanged."""
    with Server(always={"503": 503}.get(fault, fault)) as server:
        if fault == "refused":
            server.refuse()
        ended = program.run(
            f"d = make(spool_dir={str(tmp_path)!r})\nfor n in range(150): d.put(event(f'e{{n:03}}'), 'errors' if n % 9 else 'events')",
            server.url,
        )
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        assert ended.seconds < HANG
        assert spooled(tmp_path) == [f"e{n:03}" for n in range(150)]
        server.always = 200
        if fault == "refused":
            server.listen()
        program.run(f"d = make(spool_dir={str(tmp_path)!r}); d.put(event('next'))\nprint(d.flush(20))", server.url)
        assert names(server) == [*(f"e{n:03}" for n in range(150)), "next"]
        assert list(tmp_path.iterdir()) == []


def test_a_process_that_captures_nothing_delivers_what_another_left(tmp_path: Path) -> None:
    """The report of a crash does not wait for the next event."""
    with Server() as server:
        server.refuse()
        program.run(f"make(spool_dir={str(tmp_path)!r}).put(event('crash'), 'errors')", server.url)
        server.listen()
        process = program.start(f"d = make(spool_dir={str(tmp_path)!r}); sys.stdin.read()", server.url)
        server.wait(events=1)
        process.kill()
        program.end(process)


def test_kill_9_loses_nothing_of_a_spool_that_is_always_written(tmp_path: Path) -> None:
    """A thousand events are on disk the moment put() returns; the next process delivers each once."""
    with Server() as server:
        server.refuse()
        killed = program.run(
            f"d = make(spool_dir={str(tmp_path)!r}, spool='always')\n"
            "for n in range(1000): assert d.put(event(f'e{n:04}', 1000))\n"
            "os.kill(os.getpid(), signal.SIGKILL)",
            server.url,
        )
        assert killed.code == -signal.SIGKILL
        server.listen()
        ended = program.run(
            f"d = make(spool_dir={str(tmp_path)!r}, spool='always'); print(d.flush(30), tally.read())", server.url
        )
        assert ended.out.startswith("True")
        assert names(server) == [f"e{n:04}" for n in range(1000)]
        assert set(server.count().values()) == {1}
        assert list(tmp_path.iterdir()) == []


def test_kill_9_in_the_middle_of_delivery_repeats_little(tmp_path: Path) -> None:
    """What was acknowledged is not sent again, but for the batch that was under way."""
    with Server(200, 200, 200, "blackhole") as server:
        process = program.start(
            f"d = make(spool_dir={str(tmp_path)!r}, spool='always')\n"
            "for n in range(1000): assert d.put(event(f'e{n:04}', 100))\n"
            "print('put', flush=True); sys.stdin.read()",
            server.url,
        )
        program.wait_for_line(process, "put")
        server.wait(requests=4)
        process.kill()
        program.end(process)
        ended = program.run(f"d = make(spool_dir={str(tmp_path)!r}); print(d.flush(30))", server.url)
        assert ended.out.strip() == "True"
        assert sorted(set(names(server))) == [f"e{n:04}" for n in range(1000)]
        assert sum(server.count().values()) == 1000


def test_os_exit_keeps_what_is_on_disk(tmp_path: Path) -> None:
    """os._exit runs nothing of ours: what was written before is there."""
    with Server("blackhole") as server:
        program.run(
            f"d = make(spool_dir={str(tmp_path)!r}, spool='always'); d.put(event('a')); os._exit(3)", server.url
        )
        assert spooled(tmp_path) == ["a"]


def test_events_from_atexit_callbacks_arrive() -> None:
    """Callbacks that run after our own exit still get a chance, and so does a first event that late."""
    with Server() as server:
        ended = program.run(
            """
            import atexit
            atexit.register(lambda: print(d.put(event('late'))))
            d = make(); d.put(event('early'))
            """,
            server.url,
        )
        assert (ended.out, ended.err) == ("True\n", "")
        program.run("import atexit; d = make(); atexit.register(lambda: d.put(event('first')))", server.url)
        assert names(server) == ["early", "first", "late"]


def test_events_from_threads_that_outlive_the_main_thread_arrive() -> None:
    """A thread that ends by sys.exit, and one the interpreter waits for after the main thread's end."""
    with Server() as server:
        ended = program.run(
            """
            d = make()
            def leave(): d.put(event('left')); sys.exit(3)
            def stay(): time.sleep(0.3); d.put(event('stayed'))
            for target in (leave, stay): threading.Thread(target=target).start()
            """,
            server.url,
        )
        assert (ended.code, ended.err) == (0, "")
        assert names(server) == ["left", "stayed"]


def test_daemon_threads_that_capture_through_the_exit_do_no_harm() -> None:
    """No traceback and no hang while threads keep putting and the interpreter dies."""
    with Server() as server:
        ended = program.run(
            """
            d = make()
            def storm():
                while True: d.put(event('storm'))
            for _ in range(4): threading.Thread(target=storm, daemon=True).start()
            time.sleep(0.3)
            """,
            server.url,
        )
        assert ended.code == 0 and ended.seconds < HANG
        assert "Traceback" not in ended.err and "Fatal" not in ended.err


@pytest.mark.parametrize("before", ["default", "handler", "ignored"])
def test_sigterm_delivers_then_does_what_it_did_before(before: str) -> None:
    """With flush_on_sigterm: the default kills, a handler is called, an ignored signal stays ignored."""
    setup = {
        "default": "",
        "handler": "signal.signal(signal.SIGTERM, lambda *_: (print('handled', flush=True), sys.exit(7)))",
        "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    }[before]
    with Server() as server:
        process = program.start(
            f"{setup}\nd = make(flush_on_sigterm=True); d.put(event('a'))\nprint('ready', flush=True)\nsys.stdin.readline()",
            server.url,
        )
        program.wait_for_line(process, "ready")
        process.send_signal(signal.SIGTERM)
        server.wait(events=1)
        ended = program.end(process)  # which ends its input, and so the program that ignores signals
        assert names(server) == ["a"]
        assert ended.err == ""
        assert ended.code == {"default": -signal.SIGTERM, "handler": 7, "ignored": 0}[before]


def test_without_being_asked_no_signal_handler_is_set() -> None:
    """SIGTERM stays the application's."""
    with Server() as server:
        ended = program.run(
            "d = make(); d.put(event('a')); d.flush(); print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)",
            server.url,
        )
        assert ended.out == "True\n"


def test_sigterm_in_the_middle_of_a_capture_does_not_deadlock(tmp_path: Path) -> None:
    """The handler runs inside put(), with a lock of ours held, sooner or later; everything put is delivered or on disk."""
    with Server() as server:
        process = program.start(
            f"""
            d = make(flush_on_sigterm=True, spool_dir={str(tmp_path)!r}, max_queue_size=100000)
            n = 0
            print('ready', flush=True)
            while True:
                d.put(event(str(n))); n += 1
            """,
            server.url,
        )
        program.wait_for_line(process, "ready")
        server.wait(requests=1)
        process.send_signal(signal.SIGTERM)
        ended = program.end(process)
        assert (ended.code, ended.err) == (-signal.SIGTERM, "")
        found = {int(name) for name in [*names(server), *spooled(tmp_path)]}
        assert found == set(range(len(found)))


def test_ctrl_c_during_the_exit_keeps_everything_and_prints_nothing_of_ours(tmp_path: Path) -> None:
    """The first Ctrl-C ends the program, the second the wait for a server that does not answer."""
    with Server(always="blackhole") as server:
        process = program.start(
            f"""
            d = make(spool_dir={str(tmp_path)!r}, shutdown_timeout=30.0)
            d.put(event('a'), 'errors'); d.put(event('b'))
            print('ready', flush=True)
            time.sleep(60)
            """,
            server.url,
        )
        program.wait_for_line(process, "ready")
        server.wait(requests=1)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        first = "".join(iter(lambda: process.stderr.readline(), "KeyboardInterrupt\n"))  # type: ignore[union-attr]
        assert "phtrack" not in first
        import time

        time.sleep(0.5)  # no event to wait for: the program is inside its exit by now, or will be
        process.send_signal(signal.SIGINT)
        ended = program.end(process)
        assert "phtrack" not in ended.err and "Traceback" not in ended.err
        assert ended.seconds < HANG
        assert spooled(tmp_path) == ["a", "b"]


def test_a_stuck_callback_cannot_keep_close_from_its_deadline() -> None:
    """on_error that sleeps in the worker does not hold the exit."""
    with Server(400) as server:
        ended = program.run(
            """
            stuck = threading.Event()
            d = make(shutdown_timeout=0.3, on_error=lambda error, batch: (stuck.set(), time.sleep(60)))
            d.put(event('a'), 'errors'); print(stuck.wait(30))
            """,
            server.url,
        )
        assert (ended.code, ended.out) == (0, "True\n") and ended.seconds < HANG
