"""A command that runs in a VM for a client: its output, its input, its end."""

import asyncio
import base64
import errno
import fcntl
import json
import os
import socket
import struct
import termios
from collections.abc import Awaitable, Callable
from typing import Literal

from fakevm.errors import FakevmError
from fakevm_agent.guest.run import Running, Terminal, set_size

Stream = Literal["stdout", "stderr"]
Send = Callable[[Stream, str], Awaitable[None]]

_CHUNK = 48 * 1024
# What a client may send ahead of what the command reads.
_INPUT_MAX = 1024 * 1024
_CONTROL_D = b"\x04"
# How long the last of a terminal's output may take through the kernel's queue.
_TERMINAL_GRACE = 0.25


class Session:
    """One command. `run` once; `feed`, `resize` and `kill` meanwhile."""

    def __init__(self, running: Running, send: Send) -> None:
        self._running = running
        self._send = send
        self._terminal = running.stderr is None
        self._takes_input = running.stdin is not None
        self._waiting: set[asyncio.Future[None]] = set()
        self._ended = asyncio.Event()
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._queued = 0
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> int:
        """Pass output on until the command ends; return its exit code."""
        tasks = []
        if self._takes_input:
            tasks.append(asyncio.create_task(self._write_input()))
        pumps = [asyncio.create_task(self._pump("stdout", self._running.stdout))]
        if self._running.stderr is not None:
            pumps.append(asyncio.create_task(self._pump("stderr", self._running.stderr)))
        try:
            code = await self._exit_code()
            self._end()
            await asyncio.gather(*pumps)
            return code
        finally:
            self._end()
            tasks += pumps
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._running.close()

    async def kill(self) -> None:
        """End the command and all its children, and wait until they have ended."""
        if not self._ended.is_set():
            self._running.control.shutdown(socket.SHUT_WR)
            await self._ended.wait()

    async def feed(self, data: bytes) -> None:
        """Pass input to the command, b"" as its end; wait while too much of it is unread."""
        if self._ended.is_set() or not self._takes_input:
            return
        self._queued += len(data)
        self._input.put_nowait(data)
        if self._queued > _INPUT_MAX:
            self._room.clear()
        await self._room.wait()

    def resize(self, terminal: Terminal) -> None:
        """Give the command's terminal another size."""
        if self._terminal and not self._ended.is_set():
            set_size(self._running.stdout, terminal)

    def _end(self) -> None:
        self._ended.set()
        self._room.set()
        for future in self._waiting:
            _resolve(future)

    async def _exit_code(self) -> int:
        loop = asyncio.get_running_loop()
        words = b""
        while data := await loop.sock_recv(self._running.control, 65536):
            words += data
        if not words:
            raise FakevmError("the command's runner was killed", hint="see the agent's log")
        # The first one counts: after an error comes the exit code of what failed.
        answer, _ = json.JSONDecoder().raw_decode(words.decode())
        if "error" in answer:
            raise FakevmError(f"the command can't be started: {answer['error']}")
        return int(answer["exit_code"])

    async def _pump(self, stream: Stream, fd: int) -> None:
        while True:
            await self._wait(fd)
            if self._ended.is_set():
                break
            if not (data := _read(fd, _CHUNK)):
                return
            await self._pass_on(stream, data)
        # What the command wrote is in the pipe by now. A daemon that it left behind may hold the
        # pipe and write to it for as long as it lives: that is not waited for.
        left = _unread(fd)
        while self._terminal or left > 0:
            if self._terminal and not await self._wait(fd, timeout=_TERMINAL_GRACE):
                return
            if not (data := _read(fd, _CHUNK)):
                return
            left -= len(data)
            await self._pass_on(stream, data)

    async def _pass_on(self, stream: Stream, data: bytes) -> None:
        await self._send(stream, base64.b64encode(data).decode())

    async def _write_input(self) -> None:
        while (fd := self._running.stdin) is not None:
            data = await self._input.get()
            if not data and not self._terminal:
                self._running.close_stdin()
                break
            view = memoryview(data or _CONTROL_D)
            while view:
                try:
                    view = view[os.write(fd, view) :]
                except BlockingIOError:
                    if self._ended.is_set():
                        # What it left behind holds its stdin, and reads as little of it.
                        return
                    await self._wait(fd, writing=True)
                except OSError:
                    # It reads no more: what is still sent is thrown away.
                    self._running.close_stdin()
                    break
            self._make_room(len(data))
        while True:
            self._make_room(len(await self._input.get()))

    def _make_room(self, size: int) -> None:
        self._queued -= size
        if self._queued <= _INPUT_MAX:
            self._room.set()

    async def _wait(self, fd: int, *, writing: bool = False, timeout: float | None = None) -> bool:
        """Wait until the descriptor is ready, or the command ends; False: neither in time."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        (loop.add_writer if writing else loop.add_reader)(fd, _resolve, future)
        self._waiting.add(future)
        try:
            async with asyncio.timeout(timeout):
                # What ended before we came here resolves nothing any more.
                if timeout is not None or not self._ended.is_set():
                    await future
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
            (loop.remove_writer if writing else loop.remove_reader)(fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _read(fd: int, size: int) -> bytes:
    """Read what is there; b"" is the end."""
    try:
        return os.read(fd, size)
    except OSError as error:
        if error.errno == errno.EIO:  # A terminal that nobody has open any more.
            return b""
        raise


def _unread(fd: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0])
