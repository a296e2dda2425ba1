//! The pages about reasons, networks and metrics are generated from the code, and the guides name
//! only existing files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use prometheus::proto::MetricType;
use token_exporter::alerting::mail_templates;
use token_exporter::exposition::{FAMILIES, SMALL_FAMILIES};
use token_exporter::model::{
    AppProblem, Capability, Cause, EventResult, FixedBy, Language, Reader, Reason, ReportResult, Steps,
    format_duration,
};
use token_exporter::network::{AppNeed, NetworkId, Rights, Style, advice, is_passed_on};
use token_exporter::simulator::{Expect, Fixtures, load_fixtures};
use token_exporter::telemetry::Metrics;
use token_exporter::wording::Catalogue;

use crate::golden::{assert_golden, assert_golden_part};
use crate::reading::can_be_probed;

const GENERATED: &str =
    "<!-- Written by tests/suite/docs.rs from the code; `make golden` writes it anew. -->\n\n";

/// The reasons in a case's expectations, including those of single capabilities.
fn reasons_in(expect: &Expect) -> impl Iterator<Item = Reason> {
    let single = expect.capabilities.iter().flat_map(BTreeMap::values);
    expect
        .reason
        .iter()
        .chain(single)
        .filter_map(|label| Reason::from_label(label))
        .filter(|r| *r != Reason::Ok)
}

/// The reasons in a network's fixtures: those that a probe can find, and those that only `classify`
/// finds in answers to other calls.
fn shown(fixtures: &Fixtures) -> (BTreeSet<Reason>, BTreeSet<Reason>) {
    let (mut probed, mut read) = (BTreeSet::new(), BTreeSet::new());
    for case in &fixtures.cases {
        if can_be_probed(fixtures.network, case) {
            probed.extend(reasons_in(case.probe.as_ref().unwrap_or(&case.expect)));
        } else {
            read.extend(reasons_in(&case.expect));
        }
    }
    read = &read - &probed;
    (probed, read)
}

fn reason_links<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
    reasons.into_iter().map(|r| format!("[`{r}`](reasons.md#{r})")).collect::<Vec<_>>().join(", ")
}

fn numbered(out: &mut String, steps: &[&str]) {
    for (i, step) in steps.iter().enumerate() {
        let _ = writeln!(out, "{}. {step}", i + 1);
    }
    out.push('\n');
}

/// The steps of each reader who has steps of their own.
fn for_readers(out: &mut String, own: Steps) {
    for reader in Reader::ALL.iter().filter(|reader| !own.list(**reader).is_empty()) {
        if own != Steps::connector(own.connector) {
            let who = [FixedBy::Connector, FixedBy::PageAdmin, FixedBy::Operator]
                .into_iter()
                .find(|who| who.reader() == *reader)
                .expect("a reader");
            let _ = writeln!(out, "For {}:\n", who.text());
        }
        numbered(out, own.list(*reader));
    }
}

fn bullets(out: &mut String, title: &str, lines: &[&str]) {
    let _ = writeln!(out, "**{title}**\n");
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
    out.push('\n');
}

