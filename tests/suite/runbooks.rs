//! Where alerts send their readers.

use token_exporter::alerting::{Options, RUNBOOKS, rules};
use token_exporter::config::default_schedule;

use crate::alerts::{generate, root};

#[test]
fn every_alert_has_a_runbook() {
    let text = rules(&default_schedule(), &Options::default());
    let mut pages: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    pages.sort_unstable();
    pages.dedup();
    assert_eq!(pages.len(), 13);
    for page in &pages {
        let content =
            std::fs::read_to_string(root().join(format!("docs/runbooks/{page}.md"))).expect("a runbook");
        assert!(content.starts_with(&format!("# {page}\n")) && content.contains("## What to do"), "{page}");
    }
    let files = std::fs::read_dir(root().join("docs/runbooks")).expect("the folder").count();
    assert_eq!(files, pages.len());
    // Every link is a URL of a file of this repository, or starts with the given address.
    let links = |text: &str, annotation: &str| -> Vec<String> {
        text.lines()
            .filter_map(|l| l.trim().strip_prefix(annotation)?.strip_prefix(": "))
            .map(|l| l.trim_matches('"').to_owned())
            .collect()
    };
    let shipped = links(&text, "runbook_url");
    let file = |link: &String| {
        link.starts_with("https://")
            && link
                .split_once("/blob/main/docs/runbooks/")
                .is_some_and(|(_, file)| root().join("docs/runbooks").join(file).is_file())
    };
    assert!(shipped.len() >= pages.len() && shipped.iter().all(file), "{shipped:?}");
    assert!(!text.contains("dashboard_url"), "Grafana's address is not known");
    let made = generate(&[
        "rules",
        "--runbook-url",
        "https://wiki.example.com/",
        "--grafana-url",
        "https://example.com/grafana/",
    ]);
    let elsewhere = String::from_utf8(made.stdout).expect("text");
    let moved: Vec<String> =
        shipped.iter().map(|link| link.replace(RUNBOOKS, "https://wiki.example.com/")).collect();
    assert_eq!(links(&elsewhere, "runbook_url"), moved);
    // Each alert links to a dashboard that exists.
    let dashboards = links(&elsewhere, "dashboard_url");
    assert_eq!(dashboards.len(), shipped.len());
    for (link, runbook) in dashboards.iter().zip(&shipped) {
        let path = link.strip_prefix("https://example.com/grafana/d/token-exporter-").expect(link);
        let (page, variable) = if runbook.contains("TokenExporter") {
            ("exporter", "exporter")
        } else {
            ("account", "account?var-account={{ $labels.account | urlquery }}")
        };
        let dashboard = std::fs::read_to_string(root().join(format!("dashboards/{page}.json")));
        assert!(dashboard.expect("a dashboard").contains(&format!("\"uid\": \"token-exporter-{page}\"")));
        assert_eq!(path, variable);
    }
    let relative = generate(&["rules", "--runbook-url", "docs/runbooks/"]);
    assert_eq!(relative.status.code(), Some(2), "a mail cannot resolve it");
}
