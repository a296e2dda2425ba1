#!/usr/bin/env python3
"""5,000 reports a second while all accounts are probed and scraped. Run it with `make bench-reports`.

Starts the exporter with accounts at the simulator of a second process, sends lists of reports at that rate, scrapes every second, and
counts what was lost. Prints a Markdown table to standard output and its progress to standard error.
"""

import argparse
import http.client
import json
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from probing import ROOT, free_port, get, processor_time, say, until

TOKEN = "sim-reporter-token"
LIST = 50
SENDERS = 16
BLOCKED = {"http_status": 403, "body": {"errors": [{"code": 226, "message": "This request looks like it might be automated."}]}}
REFUSED = {"http_status": 401, "body": {"title": "Unauthorized", "type": "about:blank", "status": 401}}


def total(text, name):
    return sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def peak_memory(pid):
    """In megabytes."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024


def report(number, accounts):
    account = {"account": f"account-{number * 7919 % accounts}"}
    kind = number % 20
    if kind == 0:
        return account | BLOCKED
    if kind == 1:
        return account | REFUSED
    return account | {"ok": True, "id": f"post-{number}"}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--binary", default=ROOT / "target/dist/token_exporter")
    options.add_argument("--accounts", type=int, default=10_000)
    options.add_argument("--rate", type=int, default=5_000)
    options.add_argument("--seconds", type=int, default=60)
    o = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = open(f"{folder}/log", "wb")
        demo = subprocess.Popen([o.binary, "demo", "--accounts", "1", "--web.listen-address", f"127.0.0.1:{free_port()}"],
                                stdout=subprocess.PIPE, stderr=log, text=True)
        networks = next(line.split()[-1].rstrip("/") for line in demo.stdout if line.startswith("simulated networks"))
        config = {"global": {"probe_interval": "60s"}, "reporters": [{"id": "bench", "token": TOKEN}],
                  "apps": [{"id": "x", "network": "x", "client_id": "key", "client_secret": "sim-s", "base_url": f"{networks}/x"}],
                  "accounts": [{"id": f"account-{i}", "network": "x", "token": f"sim-x-valid.{2000000 + i}",
                                "external_id": str(2000000 + i)} for i in range(o.accounts)]}
        Path(f"{folder}/config.yaml").write_text(json.dumps(config))
        port = free_port()
        exporter = subprocess.Popen([o.binary, "serve", "--config.file", f"{folder}/config.yaml", "--storage.path", f"{folder}/data",
                                     "--web.listen-address", f"127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            measure(o, f"127.0.0.1:{port}", exporter.pid)
        finally:
            exporter.terminate()
            demo.terminate()
            exporter.wait()
            demo.wait()


def measure(o, address, pid):
    metrics = f"http://{address}/metrics"
    until("all accounts are probed", lambda: get(metrics).count("\nconnection_valid{") == o.accounts, 300)
    before, cpu = get(metrics), processor_time(pid)
    begin = time.monotonic()
    end, latencies, lost, last, lock = begin + o.seconds, [], [], [], threading.Lock()
    requests = iter(range(o.rate * o.seconds // LIST))

    def send():
        connection = http.client.HTTPConnection(address, timeout=30)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        while True:
            with lock:
                number = next(requests, None)
            if number is None:
                return
            body = json.dumps([report(number * LIST + i, o.accounts) for i in range(LIST)])
            time.sleep(max(0, begin + number * LIST / o.rate - time.monotonic()))
            sent = time.monotonic()
            connection.request("POST", "/api/v1/reports", body, headers)
            answer = connection.getresponse()
            answers = answer.read()
            latencies.append(time.monotonic() - sent)
            last.append(time.monotonic())
            if answer.status != 200 or answers.count(b'"acted"') != LIST:
                lost.append(answer.status)

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    scrapes = []
    while time.monotonic() < end or any(sender.is_alive() for sender in senders):
        sent = time.monotonic()
        text = get(metrics)
        scrapes.append(time.monotonic() - sent)
        assert text.count("\nconnection_valid{") == o.accounts, "a scrape is not complete"
        time.sleep(max(0, 1 - scrapes[-1]))
    took = max(last) - begin
    used, peak = processor_time(pid), peak_memory(pid)
    after = get(metrics)
    gained = lambda name: total(after, name) - total(before, name)
    ages = [time.time() - float(v) for v in re.findall(r"^connection_last_probe_timestamp_seconds{[^}]*} (\S+)$", after, re.M)]
    latencies.sort()
    row = [f"{o.accounts:,}", f"{gained('token_exporter_reports_total') / took:,.0f}", f"{latencies[len(latencies) // 2] * 1000:.0f}",
           f"{latencies[len(latencies) * 99 // 100] * 1000:.0f}", len(lost), f"{gained('token_exporter_probes_total') / took:,.0f}",
           f"{max(ages):.0f}", f"{gained('token_exporter_probe_failures_total'):.0f}", len(scrapes), f"{max(scrapes) * 1000:.0f}",
           f"{(used - cpu) / took * 100:.0f} %", f"{peak}"]
    print("| accounts | reports a second | median ms | 99 % ms | reports lost | probes a second | oldest probe s | probes failed | "
          "scrapes | slowest scrape ms | CPU | peak MB |")
    print("|---" * len(row) + "|")
    print("| " + " | ".join(map(str, row)) + " |")


main()
