"""{{name}}: an ASGI application. Paths and queries below the function's URL arrive here unchanged."""

from fastapi import FastAPI

app = FastAPI(title="{{name}}")


@app.get("/")
async def root():
    return {"message": "hello"}


@app.get("/items/{item_id}")
async def item(item_id: int, detail: bool = False):
    return {"item": item_id, "detail": detail}