fn reasons_page(fixtures: &[Fixtures]) -> String {
    let mut out = String::from(GENERATED);
    out.push_str(
        "# Reasons: why a connection does not work, and what to do\n\nEach reason is the value of the label \
         `reason` of `connection_valid` and `connection_capability_available`, and has its own section \
         here, to which alerts link. Steps are in order, and addressed to the person who connected the \
         account; an admin of the page and the operator pass them on where they have no steps of their \
         own. Where a network has steps of its own, they take the place of the general ones.\n\nWhat \
         holds for all of them:\n\n- Do not delete an account that has to be reconnected: planned posts \
         would go with it. Reconnecting keeps its name and its posts.\n- Everything behind the same login \
         (pages, groups, Instagram accounts) breaks and comes back together.\n- Some reasons want a step at the network *before* reconnecting: a role from an \
         admin of the page, a security check, an appeal. Reconnecting earlier changes nothing.\n- ",
    );
    out.push_str(Catalogue::of(Language::En).sentence("mail.before_reconnecting"));
    out.push_str(
        "\n- Tick every page and every permission while reconnecting; what is left out is missing \
         afterwards.\n- Reconnecting ahead of a deadline is allowed, starts a new period and refreshes the \
         permissions.\n- It matters who connected (`connected_by`): before that person leaves, let \
         somebody else connect the account.\n\n## Not working\n\nWhat an account is used for is listed in its `needs`. \
         `connection_capability_available` shows which of that does not work: all of it while the \
         connection is invalid, a part of it while it is degraded.\n\n| capability | not working |\n|---|---|\n",
    );
    for capability in Capability::ALL {
        let _ = writeln!(out, "| `{capability}` | {} |", capability.stops());
    }
    out.push('\n');
    for reason in Reason::ALL {
        let info = reason.info();
        let _ = write!(out, "## {reason}\n\n{}\n\n", info.meaning);
        if *reason != Reason::Ok {
            let _ = write!(
                out,
                "- Who can fix it: {}\n- Reconnecting {}\n",
                info.fixed_by.text(),
                info.reconnecting.text()
            );
            let at: Vec<String> = fixtures
                .iter()
                .filter(|f| shown(f).0.contains(reason))
                .map(|f| format!("[{}](networks.md#{})", f.network.description().title, f.network))
                .collect();
            let _ = write!(
                out,
                "- A probe can find it at: {}\n\n",
                if at.is_empty() { "no network".to_owned() } else { at.join(", ") }
            );
        }
        for_readers(&mut out, info.steps);
        for network in NetworkId::all() {
            let own = (network.description().steps)(*reason);
            if own != Steps::NONE {
                let _ = write!(out, "### {reason} at {}\n\n", network.description().title);
                for_readers(&mut out, own);
            }
        }
    }
    out.push_str(
        "# Causes: why a probe was inconclusive\n\nA cause never changes `connection_valid`: the last verdict \
         stands, and `connection_last_conclusive_probe_timestamp_seconds` tells its age. Causes are counted \
         in `token_exporter_probe_failures_total`.\n\n| cause | what it means, and what to do |\n|---|---|\n",
    );
    for cause in Cause::ALL {
        let meaning = match cause {
            Cause::AppMisconfigured(_) => {
                "The network refuses the developer app, not the account. The operator has to correct \
                 [what is wrong with the app](#app-problems-what-is-wrong-with-a-developer-app)."
            }
            _ => cause.meaning(),
        };
        let _ = writeln!(out, "| `{cause}` | {meaning} |");
    }
    out.push_str(
        "\n# App problems: what is wrong with a developer app\n\nThe label `problem` of \
         `token_exporter_app_problem`, and `app_problem` in the API and in the output of `check` and \
         `classify`. Nobody needs to reconnect, except through a new app. The \
         [runbook](runbooks/TokenExporterAppUnhealthy.md) has the steps.\n\n| problem | what it means, and \
         what the operator does |\n|---|---|\n",
    );
    for problem in AppProblem::ALL {
        let _ = writeln!(out, "| `{problem}` | {} |", problem.meaning());
    }
    out
}

/// "`a` or `b`" for each group; all groups are required.
fn scopes(rights: &Rights) -> String {
    let groups: Vec<String> = rights
        .scopes
        .iter()
        .map(|group| group.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(" or "))
        .collect();
    if groups.is_empty() { "any".to_owned() } else { groups.join("; ") }
}

fn roles(rights: &Rights) -> String {
    let roles: Vec<String> = rights.roles.iter().map(|r| format!("`{r}`")).collect();
    if roles.is_empty() { "none".to_owned() } else { roles.join(" or ") }
}

