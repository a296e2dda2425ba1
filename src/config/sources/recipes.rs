//! Recipes: how the accounts of products are read, as parts of a source.
//!
//! A recipe is what a user could have written: `driver`, `query` and `decrypt` of `sql`, and `map`,
//! `values` and `defaults`. What a source says itself counts. `encrypted: sometimes` says that a source
//! need not have `decrypt`.

use include_dir::{Dir, include_dir};

use super::super::field::Field;
use super::super::quoting::shown;
use super::super::yaml::{self, Key, Node, Value};

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/recipes");

/// The names of all recipes, in alphabetical order.
pub fn recipes() -> Vec<&'static str> {
    let mut names: Vec<&str> = FILES.files().filter_map(|file| file.path().file_stem()?.to_str()).collect();
    names.sort_unstable();
    names
}

/// The text of a recipe.
pub fn recipe(name: &str) -> Option<&'static str> {
    FILES.get_file(format!("{name}.yml"))?.contents_utf8()
}

/// A source with what its recipe says where it says nothing itself; none, with its problem, if there
/// is no such recipe. A source without a recipe stays as it is.
pub(super) fn applied<'f>(source: &Field<'f>) -> Option<Node<'f>> {
    let mut node = source.node.clone();
    let mapping = source.as_mapping();
    let sql = mapping.as_ref().and_then(|mapping| mapping.get("sql"));
    let sql = sql.as_ref().and_then(|sql| sql.as_mapping());
    let Some(field) = sql.as_ref().and_then(|sql| sql.get("recipe")) else { return Some(node) };
    let name = field.word(&recipes(), |name| recipes().into_iter().find(|known| *known == name))?;
    for key in ["query", "query_file"] {
        if let Some(further) = sql.as_ref().and_then(|sql| sql.given(key)) {
            further.problem("only one of query, query_file and recipe may be given");
        }
    }
    let parsed = yaml::parse(recipe(name).unwrap_or_default(), &[], &mut |_| {});
    // A test reads all recipes.
    let recipe =
        parsed.map_err(|e| field.problem(format!("the recipe cannot be read: {}", e.message))).ok()?;
    let encrypted = sql.as_ref().is_some_and(|sql| sql.has_any(&["decrypt"]));
    let mut recipe = recipe.without_positions();
    // Some products encrypt tokens only if they are told to.
    let sometimes = remove(&mut recipe, "encrypted").is_some();
    if !encrypted
        && let Some(_) = member(&mut recipe, "sql").and_then(|sql| remove(sql, "decrypt"))
        && !sometimes
    {
        let message = format!("{} stores its tokens encrypted: add decrypt with key_file", shown(name));
        return field.reject(message);
    }
    if let Some(sql) = member(&mut node, "sql") {
        remove(sql, "recipe");
    }
    merge(&mut node, recipe);
    Some(node)
}

fn member<'n, 't>(node: &'n mut Node<'t>, key: &str) -> Option<&'n mut Node<'t>> {
    let Value::Map(entries) = &mut node.value else { return None };
    entries.iter_mut().find(|(known, _)| known.text == key).map(|(_, node)| node)
}

fn remove<'t>(node: &mut Node<'t>, key: &str) -> Option<Node<'t>> {
    let Value::Map(entries) = &mut node.value else { return None };
    let index = entries.iter().position(|(known, _)| known.text == key)?;
    Some(entries.remove(index).1)
}

/// Adds what is missing.
fn merge<'t>(node: &mut Node<'t>, more: Node<'t>) {
    let (Value::Map(entries), Value::Map(more)) = (&mut node.value, more.value) else { return };
    for (key, value) in more {
        match entries.iter_mut().find(|(known, _): &&mut (Key<'t>, Node<'t>)| known.text == key.text) {
            Some((_, own)) => merge(own, value),
            None => entries.push((key, value)),
        }
    }
}
