"""A TCP proxy that is some milliseconds away: what comes is passed on so much later, each way, and
a connection is made no sooner than after a round trip. Bytes are not limited, only late."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class DelayingProxy:
    def __init__(self, port: int, one_way: float = 0.025) -> None:
        self.target = port
        self.one_way = one_way
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**20)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._server.close()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        accepted = self._loop.time()
        # The kernel has answered at once; over a line its answer would have taken a round trip.
        connected = accepted + 2 * self.one_way
        try:
            away, back = await asyncio.open_connection("127.0.0.1", self.target, limit=2**20)
        except OSError:
            writer.transport.abort()
            return
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the proxy stops
                await asyncio.gather(
                    self._pass_on(reader, back, connected), self._pass_on(away, writer, connected)
                )
        finally:
            writer.close()
            back.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connected: float
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            data = b"-"
            while data:
                try:
                    data = await reader.read(2**18)
                except OSError:
                    data = b""
                queue.put_nowait((max(self._loop.time(), connected) + self.one_way, data))

        reading = asyncio.ensure_future(read())
        try:
            with contextlib.suppress(OSError):
                while True:
                    due, data = await queue.get()
                    if (wait := due - self._loop.time()) > 0:
                        await asyncio.sleep(wait)
                    if not data:
                        writer.write_eof()
                        break
                    writer.write(data)
                    await writer.drain()
        finally:
            reading.cancel()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def __enter__(self) -> DelayingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