/// What each capability needs, by API, kind and kind of OAuth. Combinations with the same needs
/// share a table.
fn capabilities(out: &mut String, network: NetworkId) {
    let description = network.description();
    let apis = if description.apis.is_empty() { &[""][..] } else { description.apis };
    let mut groups: Vec<(String, Vec<[String; 3]>)> = Vec::new();
    for api in apis {
        for kind in description.kinds {
            for oauth1 in [false, true] {
                if !network.network().supports(kind) {
                    let reason = reason_links([&Reason::UnsupportedAccountType]);
                    let text = format!("always {reason}, whatever the network answers.\n");
                    let places = [(*api).to_owned(), (*kind).to_owned(), oauth1.to_string()];
                    push(&mut groups, text, places);
                    continue;
                }
                let mut table = String::from(
                    "| capability | permissions (all of them; `or` within one) | role (any) \
                     |\n|---|---|---|\n",
                );
                for capability in Capability::ALL {
                    match network.network().rights(Style { api, oauth1 }, kind, *capability) {
                        Some(r) => _ = writeln!(table, "| `{capability}` | {} | {} |", scopes(r), roles(r)),
                        None => _ = writeln!(table, "| `{capability}` | not offered | |"),
                    }
                }
                push(&mut groups, table, [(*api).to_owned(), (*kind).to_owned(), oauth1.to_string()]);
            }
        }
    }
    fn push(groups: &mut Vec<(String, Vec<[String; 3]>)>, text: String, place: [String; 3]) {
        match groups.iter_mut().find(|(t, _)| *t == text) {
            Some((_, places)) => places.push(place),
            None => groups.push((text, vec![place])),
        }
    }
    let all: Vec<[String; 3]> = groups.iter().flat_map(|(_, places)| places.clone()).collect();
    let values = |places: &[[String; 3]], i: usize| {
        places.iter().map(|p| p[i].clone()).fold(Vec::new(), |mut v, x| {
            if !v.contains(&x) {
                v.push(x);
            }
            v
        })
    };
    for (text, places) in &groups {
        let mut told = Vec::new();
        for (i, name) in ["api", "kind", "auth"].iter().enumerate() {
            let here = values(places, i);
            if here.len() < values(&all, i).len() {
                let shown: Vec<String> = here
                    .iter()
                    .map(|v| match (i, v.as_str()) {
                        (2, "true") => "OAuth 1.0a".to_owned(),
                        (2, _) => "OAuth 2.0".to_owned(),
                        (_, v) => format!("`{v}`"),
                    })
                    .collect();
                told.push(format!("{name} {}", shown.join(", ")));
            }
        }
        if !told.is_empty() {
            let _ = write!(out, "With {}:", told.join("; "));
            out.push_str(if text.starts_with('|') { "\n\n" } else { " " });
        }
        let _ = writeln!(out, "{text}");
    }
}

