//! Account files in JSON and in lines of JSON: the same as in YAML, and what is told of bad ones.

use std::fmt::Write as _;

use proptest::prelude::*;
use token_exporter::config::{Config, Known, Last, Problems, load, load_keeping};
use token_exporter::inventory::{Inventory, SourceStatus};

use crate::arbitrary::runner;

const MAIN: &str = "apps: [{id: app, network: mastodon, base_url: \"http://127.0.0.1:1\"}]\n\
                    global: {notify: [ops@example.com]}\naccount_files: [d/*]\n";

/// A folder with the main file and one account file.
struct Folder {
    folder: tempfile::TempDir,
    inventory: Inventory,
    sources: Vec<SourceStatus>,
}

impl Folder {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("main.yaml"), MAIN).unwrap();
        let new = Self { folder, inventory: Inventory::default(), sources: Vec::new() };
        new.write(name, content);
        new
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join("d").join(name), content).unwrap();
    }

    fn load(&self) -> Result<Config, Problems> {
        load(&[self.folder.path().join("main.yaml")])
    }

    fn load_keeping(&self) -> Config {
        let last = Last { inventory: &self.inventory, sources: &self.sources };
        load_keeping(&[self.folder.path().join("main.yaml")], Known::Last(last)).unwrap()
    }

    /// The ids and names of the accounts in force after a reload, and the problems.
    fn reload(&mut self) -> (String, String) {
        let mut config = self.load_keeping();
        let problems = self.shown(&config.refused.to_string());
        self.sources = std::mem::take(&mut config.statuses);
        self.inventory = config.inventory(|_| true);
        let mut accounts: Vec<String> =
            self.inventory.accounts().map(|a| format!("{}={}", a.id(), a.name())).collect();
        accounts.sort();
        (accounts.join(" "), problems)
    }

    fn shown(&self, text: &str) -> String {
        text.replace(&format!("{}/d/", self.folder.path().display()), "")
    }

    fn problems(&self) -> String {
        self.shown(&self.load().err().unwrap_or_default().to_string())
    }
}

/// Everything that the rows of an account file say.
fn rows(name: &str, content: &str) -> String {
    let folder = Folder::new(name, content);
    let config = folder.load().unwrap_or_else(|problems| panic!("{name}: {problems}"));
    folder.described(&config.inventory(|_| true))
}

impl Folder {
    fn described(&self, inventory: &Inventory) -> String {
        let folder = self;
        let mut out = String::new();
        for c in inventory.credentials() {
            let token = folder.shown(&format!("{:?}", c.token()));
            let settings = c.settings();
            let _ =
                writeln!(out, "{} {token} {:?} {:?} {settings:?}", c.id(), c.expires_at(), c.connected_by());
        }
        for a in inventory.accounts() {
            let texts = [a.id(), a.name(), a.external_id(), a.reconnect_url(), a.notify()];
            let labels: Vec<_> = a.labels().collect();
            let credential = a.credential().unwrap();
            let further = (a.source_state(), a.next_use(), a.opted_out());
            let _ = writeln!(out, "{texts:?} {labels:?} {:?} {} {further:?}", a.settings(), credential.id());
        }
        out
    }
}

const JANE: &str = r#"{"id": "jane", "network": "mastodon", "token_file": "jane", "connected_by": "Jane", "expires_at": 1900000000, "auto_refresh": true, "scopes": ["read", "write"]}"#;
const ONE: &str = r#"{"id": "one", "name": "Ä \"quoted\" 🦀", "network": "mastodon", "external_id": 17, "credential": "jane", "needs": ["publish"], "use": "paid", "labels": {"team": "a/b", "n": 5, "yes": true}, "notify": ["a@example.com", "b@example.com"], "notify_opt_out": ["b@example.com"], "reconnect_url": "https://app.example.com/r/one", "probe_interval": "6h"}"#;
const TWO: &str = r#"{"id": "two", "network": "mastodon", "token_env": "TWO", "labels": null, "reconnect_url": "https://app.example.com/r/two"}"#;

