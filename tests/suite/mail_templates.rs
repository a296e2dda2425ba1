//! The templates of mails, rendered by amtool.

use std::process::Command;

use serde_json::{Value, json};
use token_exporter::model::escape_bidi;
use token_exporter::network::NetworkId;

use crate::alerts::root;

/// Renders a template's mail for some alerts.
fn render(template: &str, data: &Value) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data.json");
    std::fs::write(&path, data.to_string()).expect("written");
    let output = Command::new("amtool")
        .args(["template", "render", "--template.glob"])
        .arg(root().join("alerts/templates/*.tmpl"))
        .arg(format!("--template.text={{{{ template \"token_exporter.{template}\" . }}}}"))
        .args(["--template.type", if template == "html" { "html" } else { "text" }])
        .arg(format!("--template.data={}", path.display()))
        .output()
        .expect("amtool");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The template's input: alerts with their own labels and annotations, and those that all have.
fn data(alertname: &str, alerts: &[(Value, Value)]) -> Value {
    let common = |which: fn(&(Value, Value)) -> &Value| -> Value {
        let first = alerts.first().and_then(|a| which(a).as_object()).expect("an alert");
        first
            .iter()
            .filter(|(k, v)| alerts.iter().all(|a| which(a)[k.as_str()] == **v))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let whole = |(l, a): &(Value, Value)| json!({"status": "firing", "labels": l, "annotations": a});
    json!({
        "receiver": "people",
        "status": "firing",
        "alerts": alerts.iter().map(whole).collect::<Vec<_>>(),
        "groupLabels": {"alertname": alertname, "notice": alerts[0].0["notice"].as_str().unwrap_or_default()},
        "commonLabels": common(|a| &a.0),
        "commonAnnotations": common(|a| &a.1),
        "externalURL": "",
    })
}

#[test]
fn a_mail_about_one_login_tells_reasons_apart() {
    let alert = |network: &str, account: &str, reason: &str, stops: &str| {
        (
            json!({
                "alertname": "ConnectionLost", "network": network, "kind": "page",
                "connected_by": "Jane", "reason": reason, "severity": "warning",
            }),
            json!({
                "name": account, "description": format!("It is {reason}."),
                "advice": format!("By {reason}:\n1. First.\n2. Then."), "stops": stops,
                "reconnect_url": format!("https://app.example.com/{account}?a=1&b=2"),
                "runbook_url": "https://wiki.example.com/Lost.md",
            }),
        )
    };
    let (role, right) = ("missing_role", "missing_permission");
    let alerts = [
        alert("facebook", "P1", role, "ads"),
        alert("instagram", "P2", right, "inbox"),
        alert("facebook", "P3", role, "ads"),
    ];
    let many = data("ConnectionLost", &alerts);
    assert_eq!(render("subject", &many), "3 accounts disconnected");
    let text = render("text", &many);
    for part in [
        "It is missing_role.",
        "By missing_role:\n1. First.\n2. Then.",
        "More information: https://wiki.example.com/Lost.md",
    ] {
        assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
    }
    let order: Vec<usize> = [
        "By missing_role",
        "P1 (Facebook page)",
        "P3 (Facebook page)",
        "By missing_permission",
        "P2 (Instagram page)",
    ]
    .iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}")))
    .collect();
    assert!(order.is_sorted(), "accounts stand below their advice: {text}");
    assert!(
        text.contains("Connected by: Jane\n")
            && text.contains("Not working: inbox\n")
            && text.contains("Reconnect: https://app.example.com/P3?a=1&b=2\n"),
        "{text}"
    );
    let html = render("html", &many);
    let runbook = "https://wiki.example.com/Lost.md";
    for part in ["https://app.example.com/P2?a=1&amp;b=2", runbook, "Not working: inbox"] {
        assert_eq!(html.matches(part).count(), 1, "{part}: {html}");
    }
    assert!(!text.contains("Next planned post") && !html.contains("Next planned post"));
    let mut planned = alerts.clone();
    planned[1].1["next_use"] = "Friday 2 January 1970, 01:00 UTC".into();
    let lost = data("ConnectionLost", &planned);
    for mail in [render("text", &lost), render("html", &lost)] {
        assert_eq!(mail.matches("Next planned post: Friday 2 January 1970, 01:00 UTC").count(), 1, "{mail}");
    }
    let at_risk = data("ConnectionPlannedUseAtRisk", &planned[1..2]);
    let subject = "P2 (Instagram) disconnected before a planned post on Friday 2 January 1970, 01:00 UTC: \
                   missing permission";
    assert_eq!(render("subject", &at_risk), subject);
    let one = data("ConnectionLost", &alerts[..1]);
    assert_eq!(render("subject", &one), "P1 (Facebook) disconnected: missing role");
    assert!(render("text", &one).contains("Not working: ads\n"));
}

#[test]
fn characters_that_reorder_text_are_written_out() {
    let bidi =
        "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    let (raw, escaped) = (format!("Acme{bidi}gro"), escape_bidi(&format!("Acme{bidi}gro")).into_owned());
    let alert = |name: &str, person: &str| {
        (
            json!({
                "alertname": "ConnectionLost", "network": "facebook", "kind": "page", "reason": "not_admin",
                "connected_by": person, "severity": "warning",
            }),
            json!({
                "name": name, "summary": raw, "description": format!("{raw} is lost."),
                "advice": format!("By {raw}:\n1. Ask {raw}."),
            }),
        )
    };
    let alerts = [alert(&raw, &raw), alert("Other", &raw), alert("", "Jane")];
    for alerts in [&alerts[..1], &alerts[..2], &alerts] {
        let data = data("ConnectionLost", alerts);
        for template in ["subject", "text", "html"] {
            let mail = render(template, &data);
            assert!(!mail.contains(|c| bidi.contains(c)), "{template}: {mail}");
            assert!(mail.contains(&escaped) || (template == "subject" && alerts.len() > 1), "{mail}");
        }
    }
    let unknown = data("ConnectionUnverified", &alerts[..1]);
    assert_eq!(render("subject", &unknown), escaped, "the summary");
}

#[test]
fn a_mail_after_the_deadline_says_so() {
    let labels = json!({
        "alertname": "ConnectionExpiring", "network": "google_business",
        "notice": "today", "severity": "critical",
    });
    let alert = |left: &str| {
        (
            labels.clone(),
            json!({
                "name": "Shop", "advice": "By Jane:\n1. Reconnect.", "stops": "ads",
                "deadline": "Monday, 15:04 UTC", "left": left,
            }),
        )
    };
    let before = data("ConnectionExpiring", &[alert("3 hours left")]);
    assert_eq!(
        render("subject", &before),
        "Shop (Google Business Profile): reconnect today, Monday, 15:04 UTC – 3 hours left"
    );
    let text = render("text", &before);
    assert!(
        text.contains("Until then everything works") && text.contains("Stops working then: ads"),
        "{text}"
    );
    let after = data("ConnectionExpiring", &[alert("passed")]);
    let text = render("text", &after);
    assert!(
        text.contains("The permission has ended.")
            && text.contains("Not working: ads")
            && !text.contains("Until then"),
        "{text}"
    );
    assert!(render("html", &after).contains("The permission has ended."));
}

#[test]
fn mails_call_networks_by_their_names() {
    let template =
        std::fs::read_to_string(root().join("alerts/templates/token_exporter.tmpl")).expect("the templates");
    for network in NetworkId::all() {
        let line = format!("if eq . \"{}\" }}}}{}\n", network.name(), network.description().title);
        assert!(template.contains(&line), "{line}");
    }
}