fn networks_page(fixtures: &[Fixtures]) -> String {
    let mut out = String::from(GENERATED);
    out.push_str(
        "# Networks: what is asked, what can be told, and what cannot\n\nA probe only ever reads: no call \
         that refreshes, rotates, revokes, exchanges or posts is made. That a capability is available means \
         that nothing which can be read speaks against it. What a network tells only to those who write is \
         not claimed; it is listed with each network, and `classify` reads it. Lifetimes are never taken from this page or from a \
         constant; they come from the network, the token's source or the configuration.\n\n| network | \
         calls of a probe | app |\n|---|---|---|\n",
    );
    for network in NetworkId::all() {
        let description = network.description();
        let app = match description.app {
            AppNeed::Required => "required",
            AppNeed::Optional => "optional; without it less can be told",
            AppNeed::None => "there is none",
        };
        let _ =
            writeln!(out, "| [{}](#{network}) | {} | {app} |", description.title, description.calls.len());
    }
    out.push('\n');
    for fixtures in fixtures {
        let network = fixtures.network;
        let description = network.description();
        let notes = &description.notes;
        // The anchor is the name in the configuration.
        let _ = write!(out, "<a id=\"{network}\"></a>\n\n## {}\n\n", description.title);
        let mut configured = vec![format!("network: `{network}`")];
        let mut list = |title: &str, values: &[&str]| {
            if !values.is_empty() {
                configured.push(format!(
                    "{title}: {}",
                    values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ")
                ));
            }
        };
        list("also known as", description.aliases);
        list("api", description.apis);
        list("kind", description.kinds);
        list("api_version", description.api_version.as_slice());
        if description.carries.len() > 1 {
            list("its logins carry accounts of", description.carries);
        }
        let _ = write!(out, "In the configuration: {}.\n\n", configured.join("; "));
        out.push_str("| call | what it tells | what it costs |\n|---|---|---|\n");
        for call in description.calls {
            let _ =
                writeln!(out, "| `{} {}` | {} | {} |", call.method.as_str(), call.url, call.tells, call.cost);
        }
        let default = format_duration(network.network().default_interval());
        assert!(notes.interval.starts_with(&default), "{network}: the notes say nothing of {default}");
        let _ = write!(out, "\n**Default and recommended `probe_interval`:** {}\n\n", notes.interval);
        bullets(&mut out, "How long logins live", notes.lifetimes);
        if !description.version_ends.is_empty() {
            let ends = description.version_ends.iter().map(|(version, day)| format!("`{version}` {day}"));
            let ends = ends.collect::<Vec<_>>().join(", ");
            let _ = write!(out, "**When API versions end**, as far as published: {ends}.\n\n");
        }
        bullets(&mut out, "What can be told apart", notes.tells);
        bullets(&mut out, "What no probe can see", notes.cannot_tell);
        if !notes.only_writes.is_empty() {
            bullets(&mut out, "What only a write shows", notes.only_writes);
        }
        out.push_str("**What a capability needs**\n\n");
        capabilities(&mut out, network);
        let (probed, read) = shown(fixtures);
        let _ = write!(out, "**Reasons that a probe can find:** {}.\n\n", reason_links(&probed));
        if !read.is_empty() {
            let _ = write!(
                out,
                "**Reasons that only answers to other calls show** (`classify` reads them): {}.\n\n",
                reason_links(&read)
            );
        }
        let has_own_steps = |reason: &&Reason| (description.steps)(**reason) != Steps::NONE;
        let own: Vec<&Reason> = Reason::ALL.iter().filter(has_own_steps).collect();
        if !own.is_empty() {
            out.push_str("**What to do here**\n\n");
            for reason in own {
                let _ = write!(out, "[`{reason}`](reasons.md#{reason})\n\n");
                numbered(&mut out, advice(*reason, network, reason.info().fixed_by.reader()));
            }
        }
    }
    out
}

