//! The dashboards over a real Prometheus that scrapes the demo: what their queries answer, and what
//! Grafana's published data code draws of the answers (`tests/grafana`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use token_exporter::model::{Reason, Timestamp};
use token_exporter::network::NetworkId;

use crate::dashboards::{everything, grafana_variables, list, load, meaning, named, panels, script, text};
use crate::prometheus::{Prometheus, eventually, every_verdict_of_the_demo, http_client, start_demo};

/// The demo's accounts, read from Prometheus without the dashboards' queries.
struct Demo {
    info: BTreeMap<String, BTreeMap<String, String>>,
    verdicts: BTreeMap<String, String>,
    degraded: BTreeSet<String>,
    probed: BTreeSet<String>,
    judged: BTreeSet<String>,
    deadlines: BTreeMap<String, f64>,
}

impl Demo {
    async fn read(asked: &Asked, verdicts: BTreeMap<String, String>) -> Self {
        let series = async |query: &str| -> Vec<(BTreeMap<String, String>, f64)> {
            let data = asked.ask(query, true).await;
            assert!(!list(&data, "/result").is_empty(), "the demo shows {query}");
            list(&data, "/result")
                .iter()
                .map(|s| {
                    let labels = serde_json::from_value(s["metric"].clone()).expect("labels");
                    (labels, s["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a number"))
                })
                .collect()
        };
        let account = |labels: &BTreeMap<String, String>| labels["account"].clone();
        let info =
            series("connection_info{job=\"one\"}").await.into_iter().map(|(l, _)| (account(&l), l)).collect();
        let accounts_in = async |query: &str| -> BTreeSet<String> {
            series(query).await.iter().map(|(l, _)| account(l)).collect()
        };
        let probed = accounts_in("connection_probe_success{job=\"one\"}").await;
        let judged = accounts_in("connection_last_conclusive_probe_timestamp_seconds{job=\"one\"}").await;
        let deadlines = series("token_expiry_timestamp_seconds{job=\"one\"}")
            .await
            .iter()
            .map(|(l, v)| (account(l), *v))
            .collect();
        let lost = series("connection_capability_available{job=\"one\"} == 0").await;
        let degraded = lost
            .iter()
            .map(|(l, _)| account(l))
            .filter(|a| verdicts.get(a).is_some_and(|r| r == "ok"))
            .collect();
        Self { info, verdicts, degraded, probed, judged, deadlines }
    }

    /// The accounts that this value of a variable selects.
    fn chosen(&self, variable: &str, value: &str) -> BTreeSet<&str> {
        self.info
            .iter()
            .filter(|(_, labels)| variable.is_empty() || labels.get(variable).is_some_and(|v| v == value))
            .map(|(a, _)| a.as_str())
            .collect()
    }
}

/// A Prometheus, queried in the same way as by Grafana.
#[derive(Clone)]
struct Asked {
    client: reqwest::Client,
    base: Arc<str>,
    now: f64,
}

impl Asked {
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let answer = self.client.get(format!("{}{path}?{query}", self.base)).send().await.expect("an answer");
        let answer: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    async fn ask(&self, query: &str, instant: bool) -> Value {
        let (now, start) = (self.now.to_string(), (self.now - 300.0).to_string());
        if instant {
            self.get("/api/v1/query", &[("query", query), ("time", &now)]).await
        } else {
            self.get(
                "/api/v1/query_range",
                &[("query", query), ("start", &start), ("end", &now), ("step", "15")],
            )
            .await
        }
    }

    /// The values that Grafana offers for a variable.
    async fn values(&self, definition: &str) -> Vec<String> {
        let inner =
            definition.strip_prefix("label_values(").and_then(|s| s.strip_suffix(')')).expect("label_values");
        let (selector, label) = inner.rsplit_once(", ").expect("a selector and a label");
        let start = (self.now - 300.0).to_string();
        let found = self
            .get(&format!("/api/v1/label/{label}/values"), &[("match[]", selector), ("start", &start)])
            .await;
        found.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }
}

/// A value as Grafana writes it into a regular expression within a string.
fn escaped(value: &str) -> String {
    value
        .chars()
        .flat_map(|c| if "\\^$*+?.()|{}[]".contains(c) { vec!['\\', '\\', c] } else { vec![c] })
        .collect()
}

/// By title of a panel: each query and Prometheus' answer.
type Answers = BTreeMap<String, Vec<(Value, Value)>>;

