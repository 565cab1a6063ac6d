"""Attacks on passwords: by an address of the attacker's, and by whatever repeats an address."""

import os
import socket
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from clinician_ui import __main__ as tool
from clinician_ui.own_worker import own_worker
from concepts.addresses import blanked, has_secret, operator_address
from concepts.errors import DermaxisError, SettingsError, StoreError
from concepts.store.store import open_store
from pipeline.cli import main as cli
from pipeline.config import RunSettings, dump_settings, load_settings, parse_overrides
from pipeline.data.cohort import read_or_freeze
from pipeline.jobs import desk
from pipeline.jobs.ledger import open_ledger
from pipeline.jobs.supervise import failure_reason
from pipeline.jobs.tables import JOB
from pipeline.run.folder import new_record

PASSWORD = "hunter2-of-the-store"
ADDRESSES = (
    f"postgresql://reader:{PASSWORD}@localhost:1/db",
    f"postgresql://reader:{PASSWORD}@with@signs@localhost:1/db?sslmode=require",
    f"postgresql://reader:a/b/{PASSWORD}@localhost:1/db",
    f"postgresql://reader@localhost:1/db?password={PASSWORD}",
    f"postgresql://reader@localhost:1/db?pass%77ord={PASSWORD}",
    f"postgresql://reader@localhost:1/db?sslmode=require&sslpassword={PASSWORD}",
    f"postgresql://localhost:1/db?user=reader;password={PASSWORD}",
    f"postgresql+psycopg://reader:{PASSWORD}@/db?host=/run/postgresql",
    f"https://{PASSWORD}@mlflow.example.org/",
    f"https://user:{PASSWORD}@mlflow.example.org/",
    f"https://mlflow.example.org/?access_token={PASSWORD}",
    f"host=db user=reader password={PASSWORD}",
    f"host=db user=reader password='{PASSWORD} and more'",
)


class Listener:
    """A server that asks whoever comes for a password in clear text, as PostgreSQL does, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with self.socket:
            while True:
                try:
                    guest, _ = self.socket.accept()
                except OSError:
                    return
                with guest:
                    self._ask(guest)

    def _ask(self, guest: socket.socket) -> None:
        guest.settimeout(5)
        message = guest.recv(1024)
        while message:
            self.heard += message
            if message.startswith(b"p"):  # the password
                return
            no_encryption = len(message) == 8
            guest.sendall(b"N" if no_encryption else b"R\0\0\0\x08\0\0\0\x03")
            try:
                message = guest.recv(1024)
            except OSError:
                return


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.socket.close()


@pytest.fixture
def password(monkeypatch) -> None:
    """The operator's own password, as the worker has it."""
    pytest.importorskip("psycopg")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "5")


@pytest.fixture
def config(tmp_path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text("name: tiny\n")
    return file


def test_the_listener_hears_the_password_of_who_connects(listener, password):
    with pytest.raises(StoreError):
        open_store(f"postgresql://x@127.0.0.1:{listener.port}/x")
    assert PASSWORD.encode() in listener.heard


def test_a_job_cannot_say_where_the_store_is(listener, password, config):
    address = f"postgresql://x@127.0.0.1:{listener.port}/x"
    with pytest.raises(SettingsError, match="settings do not say where the concept store is") as refusal:
        desk.draft(config, ["concepts=derm@1", f"concepts.store={address}"])
    assert "127.0.0.1" not in str(refusal.value)
    config.write_text(f"concepts: {{release: derm@1, store: '{address}'}}\n")
    with pytest.raises(SettingsError, match="settings do not say where the concept store is"):
        load_settings(config)
    assert listener.heard == b""


def test_the_address_in_a_job_of_an_earlier_version_is_not_followed(listener, password, tmp_path, monkeypatch):
    monkeypatch.setenv("DERMAXIS_STORE", str(tmp_path / "absent.sqlite"))
    address = f"postgresql://x@127.0.0.1:{listener.port}/x"
    text = f"concepts: {{release: derm@1, store: '{address}'}}\n"
    row = dict.fromkeys(("name", "by", "key", "output"), "x") | {"at": 1.0, "changed": 1.0, "state": "queued"}
    counts = {"attempts": 0, "deaths": 0, "stop_asked": False}
    with closing(open_ledger(tmp_path / "runs")) as ledger:
        with ledger.engine.begin() as connection:
            connection.execute(insert(JOB).values(id="old", settings=text, **row, **counts))
        settings = ledger.settings("old")
    with pytest.raises(StoreError, match="there is no concept store"):
        read_or_freeze(settings, [])
    assert listener.heard == b""


@pytest.mark.parametrize("key", ["data.root", "data.cache", "model.weights", "concepts.release", "runs"])
@pytest.mark.parametrize("address", ADDRESSES[:8])
def test_no_setting_takes_an_address_or_repeats_a_password(config, key, address):
    for change in (f"{key}={address}", f"{key}: {address}", f"name={address}", f"{address}=1", address):
        with pytest.raises(SettingsError) as refusal:
            desk.draft(config, [change])
        assert PASSWORD not in str(refusal.value), change


def test_settings_have_no_place_for_an_address():
    assert "store" not in dump_settings(RunSettings())


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address):
    assert has_secret(address)
    assert PASSWORD not in blanked(address)
    assert PASSWORD not in blanked(f"connection to '{address}' refused; see {address}, then ask")
    assert blanked(blanked(address)) == blanked(address)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://reader@db:5432/x?sslmode=require",
        "sqlite:////srv/dermaxis/concepts.sqlite",
        "/srv/a@b/concepts.sqlite",
        "derm@2 is retired and must not be used",
        "a password has 10 to 1000 characters (got 5)",
        "http://localhost:8501/grid?set=",
    ],
)
def test_what_holds_no_secret_is_shown_as_it_is(text):
    assert blanked(text) == text