fn metrics_page() -> String {
    let mut out = String::from(GENERATED);
    out.push_str(
        "# Metrics\n\nNothing is exported as 0, -1 or \"now\" because it is unknown: then there is no \
         series. A removed account is gone at the next scrape.\n\n## About connections\n\nLabels of all: \
         `account`, `network`. The account's own labels are on `connection_info`; join them with `… * on \
         (account, network) group_left (name, team) connection_info`.\n\n| metric | type | further labels | \
         |\n|---|---|---|---|\n",
    );
    let labels = |labels: &[&str]| labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(" ");
    for family in FAMILIES {
        let kind = family.kind();
        let _ = writeln!(out, "| `{}` | {kind} | {} | {} |", family.name, labels(family.labels), family.help);
    }
    out.push_str("\n## About apps and networks\n\n| metric | type | labels | |\n|---|---|---|---|\n");
    for family in SMALL_FAMILIES {
        let _ = writeln!(out, "| `{}` | gauge | {} | {} |", family.name, labels(family.labels), family.help);
    }
    out.push_str("\n## About the exporter itself\n\n| metric | type | labels | |\n|---|---|---|---|\n");
    let metrics = Metrics::new().expect("metrics");
    // Families without samples are not gathered.
    for network in NetworkId::all() {
        metrics.announce(network);
        metrics.announce_reports(network);
        metrics.panicked(network);
    }
    for family in metrics.gather().iter().filter(|f| !f.name().starts_with("process_")) {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ if family.name().ends_with("_info") => "info",
            _ => "gauge",
        };
        let names: Vec<&str> = family
            .get_metric()
            .first()
            .map(|m| m.get_label().iter().map(|l| l.name()).collect())
            .unwrap_or_default();
        let _ = writeln!(out, "| `{}` | {kind} | {} | {} |", family.name(), labels(&names), family.help());
    }
    out.push_str(
        "| `process_*` | | | Of the process, as every Prometheus client library has them (Linux). |\n",
    );
    let values = |values: Vec<String>| values.join(", ");
    let _ = write!(
        out,
        "\n## Values of labels\n\n- `reason`: {}; see [reasons.md](reasons.md)\n- `capability`: {}\n- \
         `cause`: {}\n- `problem`: {}; see [reasons.md](reasons.md#app-problems-what-is-wrong-with-a-developer-app)\n- `network`: {}; see [networks.md](networks.md)\n- `clock`: `access`, `refresh`, \
         `data_access`\n- `operation`: as `capability`\n- `result` of reports:\n{}- `result` of events, see [events.md](events.md):\n{}",
        reason_links(Reason::ALL),
        values(Capability::ALL.iter().map(|c| format!("`{c}`")).collect()),
        values(Cause::ALL.iter().map(|c| format!("`{c}`")).collect()),
        values(AppProblem::ALL.iter().map(|p| format!("`{p}`")).collect()),
        values(NetworkId::all().map(|n| format!("`{n}`")).collect()),
        ReportResult::ALL.iter().map(|r| format!("  - `{r}`: {}\n", r.meaning())).collect::<String>(),
        EventResult::ALL.iter().map(|r| format!("  - `{r}`: {}\n", r.meaning())).collect::<String>(),
    );
    out
}

#[test]
fn the_pages_say_what_the_code_says() {
    let fixtures = load_fixtures().expect("fixtures");
    assert_golden("../docs/reasons.md", &reasons_page(&fixtures));
    assert_golden("../docs/networks.md", &networks_page(&fixtures));
    assert_golden("../docs/metrics.md", &metrics_page());
}

/// Words in lines of at most 118 columns.
fn wrapped(words: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words.split(' ') {
        let line = lines.last_mut().expect("a line");
        if line.len() + 1 + word.len() > 118 {
            lines.push(word.to_owned());
        } else {
            *line = format!("{line} {word}").trim_start().to_owned();
        }
    }
    lines.join("\n")
}

/// Lists of networks in files that are otherwise written by hand.
#[test]
fn the_lists_name_every_network() {
    let names = |separator: &str| NetworkId::all().map(NetworkId::name).collect::<Vec<_>>().join(separator);
    assert_golden_part("../docs/openapi.yaml", "    Network:\n      enum: [", "]", &names(", "));

    let accepted = NetworkId::all()
        .flat_map(|network| [&[network.name()], network.description().aliases].concat())
        .map(|name| format!("        \"{name}\""));
    let accepted = accepted.collect::<Vec<_>>().join(",\n");
    let schema = "../docs/sources.schema.json";
    assert_golden_part(schema, "    \"network\": {\n      \"enum\": [\n", "\n      ]", &accepted);

    let example = "../config.example.yaml";
    assert_golden_part(example, "    network: facebook             # ", "\n", &names(" "));
    let apis = NetworkId::all().map(NetworkId::description).filter(|d| !d.apis.is_empty());
    let apis: Vec<String> = apis.map(|d| format!("{}: {}", d.name, d.apis.join(" "))).collect();
    assert_golden_part(example, "    api: instagram_login          # ", "\n", &apis.join("; "));

    let titles = NetworkId::all().filter(|n| n.name() != "oauth2").map(|n| n.description().title);
    let list = format!(
        "Networks: {}, and any OAuth 2.0 provider (introspection, userinfo, JWT).",
        titles.collect::<Vec<_>>().join(", ")
    );
    assert_golden_part("../README.md", "(docs/status-page.svg)\n\n", "\n\n```mermaid", &wrapped(&list));

    for (name, text) in mail_templates() {
        assert_golden(&format!("../alerts/templates/{name}"), &text);
    }
}

