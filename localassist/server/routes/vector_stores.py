"""``/vector_stores``, their files and their batches of files.

One path is ours: ``.../search/explain`` shows what a search is made of.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery
from localassist.schemas.vector_stores import (
    FileBatchCreate,
    StoreFileCreate,
    StoreFileUpdate,
    VectorStoreCreate,
    VectorStoreSearch,
    VectorStoreUpdate,
    parse_filter,
)
from localassist.server.deps import (
    path_id,
    project_of,
    read_body,
    reply,
    runtime_of,
    unless_left,
)


async def create(request: Request) -> Response:
    body = await read_body(request, VectorStoreCreate)
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.create(project_of(request), body))


async def list_(request: Request) -> Response:
    query = ListQuery.parse(request.query_params)
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.list(project_of(request), query))


async def retrieve(request: Request) -> Response:
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.retrieve(project_of(request), _store_id(request)))


async def update(request: Request) -> Response:
    store_id = _store_id(request)
    body = await read_body(request, VectorStoreUpdate)
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.update(project_of(request), store_id, body))


async def delete(request: Request) -> Response:
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.delete(project_of(request), _store_id(request)))


async def search(request: Request) -> Response:
    store_id = _store_id(request)
    body = await read_body(request, VectorStoreSearch)
    searching = runtime_of(request).vector_stores.search(project_of(request), store_id, body)
    return reply(request, await unless_left(request, searching))


async def explain(request: Request) -> Response:
    store_id = _store_id(request)
    body = await read_body(request, VectorStoreSearch)
    explaining = runtime_of(request).vector_stores.explain(project_of(request), store_id, body)
    return reply(request, await unless_left(request, explaining))


async def attach(request: Request) -> Response:
    store_id = _store_id(request)
    body = await read_body(request, StoreFileCreate)
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.attach(project_of(request), store_id, body))


async def list_files(request: Request) -> Response:
    params = request.query_params
    stores = runtime_of(request).vector_stores
    page = await stores.list_files(
        project_of(request),
        _store_id(request),
        ListQuery.parse(params),
        status=parse_filter(params),
    )
    return reply(request, page)


async def retrieve_file(request: Request) -> Response:
    stores = runtime_of(request).vector_stores
    file = await stores.retrieve_file(project_of(request), *_file_ids(request))
    return reply(request, file, is_polled=True)


async def update_file(request: Request) -> Response:
    ids = _file_ids(request)
    body = await read_body(request, StoreFileUpdate)
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.update_file(project_of(request), *ids, body))


async def remove_file(request: Request) -> Response:
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.remove_file(project_of(request), *_file_ids(request)))


async def file_content(request: Request) -> Response:
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.file_content(project_of(request), *_file_ids(request)))


async def create_batch(request: Request) -> Response:
    store_id = _store_id(request)
    body = await read_body(request, FileBatchCreate)
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.create_batch(project_of(request), store_id, body))


async def retrieve_batch(request: Request) -> Response:
    stores = runtime_of(request).vector_stores
    batch = await stores.retrieve_batch(project_of(request), *_batch_ids(request))
    return reply(request, batch, is_polled=True)


async def cancel_batch(request: Request) -> Response:
    stores = runtime_of(request).vector_stores
    return reply(request, await stores.cancel_batch(project_of(request), *_batch_ids(request)))


async def list_batch_files(request: Request) -> Response:
    params = request.query_params
    store_id, batch_id = _batch_ids(request)
    stores = runtime_of(request).vector_stores
    page = await stores.list_files(
        project_of(request),
        store_id,
        ListQuery.parse(params),
        status=parse_filter(params),
        batch_id=batch_id,
    )
    return reply(request, page)


def _store_id(request: Request) -> str:
    return path_id(request, "vector_store_id", "vs")


def _file_ids(request: Request) -> tuple[str, str]:
    return _store_id(request), path_id(request, "file_id", "file")


def _batch_ids(request: Request) -> tuple[str, str]:
    return _store_id(request), path_id(request, "batch_id", "vsfb")


_STORE = "/vector_stores/{vector_store_id}"
_FILE = _STORE + "/files/{file_id}"
_BATCH = _STORE + "/file_batches/{batch_id}"
ROUTES = [
    Route("/vector_stores", create, methods=["POST"]),
    Route("/vector_stores", list_, methods=["GET"]),
    Route(_STORE, retrieve, methods=["GET"]),
    Route(_STORE, update, methods=["POST"]),
    Route(_STORE, delete, methods=["DELETE"]),
    Route(_STORE + "/search", search, methods=["POST"]),
    Route(_STORE + "/search/explain", explain, methods=["POST"]),
    Route(_STORE + "/files", attach, methods=["POST"]),
    Route(_STORE + "/files", list_files, methods=["GET"]),
    Route(_FILE, retrieve_file, methods=["GET"]),
    Route(_FILE, update_file, methods=["POST"]),
    Route(_FILE, remove_file, methods=["DELETE"]),
    Route(_FILE + "/content", file_content, methods=["GET"]),
    Route(_STORE + "/file_batches", create_batch, methods=["POST"]),
    Route(_BATCH, retrieve_batch, methods=["GET"]),
    Route(_BATCH + "/cancel", cancel_batch, methods=["POST"]),
    Route(_BATCH + "/files", list_batch_files, methods=["GET"]),
]
