//! Runs the checks of the fuzz targets on all seeds, so that the targets under `fuzz/` keep
//! compiling. Also holds regression tests for findings.

#[expect(unreachable_pub, reason = "the fuzzing package's library")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use http::{HeaderMap, HeaderValue};
use serde_json::json;
use targets::seeds::Target;
use token_exporter::model::Timestamp;
use token_exporter::network::{Answer, Verdict};
use token_exporter::report::classify;
use token_exporter::simulator::load_fixtures;

#[test]
fn the_fuzzers_checks_hold_for_every_seed() {
    for target in Target::all() {
        let seeds = target.seeds();
        assert!(seeds.len() >= 5, "{}: where would its search begin?", target.name());
        for seed in seeds {
            let checked = std::panic::catch_unwind(|| target.check(&seed));
            assert!(checked.is_ok(), "{}: {}", target.name(), String::from_utf8_lossy(&seed));
        }
        assert!(target.dictionary().lines().count() > 10);
    }
}

/// Found in a challenge: `insufficient_scope` counted as a plain refusal in an answer with status
/// 429.
#[test]
fn a_limit_says_nothing_about_an_account() {
    let now = Timestamp::now();
    let mut refusals = 0;
    for fixtures in load_fixtures().expect("fixtures") {
        for case in fixtures.cases.iter().filter(|c| c.expect.verdict == "invalid" && c.answers.len() == 1) {
            for call in case.answers.keys() {
                let mut payload = crate::reading::payload(fixtures.network.name(), case, call, now);
                payload.http_status = json!(429);
                let finding = classify(&payload, now).expect("a payload").finding;
                let kind = case.context.kind.as_deref().unwrap_or("");
                let unsupported = !fixtures.network.network().supports(kind);
                let told = matches!(finding.verdict, Verdict::Undetermined(_)) || unsupported;
                assert!(told, "{}/{}: {:?}", fixtures.network, case.name, finding.verdict);
                refusals += 1;
            }
        }
    }
    assert!(refusals > 100, "{refusals}");
    let value = HeaderValue::from_static(r#"Bearer realm="reddit", error="insufficient_scope""#);
    targets::network::read_everywhere(&Answer::new(
        Some(429),
        HeaderMap::from_iter([(http::header::WWW_AUTHENTICATE, value)]),
        b"",
    ));
}

/// Found while the check of the state was written: the next generation overflowed.
#[test]
fn a_generation_that_none_can_follow_is_refused() {
    let last = u64::MAX.to_string();
    let mut changed = 0;
    for seed in Target::Snapshot.seeds() {
        let text =
            String::from_utf8_lossy(&seed).replace("\"generation\":1,", &format!("\"generation\":{last},"));
        changed += usize::from(text.contains(&last));
        targets::snapshot::check(text.as_bytes());
    }
    assert!(changed > 0, "the seeds have generations");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(format!("journal-{last}.jsonl")), "").expect("written");
    assert_eq!(token_exporter::state::restore(folder.path(), &targets::snapshot::store()), 0);
}
