//! Notices that networks send by themselves: whether they are let in, whose login they are about, and
//! what follows from them.
//!
//! How a notice is signed and what it says is up to its network. Must not know HTTP connections, nor
//! how state is shown. Nothing of a notice is logged but the network's name of the event.

mod keys;
mod remembered;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::sync::mpsc;

use self::keys::KeyCache;
use self::remembered::Remembered;
use crate::inventory::{App, Inventory};
use crate::model::{EventResult, Secret, Timestamp};
use crate::network::{Notice, NoticeForm, NoticeRefusal, NoticeRequest, NoticeSet, Subject};
use crate::scheduler::{ProbeRequest, log_verdict};
use crate::state::{LastNotice, Store};
use crate::telemetry::Metrics;
use crate::transport::Client;

/// Age in seconds up to which a notice counts. Networks repeat notices for up to three days.
const MAX_AGE: i64 = 72 * 3600;
/// How far in the future a notice may have been written, as clocks differ. In seconds.
const MAX_SKEW: i64 = 300;
/// How long an app's secret is kept after it was read: a flood of notices must not read it as often.
const SECRET_LIFETIME: Duration = Duration::from_secs(30);

/// Receives notices.
pub struct NoticeReceiver {
    store: Arc<Store>,
    metrics: Metrics,
    /// What runs now: it is replaced by a reload.
    running: Mutex<Option<Running>>,
    secrets: tokio::sync::Mutex<HashMap<String, (Instant, Option<Secret>)>>,
    keys: KeyCache,
    remembered: Mutex<Remembered>,
}

#[derive(Clone)]
struct Running {
    client: Client,
    probes: mpsc::Sender<ProbeRequest>,
}

/// How to answer a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeReply {
    pub status: u16,
    /// The code that confirms a request to delete data.
    pub confirmation: Option<String>,
    /// Whether it is signed and about logins, which other shards may hold.
    pub about_logins: bool,
}

impl NoticeReceiver {
    pub fn new(store: Arc<Store>, metrics: Metrics) -> Self {
        Self {
            store,
            metrics,
            running: Mutex::default(),
            secrets: tokio::sync::Mutex::default(),
            keys: KeyCache::default(),
            remembered: Mutex::default(),
        }
    }

    /// Sets the client that fetches keys, and where requests for probes go.
    pub fn set_running(&self, client: Client, probes: mpsc::Sender<ProbeRequest>) {
        let running = Running { client, probes };
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }

