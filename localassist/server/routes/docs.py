"""``/docs``, outside the API: the pages of documentation.

They come with the package and are the same everywhere: nothing of this installation is in them, no
settings, no models, no names. So nobody is asked for a key. ``server.docs`` turns them off.
"""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from localassist.pages import INDEX, all_pages
from localassist.server import pages

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
# A picture that is opened by itself has its style inside.
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


async def first(request: Request) -> Response:
    """To the index, by a relative address, which is right behind a proxy's prefix too."""
    return RedirectResponse(f"docs/{INDEX}", 307)


async def show(request: Request) -> Response:
    """A page, or what pages load. Names are looked up in a table, never joined to a path."""
    name = request.path_params["name"] or INDEX
    if name in all_pages():
        # The first time a page is rendered, which takes a moment.
        return HTMLResponse(await asyncio.to_thread(pages.page_html, name), headers=_HEADERS)
    found = await asyncio.to_thread(pages.asset, name)
    if found is None:
        raise HTTPException(404)
    kind, content = found
    headers = dict(_HEADERS)
    if kind == "image/svg+xml":
        headers["content-security-policy"] = _PICTURE_POLICY
    return Response(content, headers=headers, media_type=kind)


ROUTES = [
    Route("/docs", first, methods=["GET"]),
    Route("/docs/{name:path}", show, methods=["GET"]),
]
