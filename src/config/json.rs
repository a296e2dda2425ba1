//! Reads JSON into the same trees as YAML.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::validator::NOWHERE;
use super::yaml::{Key, Node, Value};

/// Hands out the members of a section of a document one by one. A document that is a list is the
/// section `accounts`.
///
/// # Errors
/// If the text is not JSON, with the line and column.
pub(super) fn json_members(text: &str, section: &str, each: &mut dyn FnMut(Node)) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Document { section, each }.deserialize(&mut reader).and_then(|()| reader.end());
    // The message quotes nothing of the text.
    read.map_err(|e| format!("is not the expected JSON (line {}, column {})", e.line(), e.column()))
}

/// The tree of one value.
///
/// # Errors
/// If the text is not JSON.
pub(super) fn json_tree(text: &str) -> serde_json::Result<Node> {
    Tree.deserialize(&mut serde_json::Deserializer::from_str(text))
}

struct Document<'d> {
    section: &'d str,
    each: &'d mut dyn FnMut(Node),
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == self.section {
                map.next_value_seed(Members(self.each))?;
            } else {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        if self.section == super::load::ACCOUNTS {
            return Members(self.each).visit_seq(list);
        }
        Members(&mut |_| {}).visit_seq(list)
    }
}

struct Members<'d>(&'d mut dyn FnMut(Node));

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(node) = list.next_element_seed(Tree)? {
            (self.0)(node);
        }
        Ok(())
    }
}

struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Node, D::Error> {
        let value = reader.deserialize_any(self)?;
        Ok(Node { at: NOWHERE, value })
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Scalar(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Tree)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(text) = map.next_key()? {
            entries.push((Key { at: NOWHERE, text }, map.next_value_seed(Tree)?));
        }
        Ok(Value::Map(entries))
    }
}