    /// How the notices of an app are received; none if there is no such app, its network sends none, or
    /// they cannot be checked.
    pub fn form(&self, app: &str) -> Option<&'static NoticeForm> {
        let inventory = self.store.snapshot().inventory;
        let app = find(&inventory, app)?;
        // What a notice is checked by: the client ID, or the secret.
        let checks = |form: &&NoticeForm| match form.keys {
            Some(_) => !app.client_id.is_empty(),
            None => app.client_secret.is_some(),
        };
        app.network.network().notices().filter(checks)
    }

    /// Counts a notice that was refused before it was read.
    pub fn refused(&self, app: &str, result: EventResult) {
        if let Some(app) = find(&self.store.snapshot().inventory, app) {
            self.metrics.notice_received(app.network, result);
        }
    }

    /// The answer to a GET of an app's address; none if there is none to this query.
    pub async fn get(&self, app: &str, query: &str) -> Option<String> {
        let answer = self.form(app)?.get?;
        let inventory = self.store.snapshot().inventory;
        answer(&self.secret(find(&inventory, app)?).await?, query)
    }

    /// Takes a notice. None if there is no such app, or its network sends none.
    pub async fn post(&self, app: &str, headers: &HeaderMap, body: &[u8]) -> Option<NoticeReply> {
        let inventory = self.store.snapshot().inventory;
        let app = find(&inventory, app)?;
        let form = app.network.network().notices()?;
        let (result, confirmation) = match self.read(app, form, headers, body).await {
            Ok(set) => (self.take(app, &set).await, set.confirmation),
            Err(result) => (result, None),
        };
        self.metrics.notice_received(app.network, result);
        tracing::debug!(
            app = app.id,
            network = app.network.name(),
            result = result.label(),
            "notice received"
        );
        let status = match result {
            EventResult::Applied
            | EventResult::ProbeDue
            | EventResult::Ignored
            | EventResult::UnknownLogin
            | EventResult::Repeated => form.status,
            EventResult::BadSignature | EventResult::OtherApp => 401,
            EventResult::Malformed | EventResult::Outdated => 400,
            EventResult::RateLimited => 429,
            EventResult::Unavailable => 503,
        };
        let taken = status == form.status;
        Some(NoticeReply {
            status,
            confirmation: confirmation.filter(|_| taken),
            about_logins: taken && result != EventResult::Ignored,
        })
    }

    /// Checks and reads a notice.
    async fn read(
        &self,
        app: &App,
        form: &NoticeForm,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<NoticeSet, EventResult> {
        let read = |secret: Option<&Secret>, keys| {
            (form.read)(&NoticeRequest { client_id: &app.client_id, secret, keys, headers, body })
        };
        let set = match form.keys {
            None => {
                let secret = self.secret(app).await.ok_or(EventResult::Unavailable)?;
                read(Some(&secret), None)
            }
            Some(calls) => {
                let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let client = running.ok_or(EventResult::Unavailable)?.client;
                let base = app.base_url.as_ref();
                let keys =
                    self.keys.get(&client, calls, base, false).await.ok_or(EventResult::Unavailable)?;
                match read(None, Some(&keys)) {
                    Err(NoticeRefusal::UnknownKey) => {
                        let keys = self.keys.get(&client, calls, base, true).await;
                        read(None, Some(&*keys.ok_or(EventResult::Unavailable)?))
                    }
                    result => result,
                }
            }
        };
        set.map_err(|refusal| match refusal {
            NoticeRefusal::BadSignature | NoticeRefusal::UnknownKey => EventResult::BadSignature,
            NoticeRefusal::OtherApp => EventResult::OtherApp,
            NoticeRefusal::Malformed => EventResult::Malformed,
        })
    }

    /// Does what a notice asks for, which is signed.
    async fn take(&self, app: &App, set: &NoticeSet) -> EventResult {
        let now = Timestamp::now();
        if !(-MAX_SKEW..=MAX_AGE).contains(&now.since(set.at)) {
            return EventResult::Outdated;
        }
        if set.notices.is_empty() {
            return EventResult::Ignored;
        }
        let is_new =
            self.remembered.lock().unwrap_or_else(PoisonError::into_inner).is_new(&app.id, set.id, now);
        if !is_new {
            return EventResult::Repeated;
        }
        let (app, set, store) = (app.clone(), set.clone(), self.store.clone());
        // On a thread of its own, as there may be many credentials.
        let applied = tokio::task::spawn_blocking(move || apply(&store, &app, &set, now)).await;
        let Ok(applied) = applied else { return EventResult::Unavailable };
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for credential in applied.credentials {
            // If too many requests wait, the credential is probed at its usual time.
            let _ = running.as_ref().map(|running| running.probes.try_send(ProbeRequest::Due(credential)));
        }
        applied.result
    }

    /// The app's secret; none if it has none, or it cannot be read.
    async fn secret(&self, app: &App) -> Option<Secret> {
        let mut secrets = self.secrets.lock().await;
        if let Some((_, secret)) = secrets.get(&app.id).filter(|(read, _)| read.elapsed() < SECRET_LIFETIME) {
            return secret.clone();
        }
        let secret = match &app.client_secret {
            Some(source) => source.read().await.ok().map(|(secret, _)| secret),
            None => None,
        };
        let secret = secret.filter(|secret| !secret.is_empty());
        secrets.retain(|_, (read, _)| read.elapsed() < SECRET_LIFETIME);
        secrets.insert(app.id.clone(), (Instant::now(), secret.clone()));
        secret
    }
}

fn find<'a>(inventory: &'a Inventory, app: &str) -> Option<&'a App> {
    inventory.apps().iter().find(|known| known.id == app)
}

struct Applied {
    result: EventResult,
    /// Those to be probed.
    credentials: Vec<usize>,
}

/// Applies notices to all credentials that they are about.
fn apply(store: &Store, app: &App, set: &NoticeSet, now: Timestamp) -> Applied {
    loop {
        if let Some(applied) = apply_to(store, app, set, now) {
            return applied;
        }
    }
}

/// None if the inventory has been replaced meanwhile.
fn apply_to(store: &Store, app: &App, set: &NoticeSet, now: Timestamp) -> Option<Applied> {
    let snapshot = store.snapshot();
    let inventory = &snapshot.inventory;
    // The same app at the network may be configured for several of its products.
    let same = |other: &App| {
        let forms = (app.network.network().notices(), other.network.network().notices());
        other.id == app.id
            || other.client_id == app.client_id
                && forms.0.zip(forms.1).is_some_and(|(form, other)| std::ptr::eq(form, other))
    };
    let is_of_app: Vec<bool> = inventory.apps().iter().map(same).collect();
    let subjects: HashMap<Subject, &Notice> =
        set.notices.iter().map(|notice| (notice.about, notice)).collect();
    let mut applied = Applied { result: EventResult::UnknownLogin, credentials: Vec::new() };
    for (index, watched) in inventory.credentials().enumerate() {
        if !watched.app().and_then(|app| is_of_app.get(app)).is_some_and(|same| *same) {
            continue;
        }
        let Some(names) = snapshot.credentials.get(index).map(|state| &state.names) else { continue };
        let named = names.subjects().filter_map(|subject| subjects.get(&subject));
        // A loss counts before a change.
        let Some(notice) = named.max_by_key(|notice| notice.lost.is_some()) else { continue };
        let last = LastNotice { at: now, event: notice.event.to_owned(), lost: notice.lost };
        let outcome = store.apply_notice(inventory, index, last, set.at)?;
        for change in &outcome.changes {
            log_verdict(inventory, watched, change, "event", None);
        }
        if outcome.counted {
            applied.result = EventResult::Applied;
        } else if applied.result == EventResult::UnknownLogin {
            applied.result = EventResult::ProbeDue;
        }
        applied.credentials.push(index);
    }
    Some(applied)
}