@pytest.mark.parametrize("sign", ["a", "a:", "://", "a://", "@", "password=", "?x=", "://a:@"])
def test_a_long_text_is_blanked_in_no_time(sign):
    text = sign * (100_000 // len(sign))
    ticket = threading.Timer(5, lambda: os.kill(os.getpid(), 9))
    ticket.start()
    blanked(text)
    ticket.cancel()


@pytest.mark.parametrize("address", ADDRESSES[:8])
def test_no_error_of_a_database_holds_a_secret(tmp_path, address):
    for act in (lambda: open_store(address), lambda: open_ledger(tmp_path, address)):
        with pytest.raises(DermaxisError) as refusal:
            act()
        assert PASSWORD not in str(refusal.value)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "words",
    [
        ["concepts", "list", "--store"],
        ["accounts", "list", "--store"],
        ["worker", "--queue"],
        ["export", "runs/x", "--mlflow"],
    ],
)
def test_the_command_line_refuses_a_secret_that_ps_would_show(words, address):
    done = CliRunner().invoke(cli.app, [*words, address])
    assert isinstance(done.exception, SettingsError)
    assert "must not stand on the command line" in str(done.exception)
    assert PASSWORD not in f"{done.exception} {done.output}"


def test_the_tool_refuses_it_too(capsys, tmp_path):
    assert tool.main(["--store", ADDRESSES[0], "--images", str(tmp_path)]) == 2
    printed = "".join(capsys.readouterr())
    assert "must not stand on the command line" in printed
    assert PASSWORD not in printed


def test_an_address_may_come_from_the_environment_or_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("DERMAXIS_STORE", raising=False)
    file = tmp_path / "address"
    file.write_text(f"{ADDRESSES[0]}\n")
    assert operator_address(None, "DERMAXIS_STORE") is None
    assert operator_address(f"@{file}", "DERMAXIS_STORE") == ADDRESSES[0]
    monkeypatch.setenv("DERMAXIS_STORE", f"@{file}")
    assert operator_address(None, "DERMAXIS_STORE") == ADDRESSES[0]
    assert operator_address("typed.sqlite", "DERMAXIS_STORE") == "typed.sqlite"
    for content in ("", "\n"):
        file.write_text(content)
        with pytest.raises(SettingsError, match="is empty"):
            operator_address(None, "DERMAXIS_STORE")
    with pytest.raises(SettingsError, match="cannot be read"):
        operator_address("@/nowhere/at/all", "DERMAXIS_STORE")
    monkeypatch.setenv("DERMAXIS_STORE", str(tmp_path / "store.sqlite"))
    done = CliRunner().invoke(cli.app, ["accounts", "add", "carl", "--role", "admin"], input="long enough 1\n" * 2)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "store.sqlite").is_file()


def test_nothing_that_a_run_or_job_keeps_holds_a_secret(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dermaxis", "run", "x.yaml", f"concepts.store={ADDRESSES[0]}", ADDRESSES[3]])
    assert PASSWORD not in new_record("run", RunSettings()).to_text()
    assert PASSWORD not in failure_reason(f"dermaxis: no answer from {ADDRESSES[0]}", 2)
    with closing(open_ledger(tmp_path / "runs")) as ledger:
        job = ledger.submit(parse_overrides(["name=n"]), by="res", key="k").id
        ledger.claim("host")
        files = ledger.files(job)
        files.prepare(ledger.settings(job))
        files.log.write_text("\n".join(f"cannot reach {address}" for address in ADDRESSES))
        assert PASSWORD not in files.last_output()
        ledger.report("host", job, progress=None, output=files.log.read_text())
        assert PASSWORD not in ledger.last_output(job)
    assert PASSWORD.encode() not in (tmp_path / "runs" / ".jobs" / "jobs.sqlite").read_bytes()


def test_an_error_is_printed_without_secrets(capsys, monkeypatch):
    def fail() -> None:
        raise StoreError(f"{ADDRESSES[0]}: away")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    assert PASSWORD not in "".join(capsys.readouterr())


@pytest.mark.slow
def test_ps_shows_no_address_of_a_worker(tmp_path):
    with own_worker(tmp_path / "runs", ADDRESSES[0]):
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        lines = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    assert any(b"worker" in line for line in lines)
    assert not any(PASSWORD.encode() in line for line in lines)


def test_the_options_of_the_tool_never_hold_the_store_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DERMAXIS_STORE", ADDRESSES[0])
    options: Namespace = tool._parser().parse_args(["--images", str(tmp_path)])
    assert PASSWORD not in str(options), "argparse repeats defaults in its help"
