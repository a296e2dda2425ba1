//! Times, numbers and lists as the status page writes them.

use token_exporter::api::{Listing, ListingPage, Query};
use token_exporter::model::{Capability, Expiry, Reason, Timestamp};
use token_exporter::network::{Certainty, Clocks, Finding, Verdict};
use token_exporter::page::{Site, account, list};
use token_exporter::state::{Outcome, Store};

use crate::exposition::inventory;
use crate::page::{DAY, words};

const SITE: Site<'_> = Site { telemetry_path: "/metrics", reload_failure: None };

/// The listing of one account with these needs, after a probe.
fn listing(needs: &str, verdict: Verdict, deadline: Timestamp) -> Listing {
    let store = Store::default();
    store.replace_inventory(inventory(&format!(
        "accounts: [{{id: a, network: mastodon, token: sim-a, needs: [{needs}]}}]\n"
    )));
    let at = Timestamp::now();
    let capabilities = match verdict {
        Verdict::Invalid(reason, _) => Capability::ALL.iter().map(|c| (*c, reason)).collect(),
        _ => Vec::new(),
    };
    let outcome = Outcome {
        at,
        findings: vec![Finding { verdict, capabilities, scopes: Vec::new() }],
        clocks: Some(Clocks { access: Expiry::At(deadline), ..Clocks::default() }),
        limits: Vec::new(),
        version_ended: false,
        token: None,
        names: Default::default(),
        observations: Vec::new(),
    };
    store.apply(0, &outcome).expect("applied");
    Listing::new(store.snapshot(), at)
}

#[test]
fn distances_are_said_plainly() {
    let deadline = Timestamp::now().plus(30 * DAY);
    let listing = listing("publish", Verdict::Valid, deadline);
    for (seconds, distance) in [
        (0, "just now"),
        (5, "in a moment"),
        (-5, "just now"),
        (60, "in 1 minute"),
        (-7_199, "1 hour ago"),
        (7_200, "in 2 hours"),
        (-90_000, "1 day ago"),
        (4 * DAY, "in 4 days"),
        (5 * DAY - 1, "in 4 days"),
    ] {
        let page = words(&account(&SITE, &listing, 0, deadline.plus(-seconds)).expect("a page"));
        let shown =
            page.split("A person must reconnect by").nth(1).and_then(|rest| rest.split(['(', ')']).nth(1));
        assert_eq!(shown, Some(distance), "{seconds} s: {page}");
    }
}

#[test]
fn numbers_and_labels_read_well() {
    let listing = listing("publish", Verdict::Valid, Timestamp::now());
    for (total, shown) in [
        (1, "1 connection"),
        (2, "2 connections"),
        (999, "999 connections"),
        (1000, "1,000 connections"),
        (1_234_567, "1,234,567 connections"),
        (0, "0 connections"),
    ] {
        let page = ListingPage { total, before: 0, accounts: Vec::new() };
        let page = list(&SITE, &listing, &Query::default(), &page, listing.at);
        assert!(page.contains(&format!("<h2 id=\"found\">{shown}</h2>")), "{shown}: {page}");
    }
    let refused = Verdict::Invalid(Reason::TwoFactorRequired, Certainty::Plain);
    for (needs, stops) in [
        ("publish", "publishing (scheduled posts)"),
        ("publish, inbox", "publishing (scheduled posts) and inbox (messages and comments)"),
        (
            "publish, inbox, analytics",
            "publishing (scheduled posts), inbox (messages and comments) and analytics",
        ),
    ] {
        let listing = self::listing(needs, refused, Timestamp::now());
        let page = words(&account(&SITE, &listing, 0, listing.at).expect("a page"));
        assert!(
            page.contains("Two factor required") && page.contains(&format!("Not working: {stops}.")),
            "{page}"
        );
    }
}
