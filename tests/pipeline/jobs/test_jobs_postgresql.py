"""The queue on PostgreSQL: the same as on SQLite."""

import json
from contextlib import closing

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pipeline.config import parse_overrides
from pipeline.jobs import desk
from pipeline.jobs.ledger import open_ledger
from pipeline.jobs.queue import open_queue

pytestmark = pytest.mark.slow


def test_jobs_wait_on_postgresql_as_json_and_each_is_taken_once(postgresql_server, tmp_path):
    ledger = open_ledger(tmp_path)
    with closing(open_queue(postgresql_server, ledger)) as queue:
        jobs = [
            desk.submit(ledger, queue, parse_overrides([f"seed={seed}"]), by="res", key=str(seed)).id
            for seed in range(3)
        ]
        assert queue.waiting() == jobs
        engine = create_engine(make_url(postgresql_server).set(drivername="postgresql+psycopg"))
        with engine.connect() as connection:
            messages = [json.loads(bytes(one)) for (one,) in connection.execute(text("select data from huey_task"))]
        engine.dispose()
        assert [one["args"] for one in messages] == [[job] for job in jobs]
    begun: list[str] = []
    address = postgresql_server.replace("postgresql://", "postgresql+psycopg://")
    with closing(open_queue(address, ledger)) as one, closing(open_queue(address, ledger)) as other:
        while one.take(begun.append) or other.take(begun.append):
            pass
    assert begun == jobs
