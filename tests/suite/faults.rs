//! Faults at every moment of the real binary's life, and what is to come of each.
//!
//! One table: a fault in each row, a moment in each column. Whatever happens, a restart then shows
//! all that was shown before.

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

/// When the blow falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// It listens and is not ready yet.
    Start,
    /// A network has been asked and does not answer.
    Probing,
    /// Somebody reads a scrape slowly.
    Scrape,
    /// It has just been told to reload.
    Reload,
    /// The state is being written, and the disk does not answer.
    Snapshot,
    /// It has been told to stop and waits for a slow reader.
    Shutdown,
}

/// What happens to it.
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

/// What is to come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It dies of the signal.
    Dies,
    /// It ends by itself and says that all is well; whoever reads gets a whole answer.
    Stops,
    /// It ends at once.
    Aborts,
    /// It does not start, and says why.
    Refuses,
    /// It serves as if nothing were, and still shows everything that it knew.
    GoesOn,
}

const MOMENTS: [Moment; 6] = [Start, Probing, Scrape, Reload, Snapshot, Shutdown];

/// By moment, in the order of [`MOMENTS`].
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
    /// So many at once: most of the time they wait.
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

/// One case: everything is known; the moment is brought about; the blow falls; and after that
/// everything is known still.
fn strike(index: usize, weather: &Weather, fault: Fault, moment: Moment, outcome: Outcome) {
    // For a slow reader, a scrape must not fit into the sockets' buffers.
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

    // The world is put right, and whoever looks finds nothing missing.
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

/// Brings about a moment; somebody who reads slowly comes with some of them.
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
            // One that waits, like the probe that it asked for.
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
        // The base is written first of all; its pipe keeps it waiting.
        Snapshot => None,
    }
}

/// What happens to the world.
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

/// What happens to the process.
fn blow(fault: Fault, exporter: &Exporter, later: bool) {
    match fault {
        Fault::Kill => exporter.kill(),
        Fault::Terminate => exporter.signal("TERM"),
        Fault::TerminateTwice => {
            exporter.signal("TERM");
            // Two signals of a kind that come at once are one: it must have seen the first.
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
            // One that had nothing left to do may have been quicker.
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
                // A disk that does not answer is told after a while; the trouble behind it shows only then.
                Fault::StorageGone if moment != Snapshot => {
                    // Probes go on, and what they bring cannot be kept.
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
