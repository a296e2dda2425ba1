//! From the readings of a probe to a finding for each account.
//!
//! Shared by all networks, so it refuses nothing by itself: it weighs refusals that a network
//! recognised, and compares an account's needs with the scopes and roles that a network reported.

use super::{Account, Certainty, Facts, Grant, Question, Reach, Refusal, Rights, Says, Scopes, Seen};
use crate::model::{Capability, Cause, Expiry, Reason, Timestamp};

/// What one probe says about one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    /// The connection does not work; an ambiguous verdict needs a second probe.
    Invalid(Reason, Certainty),
    /// This probe cannot tell.
    Undetermined(Cause),
}

/// What a probe found out about one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    /// For each needed capability: [`Reason::Ok`] or why it is lost. Empty while undetermined.
    pub capabilities: Vec<(Capability, Reason)>,
    /// For each scope that the needs require, whether it is granted. Empty while that is unknown.
    pub scopes: Vec<(&'static str, bool)>,
}

/// What is known besides the answers.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub now: Timestamp,
    /// The clocks from the token source and the configuration.
    pub clocks: Clocks,
    /// Something else renews the access token.
    pub auto_refresh: bool,
    /// Seconds after its end during which an access token may wait for its renewal.
    pub grace: i64,
    /// A cause outside the grant that explains any refusal of this probe.
    pub excuse: Option<Cause>,
}

impl Known {
    fn passed(&self, expiry: Expiry) -> bool {
        expiry.at().is_some_and(|t| t <= self.now)
    }
}

/// The three clocks of a grant, and when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    pub access: Expiry,
    /// The refresh token's or the grant's.
    pub refresh: Expiry,
    /// The access to data's.
    pub data_access: Expiry,
    pub issued: Option<Timestamp>,
}

impl Clocks {
    /// These clocks, and others where these are unknown.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            access: self.access.or(other.access),
            refresh: self.refresh.or(other.refresh),
            data_access: self.data_access.or(other.data_access),
            issued: self.issued.or(other.issued),
        }
    }

    /// When a person must reconnect: the earliest clock that no refresh can move.
    pub fn deadline(self, auto_refresh: bool) -> Expiry {
        let Self { access, refresh, data_access, .. } = self;
        // Without an instant, the first one decides: "never" or "unknown".
        let fixed: &[Expiry] =
            if auto_refresh { &[refresh, data_access] } else { &[access, refresh, data_access] };
        fixed.iter().filter_map(|expiry| expiry.at()).min().map_or(fixed[0], Expiry::At)
    }
}

/// The clocks after a probe: the network's statements, else those of the token source.
///
/// A stated "no end" (Facebook's `expires_at: 0`) overrules a configured instant, which may be stale.
/// Tokens that never end by default (Mastodon's) do not: a compatible server may end them, and only
/// the configuration or the token response knows.
pub fn clocks(known: Clocks, seen: &[Seen]) -> Clocks {
    let said = |clocks: Clocks, Seen { reading, .. }: &Seen| {
        clocks.or(Clocks {
            access: reading.access_expiry,
            refresh: reading.refresh_expiry,
            data_access: reading.data_access_expiry,
            issued: reading.issued,
        })
    };
    let endless = if seen.iter().any(|s| s.reading.endless) { Expiry::Never } else { Expiry::Unknown };
    seen.iter().fold(Clocks::default(), said).or(known).or(Clocks { access: endless, ..Clocks::default() })
}

/// Seconds by which an expiry must lie ahead before a refused token counts as revoked rather than
/// expired.
const CLEARLY_AHEAD: i64 = 60;

/// What the answers mean for each account, in the order of the grant.
pub fn conclude(grant: &Grant<'_>, seen: &[Seen], known: &Known) -> Vec<Finding> {
    let known = Known { clocks: clocks(known.clocks, seen), ..*known };
    let reported = seen.iter().rev().find_map(|s| s.reading.scopes.clone());
    let scopes = reported.or_else(|| grant.tokens.scopes.clone().map(Scopes::new));
    grant
        .accounts
        .iter()
        .enumerate()
        .map(|(i, account)| {
            let verdict = if account.network.network().supports(account.kind) {
                match (weigh(i, account, seen, &known), known.excuse) {
                    (Verdict::Invalid(..), Some(cause)) => Verdict::Undetermined(cause),
                    (verdict, _) => verdict,
                }
            } else {
                Verdict::Invalid(Reason::UnsupportedAccountType, Certainty::Plain)
            };
            with_capabilities(verdict, grant, i, account, seen, scopes.as_ref())
        })
        .collect()
}

