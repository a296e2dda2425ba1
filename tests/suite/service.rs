//! The messages of the real binary to systemd, its watchdog, and its exit.

use std::os::unix::net::UnixDatagram;

use token_exporter::telemetry::Watchdog;

use crate::exporter::{Exporter, World, request};
use crate::probing::simulator;

/// The messages so far, one per line.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Whether a message with all of these lines has come.
    fn hears(&mut self, parts: &[&str]) -> bool {
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            self.heard.push(String::from_utf8_lossy(&message[..length]).into_owned());
        }
        self.heard.iter().any(|message| parts.iter().all(|part| message.contains(part)))
    }

    fn waits_for(&mut self, exporter: &Exporter, parts: &[&str]) {
        exporter.wait_for(&parts.join(" "), || self.hears(parts).then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_of_every_step() {
    let (_simulator, networks) = simulator().await;
    tokio::task::spawn_blocking(move || {
        let world = World::new(networks, 1, 2, 0);
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let mut manager = Manager { socket, heard: Vec::new() };
        let exporter = Exporter::start(world.folder.path(), |command| {
            command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "8000000").arg("--web.enable-lifecycle");
        });
        manager.waits_for(&exporter, &["READY=1", "STATUS=watching 2 accounts of 2 credentials"]);
        let address = exporter.wait_for("it listens", || exporter.listens());
        assert!(request(&address, "GET", "/-/ready").is_some_and(|a| a.starts_with("HTTP/1.0 200")));
        manager.waits_for(&exporter, &["WATCHDOG=1"]);

        manager.heard.clear();
        exporter.signal("HUP");
        manager.waits_for(&exporter, &["RELOADING=1", "MONOTONIC_USEC="]);
        manager.waits_for(&exporter, &["READY=1"]);

        manager.heard.clear();
        let config = std::fs::read_to_string(world.path("config.yaml")).expect("readable");
        std::fs::write(world.path("config.yaml"), "nonsense: true\n").expect("written");
        assert!(
            request(&address, "POST", "/-/reload")
                .is_some_and(|a| a.starts_with("HTTP/1.0 500") && a.contains("nonsense"))
        );
        manager.waits_for(
            &exporter,
            &["READY=1", "STATUS=watching 2 accounts", "a newer configuration cannot be read"],
        );
        std::fs::write(world.path("config.yaml"), config).expect("written");

        manager.heard.clear();
        exporter.signal("TERM");
        manager.waits_for(&exporter, &["STOPPING=1"]);
        assert_eq!(exporter.end().code(), Some(0), "{}", exporter.log());
    })
    .await
    .expect("no panic");
}

/// A disk that seems full to this process, and then is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived_and_caught_up_with() {
    let (_simulator, networks) = simulator().await;
    tokio::task::spawn_blocking(move || {
        let mut world = World::new(networks, 1, 4, 0);
        let exporter = Exporter::start(world.folder.path(), |_| {});
        exporter.wait_for("all are known", || {
            exporter.ask("/metrics").filter(|scrape| world.check_scrape(scrape) == 4)
        });
        let limit = |size: &str| {
            let set = std::process::Command::new("prlimit")
                .args(["--pid", &exporter.pid.to_string(), &format!("--fsize={size}:")])
                .status();
            assert!(set.expect("prlimit").success());
        };
        limit("3000");
        exporter.wait_for("the disk is full", || {
            world.write_token(0);
            world.check(&exporter.ask("/probe?account=account-0")?);
            exporter.log().contains("state cannot be written").then_some(())
        });
        for account in 0..4 {
            world.write_token(account);
            let answer =
                exporter.wait_for("an answer", || exporter.ask(&format!("/probe?account=account-{account}")));
            world.check(&answer);
        }
        assert_eq!(
            exporter.log().matches("state cannot be written").count(),
            1,
            "told once\n{}",
            exporter.log()
        );
        limit("unlimited");
        exporter.wait_for("it is caught up with", || {
            exporter.log().contains("state is written again").then_some(())
        });
        let scrape = exporter.wait_for("a scrape", || exporter.ask("/metrics"));
        world.check_scrape(&scrape);
        exporter.kill();
        exporter.end();
        let exporter = Exporter::start(world.folder.path(), |_| {});
        let scrape = exporter.wait_for("a scrape", || exporter.ask("/metrics"));
        assert_eq!(world.check_scrape(&scrape), 4, "nothing that was shown is missing");
        assert!(!exporter.log().contains("aside"), "{}", exporter.log());
    })
    .await
    .expect("no panic");
}

#[tokio::test]
async fn silent_parts_are_named() {
    let mut watchdog = Watchdog::default();
    let (mut scheduler, server) = (watchdog.part("scheduler"), watchdog.part("server"));
    assert!(watchdog.beat().is_empty(), "nothing was asked before");
    scheduler.answer().await;
    assert_eq!(watchdog.beat(), ["server"]);
    let mut again = server.clone();
    scheduler.answer().await;
    again.answer().await;
    assert!(watchdog.beat().is_empty(), "a part that was started anew answers for the old one");
}
