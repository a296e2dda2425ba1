//! The status page in a real browser: used with a mouse and with the keyboard, and checked by axe
//! for accessibility.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use token_exporter::model::{Reason, Timestamp};
use token_exporter::network::{Certainty, Verdict};
use token_exporter::page::ReloadFailure;

use crate::page::{DAY, Site};
use crate::prometheus::{eventually, get, start_demo};

/// Runs the script with these sites. Problems are on standard error.
async fn look(script: &'static str, sites: Vec<String>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(script);
    let run =
        move || Command::new("node").arg(script).args(sites).output().expect("node (tests/run installs it)");
    let output = tokio::task::spawn_blocking(run).await.expect("it ran");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_finds_everything_and_axe_finds_nothing() {
    let (_demo, address, _log) = start_demo(&[]);
    let demo = format!("http://{address}");
    eventually("an account in each state", Duration::from_secs(150), async || {
        let overview = get(&format!("{demo}/api/v1/connections?per_page=1")).await?;
        (overview.contains("\"waiting\":0") && !overview.contains("\"unverified\":0")).then_some(())
    })
    .await;
    let empty = Site::start("accounts: []", "").await;
    let yaml = "accounts:\n  - {id: '\"><img src=x onerror=alert(1)>', name: '<b>Bold</b> \
                <script>document.title=1</script>', network: mastodon, token: sim-1, labels: {team: \
                '<i>web</i> \u{202e}bew'}}\n";
    let nasty = Site::start(yaml, "").await;
    nasty.found(
        "\"><img src=x onerror=alert(1)>",
        Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain),
        Some(DAY),
    );
    let problems = (1..30).map(|i| format!("config.yaml:{i}:7: accounts[{i}]: <b>not</b> an account\n"));
    nasty
        .context
        .set_reload_failure(Some(ReloadFailure { at: Timestamp::now(), problems: problems.collect() }));
    look("page.mjs", vec![demo, empty.base.clone(), nasty.base.clone()]).await;
}