#[test]
fn json_and_lines_say_the_same_as_yaml() {
    let yaml = rows(
        "a.yml",
        "credentials:\n- id: jane\n  network: mastodon\n  token_file: jane\n  connected_by: Jane\n  \
         expires_at: 1900000000\n  auto_refresh: true\n  scopes: [read, write]\naccounts:\n- id: one\n  name: \
         Ä \"quoted\" 🦀\n  network: mastodon\n  external_id: 17\n  credential: jane\n  needs: [publish]\n  \
         use: paid\n  labels: {team: a/b, n: 5, yes: true}\n  notify: [a@example.com, b@example.com]\n  \
         notify_opt_out: [b@example.com]\n  reconnect_url: https://app.example.com/r/one\n  probe_interval: \
         6h\n- id: two\n  network: mastodon\n  token_env: TWO\n  labels:\n  reconnect_url: \
         https://app.example.com/r/two\n",
    );
    assert!(yaml.contains("🦀") && yaml.contains("jane"), "{yaml}");
    let escaped = ONE.replace('Ä', "\\u00C4").replace('🦀', "\\ud83e\\uDD80").replace('/', "\\/");
    for (name, content) in [
        ("a.json", format!("{{\"credentials\": [{JANE}],\r\n\t\"accounts\": [{ONE}, {TWO}]}}\n")),
        ("a.json", format!("\u{feff}{{\"accounts\": [{ONE}, {TWO}], \"credentials\": [{JANE}]}}")),
        ("a.JSON", format!("{{\"accounts\": [{escaped}, {TWO}], \"credentials\": [{JANE}]}}")),
        // In any order, with and without the names of sections.
        ("a.jsonl", format!("{JANE}\n{ONE}\n{TWO}\n")),
        ("a.jsonl", format!("\u{feff}{escaped}\r\n\r\n  \n{TWO}\r\n{JANE}")),
        ("a.jsonl", format!("{{\"account\": {ONE}}}\n{{\"credential\": {JANE}}}\n{{\"account\": {TWO}}}\n")),
        ("a.jsonl", format!("{ONE}\n{TWO}\n{}", JANE.replace("token_file", "\\u0074oken_file"))),
    ] {
        assert_eq!(rows(name, &content), yaml, "{content}");
    }
}

#[test]
fn a_line_that_another_names_is_a_credential() {
    let login = r#"{"id": "login", "network": "mastodon", "token": "sim-login"}"#;
    let page = r#"{"id": "page", "network": "mastodon", "credential": "login"}"#;
    let mut folder = Folder::new("a.jsonl", format!("{page}\n{login}\n"));
    assert_eq!(folder.reload(), ("page=page".to_owned(), String::new()));
    // Without that line, it is an account with a token of its own.
    folder.write("a.jsonl", login);
    folder.sources[0].shrunk = true;
    assert_eq!(folder.reload(), ("login=login".to_owned(), String::new()));
    // A line that says so is one in any case, as are the accounts of another file.
    folder.write("a.jsonl", format!("{{\"account\": {login}}}\n{page}\n"));
    assert_eq!(folder.reload().0, "login=login page=page");
    folder.write("a.jsonl", format!("{{\"credential\": {login}}}\n"));
    folder.write("b.jsonl", page);
    assert_eq!(folder.reload(), ("page=page".to_owned(), String::new()));
    // What only an account may have is refused.
    folder.write("b.jsonl", format!("{page}\n{}", login.replace("\"token\"", "\"name\": \"x\", \"token\"")));
    std::fs::remove_file(folder.folder.path().join("d/a.jsonl")).unwrap();
    let told = folder.problems();
    assert!(told.starts_with("b.jsonl:2:40: name: unknown key; known are id, network, app"), "{told}");
}

