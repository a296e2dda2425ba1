//! Which findings count: confirmation by second probes, and faulty apps.

use token_exporter::model::{AppProblem, Capability, Cause, Reason, Timestamp};
use token_exporter::network::{Certainty, Finding, Verdict};
use token_exporter::state::{
    AccountState, AppFaultWindow, AppHealth, Evidence, Outcome, Store, WindowEntry, apply_finding,
};

use crate::exposition::inventory;

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

fn app_store(yaml: &str) -> Store {
    let store = Store::default();
    store.replace_inventory(inventory(yaml));
    store
}

const ONE_APP: &str = "apps: [{id: app, network: x, client_id: key, client_secret: sim-secret}]\naccounts: \
                       [{id: a, network: x, token: sim-a, token_secret: sim-b}]\n";

#[test]
fn an_app_keeps_its_most_precise_problem_until_it_works() {
    let store = app_store(ONE_APP);
    let health = |verdict: Verdict| {
        let outcome = Outcome {
            at: at(0),
            findings: vec![finding(verdict)],
            clocks: None,
            limits: Vec::new(),
            version_ended: false,
            token: None,
            names: Default::default(),
            observations: Vec::new(),
        };
        store.apply(0, &outcome).expect("applied");
        let app = &store.snapshot().apps[0];
        (app.healthy(), app.problem())
    };
    let refused = |problem| Verdict::Undetermined(Cause::AppMisconfigured(problem));
    for cause in [Cause::Timeout, Cause::Connect, Cause::Dns, Cause::Tls, Cause::CredentialUnreadable] {
        assert_eq!(health(Verdict::Undetermined(cause)), (None, None), "{cause}: the app was not reached");
    }
    let bad = |problem| (Some(false), Some(problem));
    assert_eq!(health(refused(AppProblem::Unknown)), bad(AppProblem::Unknown));
    assert_eq!(health(refused(AppProblem::SecretRefused)), bad(AppProblem::SecretRefused));
    assert_eq!(health(refused(AppProblem::Unknown)), bad(AppProblem::SecretRefused));
    assert_eq!(health(refused(AppProblem::AppSuspended)), bad(AppProblem::AppSuspended));
    for cause in [Cause::Timeout, Cause::ServerError, Cause::RateLimited] {
        for _ in 0..10 {
            assert_eq!(health(Verdict::Undetermined(cause)), bad(AppProblem::AppSuspended), "{cause}");
        }
    }
    let lost = Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain);
    assert_eq!(
        health(lost),
        bad(AppProblem::AppSuspended),
        "a refused login does not show that the app works"
    );
    assert_eq!(health(Verdict::Valid), (Some(true), None), "the first good answer does");
    for _ in 0..9 {
        health(refused(AppProblem::Unknown));
    }
    assert_eq!(health(refused(AppProblem::Unknown)), bad(AppProblem::Unknown), "the earlier one is over");
}

/// An app in development works for its testers: only a login that had the problem shows that it is over.
#[test]
fn a_problem_of_some_logins_is_not_refuted_by_others() {
    let accounts: String =
        (0..3).map(|i| format!("  - {{id: a-{i}, network: facebook, token: sim-{i}}}\n")).collect();
    let app = "apps: [{id: app, network: facebook, client_id: '1', client_secret: sim-secret}]";
    for (problem, is_partial) in [(AppProblem::TesterOnly, true), (AppProblem::AppSuspended, false)] {
        let store = app_store(&format!("{app}\naccounts:\n{accounts}"));
        let probe = |login: usize, verdict: Verdict| {
            let outcome = Outcome {
                findings: vec![finding(verdict)],
                ..Outcome::undetermined(Cause::Timeout, 1, at(0))
            };
            store.apply(login, &outcome).expect("applied");
            store.snapshot().apps[0].problem()
        };
        let refused = Verdict::Undetermined(Cause::AppMisconfigured(problem));
        for login in [0, 1, 0, 1] {
            assert_eq!(probe(login, refused), Some(problem));
        }
        assert_eq!(probe(2, Verdict::Valid), Some(problem).filter(|_| is_partial), "{problem}");
        assert_eq!(probe(0, Verdict::Valid), None, "{problem}");
    }
}

#[test]
fn one_probe_of_many_accounts_tells_the_most_precise_problem() {
    let refused = |problem| finding(Verdict::Undetermined(Cause::AppMisconfigured(problem)));
    let outcome = Outcome {
        at: at(0),
        findings: vec![
            finding(Verdict::Undetermined(Cause::Timeout)),
            refused(AppProblem::Unknown),
            refused(AppProblem::TesterOnly),
        ],
        clocks: None,
        limits: Vec::new(),
        version_ended: false,
        token: None,
        names: Default::default(),
        observations: Vec::new(),
    };
    assert_eq!(outcome.app_problem(), Some(AppProblem::TesterOnly));
}

#[test]
fn health_is_what_most_recent_probes_say() {
    let mut health = AppHealth::default();
    assert_eq!(health.healthy(), None);
    health.record(true);
    assert_eq!(health.healthy(), Some(false));
    health.repaired();
    assert_eq!(health.healthy(), Some(true));
    health.record(true);
    health.record(true);
    assert_eq!(health.healthy(), Some(false));
    for _ in 0..8 {
        health.record(false);
    }
    assert_eq!(health.healthy(), Some(true));
    for _ in 0..6 {
        health.record(true);
    }
    assert_eq!(health.healthy(), Some(false));
}
