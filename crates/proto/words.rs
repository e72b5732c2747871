//! The `buf.validate` rules of requests in words, which clients read. The words are made of the rules, whose own messages
//! tell no numbers, or are those that a rule in CEL brings along.

use anyhow::{Context, Result, bail, ensure};
use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    Value,
};

/// The rules of the requests of all methods: the array `RULES` of the library, as Rust.
///
/// # Errors
///
/// When a rule has no words.
pub fn rules(pool: &DescriptorPool) -> Result<String> {
    let mut found = vec![];
    for service in pool.services() {
        for method in service.methods() {
            let mut walk = Walk {
                method: format!("/{}/{}", service.full_name(), method.name()),
                options: Options::of(pool)?,
                inside: vec![],
                found: vec![],
            };
            walk.message(&method.input(), "")?;
            found.extend(walk.found);
        }
    }
    Ok(format!("&[{}]", found.join(",\n")))
}

/// The options that have rules.
struct Options {
    message: ExtensionDescriptor,
    oneof: ExtensionDescriptor,
    field: ExtensionDescriptor,
}

impl Options {
    fn of(pool: &DescriptorPool) -> Result<Self> {
        let get = |name: &str| {
            let option = pool.get_extension_by_name(&format!("buf.validate.{name}"));
            option.with_context(|| format!("no option buf.validate.{name}"))
        };
        Ok(Self {
            message: get("message")?,
            oneof: get("oneof")?,
            field: get("field")?,
        })
    }
}

/// The way through the messages of a request.
struct Walk {
    method: String,
    options: Options,
    /// The messages on the way here.
    inside: Vec<MessageDescriptor>,
    /// The rules as Rust.
    found: Vec<String>,
}

impl Walk {
    fn message(&mut self, message: &MessageDescriptor, path: &str) -> Result<()> {
        let mut oneofs = message.oneofs();
        ensure!(
            !message.options().has_extension(&self.options.message)
                && !oneofs.any(|oneof| oneof.options().has_extension(&self.options.oneof)),
            "a rule of {} as a whole, or of a oneof in it, has no words: give it some in crates/proto/words.rs",
            message.full_name()
        );
        self.inside.push(message.clone());
        for field in message.fields() {
            let path = format!("{path}{}", field.name());
            let options = field.options();
            if options.has_extension(&self.options.field) {
                let rules = options.get_extension(&self.options.field);
                let rules = rules.as_message().context("rules are a message")?;
                self.field(&field, rules, &path)?;
            }
            if let Some(inner) = message_in(&field)
                && !self.inside.contains(&inner)
            {
                self.message(&inner, &format!("{path}."))?;
            }
        }
        self.inside.pop();
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, rules: &DynamicMessage, path: &str) -> Result<()> {
        for (option, value) in rules.fields() {
            match (option.name(), value) {
                // It says when rules count.
                ("ignore", _) => {}
                ("required", _) => self.add(path, "required", "is required"),
                ("cel", Value::List(rules)) => {
                    for rule in rules.iter().filter_map(Value::as_message) {
                        let (id, message) = (text(rule, "id"), text(rule, "message"));
                        // The contract calls the field "value".
                        let words = message.strip_prefix("value ").unwrap_or(&message);
                        ensure!(
                            words.starts_with("must "),
                            "the message of the rule {id:?} of {} must begin with \"must\" or \"value must\"",
                            field.full_name()
                        );
                        self.add(path, &id, words);
                    }
                }
                (kind, Value::Message(rules)) => self.standard(field, kind, rules, path)?,
                (name, _) => bail!("{}", no_words(field, name)),
            }
        }
        Ok(())
    }

    /// The rules for values of a kind, such as `string`.
    fn standard(
        &mut self,
        field: &FieldDescriptor,
        kind: &str,
        rules: &DynamicMessage,
        path: &str,
    ) -> Result<()> {
        for (option, value) in rules.fields() {
            let name = option.name();
            match (kind, name, value) {
                ("repeated", "items", Value::Message(rules)) => self.field(field, rules, path)?,
                // The two are one rule.
                (_, "gte", least) => {
                    let range = rules.get_field_by_name("lte").and_then(|most| {
                        Some(format!(
                            "must be from {} to {}",
                            number(least)?,
                            number(&most)?
                        ))
                    });
                    let range = range.with_context(|| no_words(field, &format!("{kind}.gte")))?;
                    self.add(path, &format!("{kind}.gte_lte"), &range);
                }
                (_, "lte", _) if rules.has_field_by_name("gte") => {}
                _ => {
                    let id = format!("{kind}.{name}");
                    let words = words(field, &id, value).with_context(|| no_words(field, &id))?;
                    self.add(path, &id, &words);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, field: &str, id: &str, words: &str) {
        let method = &self.method;
        self.found.push(format!(
            "Rule {{ method: {method:?}, field: {field:?}, id: {id:?}, words: {words:?} }}"
        ));
    }
}

/// What a field must be for a rule; `None` for a rule that has no words.
fn words(field: &FieldDescriptor, id: &str, value: &Value) -> Option<String> {
    Some(match id {
        "string.min_len" if value.as_u64()? == 1 => "must not be empty".to_owned(),
        "string.min_len" => format!("must have at least {} characters", value.as_u64()?),
        "string.max_len" => format!("must have at most {} characters", value.as_u64()?),
        "string.uuid" => "must be a UUID such as 0190a6e0-1c2b-7def-8123-456789abcdef".to_owned(),
        "string.uri" => "must be a URI such as https://accounts.example.com".to_owned(),
        "repeated.min_items" if value.as_u64()? == 1 => "must have at least one entry".to_owned(),
        "repeated.max_items" => format!("must have at most {} entries", value.as_u64()?),
        "repeated.unique" => "must not hold the same value twice".to_owned(),
        "enum.defined_only" => "must be a value that the enum defines".to_owned(),
        "enum.not_in" => {
            let kind = field.kind();
            let (values, kind) = (value.as_list()?, kind.as_enum()?);
            let names: Option<Vec<String>> = values
                .iter()
                .map(|number| Some(kind.get_value(number.as_i32()?)?.name().to_owned()))
                .collect();
            format!("must not be {}", names?.join(" or "))
        }
        _ => return None,
    })
}

fn no_words(field: &FieldDescriptor, rule: &str) -> String {
    format!(
        "the rule {rule} of {} has no words: give it some in crates/proto/words.rs, or write it in CEL with a message",
        field.full_name()
    )
}

/// The message that a field holds, if it holds one, or several.
fn message_in(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(inner) = field.kind() else {
        return None;
    };
    if !inner.is_map_entry() {
        return Some(inner);
    }
    inner.map_entry_value_field().kind().as_message().cloned()
}

fn text(rule: &DynamicMessage, name: &str) -> String {
    let value = rule.get_field_by_name(name);
    let text = value.as_ref().and_then(|value| value.as_str());
    text.unwrap_or_default().to_owned()
}

/// A number, or a duration as JSON has it, and in days where it is a number of these.
fn number(value: &Value) -> Option<String> {
    let Value::Message(duration) = value else {
        return Some(value.as_i32()?.to_string());
    };
    let seconds = duration.get_field_by_name("seconds")?.as_i64()?;
    let nanos = duration.get_field_by_name("nanos")?.as_i32()?;
    let text = match (seconds / 86_400, seconds % 86_400) {
        (1, 0) => format!("{seconds}s (1 day)"),
        (days, 0) if days > 1 => format!("{seconds}s ({days} days)"),
        _ => format!("{seconds}s"),
    };
    (nanos == 0).then_some(text)
}