/// Weighs what was said about one account and its grant. In order of weight: a plainly stated reason,
/// trouble with the app or the clock (it explains any refusal), an ambiguous refusal, any other
/// trouble, acceptance.
fn weigh(i: usize, account: &Account<'_>, seen: &[Seen], known: &Known) -> Verdict {
    let said = || {
        seen.iter().filter(|s| match s.reading.says {
            Says::Refused(refusal) if refusal.reach == Reach::Grant => true,
            _ => concerns(s, i, account),
        })
    };
    let refusals = || {
        said()
            .filter_map(|s| s.reading.refusal())
            .chain(facts(i, account, seen).filter_map(|f| f.refused))
            .map(|refusal| match refusal.reason {
                // A single answer that names another account may be the network's mistake.
                Some(Reason::WrongAccount) => Refusal { certainty: Certainty::Ambiguous, ..refusal },
                _ => refusal,
            })
    };
    // A dead login explains the refusals of its accounts; else the first refusal counts.
    let of = |certainty: Certainty| {
        refusals().filter(|r| r.certainty == certainty).min_by_key(|r| r.reach == Reach::Account)
    };
    let trouble = |wanted: &dyn Fn(Cause) -> bool| {
        said().find_map(|s| match s.reading.says {
            Says::Undetermined(cause) if wanted(cause) => Some(Verdict::Undetermined(cause)),
            _ => None,
        })
    };
    of(Certainty::Plain)
        .map(|r| resolve(r, known))
        .or_else(|| trouble(&|c| matches!(c, Cause::AppMisconfigured(_) | Cause::ClockSkew)))
        .or_else(|| of(Certainty::Ambiguous).map(|r| resolve(r, known)))
        .or_else(|| trouble(&|_| true))
        .or_else(|| said().any(|s| s.reading.says == Says::Accepted).then(|| accepted(known)))
        .unwrap_or(Verdict::Undetermined(Cause::UnexpectedAnswer))
}

/// An accepted token works, unless its access to data has expired: Meta still calls such a token
/// valid. If the token itself should have ended already, the clocks are those of another day (of a
/// stored answer, say) and prove nothing.
fn accepted(known: &Known) -> Verdict {
    if known.passed(known.clocks.data_access) && !known.passed(known.clocks.access) {
        Verdict::Invalid(Reason::DataAccessExpired, Certainty::Plain)
    } else {
        Verdict::Valid
    }
}

/// Decides between expired and revoked by the known expiry: many networks answer both alike.
fn resolve(refusal: Refusal, known: &Known) -> Verdict {
    let passed = |expiry| known.passed(expiry);
    let reason = refusal.reason.unwrap_or(match known.clocks.access {
        _ if passed(known.clocks.refresh) || passed(known.clocks.access) => Reason::TokenExpired,
        Expiry::At(t) if t.since(known.now) > CLEARLY_AHEAD => Reason::AccessRevoked,
        Expiry::Never => Reason::AccessRevoked,
        Expiry::At(_) | Expiry::Unknown => Reason::TokenInvalid,
    });
    // A living refresh token is there to be used.
    let renewable = known.auto_refresh || known.clocks.refresh.at().is_some();
    let waiting = reason == Reason::TokenExpired
        && renewable
        && !passed(known.clocks.refresh)
        && known.clocks.access.at().is_some_and(|t| known.now.since(t) <= known.grace);
    if waiting {
        // The renewal is late, but not yet stuck: there is no fresh token to probe.
        Verdict::Undetermined(Cause::CredentialUnreadable)
    } else {
        Verdict::Invalid(reason, refusal.certainty)
    }
}

/// Whether a call was about this account, alone or with others.
fn concerns(s: &Seen, i: usize, account: &Account<'_>) -> bool {
    match s.question {
        Question { about: Some(about), .. } => about == i,
        Question { call: Some(call), .. } => account.network.network().concerns(call, account.kind),
        Question { call: None, about: None } => true,
    }
}