#[test]
fn problems_of_lines_have_their_place() {
    let fine = r#"{"id": "a", "network": "mastodon", "token": "sim-a"}"#;
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let long = format!("{{\"id\": \"{}\"}}", "x".repeat(1 << 20));
    let table: &[(&str, &str)] = &[
        (r#"{"id": "a""#, "2:11: is not JSON: ends too early: expected a comma or }"),
        (r#"{"id": "a"#, "2:8: is not JSON: the quotes that begin here do not end"),
        (r#"{"id": "ä" 1}"#, "2:12: is not JSON: expected a comma or }"),
        (r#"{"id": "b",}"#, "2:12: is not JSON: expected a key in double quotes"),
        (r#"{id: "b"}"#, "2:2: is not JSON: expected a key in double quotes"),
        (r#"{'id': 1}"#, "2:2: is not JSON: expected a key in double quotes"),
        (r#"{"id" "b"}"#, "2:7: is not JSON: expected a colon"),
        (r#"{"id": b}"#, "2:8: is not JSON: expected a value (texts are in double quotes)"),
        (r#"{"id": nullx}"#, "2:8: is not JSON: expected a value (texts are in double quotes)"),
        (r#"{"id": 01}"#, "2:9: is not JSON: expected a comma or }"),
        (r#"{"id": -}"#, "2:9: is not JSON: expected a digit"),
        (r#"{"id": "\x"}"#, "2:9: is not JSON: expected one of the escapes that JSON has"),
        (
            r#"{"id": "\ud83e"}"#,
            "2:9: is not JSON: expected \\u with four digits, of which no half of a pair stands alone",
        ),
        (
            "{\"id\": \"a\tb\"}",
            "2:10: is not JSON: expected an escape like \\n instead of a control character",
        ),
        (r"{} {}", "2:4: is not JSON: expected nothing more"),
        (&deep, "2:33: is nested deeper than 32 levels"),
        (&long, "2:1: is longer than 1 MiB"),
        ("[1]", "2:1: expected a mapping, found a list"),
        ("sim", "2:1: is not JSON: expected a value (texts are in double quotes)"),
        (
            r#"{"id": "b", "id": "c", "network": "mastodon", "token": "sim-b"}"#,
            "2:13: id: duplicate key; first at 2:2",
        ),
        (
            r#"{"id": "ä", "netwrk": 1, "network": "mastodon", "token": "sim-b"}"#,
            "2:13: netwrk: unknown key (did you mean \"network\"?)",
        ),
        (
            r#"{"account": {"id": "b", "network": "mastodn", "token": "sim-b"}}"#,
            "2:36: account.network: \"mastodn\" is not known (did you mean \"mastodon\"?)",
        ),
        (
            r#"{"credential": {"id": "b", "network": "mastodon"}}"#,
            "2:16: credential: names no token: expected one of token_file, token_env, token_command, token",
        ),
        (
            r#"{"id": "a", "network": "mastodon", "token": "sim-b"}"#,
            "2:8: id: \"a\" is already used at a.jsonl:1:8",
        ),
        (
            r#"{"id": "b", "network": "mastodon", "credential": "c"}"#,
            "2:50: credential: \"c\" is not known; known are a",
        ),
    ];
    for (line, problem) in table {
        let folder = Folder::new("a.jsonl", format!("{fine}\n{line}\n{}\n", fine.replace("\"a\"", "\"z\"")));
        assert_eq!(folder.problems(), format!("a.jsonl:{problem}"), "{line:.100}");
        // It costs itself only.
        let mut folder = folder;
        let (accounts, refused) = folder.reload();
        assert_eq!(accounts, "a=a z=z", "{line:.100}");
        assert_eq!(refused, format!("a.jsonl:{problem}"), "{line:.100}");
    }
    let folder = Folder::new("a.jsonl", [b"\n{\"id\": \"\xc3\xa4", &b"\xff\"}"[..]].concat());
    assert_eq!(folder.problems(), "a.jsonl:2:10: is not UTF-8 text");
    // A document is read as a whole, or not at all.
    let folder = Folder::new("a.json", format!("[{fine},\n {{\"id\": \"ä\" 1}}]"));
    assert_eq!(folder.problems(), "a.json:2:13: is not JSON: expected a comma or }");
    let folder =
        Folder::new("a.json", format!("{{\"accounts\":\n [{fine}, 1], \"apps\": [], \"accounts\": []}}"));
    assert_eq!(
        folder.problems(),
        "a.json:2:57: accounts[1]: expected a mapping, found a single value\na.json:2:61: apps: unknown \
         key; known are credentials, accounts\na.json:2:73: accounts: duplicate key; first at 1:2"
    );
    let folder = Folder::new("a.json", "");
    assert_eq!(
        folder.problems(),
        "a.json:1:1: is not JSON: ends too early: expected a value (texts are in double quotes)"
    );
    let folder = Folder::new("a.jsonl", "");
    assert_eq!(folder.problems(), "");
}

#[test]
fn a_torn_line_keeps_the_rows_of_its_file() {
    let line = |id: &str, name: &str| {
        format!(
            "{{\"id\": \"{id}\", \"name\": \"{name}\", \"network\": \"mastodon\", \"token\": \"sim-{id}\"}}\n"
        )
    };
    let mut folder = Folder::new("a.jsonl", line("a", "1") + &line("b", "1") + &line("c", "1"));
    assert_eq!(folder.reload().0, "a=1 b=1 c=1");
    let text = line("a", "2") + &line("b", "2") + &line("c", "2");
    folder.write("a.jsonl", &text[..text.len() - 20]);
    let (accounts, problems) = folder.reload();
    assert_eq!(accounts, "a=2 b=2 c=1");
    assert!(problems.starts_with("a.jsonl:3:") && folder.sources[0].refused == 1, "{problems}");
    assert_eq!(folder.sources[0].up, Some(true));
    folder.write("a.jsonl", text);
    assert_eq!(folder.reload(), ("a=2 b=2 c=2".to_owned(), String::new()));
}

/// A file is read in parts of 4 MiB.
#[test]
fn long_files_are_read_in_parts() {
    let mut text = String::new();
    for i in 0..60_000 {
        let width = i % 211;
        let _ = writeln!(
            text,
            "{{\"id\": \"a{i}\", \"network\": \"mastodon\", \"token_env\": \"T\", \"name\": \"{:>width$}x\"}}",
            ""
        );
        if i % 20_000 == 7_000 {
            text += &format!("\"{}\"\n\n", "y".repeat(5 << 20));
        }
    }
    text = text.replace("\"name\": \" ", "\"name\": \"n ").replace(" x\"", ".x\"");
    text += "{\"id\": 1";
    let folder = Folder::new("a.jsonl", &text);
    let lines = text.lines().count();
    let long = text.lines().zip(1..).filter(|(line, _)| line.starts_with('"')).map(|(_, number)| number);
    let mut expected: String = long.map(|n| format!("a.jsonl:{n}:1: is longer than 1 MiB\n")).collect();
    expected += &format!("a.jsonl:{lines}:9: is not JSON: ends too early: expected a comma or }}");
    assert_eq!(folder.problems(), expected);
    let mut folder = folder;
    folder.reload();
    assert_eq!((folder.inventory.len(), folder.sources[0].refused), (60_000, 4));
}

/// A line is JSON if another reader thinks so, too, and its texts are the same.
#[test]
fn json_is_what_serde_json_accepts() {
    let line = r#"{"id": "a", "network": "mastodon", "token": "sim-aé\n\u00e9\ud83e\udd80", "labels": {"a": [1.5e-3, -0, true, null, {}, []]}}"#;
    let at = 0..line.len();
    let piece = prop::sample::select(vec![
        "", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", "e", ".", "u", "\\u", "dd80", "\u{1}", "é",
        "null", " ",
    ]);
    let same = runner(300).run(&(at, 0..4usize, piece), |(at, cut, piece)| {
        let at = (0..=at).rev().find(|at| line.is_char_boundary(*at)).unwrap();
        let end = (at + cut..=line.len()).find(|end| line.is_char_boundary(*end)).unwrap_or(line.len());
        let changed = [&line[..at], piece, &line[end..]].concat();
        let told = Folder::new("a.jsonl", &changed).problems();
        let accepted = serde_json::from_str::<serde_json::Value>(&changed).is_ok();
        prop_assert_eq!(!told.contains("is not JSON"), accepted, "{}\n{}", changed, told);
        Ok(())
    });
    same.unwrap();
    let same = runner(100).run(&("\\PC{0,20}", any::<bool>()), |(name, escape)| {
        let name = format!("n{name}e");
        let mut text = serde_json::to_string(&name).unwrap();
        if escape {
            let units = name.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            text = format!("\"{}\"", units.collect::<String>());
        }
        let row =
            format!("{{\"name\": {text}, \"id\": \"a\", \"network\": \"mastodon\", \"token_env\": \"A\"}}");
        let config = Folder::new("a.jsonl", &row).load();
        let config = config.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        let inventory = config.inventory(|_| true);
        prop_assert_eq!(inventory.account(0).unwrap().name(), name);
        Ok(())
    });
    same.unwrap();
}

/// Lines of lists as programs write them, and values that their parts are replaced by.
const LISTS: [&str; 3] = [
    r#"{"id":"a-#","name":"Page 0","network":"mastodon","kind":"profile","external_id":"1000","credential":"jane","notify":["a@example.com"],"labels":{"team":"one","region":"emea"},"reconnect_url":"https://app.example.com/r/a-#","state":"authorized","next_use":1900000000}"#,
    r#"{"account": {"id": "b-#", "network": "mastodon", "token_file": "jane", "connected_by": "Jane", "expires_at": 1900000000, "name": "Seite 0", "labels": {"n": 5}, "notify": ["a@example.com", "b@example.com"], "needs": ["publish"]}}"#,
    r#"{"credential":{"id":"c-#","network":"mastodon","token":"sim-c-#","connected_by":"Jane","refresh_expires_at":"2030-01-01T00:00:00Z"}}"#,
];
const REPLACED: &[(&str, &[&str])] = &[
    ("-#", &["-1", "-2", "", " ", "\u{e9}", "\\u00e9"]),
    ("Page 0", &["", "Page 1", " Page", "Seite \u{fc}", "\\\"", "a,\"b"]),
    ("jane", &["john", "", "nobody", "jane/jane"]),
    ("mastodon", &["x", "facebook", "Mastodon"]),
    ("1000", &["1001", "01", "-1", "1.5", "true"]),
    ("1900000000", &["1900000001", "0", "01", "9900000000", "1900000000000", "\"soon\"", "null", "-1"]),
    ("2030", &["2031", "2099", "never"]),
    ("a@example.com", &["c@example.com", "A@example.com", "b@example.com", "nobody", ""]),
    ("one", &["two", "", "\t", "\u{fc}"]),
    ("5", &["6", "6.5", "[]", "{}"]),
    ("https://app.example.com/r/", &["https://app.example.com/s/", "http://u:p@h/", "ftp://h/", ""]),
    ("authorized", &["disabled", ""]),
    ("sim-c-#", &["sim-c-1", "", "{}", "a b"]),
    ("Jane", &["John", ""]),
    ("\"labels\"", &["\"notify\"", "\"label\""]),
    ("publish", &["inbox", "nothing"]),
];

/// Rows like the one before are read in a short way. With a different number of blanks at its end, no
/// line is like another, and all are read in the long way.
#[test]
fn rows_that_are_alike_are_read_as_any_others() {
    let change = (0..REPLACED.len(), 0..8usize);
    let row = (0..LISTS.len(), 0..4usize, proptest::option::of(change));
    let same = runner(150).run(&proptest::collection::vec(row, 2..9), |rows| {
        let lines: Vec<String> = rows
            .iter()
            .map(|(list, number, change)| {
                let line = LISTS[*list];
                let numbered = |line: &str| line.replace("-#", &format!("-{number}"));
                let Some((what, by)) = change else { return numbered(line) };
                let (what, by) = (REPLACED[*what].0, REPLACED[*what].1[by % REPLACED[*what].1.len()]);
                numbered(&line.replacen(what, by, 1))
            })
            .collect();
        let read = |blanks: usize| {
            let ends = (0..).map(|i| " ".repeat(i * blanks));
            let lines = lines.iter().zip(ends).map(|(line, end)| format!("{line}{end}\n"));
            let folder = Folder::new("a.jsonl", lines.collect::<String>());
            folder.write("b.yml", format!("credentials: [{JANE}, {}]", JANE.replace("jane", "john")));
            let mut config = folder.load_keeping();
            config.statuses.iter_mut().for_each(|status| status.last_success = None);
            let told = folder.shown(&format!("{:?}", config.refused));
            let statuses = folder.shown(&format!("{:?}", config.statuses));
            [folder.described(&config.inventory(|_| true)), told, statuses, folder.problems()]
        };
        for (short, long) in read(0).iter().zip(read(1)) {
            prop_assert_eq!(short, &long, "{:#?}", lines);
        }
        Ok(())
    });
    same.unwrap();
}
