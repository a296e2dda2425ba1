//! Faults at every stage of the real binary, and their expected effects.
//!
//! The cases form a table with faults as rows and stages as columns. In every case, a restart must
//! then show everything that was shown before.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};

use Moment::{Probing, Reload, Scrape, Shutdown, Snapshot, Start};
use Outcome::{Aborts, Dies, GoesOn, Refuses, Stops};

use crate::exporter::{Exporter, World};
use crate::probing::simulator;
use crate::weather::{Sky, Weather};

/// The stage at which the fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// It listens but is not ready yet.
    Start,
    /// A network does not answer a call.
    Probing,
    /// A client reads a scrape slowly.
    Scrape,
    /// A reload has been requested.
    Reload,
    /// State is being written, and the disk hangs.
    Snapshot,
    /// It is shutting down and waits for a slow client.
    Shutdown,
}

/// The fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Terminate,
    TerminateTwice,
    Hangup,
    BadConfiguration,
    NoConfiguration,
    StorageGone,
    NetworkGone,
    TokenGone,
}

/// The expected effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The signal kills it.
    Dies,
    /// It exits with status 0, and clients get their whole answers.
    Stops,
    /// It exits at once.
    Aborts,
    /// It does not start, with an error message.
    Refuses,
    /// It continues to serve and still shows everything that it knew.
    GoesOn,
}

const MOMENTS: [Moment; 6] = [Start, Probing, Scrape, Reload, Snapshot, Shutdown];

/// By stage, in the order of [`MOMENTS`].
const MATRIX: [(Fault, [Outcome; 6]); 9] = [
    (Fault::Kill, [Dies; 6]),
    (Fault::Terminate, [Stops, Stops, Stops, Stops, Stops, Aborts]),
    (Fault::TerminateTwice, [Aborts; 6]),
    (Fault::Hangup, [GoesOn, GoesOn, GoesOn, GoesOn, GoesOn, Stops]),
    (Fault::BadConfiguration, [Refuses, GoesOn, GoesOn, GoesOn, GoesOn, Stops]),
    (Fault::NoConfiguration, [Refuses, GoesOn, GoesOn, GoesOn, GoesOn, Stops]),
    (Fault::StorageGone, [GoesOn, GoesOn, GoesOn, GoesOn, GoesOn, Stops]),
    (Fault::NetworkGone, [GoesOn, GoesOn, GoesOn, GoesOn, GoesOn, Stops]),
    (Fault::TokenGone, [GoesOn, GoesOn, GoesOn, GoesOn, GoesOn, Stops]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_moment() {
    /// Several cases run at the same time, because they mostly wait.
    const WORKERS: usize = 6;
    let (_simulator, networks) = simulator().await;
    let cases: Vec<(Fault, Moment, Outcome)> = MATRIX
        .iter()
        .flat_map(|(fault, row)| MOMENTS.iter().zip(row).map(|(moment, outcome)| (*fault, *moment, *outcome)))
        .collect();
    let mut skies = Vec::new();
    for _ in &cases {
        skies.push(Weather::over(networks).await);
    }
    let next = AtomicUsize::new(0);
    let failed = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let work = || {
                let mut failed = Vec::new();
                while let Some((index, (fault, moment, outcome))) = take(&next, &cases) {
                    let case = || strike(index, &skies[index], fault, moment, outcome);
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(case)).is_err() {
                        failed.push(format!(
                            "{fault:?} at {moment:?}: expected {outcome:?}; what came instead stands above"
                        ));
                    }
                }
                failed
            };
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|w| w.join().expect("no panic")).collect::<Vec<_>>()
        })
    });
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn take<T: Copy>(next: &AtomicUsize, cases: &[T]) -> Option<(usize, T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    cases.get(index).map(|case| (index, *case))
}

const ACCOUNTS: usize = 3;

