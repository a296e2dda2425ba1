//! What a probe's answers mean for each account of a login.

use token_exporter::model::{AppProblem, Capabilities, Cause, Expiry, Reason, Timestamp};
use token_exporter::network::{
    Account, Certainty, Clocks, Known, Listed, Question, Reading, Refusal, Seen, Verdict, clocks, conclude,
};

use crate::networks::{grant, network, tokens};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds).expect("an instant")
}

fn ends(seconds: i64) -> Expiry {
    Expiry::At(at(seconds))
}

/// What these readings, each about an account or about the whole login, mean for three accounts.
fn verdicts(readings: &[(Option<usize>, Reading)], known: Known) -> Vec<Verdict> {
    let network = network("facebook");
    let account = |id| Account { network, kind: "", external_id: Some(id), needs: Capabilities::NONE };
    let accounts = [account("1"), account("2"), account("3")];
    let (app, tokens) = (Default::default(), tokens("sim-token"));
    let seen: Vec<Seen> = readings
        .iter()
        .map(|(about, reading)| Seen {
            question: Question { call: None, about: *about },
            reading: reading.clone(),
        })
        .collect();
    conclude(&grant(&app, &tokens, &accounts), &seen, &known).into_iter().map(|f| f.verdict).collect()
}

fn known(access: Expiry, refresh: Expiry, auto_refresh: bool) -> Known {
    let clocks = Clocks { access, refresh, ..Clocks::default() };
    Known { now: at(0), clocks, auto_refresh, grace: 7200, excuse: None }
}

fn nothing_known() -> Known {
    known(Expiry::Unknown, Expiry::Unknown, false)
}

#[test]
fn the_known_expiry_tells_expired_from_revoked() {
    let refused = [(None, Reading::refused(Refusal::expired_or_revoked()))];
    for (access, refresh, reason) in [
        (ends(-1), Expiry::Unknown, Reason::TokenExpired),
        (ends(3600), Expiry::Unknown, Reason::AccessRevoked),
        (ends(30), Expiry::Unknown, Reason::TokenInvalid),
        (Expiry::Unknown, Expiry::Unknown, Reason::TokenInvalid),
        (Expiry::Never, Expiry::Unknown, Reason::AccessRevoked),
        (ends(3600), ends(-1), Reason::TokenExpired),
    ] {
        let found = verdicts(&refused, known(access, refresh, false));
        assert_eq!(found, [Verdict::Invalid(reason, Certainty::Ambiguous); 3], "{access:?} {refresh:?}");
    }
}

#[test]
fn a_late_refresher_is_given_its_grace() {
    let refused = [(None, Reading::refused(Refusal::expired_or_revoked()))];
    let waiting = Verdict::Undetermined(Cause::CredentialUnreadable);
    let invalid = |reason| Verdict::Invalid(reason, Certainty::Ambiguous);
    let late = |access| verdicts(&refused, known(access, ends(86_400), true))[0];
    assert_eq!(late(ends(-60)), waiting);
    assert_eq!(late(ends(-7200)), waiting);
    assert_eq!(late(ends(-7201)), invalid(Reason::TokenExpired), "it is stuck");
    assert_eq!(late(ends(3600)), invalid(Reason::AccessRevoked));
    let lives = |refresh| verdicts(&refused, known(ends(-60), refresh, false))[0];
    assert_eq!(lives(ends(86_400)), waiting);
    assert_eq!(lives(Expiry::Unknown), invalid(Reason::TokenExpired), "nothing renews it");
    let over = verdicts(&refused, known(ends(-60), ends(-1), true))[0];
    assert_eq!(over, invalid(Reason::TokenExpired), "the grant itself is over");
}

#[test]
fn the_deadline_is_the_earliest_clock_that_no_refresh_moves() {
    let clocks = |access, refresh, data_access| Clocks { access, refresh, data_access, issued: None };
    assert_eq!(clocks(ends(5), ends(9), ends(7)).deadline(false), ends(5));
    assert_eq!(clocks(ends(5), ends(9), ends(7)).deadline(true), ends(7));
    assert_eq!(clocks(ends(5), ends(9), Expiry::Unknown).deadline(true), ends(9));
    assert_eq!(clocks(ends(5), Expiry::Unknown, Expiry::Unknown).deadline(true), Expiry::Unknown);
    assert_eq!(clocks(Expiry::Never, Expiry::Unknown, Expiry::Unknown).deadline(false), Expiry::Never);
    assert_eq!(clocks(Expiry::Never, Expiry::Unknown, ends(7)).deadline(false), ends(7));
}