/// Runs all queries of a dashboard with one choice of its variables. Returns the answers of each
/// panel.
async fn ask_all(asked: &Asked, dashboard: &Value, variables: &BTreeMap<String, String>) -> Answers {
    let mut answers: Answers = BTreeMap::new();
    for panel in panels(dashboard) {
        for target in list(panel, "/targets") {
            let data = asked
                .ask(&grafana_variables(text(target, "expr"), variables), target["instant"] == true)
                .await;
            answers.entry(text(panel, "title").to_owned()).or_default().push((target.clone(), data));
        }
    }
    for annotation in list(dashboard, "/annotations/list") {
        let data = asked.ask(&grafana_variables(text(annotation, "expr"), variables), false).await;
        answers.entry(text(annotation, "name").to_owned()).or_default().push((annotation.clone(), data));
    }
    answers
}

fn rows(answers: &Answers, title: &str) -> Vec<Value> {
    list(&answers[title][0].1, "/result").to_vec()
}

/// The single number of an answer; none if it is empty.
fn number(answers: &Answers, title: &str) -> Option<usize> {
    let rows = rows(answers, title);
    assert!(rows.len() <= 1, "{title}: one number");
    rows.first().map(|row| row["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a whole number"))
}

/// The dashboard's numbers and lists must match the demo's accounts.
fn assert_connections(demo: &Demo, chosen: &BTreeSet<&str>, answers: &Answers, now: f64, what: &str) {
    let of = |which: &dyn Fn(&str) -> bool| {
        chosen.iter().copied().filter(|a| which(a)).collect::<BTreeSet<&str>>()
    };
    let verdict = |a: &str| demo.verdicts.get(a).map(String::as_str);
    let known = of(&|a| verdict(a).is_some());
    let broken = of(&|a| verdict(a).is_some_and(|r| r != "ok"));
    let working = of(&|a| verdict(a) == Some("ok"));
    let unverified = of(&|a| demo.probed.contains(a) && !demo.judged.contains(a));
    let waiting = of(&|a| !demo.probed.contains(a));
    let left = |a: &str| demo.deadlines.get(a).map(|at| at - now);
    let due = of(&|a| verdict(a) == Some("ok") && left(a).is_some_and(|s| s < 864_000.0));
    let soon = of(&|a| verdict(a) == Some("ok") && left(a).is_some_and(|s| s <= 5_184_000.0));
    let degraded = of(&|a| demo.degraded.contains(a));
    let accounts = |title: &str| -> BTreeSet<String> {
        let found: Vec<String> =
            rows(answers, title).iter().map(|r| text(&r["metric"], "account").to_owned()).collect();
        found.into_iter().collect()
    };

    let expected = |number: usize| (!known.is_empty()).then_some(number);
    assert_eq!(number(answers, "Disconnected"), expected(broken.len()), "{what}");
    assert_eq!(number(answers, "Connected"), expected(working.len()), "{what}");
    assert_eq!(number(answers, "Unverified"), Some(unverified.len()), "{what}");
    assert_eq!(number(answers, "Not probed yet"), Some(waiting.len()), "{what}");
    assert_eq!(number(answers, "Degraded").unwrap_or(0), degraded.len(), "{what}");
    assert_eq!(number(answers, "Due within 10 days").unwrap_or(0), due.len(), "{what}");
    for (title, set) in [
        ("Disconnected connections", &broken),
        ("Degraded connections", &degraded),
        ("Unverified connections", &unverified),
        ("Deadlines", &soon),
    ] {
        assert!(
            accounts(title).iter().map(String::as_str).eq(set.iter().copied()),
            "{what}, {title}: {:?} in place of {set:?}",
            accounts(title)
        );
        // One row each; degraded ones have one per capability.
        assert!(
            title.starts_with("Degraded") || rows(answers, title).len() == set.len(),
            "{what}, {title}: an account twice"
        );
    }
    for row in rows(answers, "Disconnected connections") {
        let account = text(&row["metric"], "account");
        assert_eq!(Some(text(&row["metric"], "reason")), verdict(account), "{what}: {account}");
        for label in ["name", "connected_by", "reconnect_url"] {
            assert_eq!(text(&row["metric"], label), demo.info[account][label], "{what}: {account}");
        }
    }
    let total = |title: &str| -> usize {
        rows(answers, title).iter().filter_map(|r| r["value"][1].as_str()?.parse::<usize>().ok()).sum()
    };
    assert_eq!(total("Deadlines by days left"), soon.len(), "{what}");
    assert_eq!(total("Disconnected by network and reason"), broken.len(), "{what}");
    assert_eq!(total("Accounts by network"), chosen.len(), "{what}");
}

