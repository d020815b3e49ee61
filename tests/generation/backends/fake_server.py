"""A small server that speaks the protocol of OpenAI: scripted answers and faults, or a model that runs here."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


def completion(text, model="tiny-1", finish="stop"):
    return {
        "id": "1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }  # fmt: skip


def status(code, headers=None, message="no"):
    return JSONResponse({"error": {"message": message, "type": "x"}}, code, headers)


async def hang(body):
    await asyncio.sleep(5)
    return JSONResponse(completion("late"))


def _event(delta, finish):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


def chunks(*pieces, finish="stop", cut=False):
    async def stream():
        for piece in pieces:
            yield _event({"content": piece}, None)
        if cut:
            raise ConnectionResetError
        yield _event({}, finish)
        yield "data: [DONE]\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


class FakeServer:
    """Answers from a script: texts, responses, functions of the request; the last one again and again."""

    def __init__(self):
        self.script, self.bodies, self.headers, self.times = ["ok"], [], [], []
        self.lock = threading.Lock()
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])

    async def answer(self, request):
        body = await request.json()
        with self.lock:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.times.append(time.monotonic())
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(step) and not isinstance(step, Response):
            step = step(body)
        if asyncio.iscoroutine(step):
            step = await step
        return step if isinstance(step, Response) else JSONResponse(completion(step))


@contextmanager
def running(server):
    """Serve on a free port; yields the address."""
    config = uvicorn.Config(server.app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    while not runner.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{runner.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        runner.should_exit = runner.force_exit = True
        thread.join()
