//! The inventory: what its builder is given can be read of it, whole or as the share of a shard.

use std::time::Duration;

use token_exporter::inventory::{
    AccountSettings, CredentialSettings, Inventory, InventoryBuilder, NewAccount, NewCredential,
    SecretSource, escape,
};
use token_exporter::model::{Capabilities, Timestamp, Use};
use token_exporter::network::{NetworkId, ProbeRules};

const HOUR: Duration = Duration::from_secs(3600);

fn settings() -> Option<CredentialSettings> {
    let network = NetworkId::from_name("mastodon")?;
    Some(CredentialSettings {
        network,
        app: None,
        app_id: String::new(),
        api: "",
        auto_refresh: false,
        scopes: None,
        base_url: None,
        probe_rules: ProbeRules::default(),
    })
}

fn role(probe_interval: Option<Duration>) -> Option<AccountSettings> {
    let (network, needs) = (settings()?.network, Capabilities::DEFAULT);
    Some(AccountSettings {
        network,
        kind: "account",
        needs,
        purpose: Use::Owned,
        probe_interval,
        language: None,
    })
}

fn credential(id: &str, token: SecretSource) -> Option<NewCredential<'_>> {
    Some(NewCredential {
        id,
        connected_by: Some("Jane").filter(|_| id != "b"),
        token,
        token_secret: Some(SecretSource::Env("SECOND".to_owned())).filter(|_| id == "c"),
        expires_at: Timestamp::from_unix(7),
        refresh_expires_at: None,
        grant: settings()?,
    })
}

/// Shared credentials `a` to `c` with accounts in turn, and between them accounts with
/// credentials of their own.
fn filled() -> Option<InventoryBuilder> {
    let mut builder = InventoryBuilder::default();
    for id in ["a", "b", "c", "unused"] {
        let file = SecretSource::File(format!("secrets/{id}").into());
        builder.add_credential(credential(id, file)?).ok()?;
    }
    for number in 0..40_usize {
        let id = format!("account-{number}{}", if number == 7 { "\"" } else { "" });
        let own = number % 4 == 3;
        let index = if own {
            let source = if number % 8 == 3 {
                SecretSource::Env(format!("TOKEN_{number}"))
            } else {
                SecretSource::Command(vec![id.clone()])
            };
            builder.add_credential(credential(&id, source)?).ok()?
        } else {
            number % 4
        };
        let interval = Duration::from_secs(60 * u64::try_from(number).ok()? + 60);
        let name = format!("Name {number}");
        let url = [format!("https://x.y/r/{id}"), format!("https://x.y/?i={number}"), String::new()];
        let account = NewAccount {
            id: &id,
            name: Some(name.as_str()).filter(|_| number % 3 > 0),
            external_id: Some("0123").filter(|_| number % 5 > 0),
            credential: index,
            labels: &[
                builder.put_label("team", "web").ok()?,
                builder.put_label("number", &number.to_string()).ok()?,
            ],
            notify: "a@example.com,b@example.com",
            opted_out: number == 8,
            reconnect_url: Some(url[number % 3].as_str()).filter(|url| !url.is_empty()),
            source_state: Some("refresh_needed").filter(|_| number % 2 > 0),
            next_use: i64::try_from(number).ok().and_then(Timestamp::from_unix),
            role: role(Some(interval).filter(|_| number > 2))?,
        };
        builder.add_account(&account).ok()?;
    }
    Some(builder)
}

/// An inventory of all that a builder holds, and of the credentials that are picked.
fn built(builder: InventoryBuilder, holds: impl Fn(&str) -> bool) -> Inventory {
    Inventory::new(Vec::new(), builder, Some(HOUR), holds)
}

/// Everything that can be read of an account, by its id.
fn told(inventory: &Inventory, id: &str) -> Option<String> {
    let account = inventory.account(inventory.find(id)?)?;
    let credential = account.credential()?;
    assert_eq!(inventory.find_credential(credential.id()), Some(credential.index()));
    let labels: Vec<_> = account.labels().collect();
    let of_account = (
        account.name(),
        account.external_id(),
        (account.reconnect_url(), account.source_state()),
        labels,
        account.notify(),
        account.interval(None),
    );
    let of_credential = (
        credential.id(),
        credential.token(),
        credential.token_secret(),
        credential.connected_by(),
        credential.expires_at(),
        credential.network(),
    );
    Some(format!("{} {of_account:?} {of_credential:?}", account.id()))
}

