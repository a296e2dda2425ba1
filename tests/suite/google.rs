//! What Google's answers say about the project behind a login.

use serde_json::json;
use token_exporter::cli::classify;
use token_exporter::model::{AppProblem, Cause, Timestamp};
use token_exporter::network::{Answer, Budget, NetworkId, Reset, Verdict};
use token_exporter::simulator::load_fixtures;

use crate::reading::payload;

fn limits(network: &str, body: serde_json::Value) -> Vec<(&'static str, Budget, Option<Reset>)> {
    let network = NetworkId::from_name(network).expect("a network").network();
    let answer = Answer { status: Some(429), json: body, ..Answer::default() };
    network.limits(&answer).into_iter().map(|l| (l.bucket, l.budget, l.reset)).collect()
}

#[test]
fn a_limit_pauses_whom_the_answer_names() {
    let quota = |limit: &str| {
        let text = format!(
            "Quota exceeded for quota metric 'Queries' and limit '{limit}' of service \
             'youtube.googleapis.com' for consumer 'project_number:1000001'."
        );
        json!({"error": {"code": 429, "message": text, "status": "RESOURCE_EXHAUSTED"}})
    };
    let reason = |name: &str| json!({"error": {"code": 403, "message": "x", "errors": [{"reason": name}]}});
    let info = json!({"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": [{
        "reason": "RATE_LIMIT_EXCEEDED",
        "metadata": {"consumer": "projects/1000001", "quota_limit": "DefaultRequestsPerMinutePerProject"}
    }]}});
    let after = |seconds| Some(Reset::After(seconds));
    for (body, expected) in [
        (quota("Queries per minute"), vec![("project", Budget::App, after(60))]),
        (quota("Queries per day"), vec![("project", Budget::App, after(3600))]),
        (quota("Queries per minute per user"), vec![("user", Budget::Grant, after(60))]),
        (quota("Video Uploads per day"), vec![]),
        (quota("Search Queries per day"), vec![]),
        (info, vec![("project", Budget::App, after(60))]),
        (reason("quotaExceeded"), vec![("project", Budget::App, after(3600))]),
        (reason("userRateLimitExceeded"), vec![("user", Budget::Grant, after(300))]),
        (reason("uploadLimitExceeded"), vec![]),
        (reason("rateLimitExceeded"), vec![]),
        (reason("insufficientPermissions"), vec![]),
        (json!({"items": []}), vec![]),
    ] {
        assert_eq!(limits("youtube", body.clone()), expected, "{body}");
        assert_eq!(limits("google_business", body.clone()), expected, "{body}");
    }
}

#[test]
fn a_refused_project_says_what_is_wrong() {
    let now = Timestamp::now();
    let fixtures = load_fixtures().expect("fixtures");
    for (network, name, problem) in [
        ("google_business", "project-denied", AppProblem::AppSuspended),
        ("google_business", "project-deleted", AppProblem::AppDeleted),
        ("google_business", "project-not-found", AppProblem::AppDeleted),
        ("google_business", "project-cannot-be-used", AppProblem::AppDeleted),
        ("google_business", "project-suspended", AppProblem::AppSuspended),
        ("google_business", "project-without-billing", AppProblem::OutOfCredit),
        ("google_business", "project-refused-to-its-caller", AppProblem::Unknown),
        ("google_business", "no-quota-for-the-project", AppProblem::AccessLevel),
        ("google_business", "api-not-enabled", AppProblem::ApiDisabled),
        ("youtube", "api-not-used-in-the-project", AppProblem::ApiDisabled),
        ("youtube", "project-suspended", AppProblem::AppSuspended),
        ("youtube", "api-key-invalid", AppProblem::SecretRefused),
        ("youtube", "ads-developer-token-not-approved", AppProblem::AccessLevel),
        ("youtube", "wrong-app-secret", AppProblem::SecretRefused),
        ("youtube", "client-deleted", AppProblem::AppDeleted),
        ("youtube", "client-disabled", AppProblem::AppSuspended),
    ] {
        let of_network = fixtures.iter().find(|f| f.network.name() == network).expect("a network");
        let case = of_network.cases.iter().find(|c| c.name == name).expect(name);
        let call = case.answers.keys().next().expect("an answer");
        let (finding, ..) = classify(&payload(network, case, call, now), now).expect("a payload");
        let expected = Verdict::Undetermined(Cause::AppMisconfigured(problem));
        assert_eq!(finding.verdict, expected, "{network}/{name}");
    }
}
