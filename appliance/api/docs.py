"""`/docs`: the API's documentation to read and try, without a byte from elsewhere.

Swagger UI comes as files from the package fastapi-offline, which is found and never imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from appliance.api.heads import answer_heads

CARRIER = "fastapi_offline"
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
CACHE = {"cache-control": "public, max-age=86400"}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Appliance API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<noscript>This page needs JavaScript; the same in plain text: <a href="/openapi.json">OpenAPI</a>
</noscript>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'


def router() -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})

    @routes.get("/docs/start.js")
    async def start() -> Response:
        return PlainTextResponse(START, media_type="text/javascript", headers=CACHE)

    @routes.get("/docs/swagger-ui-bundle.js")
    async def script() -> Response:
        return FileResponse(_carried("swagger-ui-bundle.js"), headers=CACHE)

    @routes.get("/docs/swagger-ui.css")
    async def style() -> Response:
        return FileResponse(_carried("swagger-ui.css"), headers=CACHE)

    return answer_heads(routes)


def _carried(name: str) -> Path:
    spec = importlib.util.find_spec(CARRIER)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {CARRIER}, which carries {name}, is not installed")
    return Path(spec.origin).parent / "static" / name