/// Runs one case: probes everything, reaches the stage, causes the fault, and checks that
/// everything is still known.
fn strike(index: usize, weather: &Weather, fault: Fault, moment: Moment, outcome: Outcome) {
    // For a slow client, a scrape must not fit into the sockets' buffers.
    let slow = matches!(moment, Scrape | Shutdown);
    let (accounts, labels) = if slow { (240, 30) } else { (ACCOUNTS, 0) };
    let mut world = World::new(weather.address, 1000 * (index + 1), accounts, labels);
    let config = std::fs::read_to_string(world.path("config.yaml")).expect("readable");
    let at_start = moment == Start;
    if at_start {
        let exporter = Exporter::start(world.folder.path(), |_| {});
        exporter.wait_for("something is known", || {
            exporter.ask("/metrics").filter(|scrape| world.check_scrape(scrape) >= ACCOUNTS)
        });
        exporter.signal("TERM");
        assert_eq!(exporter.end().code(), Some(0), "{}", exporter.log());
    }
    let pipe = world.path("data/state.jsonl.new");
    if moment == Snapshot {
        std::fs::create_dir(world.path("data")).expect("a folder");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    }
    if at_start {
        befall(fault, &world, weather);
        if fault == Fault::StorageGone {
            world.forget();
        }
    }
    let exporter = Exporter::start(world.folder.path(), |_| {});
    if outcome == Refuses {
        assert_eq!(exporter.end().code(), Some(2), "{}", exporter.log());
        exporter.wait_for("it says why", || exporter.log().contains("config.yaml").then_some(()));
    } else {
        let reader = bring_about(moment, &exporter, &mut world, weather);
        if !at_start {
            befall(fault, &world, weather);
        }
        blow(fault, &exporter, !at_start);
        come_of(outcome, &exporter, &mut world, reader, (fault, moment));
    }
    drop(exporter);

    // The fault is repaired; nothing may be missing after a restart.
    let _ = std::fs::remove_file(&pipe);
    std::fs::write(world.path("config.yaml"), config).expect("written");
    weather.turn(Sky::Fair);
    if fault == Fault::StorageGone {
        std::fs::remove_file(world.path("data")).expect("the file in its place");
        world.forget();
    }
    if fault == Fault::TokenGone {
        world.write_token(0);
    }
    let exporter = Exporter::start(world.folder.path(), |_| {});
    let scrape = exporter.wait_for("a scrape", || exporter.ask("/metrics"));
    world.check_scrape(&scrape);
    assert!(!exporter.log().contains("aside"), "{}", exporter.log());
}

/// Reaches a stage. Some stages come with a slow client.
fn bring_about(
    moment: Moment,
    exporter: &Exporter,
    world: &mut World,
    weather: &Weather,
) -> Option<TcpStream> {
    let address = exporter.wait_for("it listens", || exporter.listens());
    if moment == Start {
        return None;
    }
    exporter.wait_for("a scrape", || {
        exporter.ask("/metrics").filter(|scrape| world.check_scrape(scrape) >= ACCOUNTS)
    });
    match moment {
        Start => None,
        Probing => {
            weather.turn(Sky::Silent);
            // It waits, like the probe that it has requested.
            let mut stream = TcpStream::connect(address).expect("it listens");
            write!(stream, "GET /probe?account=account-0 HTTP/1.0\r\n\r\n").expect("sent");
            exporter.wait_for("a network that does not answer", || (weather.waiting() > 0).then_some(()));
            None
        }
        Scrape | Shutdown => {
            let mut stream = TcpStream::connect(address).expect("it listens");
            write!(
                stream,
                "GET /metrics HTTP/1.0\r\naccept: application/openmetrics-text;version=1.0.0\r\n\r\n"
            )
            .expect("sent");
            stream.read_exact(&mut [0; 1]).expect("the answer begins");
            if moment == Shutdown {
                exporter.signal("TERM");
                exporter.wait_for("it stops", || exporter.log().contains("message=stopping").then_some(()));
            }
            Some(stream)
        }
        Reload => {
            exporter.signal("HUP");
            None
        }
        // The base is written first; its pipe blocks the writing.
        Snapshot => None,
    }
}

