import asyncio
import json
import os
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI(title="Items")


class Item(BaseModel):
    name: str
    price: float


@app.get("/")
async def root():
    return {"hello": "world"}


@app.get("/items/{item_id}")
async def read_item(item_id: int, q: str | None = None, tag: Annotated[list[str], Query()] = []):  # noqa: B006
    return {"item_id": item_id, "q": q, "tags": tag}


@app.post("/items", status_code=201)
def create_item(item: Item):
    return {**item.model_dump(), "with_tax": round(item.price * 1.19, 3)}


@app.get("/headers")
async def headers(request: Request, response: Response):
    response.set_cookie("seen", "yes")
    return {"headers": dict(request.headers), "cookies": request.cookies}


@app.get("/stream")
async def stream():
    async def lines():
        for n in range(5):
            yield json.dumps({"n": n}) + "\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.get("/slow")
async def slow():
    await asyncio.sleep(0.2)
    return {"pid": os.getpid()}


@app.get("/fail")
async def fail():
    raise RuntimeError("on purpose")