#[test]
fn nothing_is_lost_when_accounts_are_put_side_by_side() {
    let builder = filled().unwrap_or_default();
    let ids: Vec<String> = builder.accounts().map(|a| a.id().to_owned()).collect();
    assert_eq!(ids.len(), 40);
    let before: Vec<_> = ids.iter().map(|id| told(&builder, id)).collect();
    let first = before[0].as_deref().unwrap_or("");
    assert!(first.contains("https://x.y/r/account-0") && first.contains("secrets/a"), "{first}");
    let inventory = built(builder, |_| true);
    assert_eq!(ids.iter().map(|id| told(&inventory, id)).collect::<Vec<_>>(), before);
    assert_eq!(inventory.find("account-40"), None);
    // A credential without accounts is not kept.
    assert_eq!((inventory.credentials().len(), inventory.find_credential("unused")), (13, None));
    let mut next = 0;
    for credential in inventory.credentials() {
        let accounts = credential.accounts();
        assert_eq!(accounts.start, next);
        next = accounts.end;
        assert!(!accounts.is_empty(), "{}", credential.id());
        for index in accounts {
            let of = inventory.account(index).map(|account| account.credential_index());
            assert_eq!(of, Some(credential.index()), "{}", credential.id());
        }
    }
    assert_eq!(next, 40);
    let interval = |id| Some(inventory.credential(inventory.find_credential(id)?)?.interval());
    // The first account of "a" has the usual interval, its second one five minutes.
    assert_eq!(interval("a"), Some(Duration::from_secs(300)));
    assert_eq!(interval("account-7\""), Some(Duration::from_secs(480)));
}

#[test]
fn a_shard_holds_only_its_own_share() {
    let builder = filled().unwrap_or_default();
    let whole = built(builder.clone(), |_| true);
    let share = built(builder.clone(), |credential| credential == "b" || credential == "account-11");
    let ids: Vec<&str> = share.accounts().map(|a| a.id()).collect();
    assert_eq!((ids.len(), share.credentials().len()), (11, 2));
    assert!(ids.iter().all(|id| told(&share, id) == told(&whole, id)), "{ids:?}");
    assert_eq!((share.find("account-0"), share.find_credential("a")), (None, None));
    let held = |inventory: &Inventory| format!("{inventory:?}").matches("account-").count();
    assert!(held(&share) < held(&whole) / 2, "texts of others are not kept");
    let mut few = builder;
    few.retain(|account| account.id() == "account-11");
    let few = built(few, |_| true);
    assert_eq!((few.len(), few.credentials().len()), (1, 1));
    assert_eq!(told(&few, "account-11"), told(&whole, "account-11"));
}

#[test]
fn samples_find_every_text_escaped() {
    let escaped = |special: &str, index: usize| {
        let texts = std::array::from_fn(|i| format!("text {i}{}", if i == index { special } else { "" }));
        let [id, name, external_id, notify, url, login, person, app_id, label] = &texts;
        let mut builder = InventoryBuilder::default();
        let grant = CredentialSettings { app_id: app_id.clone(), ..settings()? };
        let token = SecretSource::Env("TOKEN".to_owned());
        let credential = NewCredential { connected_by: Some(person), grant, ..credential(login, token)? };
        let account = NewAccount {
            id,
            name: Some(name),
            external_id: Some(external_id),
            credential: builder.add_credential(credential).ok()?,
            labels: &[builder.put_label("team", label).ok()?],
            notify,
            opted_out: false,
            reconnect_url: Some(url),
            source_state: Some(name),
            next_use: None,
            role: role(None)?,
        };
        builder.add_account(&account).ok()?;
        let inventory = built(builder, |_| true);
        let account = inventory.account(0)?;
        let found = account.escaped()?;
        assert_eq!(account.escaped_source_state(), Some(&*escape(name)));
        let label_of = |name: &str, text: &str| format!("{name}=\"{}\"", escape(text));
        let account_labels = format!("{{{},network=\"mastodon\"", label_of("account", id));
        assert_eq!(inventory.account_labels(0), account_labels);
        let labels: Vec<&str> = account.escaped_labels().collect();
        assert_eq!(labels, [format!(",{}", label_of("team", label))]);
        assert_eq!(account.labels().collect::<Vec<_>>(), [("team", label.as_str())]);
        assert_eq!(
            [found.name, found.external_id, found.notify, found.reconnect_url],
            [name, external_id, notify, url].map(|text| escape(text))
        );
        assert_eq!(
            [found.credential, found.connected_by, found.app],
            [login, person, app_id].map(|text| escape(text))
        );
        Some(())
    };
    for special in ["", "\\", "\"", "\n", "=\"", "\","] {
        assert!((0..9).all(|index| escaped(special, index).is_some()), "{special:?}");
    }
}

