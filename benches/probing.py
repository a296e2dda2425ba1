#!/usr/bin/env python3
"""The cost of a probe: compares the whole exporter with wrk and blackbox_exporter. All send requests to the same nginx over TLS
on loopback. Run it with `make bench-probing`.

Needs a build with the profile dist and Debian's packages nginx-light, wrk, prometheus-blackbox-exporter, openssl and util-linux.
nginx runs on one processor, the client on another. CPU time is the kernel's count for the client's process, requests are nginx'
count. Prints a Markdown table to standard output and its progress to standard error.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")
IN_FLIGHT = 64

# About the content and length of a network's answer.
USER = {"data": {"id": "1000001", "name": "ACME", "username": "acme", "created_at": "2015-01-01T00:00:00.000Z",
                 "verified": True, "description": "x" * 380, "protected": False}}
ISSUED = 1767225600
TOKEN = {"data": {"app_id": "1234567890", "type": "PAGE", "application": "ACME", "is_valid": True, "expires_at": 0,
                  "issued_at": ISSUED, "data_access_expires_at": 0, "user_id": "1000001", "profile_id": "1000001",
                  "scopes": ["pages_show_list", "pages_manage_posts", "pages_messaging", "read_insights"]}}
ITEM = {"code": 200, "headers": [{"name": "Content-Type", "value": "application/json; charset=UTF-8"},
                                 {"name": "Facebook-API-Version", "value": "v27.0"}], "body": json.dumps(TOKEN)}
BATCH = 50


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def started(*command, log, **more):
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, **more)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def until(what, condition, within=120):
    end = time.monotonic() + within
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.1)
    sys.exit(f"not within {within} s: {what}")


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def on(cpu, *command):
    return ("taskset", "-c", str(cpu), *command)


def processor_time(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Server:
    """nginx with TLS of its own authority: HTTP/1.1 and HTTP/2 on two ports, and its count of requests on a third."""

    def __init__(self, folder):
        self.folder = folder
        self.h1, self.h2, self.status = free_port(), free_port(), free_port()
        ca, key, request, leaf = (str(folder / f) for f in ("ca.pem", "key.pem", "request.pem", "leaf.pem"))
        (folder / "extensions").write_text("subjectAltName=DNS:localhost\n")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("openssl", "req", "-x509", *curve, "-keyout", str(folder / "ca-key.pem"), "-out", ca, "-days", "2", "-subj", "/CN=bench")
        run("openssl", "req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
        run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", str(folder / "ca-key.pem"), "-CAcreateserial",
            "-out", leaf, "-days", "2", "-extfile", str(folder / "extensions"))
        self.authority = ca
        (folder / "user.json").write_text(json.dumps(USER))
        (folder / "batch.json").write_text(json.dumps([ITEM] * BATCH))
        (folder / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
            events {{ worker_connections 4096; }}
            http {{
              access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_body_buffer_size 128k;
              client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
              uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
              ssl_certificate {leaf}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
              default_type application/json; open_file_cache max=10;
              server {{ listen 127.0.0.1:{self.h1} ssl; listen 127.0.0.1:{self.h2} ssl http2;
                location = /2/users/me {{ alias {folder}/user.json; }}
                location /v27.0/ {{ error_page 405 =200 /batch; return 405; }}
                location = /batch {{ internal; alias {folder}/batch.json; error_page 405 =200 $uri; }} }}
              server {{ listen 127.0.0.1:{self.status}; location / {{ stub_status; }} }}
            }}""")

    def requests(self):
        return int(re.search(r"\n (\d+) (\d+) (\d+)", get(f"http://127.0.0.1:{self.status}/")).group(3))

    def running(self):
        return started(*on(0, "nginx", "-c", str(self.folder / "nginx.conf")), log=self.folder / "nginx.log")


def measure(server, pid, seconds):
    """Processor time for each request that the server counted."""
    before, start = server.requests(), processor_time(pid)
    time.sleep(seconds)
    spent, asked = processor_time(pid) - start, server.requests() - before
    return spent / max(asked, 1), asked / seconds


def wrk(server, port, seconds):
    before, start = server.requests(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*on(1, "wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{seconds}s", "-H", "Authorization: Bearer sim-token",
            f"https://localhost:{port}/2/users/me"))
    end, asked = resource.getrusage(resource.RUSAGE_CHILDREN), server.requests() - before
    spent = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
    return spent / max(asked, 1), asked / seconds


