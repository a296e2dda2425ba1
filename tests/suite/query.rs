//! Queries of the page and the API.

use token_exporter::api::{Query, QueryProblem};

fn parsed(raw: &str) -> Result<Query, Vec<QueryProblem>> {
    Query::parse(raw, ["team", "region"].into_iter())
}

#[test]
fn an_address_and_its_query_are_the_same() {
    for raw in [
        "",
        "q=acme+%26+sons",
        "network=facebook&network=x&reason=password_changed&state=disconnected&state=degraded&use=paid",
        "recipient=jane%40example.com&recipient=ops%40example.com&team=web",
        "team=mark+eting&team=web&region=%C3%BC&expires_within=10d&per_page=50&page=3",
    ] {
        let query = parsed(raw).unwrap_or_else(|p| unreachable!("{p:?}"));
        assert_eq!(query.address(query.page), raw);
    }
    let query = parsed("network=twitter&network=x&q=&team=").unwrap_or_default();
    assert_eq!(query.address(1), "network=x", "aliases, repetitions and empty fields");
    let query = parsed("recipient=a@example.com,+b@example.com,").unwrap_or_default();
    assert_eq!(query.address(1), "recipient=a%40example.com&recipient=b%40example.com", "a list");
    let query = parsed("q=a&network=x&team=b&page=4").unwrap_or_default();
    assert_eq!(query.address_without(1), "q=a&team=b", "and it begins anew");
}

#[test]
fn every_problem_is_told() {
    let raw = "network=myspace&reason=tired&reason=ok2&state=bad&use=x&expires_within=soon&page=0&\
               per_page=1001&colour=red&q=a&q=b";
    let problems = parsed(raw).err().unwrap_or_default();
    let found: Vec<String> = problems.iter().map(|p| format!("{}={}", p.parameter, p.found)).collect();
    let expected: Vec<&str> = raw.split('&').filter(|p| *p != "q=a").collect();
    assert_eq!(found, expected);
    for (problem, words) in problems.iter().zip([
        "facebook",
        "password_changed",
        "password_changed",
        "degraded",
        "owned",
        "10d",
        "at least 1",
        "to 1000",
        "team",
    ]) {
        assert!(problem.expected.contains(words), "{problem:?}");
    }
    assert!(parsed(&"team=a&".repeat(100 + 1)).is_err(), "bounded");
    assert!(parsed(&format!("q={}", "a".repeat(200 + 1))).is_err());
    assert!(parsed(&format!("recipient={}", "a".repeat(254 + 1))).is_err());
    assert!(parsed(&format!("recipient={}", "a,".repeat(100 + 1))).is_err());
}