#[test]
fn a_passed_data_access_counts_only_beside_a_living_token() {
    let verdict = |access, data_access| {
        let reading =
            Reading { access_expiry: access, data_access_expiry: data_access, ..Reading::accepted() };
        verdicts(&[(None, reading)], nothing_known())[0]
    };
    let over = Verdict::Invalid(Reason::DataAccessExpired, Certainty::Plain);
    assert_eq!(verdict(ends(5000), ends(-1)), over);
    assert_eq!(verdict(Expiry::Never, ends(-1)), over);
    assert_eq!(verdict(ends(5000), ends(1)), Verdict::Valid);
    assert_eq!(verdict(ends(-5), ends(-1)), Verdict::Valid, "an answer of other days");
}

#[test]
fn the_weightiest_answer_decides() {
    let plain = Reading::refused(Refusal::plain(Reason::PasswordChanged));
    let maybe = Reading::refused(Refusal::ambiguous(Reason::AccessRevoked));
    let page = Reading::refused(Refusal::plain(Reason::NotAdmin).of_account());
    let slow = Reading::undetermined(Cause::Timeout);
    let app = Reading::app_problem(AppProblem::Unknown);
    let invalid = |reason| Verdict::Invalid(reason, Certainty::Plain);
    let undetermined = Verdict::Undetermined;
    let accepted = Reading::accepted;
    for (readings, expected) in [
        (vec![(None, accepted()), (Some(1), plain.clone())], [invalid(Reason::PasswordChanged); 3]),
        (
            vec![(None, accepted()), (Some(1), page.clone())],
            [Verdict::Valid, invalid(Reason::NotAdmin), Verdict::Valid],
        ),
        (
            vec![(None, accepted()), (Some(1), slow.clone())],
            [Verdict::Valid, undetermined(Cause::Timeout), Verdict::Valid],
        ),
        (vec![(None, slow.clone()), (Some(0), page), (None, plain)], [invalid(Reason::PasswordChanged); 3]),
        (
            vec![(None, maybe.clone()), (None, app)],
            [undetermined(Cause::AppMisconfigured(AppProblem::Unknown)); 3],
        ),
        (
            vec![(None, maybe), (None, slow)],
            [Verdict::Invalid(Reason::AccessRevoked, Certainty::Ambiguous); 3],
        ),
        (vec![], [undetermined(Cause::UnexpectedAnswer); 3]),
        (vec![(None, Reading::default())], [undetermined(Cause::UnexpectedAnswer); 3]),
    ] {
        assert_eq!(verdicts(&readings, nothing_known()), expected, "{readings:?}");
    }
}

#[test]
fn an_entry_counts_when_its_list_is_complete() {
    let refusal = Refusal::plain(Reason::NotAdmin).of_account();
    let reading = |partial| Reading {
        listed: vec![Listed { partial, ..Listed::refused("2", refusal) }],
        ..Reading::accepted()
    };
    assert_eq!(verdicts(&[(None, reading(true))], nothing_known()), [Verdict::Valid; 3]);
    assert_eq!(
        verdicts(&[(None, reading(true)), (None, reading(false))], nothing_known()),
        [Verdict::Valid, Verdict::Invalid(Reason::NotAdmin, Certainty::Plain), Verdict::Valid]
    );
}

#[test]
fn only_a_stated_never_overrules_a_configured_instant() {
    let after = |reading: Reading, access| {
        let known = Clocks { access, ..Clocks::default() };
        clocks(known, &[Seen { question: Question::default(), reading }]).access
    };
    let stated = || Reading { access_expiry: Expiry::Never, ..Reading::accepted() };
    let by_default = || Reading { endless: true, ..Reading::accepted() };
    assert_eq!(after(stated(), ends(0)), Expiry::Never);
    assert_eq!(after(by_default(), ends(0)), ends(0));
    assert_eq!(after(by_default(), Expiry::Unknown), Expiry::Never);
    assert_eq!(after(Reading::accepted(), Expiry::Unknown), Expiry::Unknown);
}