#[test]
fn every_app_problem_comes_with_what_the_operator_does() {
    let page = std::fs::read_to_string("docs/runbooks/TokenExporterAppUnhealthy.md").expect("the runbook");
    let sections: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("### ")).collect();
    let problems: Vec<&str> = AppProblem::ALL.iter().map(|p| p.label()).collect();
    assert_eq!(sections, problems, "one section for each problem");
    for section in page.split("\n### ").skip(1) {
        assert!(section.contains("\n\n1. "), "no steps: {section}");
    }
    for problem in AppProblem::ALL {
        assert!(problem.meaning().ends_with('.') && problem.meaning().contains(". "), "{problem}");
    }
}

#[test]
fn ends_of_api_versions_are_days_in_order() {
    for network in NetworkId::all() {
        let description = network.description();
        let ends = description.version_ends.iter().map(|(version, _)| {
            description.version_end(version).unwrap_or_else(|| panic!("{network} {version}: no day"))
        });
        assert!(ends.is_sorted(), "{network}");
        let mut versions: Vec<&str> = description.version_ends.iter().map(|(version, _)| *version).collect();
        versions.dedup();
        assert_eq!(versions.len(), description.version_ends.len(), "{network}: a version twice");
    }
}

#[test]
fn every_reason_comes_with_advice_for_people() {
    for reason in Reason::ALL {
        assert!(reason.info().meaning.ends_with('.'), "{reason}");
        for network in NetworkId::all() {
            let steps = || Reader::ALL.iter().map(|reader| advice(*reason, network, *reader));
            assert!(steps().all(|steps| !steps.is_empty()), "{reason} at {network}: no advice");
            for step in steps().flatten() {
                assert!(
                    step.ends_with('.') && step.starts_with(char::is_uppercase),
                    "{reason} at {network}: {step}"
                );
                assert!(
                    !step.contains("TODO") && !step.contains('_') && !step.contains("API error"),
                    "{reason} at {network}: {step}"
                );
            }
        }
    }
}

#[test]
fn advice_speaks_to_its_reader() {
    // "Your connections" is the name of a menu.
    let names_reader = |step: &str| {
        step.split(|c: char| !c.is_alphabetic()).any(|word| ["you", "your", "You"].contains(&word))
    };
    for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::Ok) {
        for network in NetworkId::all() {
            for step in advice(*reason, network, Reader::Connector) {
                assert!(!step.contains("person who connected"), "{reason} at {network}: {step}");
            }
            for reader in [Reader::Admin, Reader::Operator] {
                for step in advice(*reason, network, reader) {
                    let quoted = step.contains('"');
                    let passed_on = is_passed_on(*reason, network, reader);
                    // The operator passes on what a page's admin is asked for.
                    let asked = passed_on && reason.info().fixed_by == FixedBy::PageAdmin;
                    assert!(asked || quoted || !names_reader(step), "{reason} at {network}: {step}");
                    let operator = step.contains("operator of this product");
                    assert!(reader != Reader::Operator || !operator, "{reason} at {network}: {step}");
                }
            }
        }
    }
}

