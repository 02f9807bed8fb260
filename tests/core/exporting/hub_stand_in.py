"""A hub on the loopback: repositories, preupload, LFS, commits, tags, files; nothing else.

It speaks what `huggingface_hub` says when it uploads and fetches, and refuses what a hub refuses:
a wrong token, content that is not what its digest says, a commit of content that never came.
"""

import asyncio
import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "hf_stand_in"


@dataclass
class Repository:
    """One repository: its files after every commit, and its tags."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        """The last commit."""
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the last commit."""
        return self.commits[self.head]

    def commit(self, files: dict[str, bytes], message: str = "initial commit") -> str:
        """Add a commit; its id."""
        oid = hashlib.sha1(f"{len(self.commits)} {message}".encode()).hexdigest()
        self.commits[oid] = files
        self.messages.append(message)
        return oid

    def at(self, revision: str) -> str:
        """The commit of a branch, tag or commit."""
        return self.head if revision == "main" else self.tags.get(revision, revision)


class Hub:
    """The stand-in; `with Hub() as hub` serves it at `hub.endpoint` from a thread of its own."""

    def __init__(self, *, xet: str | None = None) -> None:
        """Nothing is there.

        Args:
            xet: Address of a Xet storage that clients are sent to; what they commit from there is
                known by its SHA-256 only, which stands for the content.
        """
        self.xet = xet
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.refuse: dict[str, int] = {}
        """HTTP status by a part of the path, for requests that shall fail."""
        self.endpoint = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner = web.AppRunner(self._app())

    def __enter__(self) -> "Hub":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.endpoint = f"http://{host}:{port}"

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 26)
        api = "/api/datasets/{owner}/{name}"
        app.add_routes(
            [
                web.post("/api/repos/create", self._create),
                web.post("/api/validate-yaml", self._validate),
                web.get(api, self._info),
                web.get(api + "/revision/{revision}", self._info),
                web.get(api + "/tree/{revision}", self._tree),
                web.post(api + "/preupload/{revision}", self._preupload),
                web.get(api + "/xet-write-token/{revision}", self._xet_token),
                web.post(api + "/commit/{revision}", self._commit),
                web.post(api + "/tag/{revision}", self._tag),
                web.delete(api + "/tag/{tag}", self._untag),
                web.post("/datasets/{owner}/{name}.git/info/lfs/objects/batch", self._batch),
                web.put("/lfs/{oid}", self._put),
                web.get("/datasets/{owner}/{name}/resolve/{revision}/{path}", self._resolve),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        for part, status in self.refuse.items():
            if part in request.path:
                return _refusal(status, "not today")
        storage = request.path.startswith("/lfs/")  # its addresses are secrets of their own
        given = request.headers.get("Authorization")
        if storage and given is not None:
            return _refusal(400, "the token was sent to the storage")
        if not storage and given != f"Bearer {TOKEN}":
            return _refusal(401, "Invalid credentials in Authorization header")
        answer: web.StreamResponse = await handler(request)
        return answer

    def _repository(self, request: web.Request) -> Repository:
        if _name(request) not in self.repositories:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"})
        return self.repositories[_name(request)]

    async def _create(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        assert wanted["type"] == "dataset"
        name = f"{wanted['organization']}/{wanted['name']}"
        repository = Repository(private=wanted.get("visibility") == "private")
        repository.commit({".gitattributes": b""})
        self.repositories[name] = repository
        return web.json_response({"url": f"{self.endpoint}/datasets/{name}"})

    async def _validate(self, request: web.Request) -> web.Response:
        return web.json_response({"errors": [], "warnings": []})

    async def _info(self, request: web.Request) -> web.Response:
        repository = self._repository(request)
        commit = repository.at(request.match_info.get("revision", "main"))
        return web.json_response(
            {
                "id": _name(request),
                "private": repository.private,
                "sha": commit,
                "siblings": [{"rfilename": name} for name in repository.commits[commit]],
            }
        )

    async def _tree(self, request: web.Request) -> web.Response:
        repository = self._repository(request)
        files = repository.commits[repository.at(request.match_info["revision"])]
        return web.json_response(
            [
                {"type": "file", "path": name, "size": len(data), "oid": _git_oid(data)}
                for name, data in files.items()
            ]
        )

    async def _preupload(self, request: web.Request) -> web.Response:
        there = self._repository(request).files
        return web.json_response(
            {
                "files": [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(".parquet") else "regular",
                        "shouldIgnore": False,
                        "oid": _oid(one["path"], there[one["path"]])
                        if one["path"] in there
                        else None,
                    }
                    for one in (await request.json())["files"]
                ]
            }
        )

    async def _batch(self, request: web.Request) -> web.Response:
        self._repository(request)
        objects = []
        for one in (await request.json())["objects"]:
            known = one["oid"] in self.blobs
            upload = {"upload": {"href": f"{self.endpoint}/lfs/{one['oid']}"}}
            objects.append(one | ({} if known else {"actions": upload}))
        return web.json_response({"transfer": "basic", "objects": objects})

    async def _put(self, request: web.Request) -> web.Response:
        data, oid = await request.read(), request.match_info["oid"]
        if hashlib.sha256(data).hexdigest() != oid:
            return _refusal(400, "the content is not what its digest says")
        self.blobs[oid] = data
        return web.Response()

    async def _xet_token(self, request: web.Request) -> web.Response:
        expires = int(time.time()) + 3600
        return web.json_response({"accessToken": "xet", "exp": expires, "casUrl": self.xet})

    async def _commit(self, request: web.Request) -> web.Response:
        repository = self._repository(request)
        header, *operations = [json.loads(line) for line in (await request.read()).splitlines()]
        files = dict(repository.files)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "deletedFile":
                del files[value["path"]]
            elif operation["key"] == "lfsFile":
                oid = value["oid"]
                files[value["path"]] = oid.encode() if self.xet else self.blobs[oid]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        oid = repository.commit(files, header["value"]["summary"])
        url = f"{self.endpoint}/datasets/{_name(request)}/commit/{oid}"
        return web.json_response({"commitOid": oid, "commitUrl": url})

    async def _tag(self, request: web.Request) -> web.Response:
        repository, tag = self._repository(request), (await request.json())["tag"]
        if tag in repository.tags:
            return _refusal(409, "Tag reference exists already")
        repository.tags[tag] = repository.at(request.match_info["revision"])
        return web.json_response({})

    async def _untag(self, request: web.Request) -> web.Response:
        del self._repository(request).tags[request.match_info["tag"]]
        return web.Response()

    async def _resolve(self, request: web.Request) -> web.Response:
        repository = self._repository(request)
        commit = repository.at(request.match_info["revision"])
        files = repository.commits[commit]
        if request.match_info["path"] not in files:
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        data = files[request.match_info["path"]]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        return web.Response(body=data, headers=headers)


def _name(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['name']}"


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response(
        {"error": message}, status=status, headers={"X-Error-Message": message}
    )


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _oid(path: str, data: bytes) -> str:
    """What the client compares: the content's SHA-256 in LFS, the blob's id elsewhere."""
    return hashlib.sha256(data).hexdigest() if path.endswith(".parquet") else _git_oid(data)
