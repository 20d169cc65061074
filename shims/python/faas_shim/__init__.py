"""The shim: loads a user's function and serves it over the instance protocol.

Only the standard library, and of that as little as a plain function needs: every module imported here is paid for
at each cold start. `asyncio`, `logging`, `inspect`, `typing`, `json`, `re` and `traceback` are loaded on demand.
"""