const ESCAPED: [(&str, &str); 8] = [
    ("", ""),
    ("plain", "plain"),
    ("Größe <b>", "Größe <b>"),
    ("with \"quotes\"", "with \\\"quotes\\\""),
    ("back\\slash", "back\\\\slash"),
    ("\\n is no line break", "\\\\n is no line break"),
    ("a\nb", "a\\nb"),
    ("\\\\\"\n", "\\\\\\\\\\\"\\n"),
];

/// An inventory of accounts with this name, recipient and label.
fn with_texts<'t>(texts: impl Iterator<Item = &'t str>) -> Option<Inventory> {
    let mut builder = InventoryBuilder::default();
    let token = SecretSource::Env("TOKEN".to_owned());
    let index = builder.add_credential(credential("login", token)?).ok()?;
    for (number, text) in texts.enumerate() {
        let account = NewAccount {
            id: &format!("account-{number}"),
            name: Some(text),
            external_id: None,
            credential: index,
            labels: &[builder.put_label("team", text).ok()?],
            notify: text,
            opted_out: false,
            reconnect_url: None,
            source_state: None,
            next_use: None,
            role: role(None)?,
        };
        builder.add_account(&account).ok()?;
    }
    Some(built(builder, |_| true))
}

/// What is the escaped form of one text is another text as well.
#[test]
fn texts_are_read_as_configured_and_as_labels_want_them() {
    let twice = ESCAPED.iter().flat_map(|(plain, escaped)| [*plain, *escaped]);
    let inventory = with_texts(twice.clone()).expect("room");
    for (account, text) in inventory.accounts().zip(twice) {
        let expected = ESCAPED.iter().find(|(plain, _)| *plain == text).map(|(_, escaped)| (*escaped).into());
        let expected = expected.unwrap_or_else(|| escape(text));
        assert_eq!(escape(text), expected);
        assert_eq!([account.name(), account.notify()], [text, text]);
        let escaped = account.escaped().expect("a credential");
        assert_eq!([escaped.name, escaped.notify], [&*expected, &*expected]);
        assert_eq!(account.labels().collect::<Vec<_>>(), [("team", text)]);
        let label = format!(",team=\"{expected}\"");
        assert_eq!(account.escaped_labels().collect::<Vec<_>>(), [label]);
    }
}

#[test]
fn repeated_values_are_held_once() {
    let texts: Vec<String> = (0..1000).map(|i| format!("word \"{i}\"")).collect();
    let inventory = with_texts(texts.iter().chain(&texts).map(String::as_str)).expect("room");
    assert_eq!((inventory.len(), inventory.label_sets().len()), (2000, 1000));
    for (index, account) in inventory.accounts().enumerate() {
        let text = &texts[index % 1000];
        assert_eq!((account.label_set(), account.notify()), (index % 1000, text.as_str()));
        assert_eq!(account.escaped().map(|texts| texts.notify), Some(&*escape(text)));
    }
    // Words stand one after the other: as a recipient, and as a label.
    let shown = format!("{inventory:?}");
    let together = format!("{0}{1}{2}", texts[6], escape(&texts[6]), texts[7]);
    assert_eq!(shown.matches(&format!("{together:?}").trim_matches('"')).count(), 1);
}