@contextlib.contextmanager
def exporter(binary, server, folder, config, *flags):
    (folder / "config.yaml").write_text(config)
    port = free_port()
    command = (binary, "--config.file", str(folder / "config.yaml"), "--config.auto-reload=false",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", *(flags or ("--storage.path=none",)))
    environment = {**os.environ, "SSL_CERT_FILE": server.authority}
    with started(*on(1, *command), log=folder / "exporter.log", env=environment) as process:
        until("the exporter is ready", lambda: get(f"http://127.0.0.1:{port}/-/ready"))
        yield process, f"http://127.0.0.1:{port}"


def logins(port, count, secrets=None, interval="1s"):
    """So many logins at X, each with a token of its own; probed every second, which is as fast as it goes."""
    lines = [f"global: {{probe_interval: {interval}, probe_concurrency: {IN_FLIGHT}}}",
             f"apps: [{{id: app, network: x, client_id: key, client_secret: sim-s, base_url: 'https://localhost:{port}'}}]", "accounts:"]
    for i in range(count):
        token = f"sim-token-{i:08d}-" + "x" * 70
        if secrets is not None and not (secrets / f"{i}").exists():
            (secrets / f"{i}").write_text(token)
        source = f"token: {token}" if secrets is None else f"token_file: {secrets}/{i}"
        lines.append(f"  - {{id: account-{i}, network: x, external_id: '1000001', {source}}}")
    return "\n".join(lines)


def tokens(port, count):
    """So many tokens of pages at Facebook, of which debug_token alone is asked, 50 in a call: the accounts are
    groups, of which there is nothing more to ask."""
    lines = [f"global: {{probe_interval: 1s, probe_concurrency: {IN_FLIGHT}}}",
             "apps: [{id: app, network: facebook, client_id: '1234567890', client_secret: sim-s, "
             f"base_url: 'https://localhost:{port}'}}]", "accounts:"]
    for i in range(count):
        lines.append(f"  - {{id: account-{i}, network: facebook, kind: group, token: sim-token-{i:08d}-" + "x" * 70 + "}")
    return "\n".join(lines)


def ours(binary, server, folder, config, count, seconds, what, sign="\nconnection_valid{"):
    with exporter(binary, server, folder, config) as (process, url):
        until(f"{what}: everything is probed", lambda: get(f"{url}/metrics").count(sign) == count)
        cost = measure(server, process.pid, seconds)
        failures = sum(float(l.rsplit(" ", 1)[1]) for l in get(f"{url}/metrics").splitlines()
                       if l.startswith("token_exporter_probe_failures_total{"))
        assert failures == 0, f"{what}: {failures} probes failed"
    say(f"{what}: {cost[0] * 1e6:.1f} us, {cost[1]:.0f} requests/s")
    return cost


def blackbox(server, folder, port, seconds):
    address = f"127.0.0.1:{free_port()}"
    (folder / "blackbox.yml").write_text(json.dumps({"modules": {"token": {"prober": "http", "http": {
        "bearer_token": "sim-token", "fail_if_body_not_matches_regexp": ['"username"'],
        "tls_config": {"ca_file": server.authority}, "preferred_ip_protocol": "ip4"}}}}))
    command = ("prometheus-blackbox-exporter", f"--config.file={folder}/blackbox.yml", f"--web.listen-address={address}", "--log.level=error")
    probe = f"http://{address}/probe?module=token&target=https://localhost:{port}/2/users/me"
    with started(*on(1, *command), log=folder / "blackbox.log") as process:
        until("blackbox_exporter probes", lambda: "\nprobe_success 1" in get(probe))
        with started(*on(0, "wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{seconds + 4}s", "--timeout", "30s", probe), log=folder / "wrk.log"):
            time.sleep(2)
            cost = measure(server, process.pid, seconds)
    say(f"blackbox_exporter: {cost[0] * 1e6:.1f} us, {cost[1]:.0f} requests/s")
    return cost


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--binary", default=str(ROOT / "target/dist/token_exporter"))
    options.add_argument("--seconds", type=int, default=5, help="of each measurement")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--logins", type=int, default=100_000)
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="token_exporter-bench-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)  # nginx' worker is somebody else
        server, secrets = Server(folder), folder / "secrets"
        secrets.mkdir()
        results = {}
        with server.running():
            until("nginx answers", server.requests)
            count, seconds = options.logins, options.seconds
            for _ in range(options.rounds):
                rounds = [
                    ("wrk, HTTP/1.1", lambda: wrk(server, server.h1, seconds)),
                    ("exporter, HTTP/1.1", lambda: ours(options.binary, server, folder, logins(server.h1, count), count, seconds, "HTTP/1.1")),
                    ("exporter, HTTP/2", lambda: ours(options.binary, server, folder, logins(server.h2, count), count, seconds, "HTTP/2")),
                    ("exporter, HTTP/2, token files",
                     lambda: ours(options.binary, server, folder, logins(server.h2, count, secrets), count, seconds, "token files")),
                    ("exporter, batches of 50",
                     lambda: ours(options.binary, server, folder, tokens(server.h2, count), count, seconds, "batches",
                                  sign="\ntoken_issued_timestamp_seconds{")),
                    ("blackbox_exporter", lambda: blackbox(server, folder, server.h1, seconds)),
                ]
                for name, measured in rounds:
                    cost, rate = measured()
                    if name.startswith("wrk"):
                        say(f"wrk: {cost * 1e6:.1f} us, {rate:.0f} requests/s")
                    batch = BATCH if "batches" in name else 1
                    results.setdefault(name, []).append((cost / batch, rate * batch))
    # The best round of each: other load on the machine only adds time.
    best = {name: min(measured) for name, measured in results.items()}
    base, own = best["wrk, HTTP/1.1"][0], best["exporter, HTTP/2"][0]
    print("| client, over persistent TLS connections | CPU time per probe | × wrk | × exporter | probes per second |")
    print("|---|---|---|---|---|")
    for name, (cost, rate) in best.items():
        print(f"| {name} | {cost * 1e6:.1f} µs | {cost / base:.2f} | {cost / own:.1f} | {rate:,.0f} |")


if __name__ == "__main__":
    main()
