//! Kills at random times: everything that was shown before a kill must still be there after the
//! restart.
//!
//! Each account has a token file that is rewritten all the time. Its content determines both the
//! verdict and the expiry time, so every answer identifies its token, and outdated or mixed answers
//! are detected.
#![allow(clippy::print_stderr, reason = "whoever repeats a run needs its seed")]

use std::process::Command;
use std::time::{Duration, Instant};

use crate::exporter::{Exporter, World};
use crate::probing::simulator;

const ACCOUNTS: usize = 12;

/// The results of all kills.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    /// Restarts after which a whole scrape was checked.
    checked: usize,
    answers: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_shown_is_lost_by_a_kill() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let kills = number("KILLS", 200);
    let seed = number("KILLS_SEED", u64::from(std::process::id()));
    eprintln!("{kills} kills, KILLS_SEED={seed}");
    let (_simulator, networks) = simulator().await;
    let begun = Instant::now();
    let worlds = (0..2).map(|half| {
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(half));
        let kills = kills.div_ceil(2);
        tokio::task::spawn_blocking(move || {
            let mut world = World::new(networks, 1, ACCOUNTS, 0);
            let mut tally = Tally::default();
            for _ in 0..kills {
                live_and_die(&mut world, &mut dice, &mut tally);
            }
            last_life(&mut world);
            tally
        })
    });
    let mut total = Tally::default();
    for world in worlds.collect::<Vec<_>>() {
        let Tally { kills, checked, answers } =
            world.await.unwrap_or_else(|e| panic!("KILLS_SEED={seed}: {e}"));
        total = Tally {
            kills: total.kills + kills,
            checked: total.checked + checked,
            answers: total.answers + answers,
        };
    }
    eprintln!("{total:?} in {:?}", begun.elapsed());
    assert!(
        total.kills as u64 >= kills && total.checked * 2 > total.kills,
        "{total:?}: most lives are to be long enough for a look"
    );
}

/// One run: tokens change, answers are checked, and the process is killed after a random time.
fn live_and_die(world: &mut World, dice: &mut fastrand::Rng, tally: &mut Tally) {
    let exporter = Exporter::start(world.folder.path(), |_| {});
    // Some are killed while they start, most while they work.
    let mut first = dice.u8(..) < 50;
    if !first {
        let scrape = exporter.wait_for("a scrape", || exporter.ask("/metrics"));
        world.check_scrape(&scrape);
        tally.checked += 1;
    }
    let killer = exporter.kill_after(Duration::from_millis(dice.u64(..400)));
    while exporter.ended().is_none() {
        let scrape = first || dice.u8(..) < 60;
        let answer = if scrape {
            exporter.ask("/metrics")
        } else {
            let account = dice.usize(..ACCOUNTS);
            world.write_token(account);
            exporter.ask(&format!("/probe?account=account-{account}"))
        };
        // None: it does not listen yet, or it was killed during this answer.
        let Some(answer) = answer else { continue };
        tally.answers += 1;
        if scrape {
            world.check_scrape(&answer);
            tally.checked += usize::from(std::mem::take(&mut first));
        } else {
            assert_eq!(world.check(&answer), 1, "{answer}");
        }
    }
    killer.join().expect("no panic");
    tally.kills += 1;
    let log = exporter.log();
    assert!(!log.contains("aside") && !log.contains("level=error"), "{log}");
}

/// Afterwards it runs normally, and an orderly stop loses nothing either.
fn last_life(world: &mut World) {
    for _ in 0..2 {
        let exporter = Exporter::start(world.folder.path(), |_: &mut Command| {});
        exporter.wait_for("all of them", || {
            exporter.ask("/metrics").filter(|scrape| world.check_scrape(scrape) == ACCOUNTS)
        });
        exporter.signal("TERM");
        assert_eq!(exporter.end().code(), Some(0), "{}", exporter.log());
    }
    let mut left: Vec<String> = std::fs::read_dir(world.path("data"))
        .expect("a folder")
        .map(|f| f.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("journal-"))
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["lock", "state.jsonl"], "nothing was set aside, and nothing lies around");
}
