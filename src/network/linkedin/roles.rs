//! Lists, mainly the paginated list of the person's roles at pages.

use serde_json::Value;

use super::{ACLS, INTROSPECT, READS_ROLES, bare, grants_any, is_profile, page_ids};
use crate::model::{Capability, Reason};
use crate::network::{
    Answer, Facts, Grant, List, Listed, Question, Reading, Refusal, Says, Scopes, Seen, parse,
};

/// A list: of roles at pages, of roles at ad accounts, or of anything else.
pub(super) fn list(
    grant: &Grant<'_>,
    seen: &[Seen],
    question: Question,
    active: bool,
    answer: &Answer,
) -> Option<Reading> {
    let rows = answer.json["elements"].as_array().filter(|_| answer.maybe_success())?;
    let paging = &answer.json["paging"];
    let of_roles = if rows.is_empty() {
        question.is(&ACLS) && empty_list_counts(grant, seen, paging)
    } else {
        rows.iter().any(|row| row["role"].is_string() && page(row).is_some())
    };
    if of_roles {
        let reading = page_roles(grant, seen, question, rows, paging);
        // A single part of the list without the deciding role: the other parts are missing.
        let silent = reading.next_part().is_some() && !active && reading.listed.iter().all(|l| l.partial);
        return Some(if silent { Reading::says(Says::Nothing) } else { reading });
    }
    if rows.is_empty() {
        // It does not even show that the right list was requested.
        return Some(Reading::says(Says::Nothing));
    }
    let ad_roles: Vec<&str> =
        rows.iter().filter(|r| r["account"].is_string()).filter_map(|r| r["role"].as_str()).collect();
    let mut reading = Reading::accepted();
    if !ad_roles.is_empty() && ad_roles.iter().all(|role| *role == "VIEWER") {
        // A viewer may not run campaigns, even with rw_ads.
        reading.lost.push((Capability::Ads, Reason::MissingRole));
    }
    Some(reading)
}

/// Whether an empty part of the role list means something: a later part ends the list; the first
/// one means that there are no roles if the login may read them.
fn empty_list_counts(grant: &Grant<'_>, seen: &[Seen], paging: &Value) -> bool {
    if ACLS.was_asked(seen) {
        return true;
    }
    let scopes = INTROSPECT.readings(seen).find_map(|reading| reading.scopes.clone());
    let scopes = scopes.or_else(|| grant.tokens.scopes.clone().map(Scopes::new));
    parse::integer(&paging["start"]).unwrap_or(0) == 0 && scopes.is_some_and(|s| grants_any(&s, READS_ROLES))
}

/// The page of a row of the role list, under its present or former name.
fn page(row: &Value) -> Option<&str> {
    ["organization", "organizationalTarget", "organizationTarget"].iter().find_map(|name| row[*name].as_str())
}

pub(super) fn page_roles(
    grant: &Grant<'_>,
    seen: &[Seen],
    question: Question,
    rows: &[Value],
    paging: &Value,
) -> Reading {
    let entry = |row: &Value| {
        let approved = row["state"].as_str().is_none_or(|s| s.eq_ignore_ascii_case("APPROVED"));
        let role = row["role"].as_str().filter(|_| approved).map(str::to_uppercase);
        let facts = Facts { roles: Some(role.into_iter().collect()), ..Facts::default() };
        Some(Listed { partial: true, ..Listed::new(page(row)?, facts) })
    };
    let mut listed: Vec<Listed> = rows.iter().filter_map(entry).collect();
    let earlier = ACLS.readings(seen).flat_map(|r| &r.listed).filter(|l| l.partial);
    let held: Vec<(String, Vec<String>)> = earlier
        .chain(&listed)
        .map(|l| (l.external_id.clone(), l.facts.roles.clone().unwrap_or_default()))
        .collect();
    // A completely empty list may be temporary.
    let not_admin = if held.is_empty() { Refusal::ambiguous } else { Refusal::plain };
    let facts = |of: &dyn Fn(&str) -> bool| {
        let roles: Vec<String> =
            held.iter().filter(|(page, _)| of(page)).flat_map(|(_, r)| r.clone()).collect();
        let refused = roles.is_empty().then_some(not_admin(Reason::NotAdmin).of_account());
        Facts { refused, roles: Some(roles), ..Facts::default() }
    };
    let at = |id: &str| Listed::new(id, facts(&|page| bare(page) == bare(id)));
    if let Some(start) = next_start(rows.len(), paging) {
        // A stronger role may follow, unless this is the strongest one.
        let is_admin = |l: &Listed| l.facts.roles.iter().flatten().any(|r| r == "ADMINISTRATOR");
        listed.extend(page_ids(grant).map(at).filter(is_admin));
        return Reading { listed, list: Some(List::ContinuesAt(start.to_string())), ..Reading::accepted() };
    }
    let listed = page_ids(grant).map(at).collect();
    let says = if held.is_empty() { Says::Nothing } else { Says::Accepted };
    let mut reading = Reading { listed, list: Some(List::Complete), ..Reading::says(says) };
    let unnamed = grant.account(question).is_some_and(|a| a.external_id.is_none() && !is_profile(a.kind));
    let one_page = held.windows(2).all(|pair| pair[0].0 == pair[1].0);
    if unnamed && (one_page || held.iter().all(|(_, roles)| roles.is_empty())) {
        // It is clear which page is meant.
        reading.facts = facts(&|_| true);
    }
    reading
}

/// Where the list continues; none: it is complete.
fn next_start(rows: usize, paging: &Value) -> Option<i64> {
    let number = |name: &str| parse::integer(&paging[name]);
    let rows = i64::try_from(rows).ok()?;
    // A part may have fewer rows than requested, even none.
    let step = Some(rows).filter(|n| *n > 0).or(number("count")).filter(|n| *n > 0)?;
    let next = number("start").unwrap_or(0).saturating_add(step);
    let more = match (paging["links"].as_array(), number("total"), number("count")) {
        // Rest.li links to the next part whenever there may be one.
        (Some(links), total, _) => {
            links.iter().any(|l| l["rel"].as_str() == Some("next")) || total.is_some_and(|total| next < total)
        }
        (None, Some(total), _) => next < total,
        (None, None, Some(count)) => rows >= count,
        (None, None, None) => false,
    };
    more.then_some(next)
}