#[test]
fn advice_keeps_what_was_promised() {
    let text = |reason, name: &str| {
        advice(reason, NetworkId::from_name(name).expect("a network"), Reader::Connector).join(" ")
    };
    for network in NetworkId::all().map(NetworkId::name) {
        assert!(
            text(Reason::TokenExpired, network).contains("Do not delete"),
            "{network}: planned posts go with a deleted account"
        );
        assert!(text(Reason::TokenExpired, network).contains("stuck"), "{network}: a refresher can be stuck");
        assert!(text(Reason::Ok, network).contains("ahead of time"), "{network}");
        for (reader, role) in [(Reader::Connector, "ask"), (Reader::Admin, "give")] {
            let network = NetworkId::from_name(network).expect("a network");
            let both = advice(Reason::MissingRoleAndPermission, network, reader).join(" ").to_lowercase();
            assert!(both.find(role) < both.find("reconnect"), "{network}: the role first");
        }
        assert!(
            text(Reason::AccountSuspended, network).to_lowercase().contains("appeal"),
            "{network}: appeal first"
        );
    }
    for network in NetworkId::all().map(NetworkId::name) {
        let checkpoint = text(Reason::SecurityCheckpoint, network);
        assert!(checkpoint.contains("check itself fails, report"), "{network}: a check that fails");
    }
    for network in ["facebook", "instagram", "threads"] {
        let checkpoint = text(Reason::SecurityCheckpoint, network);
        let order = ["cookies", "complete every security check", "Wait 24 hours", "reconnect"]
            .map(|part| checkpoint.find(part));
        assert!(order.is_sorted() && order[0].is_some(), "{network}: {checkpoint}");
    }
    for network in ["facebook", "instagram"] {
        assert!(text(Reason::NotAdmin, network).contains("two-factor"), "{network}: one answer for both");
        assert!(
            text(Reason::MissingPermission, network).contains("Tick")
                || text(Reason::MissingPermission, network).contains("tick")
        );
    }
    for (network, place) in [
        ("facebook", "Business Integrations"),
        ("instagram", "Business Integrations"),
        ("linkedin", "Permitted Services"),
        ("tiktok", "Apps and services permissions"),
        ("x", "Connected apps"),
        ("youtube", "third-party apps & services"),
        ("google_business", "third-party apps & services"),
        ("pinterest", "Connected apps"),
        ("bluesky", "App passwords"),
        ("mastodon", "Authorized apps"),
    ] {
        assert!(text(Reason::AccessRevoked, network).contains(place), "{network}: where apps are listed");
    }
}

/// Paths in backticks that name a single file or directory.
fn paths_in(text: &str) -> Vec<&str> {
    let code = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|c| !c.contains(char::is_whitespace) && !c.contains(['<', '*', '…', '{']));
    code.filter(|c| ["src/", "tests/", "docs/", ".ci/"].iter().any(|p| c.starts_with(p))).collect()
}

#[test]
fn the_guides_name_only_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    let guides = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/ARCHITECTURE.md",
        "docs/collectors.md",
        "docs/operations.md",
        "docs/scaling.md",
        "deploy/kubernetes/README.md",
        "fuzz/README.md",
    ];
    for guide in guides {
        let text = std::fs::read_to_string(root.join(guide)).expect("a guide");
        for path in paths_in(&text) {
            assert!(root.join(path).exists(), "{guide} names {path}");
            checked += 1;
        }
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|t| t.split(')').next())
            .filter(|t| !t.contains("://") && !t.starts_with('#'))
        {
            let folder = root.join(guide).parent().expect("a folder").to_owned();
            let file = target.split('#').next().unwrap_or(target);
            assert!(folder.join(file).exists(), "{guide} links to {target}");
        }
    }
    assert!(checked > 20, "{checked}");
    let architecture = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("a guide");
    let library = std::fs::read_to_string(root.join("src/lib.rs")).expect("the library");
    for module in library.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(
            architecture.contains(&format!("`{module}`")),
            "docs/ARCHITECTURE.md does not place {module}"
        );
    }
}
