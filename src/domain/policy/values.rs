//! Values: from JSON, and as text.

use std::collections::HashMap;

use cel::Value;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Value as Json};

/// The longest value that an explanation shows, in characters.
pub(super) const SHOWN: usize = 200;

fn value(json: &Json) -> Box<dyn Val + '_> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(boolean) => Box::new(CelBool::from(*boolean)),
        Json::Number(number) => {
            if let Some(int) = number.as_i64() {
                Box::new(CelInt::from(int))
            } else if let Some(uint) = number.as_u64() {
                Box::new(CelUInt::from(uint))
            } else {
                Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
            }
        }
        Json::String(text) => Box::new(CelString::from(&**text)),
        Json::Array(elements) => Box::new(CelList::from(
            elements.iter().map(value).collect::<Vec<_>>(),
        )),
        Json::Object(members) => map(members),
    }
}

/// A JSON object as a map.
pub(super) fn map(members: &Map<String, Json>) -> Box<dyn Val + '_> {
    let entries: HashMap<CelMapKey<'_>, Box<dyn Val + '_>> = members
        .iter()
        .map(|(name, json)| (CelMapKey::String(CelString::from(&**name)), value(json)))
        .collect();
    Box::new(CelMap::from(entries))
}

/// A value, much like JSON, cut when it is long.
pub(super) fn shown(value: &dyn Val) -> String {
    let mut text = String::new();
    show(value, &mut text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => {
            text.truncate(end);
            text + " …"
        }
        None => text,
    }
}

fn show(value: &dyn Val, text: &mut String) {
    // A character has up to four bytes: enough is there, and the rest is cut.
    if text.len() > SHOWN * 4 {
        return;
    }
    if let Some(string) = value.downcast_ref::<CelString>() {
        let start: String = string.inner().chars().take(SHOWN + 1).collect();
        text.push_str(&Json::from(start).to_string());
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        let start = &bytes.inner()[..bytes.inner().len().min(SHOWN + 1)];
        text.push_str(&format!("b\"{}\"", start.escape_ascii()));
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        text.push('[');
        for (index, element) in list.inner().iter().enumerate().take(SHOWN + 1) {
            text.push_str(if index > 0 { ", " } else { "" });
            show(element.as_ref(), text);
        }
        text.push(']');
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut entries: Vec<_> = map.inner().iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        text.push('{');
        for (index, (key, value)) in entries.into_iter().enumerate().take(SHOWN + 1) {
            text.push_str(if index > 0 { ", " } else { "" });
            show(key.inner(), text);
            text.push_str(": ");
            show(value.as_ref(), text);
        }
        text.push('}');
    } else {
        text.push_str(&scalar(value));
    }
}

fn scalar(value: &dyn Val) -> String {
    match Value::try_from(value) {
        Ok(Value::Bool(boolean)) => boolean.to_string(),
        Ok(Value::Int(int)) => int.to_string(),
        Ok(Value::UInt(uint)) => format!("{uint}u"),
        Ok(Value::Float(float)) => format!("{float:?}"),
        Ok(Value::Null) => "null".to_owned(),
        // A type is a text here.
        Ok(Value::String(name)) => (*name).clone(),
        Ok(Value::Timestamp(time)) => format!("timestamp(\"{}\")", time.to_rfc3339()),
        Ok(Value::Duration(duration)) => {
            format!("duration(\"{}s\")", duration.as_seconds_f64())
        }
        _ => type_in_words(value.get_type().name()),
    }
}

/// A type's name, with its article.
pub(super) fn type_in_words(name: &str) -> String {
    match name {
        "null_type" => "null".to_owned(),
        "int" => "an int".to_owned(),
        "optional_type" => "an optional value".to_owned(),
        name => format!(
            "a {}",
            name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase()
        ),
    }
}
