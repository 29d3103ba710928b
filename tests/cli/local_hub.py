#!/usr/bin/env python3
"""A local hub with the part of the protocol that `hf download` uses (src/cli/README.md, "Protocol of the hub").

    local_hub.py FOLDER PORT_FILE LOG

FOLDER contains models/ORG/NAME/... and datasets/ORG/NAME/...; each repository has one commit, which is "main",
"v1" and "refs/convert/parquet". Weights are redirected to a second host, as the hub redirects to its CDN.
Repositories of the organisation "gated" require a token. The port is written to PORT_FILE, and one line per
request, method and path, to LOG. The server ends when its stdin closes.
"""

import hashlib
import http.server
import json
import pathlib
import sys
import threading
import urllib.parse

ROOT, PORT_FILE, LOG = (pathlib.Path(a) for a in sys.argv[1:])
REVISIONS = ("main", "v1", "refs/convert/parquet")
BLOB_HOST = "127.0.0.2"  # another host: the client follows redirects within a host itself
lock = threading.Lock()


def commit_of(repository):
    return hashlib.sha1(repository.encode()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        path = urllib.parse.urlsplit(self.path).path
        with lock, LOG.open("a") as log:
            log.write(f"{self.command} {urllib.parse.unquote(path)}\n")
        self.respond([urllib.parse.unquote(part) for part in path.strip("/").split("/")])

    do_GET = do_HEAD


class Blobs(Handler):
    def respond(self, parts):
        self.answer(200, ROOT.joinpath(*parts).read_bytes(), ETag='"blob"')


class Hub(Handler):
    def respond(self, parts):
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        kind = "models"
        if parts[0] in ("models", "datasets"):
            kind, parts = parts[0], parts[1:]
        if len(parts) < 4:
            return self.answer(404)
        name, (action, revision), rest = "/".join(parts[:2]), parts[2:4], parts[4:]
        folder = ROOT / kind / name
        if name.startswith("gated/"):
            return self.answer(401, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted.")
        if not folder.is_dir():
            return self.answer(404, X_Error_Code="RepoNotFound")
        commit = commit_of(name)
        if revision not in (*REVISIONS, commit):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if api:
            return self.describe(folder, name, commit, action)
        file = folder.joinpath(*rest)
        if not file.is_file():
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = file.read_bytes()
        if file.suffix in (".safetensors", ".bin"):
            return self.answer(
                302, X_Repo_Commit=commit, X_Linked_Size=str(len(content)),
                X_Linked_ETag=f'"{hashlib.sha256(content).hexdigest()}"',
                Location=f"http://{BLOB_HOST}:{blobs.server_port}/{kind}/{name}/{'/'.join(rest)}")
        self.answer(200, content, X_Repo_Commit=commit, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    def describe(self, folder, name, commit, action):
        paths = sorted(p for p in folder.rglob("*") if p.is_file())
        names = [str(p.relative_to(folder)) for p in paths]
        if action == "tree":
            answer = [{"type": "file", "path": n, "size": p.stat().st_size,
                       "oid": hashlib.sha1(p.read_bytes()).hexdigest()} for n, p in zip(names, paths)]
        else:
            answer = {"id": name, "sha": commit, "private": False, "downloads": 0, "likes": 0, "tags": [],
                      "siblings": [{"rfilename": n} for n in names]}
        self.answer(200, json.dumps(answer).encode(), Content_Type="application/json")


blobs = http.server.ThreadingHTTPServer((BLOB_HOST, 0), Blobs)
hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
for server in (blobs, hub):
    threading.Thread(target=server.serve_forever, daemon=True).start()
PORT_FILE.with_suffix(".new").write_text(str(hub.server_port))
PORT_FILE.with_suffix(".new").rename(PORT_FILE)
sys.stdin.read()