/// Renders the panels of a dashboard with Grafana's code. Returns by title the fields with their
/// texts, colours and links.
fn draw(
    version: &str,
    dashboard: &Value,
    answers: &Answers,
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let mut variables = variables.clone();
    variables.extend([
        ("datasource".to_owned(), "The Prometheus".to_owned()),
        ("__url_time_range".to_owned(), "from=now-1h&to=now".to_owned()),
    ]);
    let asked: Vec<Value> = panels(dashboard)
        .map(|panel| {
            let results: Vec<Value> = answers[text(panel, "title")]
                .iter()
                .map(|(target, data)| {
                    let (format, legend) = (&target["format"], &target["legendFormat"]);
                    json!({"refId": target["refId"], "format": format, "legend": legend, "data": data})
                })
                .collect();
            json!({"panel": panel, "variables": variables, "results": results})
        })
        .collect();
    let drawn = script("panels.mjs", &[], &json!({"version": version, "panels": asked}).to_string());
    let drawn: Vec<Value> = serde_json::from_str(&drawn).expect("JSON");
    panels(dashboard).map(|p| text(p, "title").to_owned()).zip(drawn).collect()
}

/// A column's texts, or another property of its cells.
fn column<'a>(frames: &'a Value, name: &str, what: &str) -> &'a [Value] {
    let fields = list(frames, "/0/fields");
    let field = fields.iter().find(|f| text(f, "name") == name).unwrap_or_else(|| panic!("a column {name}"));
    list(field, &format!("/{what}"))
}

/// Checks for every rendered panel.
fn assert_drawn(dashboard: &Value, drawn: &BTreeMap<String, Value>) {
    for panel in panels(dashboard) {
        let title = text(panel, "title");
        let frames = &drawn[title];
        let names: BTreeSet<&str> =
            list(frames, "").iter().flat_map(|f| list(f, "/fields")).map(|f| text(f, "name")).collect();
        if ["table", "barchart"].contains(&text(panel, "type")) {
            assert!(list(frames, "").len() == 1, "{title}: one table, not {}", list(frames, "").len());
            for name in &names {
                assert!(
                    !name.contains("Value") && !["Time", "__name__", "job"].contains(name),
                    "{title}: a column {name}"
                );
            }
            for matcher in
                list(panel, "/fieldConfig/overrides").iter().filter(|o| o["matcher"]["id"] == "byName")
            {
                let column = text(&matcher["matcher"], "options");
                assert!(names.contains(column), "{title}: no column {column} among {names:?}");
            }
            for sorted in list(panel, "/options/sortBy") {
                assert!(
                    names.contains(text(sorted, "displayName")),
                    "{title}: sorted by a column that it has not"
                );
            }
        }
        for words in list(frames, "")
            .iter()
            .flat_map(|f| list(f, "/fields"))
            .flat_map(|f| list(f, "/text"))
            .filter_map(Value::as_str)
        {
            assert!(
                !["NaN", "undefined", "null", "Invalid date", ""].contains(&words),
                "{title}: a cell says {words:?}"
            );
        }
        for href in list(frames, "")
            .iter()
            .flat_map(|f| list(f, "/fields"))
            .flat_map(|f| list(f, "/href"))
            .filter_map(Value::as_str)
        {
            assert!(
                !href.contains('$') && (href.starts_with("/d/") || href.starts_with("https://")),
                "{title}: a link to {href}"
            );
        }
    }
}

