#!/usr/bin/env python3
"""Checks that memory stays flat during ten minutes of probes, scrapes and reloads with 100,000 accounts, with state on disk and
tokens in files. Run it with `make soak`.

nginx on loopback plays the network, as in probing.py. Every account is probed every five minutes. Metrics are scraped every ten
seconds, plain and gzipped in turn, and /probe and /sd are requested. Once a minute, accounts are added, removed and changed, and the
configuration is reloaded. Exits with 1 if the last third uses over a tenth more memory than the first third after the warm-up.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from probing import ROOT, Server, exporter, get, logins, processor_time, say, until


def resident(pid, what="VmRSS"):
    """In megabytes."""
    line = next(l for l in Path(f"/proc/{pid}/status").read_text().splitlines() if l.startswith(what))
    return int(line.split()[1]) / 1024


def scrape(url, gzip):
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept-Encoding": "gzip"} if gzip else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        while answer.read(1 << 20):
            pass


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--binary", default=str(ROOT / "target/dist/token_exporter"))
    options.add_argument("--accounts", type=int, default=100_000)
    options.add_argument("--minutes", type=float, default=10)
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="token_exporter-soak-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        server, secrets = Server(folder), folder / "secrets"
        secrets.mkdir()
        flags = ("--storage.path", str(folder / "state"), "--web.enable-lifecycle")
        config = logins(server.h2, options.accounts, secrets, "5m")
        with server.running(), exporter(options.binary, server, folder, config, *flags) as (process, url):
            until("nginx answers", server.requests)
            samples, scrapes, probes, reloads = [], [], 0, 0
            start, asked = time.monotonic(), server.requests()
            end, next_reload, beat = start + options.minutes * 60, start + 60, 0
            while time.monotonic() < end:
                begun = time.monotonic()
                scrape(url, gzip=beat % 2 == 1)
                scrapes.append(time.monotonic() - begun)
                for _ in range(20):
                    get(f"{url}/probe?account=account-{random.randrange(options.accounts // 2)}")
                    probes += 1
                get(f"{url}/sd?shard=0/4")
                if time.monotonic() >= next_reload:
                    # In turn, a tenth is removed and added again; all accounts change a label.
                    count = options.accounts if reloads % 2 else options.accounts * 9 // 10
                    changed = logins(server.h2, count, secrets, "5m").replace("external_id: '1000001'", f"external_id: '1000001', labels: {{round: r{reloads}}}")
                    (folder / "config.yaml").write_text(changed)
                    with urllib.request.urlopen(urllib.request.Request(f"{url}/-/reload", method="POST"), timeout=120):
                        reloads += 1
                    next_reload += 60
                beat += 1
                samples.append((time.monotonic() - start, resident(process.pid)))
                say(f"{samples[-1][0]:5.0f} s  {samples[-1][1]:6.1f} MB  scrape {scrapes[-1]:.2f} s")
                time.sleep(max(0, begun + 10 - time.monotonic()))
            took, asked = time.monotonic() - start, server.requests() - asked
            spent, peak = processor_time(process.pid), resident(process.pid, "VmHWM")
    # The first reload is the warm-up: measure after it.
    warm = [s for s in samples if s[0] > min(120, took / 5)]
    third = max(len(warm) // 3, 1)
    first, last = (statistics.median(mb for _, mb in part) for part in (warm[:third], warm[-third:]))
    print("| accounts | minutes | probes | scrapes | reloads | resident, first third | last third | ratio | peak | scrape, median | processor time |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    print(f"| {options.accounts:,} | {took / 60:.0f} | {asked:,} | {len(scrapes)} | {reloads} | {first:.0f} MB | {last:.0f} MB | {last / first:.2f} "
          f"| {peak:.0f} MB | {statistics.median(scrapes):.2f} s | {spent / took:.1%} of one processor |")
    if last > first * 1.1:
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
