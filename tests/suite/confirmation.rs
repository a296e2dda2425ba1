//! Which findings count: confirmation by second probes, and faulty apps.

use token_exporter::model::{Capability, Cause, Reason, Timestamp};
use token_exporter::network::{Certainty, Finding, Verdict};
use token_exporter::state::{AccountState, AppFaultWindow, AppHealth, Evidence, WindowEntry, apply_finding};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds).unwrap_or_else(Timestamp::now)
}

fn finding(verdict: Verdict) -> Finding {
    let reason = match verdict {
        Verdict::Invalid(reason, _) => reason,
        _ => Reason::Ok,
    };
    let capabilities = if matches!(verdict, Verdict::Undetermined(_)) {
        vec![]
    } else {
        vec![(Capability::Publish, reason)]
    };
    Finding { verdict, capabilities, scopes: vec![] }
}

fn play(verdicts: &[(i64, Verdict)]) -> AccountState {
    let mut state = AccountState::default();
    for (seconds, verdict) in verdicts {
        apply_finding(&mut state, &finding(*verdict), at(*seconds), false);
    }
    state
}

const MAYBE: Verdict = Verdict::Invalid(Reason::TokenInvalid, Certainty::Ambiguous);
const PLAIN: Verdict = Verdict::Invalid(Reason::PasswordChanged, Certainty::Plain);

#[test]
fn plain_counts_at_once_and_ambiguous_after_a_second_probe() {
    let state = play(&[(0, Verdict::Valid), (100, PLAIN)]);
    assert_eq!((state.verdict, state.since), (Some(Reason::PasswordChanged), Some(at(100))));
    let state = play(&[(0, Verdict::Valid), (100, MAYBE)]);
    assert_eq!((state.verdict, state.conclusive()), (Some(Reason::Ok), Some(false)));
    let state = play(&[(0, Verdict::Valid), (100, MAYBE), (110, MAYBE)]);
    assert_eq!(state.verdict, Some(Reason::Ok), "too soon to confirm");
    let state = play(&[(0, Verdict::Valid), (100, MAYBE), (135, MAYBE)]);
    assert_eq!((state.verdict, state.since), (Some(Reason::TokenInvalid), Some(at(135))));
    let state = play(&[(0, Verdict::Valid), (100, MAYBE), (135, Verdict::Valid), (200, MAYBE)]);
    assert_eq!(state.verdict, Some(Reason::Ok), "a good answer between starts anew");
    let back = play(&[(0, Verdict::Valid), (5000, MAYBE), (100, MAYBE), (110, MAYBE)]);
    assert_eq!(
        (back.verdict, back.pending.map(|p| p.1)),
        (Some(Reason::Ok), Some(at(100))),
        "the clock was set back"
    );
    let state = play(&[(0, Verdict::Valid), (5000, MAYBE), (100, MAYBE), (135, MAYBE)]);
    assert_eq!(state.verdict, Some(Reason::TokenInvalid));
}

#[test]
fn undetermined_never_flips() {
    for cause in Cause::ALL {
        for before in [Verdict::Valid, PLAIN] {
            let alone = play(&[(0, before)]);
            let state = play(&[
                (0, before),
                (50, Verdict::Undetermined(*cause)),
                (99, Verdict::Undetermined(*cause)),
            ]);
            assert_eq!(
                (state.verdict, state.since, state.capabilities),
                (alone.verdict, alone.since, alone.capabilities)
            );
            assert_eq!((state.last_conclusive, state.conclusive()), (Some(at(0)), Some(false)));
        }
    }
    assert_eq!(play(&[(0, Verdict::Undetermined(Cause::Dns))]).verdict, None);
}

#[test]
fn an_ambiguous_refusal_does_not_blur_a_plain_reason() {
    let state = play(&[(0, PLAIN), (100, MAYBE), (140, MAYBE)]);
    assert_eq!((state.verdict, state.since), (Some(Reason::PasswordChanged), Some(at(0))));
    assert_eq!(state.capabilities[0], Some(Reason::PasswordChanged));
    assert_eq!(state.last_conclusive, Some(at(140)));
}

#[test]
fn trouble_between_two_refusals_does_not_hide_the_second() {
    let state = play(&[
        (0, Verdict::Valid),
        (100, MAYBE),
        (140, Verdict::Undetermined(Cause::Timeout)),
        (200, MAYBE),
    ]);
    assert_eq!(state.verdict, Some(Reason::TokenInvalid));
}

#[test]
fn many_refused_together_blame_the_app() {
    let blamed = |good: usize, bad: usize| {
        let mut window = AppFaultWindow::default();
        let mut entries = vec![WindowEntry::default(); good + bad];
        for (i, entry) in entries.iter_mut().enumerate() {
            let evidence = if i < bad { Evidence::NewlyRefused } else { Evidence::Works };
            window.record(entry, evidence, at(0), 3600);
        }
        window.app_to_blame()
    };
    assert!(!blamed(0, 2), "two are not many");
    assert!(blamed(0, 3));
    assert!(blamed(2, 3));
    assert!(!blamed(3, 3), "half is not more than half");
    assert!(blamed(4, 5));
}

#[test]
fn blame_ends_when_they_work_again() {
    let mut window = AppFaultWindow::default();
    let mut entries = [WindowEntry::default(); 4];
    assert!(window.record(&mut entries[0], Evidence::NewlyRefused, at(0), 60), "the window opens");
    assert!(!window.record(&mut entries[0], Evidence::NewlyRefused, at(1), 60), "counted once");
    for entry in &mut entries[1..] {
        window.record(entry, Evidence::NewlyRefused, at(2), 60);
    }
    assert!(window.app_to_blame());
    window.record(&mut entries[0], Evidence::Works, at(500), 60);
    assert!(window.app_to_blame(), "still three of four");
    window.record(&mut entries[1], Evidence::Works, at(501), 60);
    assert!(!window.app_to_blame());
}

#[test]
fn a_window_lasts_one_interval() {
    let mut window = AppFaultWindow::default();
    let mut entries = [WindowEntry::default(); 3];
    for (i, entry) in entries.iter_mut().enumerate() {
        window.record(entry, Evidence::NewlyRefused, at(i64::try_from(i).unwrap_or(0) * 61), 60);
    }
    assert!(!window.app_to_blame(), "an interval apart each");
}

#[test]
fn health_is_what_most_recent_probes_say() {
    let mut health = AppHealth::default();
    assert_eq!(health.healthy(), None);
    health.record(true);
    assert_eq!(health.healthy(), Some(false));
    for _ in 0..9 {
        health.record(false);
    }
    assert_eq!(health.healthy(), Some(true));
    for _ in 0..6 {
        health.record(true);
    }
    assert_eq!(health.healthy(), Some(false));
}
