//! Requests to the real binary that a browser, a proxy or an attacker would send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use crate::exporter::{Exporter, LONG, World, request};
use crate::probing::simulator;

/// The status of an answer to a request with these lines after its first.
fn status(address: &str, first: &str, lines: &[&str]) -> u16 {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("set");
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    write!(stream, "{first} HTTP/1.1\r\n{lines}connection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// The addresses that it listens on so far.
fn addresses(exporter: &Exporter, count: usize) -> Vec<String> {
    exporter.wait_for("it listens", || {
        let log = exporter.log();
        let found = log.lines().filter_map(|line| line.split_once("message=listening address="));
        let found: Vec<String> = found.map(|(_, address)| address.trim().to_owned()).collect();
        (found.len() == count).then_some(found)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_is_obeyed() {
    let (simulator, networks) = simulator().await;
    let world = World::new(networks, 1, 1, 0);
    let yaml = std::fs::read_to_string(world.path("config.yaml")).expect("readable");
    std::fs::write(world.path("config.yaml"), yaml.replace("probe_interval: 1s", "probe_interval: 1h"))
        .expect("written");
    let probe = "GET /probe?account=account-0";
    // Where the exporter's URL is not known.
    let exporter = Exporter::start(world.folder.path(), |command| {
        command.args(["--web.enable-lifecycle", "--probe.on-demand"]);
    });
    let address = exporter.wait_for("it listens", || exporter.listens());
    let (host, same) = (format!("host: {address}"), format!("origin: http://{address}"));
    for lines in [
        &["sec-fetch-site: cross-site"][..],
        &["sec-fetch-site: same-site"],
        &["sec-fetch-site: cross-site", &same],
        &["sec-fetch-site: none", "sec-fetch-site: cross-site"],
        &["origin: https://evil.example"],
        &["origin: http://127.0.0.1"],
        &["origin: null"],
        &["referer: https://evil.example/page"],
        &[&same, "origin: https://evil.example"],
    ] {
        let lines = [&[&*host], lines].concat();
        for first in [probe, "POST /-/reload", "PUT /-/reload"] {
            assert_eq!(status(&address, first, &lines), 403, "{first} {lines:?}");
        }
        assert_eq!(status(&address, "GET /metrics", &lines), 200, "what only reads is for all: {lines:?}");
    }
    assert_eq!(simulator.exchanges(), 0);
    let start = std::time::Instant::now();
    assert!(!exporter.log().contains("configuration reloaded"), "{}", exporter.log());
    for lines in [&[][..], &["sec-fetch-site: same-origin"], &["sec-fetch-site: none"], &[&*same]] {
        let lines = [&[&*host], lines].concat();
        for first in [probe, "POST /-/reload"] {
            assert_eq!(status(&address, first, &lines), 200, "{first} {lines:?}");
        }
    }
    let most = 1 + start.elapsed().as_secs() / 9;
    assert!(simulator.exchanges() <= most, "one probe in ten seconds, over reloads too");
    drop(exporter);

    // Where it is known: an attacker can let other names lead here.
    let exporter = Exporter::start(world.folder.path(), |command| {
        command.args(["--web.enable-lifecycle", "--probe.on-demand"]);
        command.args(["--web.external-url", "https://tokens.example.com/", "--web.route-prefix", "/"]);
    });
    let address = exporter.wait_for("it listens", || exporter.listens());
    let ip = format!("host: {address}");
    for (lines, expected) in [
        (&["host: evil.example"][..], 403),
        (&["host: evil.example", "origin: http://evil.example"], 403),
        (&["host: evil.example", "sec-fetch-site: same-origin"], 403),
        (&["host: tokens.example.com.evil.example"], 403),
        (&["host: tokens.example.com", "origin: https://evil.example"], 403),
        (&["host: tokens.example.com"], 200),
        (&["host: Tokens.Example.com:443", "origin: https://tokens.example.com"], 200),
        (&[&*ip], 200),
        (&["host: localhost"], 200),
        (&["host: token-exporter:10219"], 200),
        // A proxy asks under another name.
        (&["host: token-exporter:10219", "origin: https://tokens.example.com"], 200),
    ] {
        for first in [probe, "POST /-/reload"] {
            assert_eq!(status(&address, first, lines), expected, "{first} {lines:?}");
        }
        assert_eq!(status(&address, "GET /metrics", lines), 200, "Prometheus may use any name: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_prefix_and_the_root_leads_to_it() {
    let (_simulator, networks) = simulator().await;
    let world = World::new(networks, 1, 1, 0);
    let exporter = Exporter::start(world.folder.path(), |command| {
        command.args(["--web.route-prefix", "/social/tokens", "--health.listen-address", "127.0.0.1:0"]);
        command.arg("--web.disable-exporter-metrics");
    });
    let [main, health] = &addresses(&exporter, 2)[..] else { panic!("two addresses") };
    for (address, method, path, expected) in [
        (health, "GET", "/-/healthy", "200"),
        (health, "HEAD", "/-/healthy", "200"),
        (health, "GET", "/social/tokens/-/healthy", "200"),
        (health, "GET", "/", "404"),
        (health, "GET", "/social/tokens/metrics", "404"),
        (main, "GET", "/-/healthy", "404"),
        (main, "GET", "/metrics", "404"),
        (main, "POST", "/", "404"),
        (main, "GET", "/social/tokens/-/healthy", "200"),
    ] {
        let answer = request(address, method, path).expect("an answer");
        assert_eq!(&answer[9..12], expected, "{method} {path}: {answer}");
    }
    exporter.wait_for("it is ready", || request(health, "GET", "/-/ready").filter(|a| a.contains(" 200 ")));
    for method in ["GET", "HEAD"] {
        let answer = request(main, method, "/").expect("an answer");
        assert!(answer.contains(" 302 ") && answer.contains("location: social/tokens/\r\n"), "{answer}");
    }
    let page = reqwest::Url::parse(&format!("http://{main}/")).expect("a URL").join("social/tokens/");
    assert_eq!(page.expect("a URL").path(), "/social/tokens/");

    let metrics = request(main, "GET", "/social/tokens/metrics").expect("an answer");
    assert!(metrics.contains("token_exporter_build_info") && !metrics.contains("process_"), "{metrics}");
    drop(exporter);
    let exporter = Exporter::start(world.folder.path(), |_| {});
    let metrics = exporter.wait_for("metrics", || exporter.get("/metrics"));
    assert!(metrics.contains("process_resident_memory_bytes"));
}

/// As systemd does: the sockets are the file descriptors from 3 on.
#[tokio::test(flavor = "multi_thread")]
async fn the_sockets_of_systemd_are_used_instead_of_addresses() {
    let (_simulator, networks) = simulator().await;
    let world = World::new(networks, 1, 1, 0);
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("loopback"));
    let bound = listeners.each_ref().map(|listener| listener.local_addr().expect("an address").to_string());
    let [first, second] = listeners.map(std::os::fd::OwnedFd::from);
    let passed = "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";
    let exporter = Exporter::start_through(&["sh", "-c", passed, "sh"], world.folder.path(), |command| {
        command.stdin(Stdio::from(first)).stdout(Stdio::from(second)).arg("--web.systemd-socket");
    });
    assert_eq!(addresses(&exporter, 2), bound, "and no other");
    for address in &bound {
        exporter
            .wait_for("an answer", || request(address, "GET", "/-/healthy").filter(|a| a.contains(" 200 ")));
    }
    drop(exporter);
    for (script, problem) in [
        ("exec \"$@\"", "systemd has passed no socket"),
        ("export LISTEN_PID=1 LISTEN_FDS=1; exec \"$@\"", "systemd has passed no socket"),
        ("exec 3</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"", "fd 3 is not a socket"),
    ] {
        let exporter = Exporter::start_through(&["sh", "-c", script, "sh"], world.folder.path(), |command| {
            command.arg("--web.systemd-socket");
        });
        assert_eq!(exporter.end().code(), Some(2), "{script}");
        exporter.wait_for(problem, || exporter.log().contains(problem).then_some(()));
    }
}
