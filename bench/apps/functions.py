"""A Cloud Function."""

import functions_framework


@functions_framework.http
def hello(request):
    return {"hello": "world"}
