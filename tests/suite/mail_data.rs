//! Alerts as the rules make them, and the mails that Alertmanager renders from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use token_exporter::alerting::{Options, mail_templates, rules};
use token_exporter::config::default_schedule;

/// The annotations of each alert, by the rules.
static ANNOTATIONS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    let options = Options { grafana: Some("https://grafana.example.com".to_owned()), ..Options::default() };
    let rules: serde_yaml::Value =
        serde_yaml::from_str(&rules(&default_schedule(), &options)).expect("the rules");
    let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for group in rules["groups"].as_sequence().expect("groups") {
        for rule in group["rules"].as_sequence().expect("rules") {
            if let (Some(alert), Some(names)) = (rule["alert"].as_str(), rule["annotations"].as_mapping()) {
                let names = names.keys().map(|name| name.as_str().expect("a name").to_owned());
                annotations.entry(alert.to_owned()).or_default().extend(names);
            }
        }
    }
    annotations
});

/// A folder with the templates. They are shipped as they are made: a golden test compares them.
static TEMPLATES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mail-templates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in mail_templates() {
        std::fs::write(folder.join(name), text).expect("written");
    }
    folder
});

#[derive(Clone)]
pub(crate) struct Alert {
    pub labels: Map<String, Value>,
    pub annotations: Map<String, Value>,
}

impl Alert {
    /// An account of Jane Doe's login, with what all alerts of connections have.
    pub(crate) fn of(account: &str, name: &str) -> Self {
        let labels = json!({
            "account": account, "network": "facebook", "kind": "page", "use": "owned", "severity": "warning",
            "credential": "jane-facebook", "connected_by": "Jane Doe", "notify": "jane@example.com",
        });
        let annotations = json!({
            "summary": format!("{name} (facebook) is disconnected"), "description": "What the rule says.",
            "advice": "What the rule advises.", "name": name,
            "stops": "publishing (scheduled posts), inbox (messages and comments)",
            "reconnect_url": "https://app.example.com/reconnect?login=jane&from=mail",
            "runbook_url": "https://wiki.example.com/Runbook.md",
        });
        let map = |value: Value| value.as_object().cloned().expect("an object");
        Self { labels: map(labels), annotations: map(annotations) }
    }

    /// The same with another label; an empty value removes it.
    pub(crate) fn with(mut self, label: &str, value: &str) -> Self {
        if value.is_empty() {
            self.labels.remove(label);
        } else {
            self.labels.insert(label.to_owned(), value.into());
        }
        self
    }

    /// The same with another annotation.
    pub(crate) fn says(mut self, annotation: &str, text: &str) -> Self {
        self.annotations.insert(annotation.to_owned(), text.into());
        self
    }
}

/// What the templates get about alerts of one group. They have no annotation that the rules do not make.
pub(crate) fn data(alertname: &str, alerts: &[Alert]) -> Value {
    let known = ANNOTATIONS.get(alertname).unwrap_or_else(|| panic!("no rule {alertname}"));
    let mut alerts = alerts.to_vec();
    for alert in &mut alerts {
        for name in alert.annotations.keys() {
            assert!(known.contains(name), "{alertname}: no rule makes the annotation {name}");
        }
        alert.labels.insert("alertname".to_owned(), alertname.into());
    }
    let common = |which: fn(&Alert) -> &Map<String, Value>| -> Map<String, Value> {
        let shared =
            which(&alerts[0]).iter().filter(|(k, v)| alerts.iter().all(|a| which(a).get(*k) == Some(v)));
        shared.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let (labels, annotations) = (common(|a| &a.labels), common(|a| &a.annotations));
    let grouped = ["alertname", "notice", "notify", "credential"];
    let group: Map<String, Value> = labels
        .iter()
        .filter(|(label, _)| grouped.contains(&label.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let whole = |a: &Alert| json!({"status": "firing", "labels": a.labels, "annotations": a.annotations});
    json!({
        "receiver": if labels.contains_key("notify") { "people" } else { "operator" },
        "status": "firing",
        "alerts": alerts.iter().map(whole).collect::<Vec<_>>(),
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
    })
}

/// What an Alertmanager configuration defines in front of a template.
pub(crate) const SETTINGS: &str = "{{ define \"token_exporter.page\" }}https://exporter.example.com/{{ . }}\
                                   {{ \
                                   end }}\
                        {{ define \"token_exporter.unsubscribe\" }}https://app.example.com/mails?address={{ \
                        .GroupLabels.notify | urlquery }}{{ end }}{{ define \"token_exporter.operator\" \
                        }}operator@example.com{{ end }}";

/// Renders a text of a template, with the settings of an installation or without.
pub(crate) fn render_text(text: &str, kind: &str, data: &Value) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data.json");
    std::fs::write(&path, data.to_string()).expect("written");
    let output = Command::new("amtool")
        .args(["template", "render", "--template.glob"])
        .arg(TEMPLATES.join("*.tmpl"))
        .arg(format!("--template.text={text}"))
        .args(["--template.type", kind])
        .arg(format!("--template.data={}", path.display()))
        .output()
        .expect("amtool");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    for wrong in ["<no value>", "ZgotmplZ", "[[", "]]", "mail.", "{{"] {
        assert!(!text.replace("mail.rs", "").contains(wrong), "{wrong}: {text}");
    }
    text
}

/// Renders `token_exporter.<template>` for some alerts.
pub(crate) fn render(template: &str, data: &Value) -> String {
    let kind = if template == "html" { "html" } else { "text" };
    render_text(&format!("{SETTINGS}{{{{ template \"token_exporter.{template}\" . }}}}"), kind, data)
}