fn assert_drawn_connections(demo: &Demo, drawn: &BTreeMap<String, Value>) {
    let table = &drawn["Disconnected connections"];
    let names: Vec<&str> = list(table, "/0/fields").iter().map(|f| text(f, "name")).collect();
    assert_eq!(
        names,
        ["Account", "Network", "Reason", "Since", "Connected by", "Lost capabilities", "Reconnect", "Id"]
    );
    for (row, id) in column(table, "Id", "text").iter().filter_map(Value::as_str).enumerate() {
        let info = &demo.info[id];
        let cell = |name: &str| column(table, name, "text")[row].as_str().unwrap_or_default();
        let reason = Reason::from_label(&demo.verdicts[id]).expect("a reason");
        assert_eq!(cell("Reason"), meaning(reason), "{id}");
        assert_eq!(cell("Account"), info["name"]);
        assert_eq!(
            cell("Network"),
            NetworkId::from_name(&info["network"]).expect("a network").description().title
        );
        assert_eq!(cell("Reconnect"), "Reconnect");
        assert!(cell("Since").ends_with(" ago"), "{}", cell("Since"));
        assert!(
            !cell("Lost capabilities").contains(|c: char| c.is_ascii_digit()),
            "{id}: {}",
            cell("Lost capabilities")
        );
        assert_eq!(column(table, "Reconnect", "href")[row], info["reconnect_url"].as_str());
        let life = format!(
            "/d/token-exporter-account?var-datasource=The Prometheus&var-account={id}&from=now-1h&to=now"
        );
        // Recent versions undo the escaping and leave it to the browser.
        let href = column(table, "Account", "href")[row].as_str().unwrap_or_default();
        assert_eq!(href.replace("%20", " "), life);
    }
    // One bar for each span, also where nothing is due, and the same in every time zone.
    let bars = &drawn["Deadlines by days left"];
    assert_eq!(
        column(bars, "due", "text"),
        ["< 1 day", "1–5 days", "5–10 days", "10–30 days", "30–60 days"].map(Value::from)
    );
    let due: Vec<usize> = column(bars, "Connections", "text")
        .iter()
        .map(|n| n.as_str().and_then(|n| n.parse().ok()).expect("a whole number"))
        .collect();
    let left = |days: &Value| days.as_str().and_then(|d| d.parse::<f64>().ok()).expect("days");
    let days: Vec<f64> = column(&drawn["Deadlines"], "Days left", "text").iter().map(left).collect();
    let spans = [(f64::MIN, 1.0), (1.0, 5.0), (5.0, 10.0), (10.0, 30.0), (30.0, 60.1)];
    for ((from, to), due) in spans.into_iter().zip(due) {
        // The list shows tenths of a day, so a deadline near a limit may be on either side.
        let within = |slack: f64| days.iter().filter(|d| **d >= from - slack && **d < to + slack).count();
        assert!((within(-0.1)..=within(0.1)).contains(&due), "{due} between {from} and {to} days: {days:?}");
    }
    // Red, orange, yellow and green at 1, 5 and 10 days: the demo has deadlines of each kind.
    let deadlines = &drawn["Deadlines"];
    let mut colors: BTreeMap<&str, &str> = BTreeMap::new();
    for (days, color) in
        column(deadlines, "Days left", "text").iter().zip(column(deadlines, "Days left", "color"))
    {
        let days: f64 = days.as_str().and_then(|d| d.parse().ok()).expect("a number of days");
        let kind = [(0.95, "today"), (4.95, "5d"), (9.95, "10d")]
            .iter()
            .find(|(below, _)| days < *below)
            .map_or("later", |(_, kind)| kind);
        let color = color.as_str().expect("a colour");
        assert_eq!(*colors.entry(kind).or_insert(color), color, "{days} days");
    }
    assert_eq!(colors.len(), 4, "{colors:?}");
    assert_eq!(colors.values().collect::<BTreeSet<_>>().len(), 4, "{colors:?}");
}

/// A disconnected account has to be reconnected now, whatever its deadlines say.
fn assert_lost(
    account: &str,
    dashboard: &Value,
    answers: &Answers,
    drawing: bool,
    all: &BTreeMap<String, String>,
) {
    assert_eq!(number(answers, "Reconnect by"), Some(0), "{account}");
    assert_eq!(number(answers, "Days left"), Some(0), "{account}");
    let (of_days, of_ends) = (&answers["Expiry times"][0].1, &answers["Expiry times"][1].1);
    assert!(list(of_days, "/result").is_empty(), "{account}: {of_days}");
    assert!(!of_ends.to_string().contains("\"deadline\""), "{account}: {of_ends}");
    let mut variables = all.clone();
    variables.insert("account".to_owned(), account.to_owned());
    for version in ["oldest", "newest"].into_iter().filter(|_| drawing) {
        let drawn = draw(version, dashboard, answers, &variables);
        let cell = |title: &str, name: &str, what: &str| column(&drawn[title], name, what)[0].clone();
        assert_eq!(cell("Reconnect by", "deadline", "text"), "now", "{account}");
        assert_eq!(cell("Days left", "days left", "text"), "none", "{account}");
        let red = cell("Connection", "connection", "color");
        assert_eq!(cell("Reconnect by", "deadline", "color"), red, "{account}");
        assert_eq!(cell("Days left", "days left", "color"), red, "{account}");
        let columns = list(&drawn["Expiry times"], "/0/fields").iter().map(|f| text(f, "name"));
        assert!(columns.eq(["Clock", "Ends"]), "{account}: {}", drawn["Expiry times"]);
    }
}

