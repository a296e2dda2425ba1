#!/usr/bin/env python3
"""Serves a list of accounts to token_exporter: ACCOUNTS_TOKEN=… accounts_server.py FILE [PORT]"""
import hashlib, hmac, json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = 1000  # accounts in one answer


class Accounts(BaseHTTPRequestHandler):
    def do_GET(self):
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {os.environ['ACCOUNTS_TOKEN']}".encode()):
            return self.answer(401, {"error": "wrong token"})
        with open(sys.argv[1], encoding="utf-8") as file:  # your database's query comes here
            accounts = json.load(file)
        start = int(parse_qs(urlsplit(self.path).query).get("start", ["0"])[0])
        page = {"version": 1, "accounts": accounts[start : start + PAGE]}
        if start + PAGE < len(accounts):
            page["next"] = f"?start={start + PAGE}"
        self.answer(200, page)

    def answer(self, status, content):
        body = json.dumps(content).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        if status == 200 and self.headers.get("If-None-Match") == tag:
            status, body = 304, b""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "ETag": tag, "Content-Length": len(body)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", int((sys.argv + ["8080"])[2])), Accounts)
print(f"http://127.0.0.1:{server.server_port}/accounts", flush=True)
server.serve_forever()
