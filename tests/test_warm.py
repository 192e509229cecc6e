"""The processes that the tests fork."""

from __future__ import annotations

from multiprocessing.connection import Connection

import forked_workers
import ray
import warm


def send_id(pipe: Connection) -> None:
    forked_workers.draw_ids_apart()
    pipe.send(ray.ObjectID.from_random().hex())


def test_forks_draw_ids_of_their_own() -> None:
    ids = set()
    for _ in range(3):
        here, there = warm.server().Pipe()
        process = warm.server().Process(target=send_id, args=(there,))
        process.start()
        ids.add(here.recv())
        process.join()
    assert len(ids) == 3