/// Everything that was said about one account, in its own answers and in lists.
fn facts<'a>(
    i: usize,
    account: &Account<'a>,
    seen: &'a [Seen],
) -> impl DoubleEndedIterator<Item = &'a Facts> + use<'a> {
    let id = account.external_id;
    seen.iter().flat_map(move |s| {
        let own = (s.question.about == Some(i)).then_some(&s.reading.facts);
        let listed =
            s.reading.listed.iter().filter(move |l| !l.partial && Some(l.external_id.as_str()) == id);
        own.into_iter().chain(listed.map(|l| &l.facts))
    })
}

fn with_capabilities(
    verdict: Verdict,
    grant: &Grant<'_>,
    i: usize,
    account: &Account<'_>,
    seen: &[Seen],
    scopes: Option<&Scopes>,
) -> Finding {
    let network = account.network.network();
    let rights = |capability| network.rights(grant.style, account.kind, capability);
    let mut granted: Vec<(&'static str, bool)> = Vec::new();
    if let Some(scopes) = scopes {
        for group in account.needs.iter().filter_map(rights).flat_map(|r| r.scopes) {
            if let Some(name) = group.first().filter(|name| granted.iter().all(|(n, _)| n != *name)) {
                granted.push((name, grants(scopes, group, account)));
            }
        }
    }
    let capabilities: Vec<(Capability, Reason)> = match verdict {
        Verdict::Undetermined(_) => Vec::new(),
        Verdict::Invalid(reason, _) => account.needs.iter().map(|c| (c, reason)).collect(),
        Verdict::Valid => {
            let roles = facts(i, account, seen).rev().find_map(|f| f.roles.as_deref());
            let lost = |c| {
                let mut said = seen.iter().filter(|s| concerns(s, i, account));
                said.find_map(|s| s.reading.lost.iter().find(|(l, _)| *l == c).map(|(_, reason)| *reason))
            };
            account
                .needs
                .iter()
                .map(|c| (c, lost(c).unwrap_or_else(|| judge(rights(c), scopes, roles, account))))
                .collect()
        }
    };
    let all_lost = !capabilities.is_empty() && capabilities.iter().all(|(_, r)| *r != Reason::Ok);
    let verdict = match verdict {
        Verdict::Valid if all_lost => Verdict::Invalid(shared_reason(&capabilities), Certainty::Plain),
        other => other,
    };
    Finding { verdict, capabilities, scopes: granted }
}

fn grants(scopes: &Scopes, group: &[&str], account: &Account<'_>) -> bool {
    group.iter().any(|scope| scopes.grants(scope, account.external_id))
}

/// Whether a capability is there. Unknown scopes and roles do not count against it.
fn judge(
    rights: Option<&Rights>,
    scopes: Option<&Scopes>,
    roles: Option<&[String]>,
    account: &Account<'_>,
) -> Reason {
    let Some(rights) = rights else { return Reason::MissingPermission };
    let permitted = scopes.is_none_or(|s| rights.scopes.iter().all(|group| grants(s, group, account)));
    let entitled = rights.roles.is_empty()
        || roles.is_none_or(|held| held.iter().any(|role| rights.roles.contains(&role.as_str())));
    match (permitted, entitled) {
        (true, true) => Reason::Ok,
        (true, false) => Reason::MissingRole,
        (false, true) => Reason::MissingPermission,
        (false, false) => Reason::MissingRoleAndPermission,
    }
}

/// The reason for a connection that has lost every needed capability.
fn shared_reason(capabilities: &[(Capability, Reason)]) -> Reason {
    let first = capabilities.first().map_or(Reason::MissingPermission, |(_, r)| *r);
    if capabilities.iter().all(|(_, r)| *r == first) {
        return first;
    }
    let lacks =
        |reason| capabilities.iter().any(|(_, r)| *r == reason || *r == Reason::MissingRoleAndPermission);
    if lacks(Reason::MissingRole) && lacks(Reason::MissingPermission) {
        Reason::MissingRoleAndPermission
    } else {
        first
    }
}