/// Runs queries for many choices at the same time.
async fn ask_each(
    asked: &Asked,
    dashboard: &Value,
    choices: Vec<(String, BTreeMap<String, String>)>,
) -> Vec<(String, Answers)> {
    let (dashboard, places) = (Arc::new(dashboard.clone()), Arc::new(tokio::sync::Semaphore::new(8)));
    let tasks: Vec<_> = choices
        .into_iter()
        .map(|(value, variables)| {
            let (asked, dashboard, places) = (asked.clone(), Arc::clone(&dashboard), Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire().await.expect("a place");
                (value, ask_all(&asked, &dashboard, &variables).await)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("answers"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_says_what_the_demo_is_for_every_value_of_every_variable() {
    let (_demo, address, _log) = start_demo(&[]);
    // Scraped twice, like a redundant pair of exporters: no join may fail on duplicates, and no
    // count may include them.
    let prometheus = Prometheus::start(&address, &["one", "two"]).await;
    let verdicts = every_verdict_of_the_demo(&prometheus).await;
    // All queries are for one time, at which both jobs have been scraped.
    let working = verdicts.values().filter(|reason| *reason == "ok").count();
    let settled = format!(
        "sum(up) == 2 and count(connection_valid == 0) == {} and count(connection_valid == 1) == {}",
        2 * (verdicts.len() - working),
        2 * working
    );
    let asked = eventually("a moment with both twins", Duration::from_secs(120), async || {
        // Seconds since 1970 fit a float exactly.
        let now = Timestamp::now().unix() as f64;
        let asked =
            Asked { client: http_client(), base: format!("http://{}", prometheus.address).into(), now };
        let both = asked.ask(&settled, true).await;
        (!list(&both, "/result").is_empty()).then_some(asked)
    })
    .await;
    let now = asked.now;
    let demo = Demo::read(&asked, verdicts).await;

    // Connections: all of them, then each value of each variable.
    let dashboard = load("connections");
    let all = everything("60s");
    let answers = ask_all(&asked, &dashboard, &all).await;
    assert_connections(&demo, &demo.chosen("", ""), &answers, now, "all");
    for (title, answer) in &answers {
        // No account recovers in the demo; promtool tests that.
        let expected = !["Recoveries", "Renewals"].contains(&title.as_str());
        assert!(answer.iter().all(|(_, data)| list(data, "/result").is_empty() != expected), "{title}");
    }
    for version in ["oldest", "newest"] {
        let drawn = draw(version, &dashboard, &answers, &all);
        assert_drawn(&dashboard, &drawn);
        assert_drawn_connections(&demo, &drawn);
    }
    for variable in &list(&dashboard, "/templating/list")[1..] {
        let name = text(variable, "name");
        let values = asked.values(&grafana_variables(text(variable, "definition"), &all)).await;
        let expected: BTreeSet<&str> = demo.info.values().map(|labels| labels[name].as_str()).collect();
        assert!(values.iter().map(String::as_str).eq(expected.into_iter()), "{name}: {values:?}");
        let choices = values.into_iter().map(|value| {
            let mut variables = all.clone();
            variables.insert(name.to_owned(), escaped(&value));
            (value, variables)
        });
        for (value, answers) in ask_each(&asked, &dashboard, choices.collect()).await {
            assert_connections(&demo, &demo.chosen(name, &value), &answers, now, &format!("{name} {value}"));
        }
    }

    // One account: each of them. If the metrics of a query exist, it has an answer.
    let dashboard = load("account");
    let accounts = asked.values(text(&list(&dashboard, "/templating/list")[1], "definition")).await;
    assert_eq!(accounts.len(), demo.info.len());
    let choices = accounts.into_iter().map(|account| {
        let mut variables = all.clone();
        variables.insert("account".to_owned(), account.clone());
        (account, variables)
    });
    let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let named_series = asked.ask("count by (__name__, account) ({account!=\"\"})", true).await;
    for series in list(&named_series, "/result") {
        there
            .entry(text(&series["metric"], "account").to_owned())
            .or_default()
            .insert(text(&series["metric"], "__name__").to_owned());
    }
    let lost: BTreeSet<&String> = demo.verdicts.iter().filter(|(_, r)| *r != "ok").map(|(a, _)| a).collect();
    let mut shown = BTreeSet::new();
    for (account, answers) in ask_each(&asked, &dashboard, choices.collect()).await {
        for (title, answer) in &answers {
            for (target, data) in answer {
                let (metrics, _) = named(text(target, "expr"));
                let empty = list(data, "/result").is_empty();
                let left_of_a_lost_one = lost.contains(&account)
                    && ["Days left over time", "Expiry times"].contains(&title.as_str());
                assert!(
                    !empty
                        || left_of_a_lost_one
                        || !metrics.is_subset(&there[&account])
                        || ["Recoveries", "Renewals"].contains(&title.as_str()),
                    "{account}: {title}"
                );
                if !empty {
                    shown.insert(title.clone());
                }
            }
        }
        if lost.contains(&account) {
            let drawing = demo.deadlines.contains_key(&account) && shown.insert("a lost one".to_owned());
            assert_lost(&account, &dashboard, &answers, drawing, &all);
        }
        let code = demo
            .verdicts
            .get(&account)
            .and_then(|r| Reason::from_label(r))
            .and_then(|r| Reason::ALL.iter().position(|o| *o == r));
        assert_eq!(number(&answers, "Connection"), code, "{account}");
        let login = demo.chosen("credential", &demo.info[&account]["credential"]);
        let judged = login.iter().filter(|a| demo.verdicts.contains_key(**a)).count();
        assert_eq!(rows(&answers, "The same login").len(), judged, "{account}");
        // An account with all data, rendered by both versions.
        if demo.degraded.contains(&account)
            && demo.deadlines.contains_key(&account)
            && there[&account].contains("token_scope_granted")
            && there[&account].contains("connection_report_timestamp_seconds")
            && shown.insert("drawn".to_owned())
        {
            let mut variables = all.clone();
            variables.insert("account".to_owned(), account.clone());
            for version in ["oldest", "newest"] {
                let drawn = draw(version, &dashboard, &answers, &variables);
                assert_drawn(&dashboard, &drawn);
                assert_eq!(column(&drawn["Connection"], "connection", "text")[0], "connected");
                assert!(
                    column(&drawn["Capabilities now"], "Obstacle", "text")
                        .iter()
                        .any(|t| t != "none: it is available")
                );
            }
        }
    }
    assert!(shown.contains("a lost one"), "the demo has a disconnected account with a deadline");
    assert!(shown.contains("drawn"), "the demo has a degraded account with a deadline and scopes");
    for panel in panels(&dashboard) {
        assert!(shown.contains(text(panel, "title")), "{}: empty for every account", text(panel, "title"));
    }

    // The exporter: all, each job, each instance.
    let dashboard = load("exporter");
    let mut choices = vec![("all".to_owned(), all.clone())];
    for variable in &list(&dashboard, "/templating/list")[1..] {
        let values = asked.values(&grafana_variables(text(variable, "definition"), &all)).await;
        assert!(!values.is_empty());
        choices.extend(values.into_iter().map(|value| {
            let mut variables = all.clone();
            variables.insert(text(variable, "name").to_owned(), escaped(&value));
            (value, variables)
        }));
    }
    for (value, answers) in ask_each(&asked, &dashboard, choices).await {
        for (title, answer) in &answers {
            // No report of the demo makes a probe due.
            let expected = title != "Time from report to verdict";
            assert!(
                answer.iter().all(|(_, data)| list(data, "/result").is_empty() != expected),
                "{value}: {title}"
            );
        }
        if value == "one" {
            for version in ["oldest", "newest"] {
                let drawn = draw(version, &dashboard, &answers, &all);
                let of = |title: &str, name: &str| {
                    column(&drawn[title], name, "text")[0].as_str().unwrap_or_default().to_owned()
                };
                assert_eq!(
                    (of("Exporter", "up"), of("Configuration", "configuration")),
                    ("up".to_owned(), "loaded".to_owned())
                );
                assert_eq!(
                    (of("Shards missing", "missing"), of("Accounts", "accounts")),
                    ("0".to_owned(), demo.info.len().to_string())
                );
                assert_drawn(&dashboard, &drawn);
            }
        }
    }
}