/// Causes a fault outside the process.
fn befall(fault: Fault, world: &World, weather: &Weather) {
    match fault {
        Fault::BadConfiguration => {
            std::fs::write(world.path("config.yaml"), "accounts: [{id: a, network: nonsense}]\n")
                .expect("written")
        }
        Fault::NoConfiguration => std::fs::remove_file(world.path("config.yaml")).expect("removed"),
        Fault::StorageGone => {
            std::fs::rename(world.path("data"), world.path("lost")).expect("moved");
            std::fs::write(world.path("data"), "a file where the folder was").expect("written");
        }
        Fault::NetworkGone => weather.turn(Sky::Closed),
        Fault::TokenGone => std::fs::remove_file(world.path("tokens/0")).expect("removed"),
        Fault::Kill | Fault::Terminate | Fault::TerminateTwice | Fault::Hangup => {}
    }
}

/// Causes a fault in the process.
fn blow(fault: Fault, exporter: &Exporter, later: bool) {
    match fault {
        Fault::Kill => exporter.kill(),
        Fault::Terminate => exporter.signal("TERM"),
        Fault::TerminateTwice => {
            exporter.signal("TERM");
            // Two signals of the same kind at the same time count as one, so it must have received
            // the first.
            exporter.wait_for("it stops", || {
                (exporter.log().contains("message=stopping") || exporter.ended().is_some()).then_some(())
            });
            if exporter.ended().is_none() {
                exporter.signal("INT");
            }
        }
        Fault::Hangup => exporter.signal("HUP"),
        Fault::BadConfiguration | Fault::NoConfiguration
            if later && !exporter.log().contains("message=stopping") =>
        {
            exporter.signal("HUP")
        }
        _ => {}
    }
}

fn come_of(
    outcome: Outcome,
    exporter: &Exporter,
    world: &mut World,
    reader: Option<TcpStream>,
    (fault, moment): (Fault, Moment),
) {
    let text = |status: ExitStatus| format!("{status}\n{}", exporter.log());
    match outcome {
        Dies => {
            let status = exporter.end();
            assert_eq!(status.signal(), Some(9), "{}", text(status));
        }
        Refuses => unreachable!("looked at before"),
        Aborts => {
            let status = exporter.end();
            // It may have exited already if it had nothing left to do.
            assert!(matches!(status.code(), Some(130 | 0)), "{}", text(status));
            assert!(reader.is_none() || status.code() == Some(130), "{}", text(status));
        }
        Stops => {
            if let Some(mut reader) = reader {
                let mut rest = String::new();
                reader.read_to_string(&mut rest).expect("the rest of the answer");
                assert!(
                    rest.ends_with("# EOF\n"),
                    "what was begun is finished: …{}",
                    &rest[rest.len().saturating_sub(200)..]
                );
            }
            let status = exporter.end();
            assert_eq!(status.code(), Some(0), "{}", text(status));
        }
        GoesOn => {
            drop(reader);
            exporter.wait_for("it is ready", || {
                exporter.get("/-/ready").filter(|answer| answer.starts_with("HTTP/1.0 200"))
            });
            for _ in 0..3 {
                let scrape = exporter.wait_for("a scrape", || exporter.ask("/metrics"));
                world.check_scrape(&scrape);
            }
            let told = |sign: &str| {
                exporter.wait_for(sign, || exporter.ask("/metrics").filter(|scrape| scrape.contains(sign)))
            };
            match fault {
                Fault::BadConfiguration | Fault::NoConfiguration => {
                    told("token_exporter_config_last_reload_successful 0\n");
                }
                // A hanging disk is logged after a while; the problem behind it is logged only
                // then.
                Fault::StorageGone if moment != Snapshot => {
                    // Probes continue, but their results cannot be stored.
                    exporter.wait_for("the trouble is told", || {
                        exporter.log().contains("state cannot be written").then_some(())
                    });
                    assert!(
                        !told("token_exporter_state_write_failures_total")
                            .contains("token_exporter_state_write_failures_total 0\n")
                    );
                }
                _ => {}
            }
        }
    }
}
