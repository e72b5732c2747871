//! The JSON of requests, checked against the descriptors before the RPC library decodes it. The
//! library's errors repeat what was sent and do not name the field; and it takes an array for the
//! fields of a message in their order.
//!
//! What is valid (<https://protobuf.dev/programming-guides/json/>) passes: names in both forms, null
//! for what is absent, numbers in strings, enum values by name and number, unknown fields.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use buffa::json_helpers as values;
use buffa_descriptor::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FieldKind, MessageDescriptor, MessageIndex,
    ScalarType, SingularKind,
};
use buffa_types::google::protobuf::{Duration, FieldMask, Timestamp};
use connectrpc::interceptor::{StreamRequest, StreamResponse, UnaryRequest, UnaryResponse};
use connectrpc::{
    CodecFormat, ConnectError, ErrorCode, Interceptor, Next, NextStream, PayloadStream,
    RequestContext,
};
use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, Error as ValueError, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;

use crate::error::{Error, Violation};

/// After how many faults a request is not read any further.
const MAX_FAULTS: usize = 100;

/// The interceptor that checks the JSON of requests, and keeps to itself what the library says of a
/// message that it cannot decode.
#[derive(Clone)]
pub struct Json(Arc<Schema>);

struct Schema {
    pool: DescriptorPool,
    /// The requests of the methods, by the method's path.
    requests: HashMap<String, MessageIndex>,
}

impl Json {
    /// Reads the descriptors of the services.
    ///
    /// # Errors
    ///
    /// When they do not fit together: a fault of the build.
    pub fn new(descriptors: &[u8]) -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(descriptors)?;
        let requests = pool.services().iter().flat_map(|service| {
            let methods = service.methods().iter();
            methods.map(move |method| {
                let path = format!("/{}/{}", service.full_name(), method.name());
                (path, method.input())
            })
        });
        Ok(Self(Arc::new(Schema {
            requests: requests.collect(),
            pool,
        })))
    }

    /// The request of a method that is described.
    fn message(&self, ctx: &RequestContext) -> Option<MessageIndex> {
        self.0.requests.get(ctx.path()?).copied()
    }
}

#[connectrpc::async_trait]
impl Interceptor for Json {
    async fn intercept_unary(
        &self,
        request: UnaryRequest,
        next: Next<'_>,
    ) -> Result<UnaryResponse, ConnectError> {
        let message = self.message(&request.ctx);
        if let (CodecFormat::Json, Some(message)) = (request.payload.format(), message) {
            check(&self.0.pool, message, request.payload.bytes())?;
        }
        let is_ours = message.is_some();
        let result = next.run(request).await;
        result.map_err(|error| without_quotes(error, is_ours))
    }

    async fn intercept_streaming(
        &self,
        request: StreamRequest,
        inbound: PayloadStream,
        next: NextStream<'_>,
    ) -> Result<StreamResponse, ConnectError> {
        let is_ours = self.message(&request.ctx).is_some();
        let result = next.run(request, inbound).await;
        result.map_err(|error| without_quotes(error, is_ours))
    }
}

/// The errors that the library makes quote the message, or a name in it; those of our handlers say
/// what is wrong in a detail.
fn without_quotes(mut error: ConnectError, is_ours: bool) -> ConnectError {
    let is_explained = !error.details.is_empty() || error.source().is_some();
    let words = match error.code {
        ErrorCode::InvalidArgument if !is_explained => {
            "the message cannot be decoded: send the request that the method takes, with fewer elements if it is large"
        }
        ErrorCode::NotFound if !is_ours => "there is no service of this name",
        _ => return error,
    };
    error.message = Some(words.to_owned());
    error
}

/// Checks the JSON of a message.
///
/// # Errors
///
/// `invalid_argument`, with every field at fault.
fn check(pool: &DescriptorPool, message: MessageIndex, json: &[u8]) -> Result<(), ConnectError> {
    let mut check = Check {
        pool,
        field: String::new(),
        faults: vec![],
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let due = Due::Message(pool.message(message));
    let value = Value {
        check: &mut check,
        due,
    };
    let read = value
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    if let Err(error) = read
        && check.faults.len() < MAX_FAULTS
    {
        return Err(ConnectError::invalid_argument(unreadable(&error)));
    }
    match check.faults.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(check.faults).into()),
    }
}

/// The text of a syntax error never quotes the body; that of another error may.
fn unreadable(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Syntax | Category::Eof => format!("the body must be JSON: {error}"),
        Category::Data | Category::Io => format!(
            "the body must be JSON: not at line {} column {}",
            error.line(),
            error.column()
        ),
    }
}

/// A walk through a message.
struct Check<'a> {
    pool: &'a DescriptorPool,
    /// The path of the field that the walk is at. Keys of maps are not part of it: they were sent.
    field: String,
    faults: Vec<Violation>,
}

impl<'a> Check<'a> {
    /// Does something with `part` at the end of the path.
    fn at<R>(&mut self, part: impl fmt::Display, work: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.field.len();
        // Writing to a string does not fail.
        let _ = write!(self.field, "{part}");
        let result = work(self);
        self.field.truncate(length);
        result
    }

    fn fault<E: serde::de::Error>(&mut self, rule: &'static str, message: String) -> Result<(), E> {
        let violation = Violation::new(self.field.clone(), rule, message);
        self.faults.push(violation);
        match self.faults.len() < MAX_FAULTS {
            true => Ok(()),
            false => Err(E::custom("too many faults")),
        }
    }

    fn due(&self, kind: SingularKind) -> Due<'a> {
        match kind {
            SingularKind::Scalar(scalar) => Due::Scalar(scalar),
            SingularKind::Enum(index) => Due::Enum(self.pool.enumeration(index)),
            SingularKind::Message(index) => Due::of_message(self.pool.message(index)),
        }
    }
}

/// What a value must be.
#[derive(Clone, Copy)]
enum Due<'a> {
    Message(&'a MessageDescriptor),
    List(SingularKind),
    Map(ScalarType, SingularKind),
    Scalar(ScalarType),
    Enum(&'a EnumDescriptor),
    Timestamp,
    Duration,
    FieldMask,
    /// An object with whatever is in it.
    Object,
    /// An array of whatever.
    Array,
    Anything,
}

impl<'a> Due<'a> {
    /// The messages that have a form of their own in JSON.
    fn of_message(message: &'a MessageDescriptor) -> Self {
        let Some(name) = message.full_name().strip_prefix("google.protobuf.") else {
            return Self::Message(message);
        };
        match name {
            "Timestamp" => Self::Timestamp,
            "Duration" => Self::Duration,
            "FieldMask" => Self::FieldMask,
            "Struct" | "Any" => Self::Object,
            "ListValue" => Self::Array,
            "Value" => Self::Anything,
            "DoubleValue" => Self::Scalar(ScalarType::Double),
            "FloatValue" => Self::Scalar(ScalarType::Float),
            "Int64Value" => Self::Scalar(ScalarType::Int64),
            "UInt64Value" => Self::Scalar(ScalarType::Uint64),
            "Int32Value" => Self::Scalar(ScalarType::Int32),
            "UInt32Value" => Self::Scalar(ScalarType::Uint32),
            "BoolValue" => Self::Scalar(ScalarType::Bool),
            "StringValue" => Self::Scalar(ScalarType::String),
            "BytesValue" => Self::Scalar(ScalarType::Bytes),
            _ => Self::Message(message),
        }
    }

    /// The end of the sentence that begins with the field.
    fn in_words(self) -> String {
        let words = match self {
            Self::Message(_) | Self::Map(..) | Self::Object => "must be a JSON object",
            Self::List(_) | Self::Array => "must be an array",
            Self::Anything => "must be a value",
            Self::Timestamp => "must be a time such as \"2026-01-31T12:00:00Z\"",
            Self::Duration => "must be seconds such as \"3600s\"",
            Self::FieldMask => "must be a string of field names with commas between them",
            Self::Enum(descriptor) => {
                let names = descriptor.values().iter().map(|value| value.name());
                return format!("must be {}", names.collect::<Vec<_>>().join(" or "));
            }
            Self::Scalar(scalar) => match scalar {
                ScalarType::String => "must be a string",
                ScalarType::Bool => "must be true or false",
                ScalarType::Bytes => "must be a string in base64",
                ScalarType::Double | ScalarType::Float => "must be a number",
                ScalarType::Int32 | ScalarType::Sint32 | ScalarType::Sfixed32 => {
                    "must be a whole number of 32 bits"
                }
                ScalarType::Uint32 | ScalarType::Fixed32 => {
                    "must be a whole number of 32 bits that is not negative"
                }
                ScalarType::Int64 | ScalarType::Sint64 | ScalarType::Sfixed64 => {
                    "must be a whole number of 64 bits"
                }
                ScalarType::Uint64 | ScalarType::Fixed64 => {
                    "must be a whole number of 64 bits that is not negative"
                }
            },
        };
        words.to_owned()
    }

    /// Whether a value that is neither array nor object fits: the library's own readers decide.
    fn fits<'de, D: Deserializer<'de, Error = ValueError>>(self, value: D) -> bool {
        match self {
            Self::Message(_) | Self::List(_) | Self::Map(..) | Self::Object | Self::Array => false,
            Self::Anything => true,
            Self::Timestamp => Timestamp::deserialize(value).is_ok(),
            Self::Duration => Duration::deserialize(value).is_ok(),
            Self::FieldMask => FieldMask::deserialize(value).is_ok(),
            Self::Enum(descriptor) => value.deserialize_any(EnumValue(descriptor)).is_ok(),
            Self::Scalar(scalar) => match scalar {
                ScalarType::String => values::proto_string::deserialize::<String, _>(value).is_ok(),
                ScalarType::Bool => values::proto_bool::deserialize(value).is_ok(),
                ScalarType::Bytes => values::bytes::deserialize::<Vec<u8>, _>(value).is_ok(),
                ScalarType::Double => values::double::deserialize(value).is_ok(),
                ScalarType::Float => values::float::deserialize(value).is_ok(),
                ScalarType::Int32 | ScalarType::Sint32 | ScalarType::Sfixed32 => {
                    values::int32::deserialize(value).is_ok()
                }
                ScalarType::Uint32 | ScalarType::Fixed32 => {
                    values::uint32::deserialize(value).is_ok()
                }
                ScalarType::Int64 | ScalarType::Sint64 | ScalarType::Sfixed64 => {
                    values::int64::deserialize(value).is_ok()
                }
                ScalarType::Uint64 | ScalarType::Fixed64 => {
                    values::uint64::deserialize(value).is_ok()
                }
            },
        }
    }
}

/// Accepts the names of an enum's values, and numbers, which need not be known.
struct EnumValue<'a>(&'a EnumDescriptor);

impl Visitor<'_> for EnumValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of an enum")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        let known = self.0.value_by_name(name);
        known.map(|_| ()).ok_or_else(|| E::custom("unknown"))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        i32::try_from(number).map(|_| ()).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        i32::try_from(number).map(|_| ()).map_err(E::custom)
    }
}

/// A value that is due, with its place.
struct Value<'c, 'a> {
    check: &'c mut Check<'a>,
    due: Due<'a>,
}

impl<'a> Value<'_, 'a> {
    fn unfit<E: serde::de::Error>(self) -> Result<(), E> {
        let words = match (self.due, self.check.field.is_empty()) {
            (Due::Message(_), true) => "the body must be a JSON object".to_owned(),
            (due, _) => due.in_words(),
        };
        self.check.fault(Violation::TYPE, words)
    }

    fn scalar<'de, E, D>(self, value: D) -> Result<(), E>
    where
        E: serde::de::Error,
        D: Deserializer<'de, Error = ValueError>,
    {
        match self.due.fits(value) {
            true => Ok(()),
            false => self.unfit(),
        }
    }

    /// The members of a message.
    fn fields<'de, A: MapAccess<'de>>(
        self,
        message: &'a MessageDescriptor,
        mut members: A,
    ) -> Result<(), A::Error> {
        let fields = message.fields();
        let (mut seen, mut chosen) = (vec![], vec![]);
        while let Some(Name(name)) = members.next_key()? {
            let is_named = |f: &&FieldDescriptor| f.json_name() == name || f.name() == name;
            let Some(field) = fields.iter().find(is_named) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let dot = if self.check.field.is_empty() { "" } else { "." };
            let is_set = self
                .check
                .at(format_args!("{dot}{}", field.name()), |check| {
                    if seen.contains(&field.number()) {
                        check
                            .fault::<A::Error>(Violation::ONCE, "must be given once".to_owned())?;
                    }
                    seen.push(field.number());
                    members.next_value_seed(Optional { check, field })
                })?;
            // That of an optional field is synthetic.
            let oneof = field
                .oneof_index()
                .and_then(|index| message.oneofs().get(usize::from(index)))
                .filter(|oneof| is_set && !oneof.is_synthetic());
            let Some(oneof) = oneof else { continue };
            if chosen.contains(&oneof.name()) {
                let names = oneof.field_indices().iter();
                let names = names.filter_map(|&index| fields.get(usize::from(index)));
                let names: Vec<&str> = names.map(FieldDescriptor::name).collect();
                let words = format!("must be one of {} alone", names.join(", "));
                self.check
                    .at(format_args!("{dot}{}", oneof.name()), |check| {
                        check.fault::<A::Error>(Violation::ONCE, words)
                    })?;
            }
            chosen.push(oneof.name());
        }
        Ok(())
    }

    /// The entries of a map.
    fn entries<'de, A: MapAccess<'de>>(
        self,
        key: ScalarType,
        value: SingularKind,
        mut entries: A,
    ) -> Result<(), A::Error> {
        while let Some(Name(name)) = entries.next_key()? {
            if !is_key(key, &name) {
                let words = match key {
                    ScalarType::Bool => "must have no keys but true and false",
                    _ => "must have whole numbers as keys",
                };
                self.check
                    .fault::<A::Error>(Violation::TYPE, words.to_owned())?;
            }
            let due = self.check.due(value);
            self.check
                .at("[*]", |check| entries.next_value_seed(Value { check, due }))?;
        }
        Ok(())
    }
}

/// Whether a name of a JSON object is a key of a map.
fn is_key(kind: ScalarType, name: &str) -> bool {
    match kind {
        ScalarType::String => true,
        ScalarType::Bool => name.parse::<bool>().is_ok(),
        ScalarType::Int32 | ScalarType::Sint32 | ScalarType::Sfixed32 => {
            name.parse::<i32>().is_ok()
        }
        ScalarType::Uint32 | ScalarType::Fixed32 => name.parse::<u32>().is_ok(),
        ScalarType::Uint64 | ScalarType::Fixed64 => name.parse::<u64>().is_ok(),
        _ => name.parse::<i64>().is_ok(),
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value.into_deserializer())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value.into_deserializer())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value.into_deserializer())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(value.into_deserializer())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(StrDeserializer::new(value))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<(), E> {
        self.scalar(BorrowedStrDeserializer::new(value))
    }

    /// Null where it does not stand for what is absent: in a list or a map, or instead of it all.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.due {
            Due::Anything => Ok(()),
            _ => self.unfit(),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        if let Due::List(kind) = self.due {
            let due = self.check.due(kind);
            let mut index = 0_usize;
            loop {
                let next = self.check.at(format_args!("[{index}]"), |check| {
                    values.next_element_seed(Value { check, due })
                })?;
                if next.is_none() {
                    return Ok(());
                }
                index += 1;
            }
        }
        while values.next_element::<IgnoredAny>()?.is_some() {}
        match self.due {
            Due::Array | Due::Anything => Ok(()),
            _ => self.unfit(),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        match self.due {
            Due::Message(message) => return self.fields(message, members),
            Due::Map(key, value) => return self.entries(key, value, members),
            _ => {}
        }
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        match self.due {
            Due::Object | Due::Anything => Ok(()),
            _ => self.unfit(),
        }
    }
}

/// The value of a field: null is as good as nothing. Tells whether there is one.
struct Optional<'c, 'a> {
    check: &'c mut Check<'a>,
    field: &'a FieldDescriptor,
}

impl<'de> DeserializeSeed<'de> for Optional<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<bool, D::Error> {
        value.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Optional<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<bool, D::Error> {
        let due = match self.field.kind() {
            FieldKind::Singular(kind) => self.check.due(kind),
            FieldKind::List(kind) => Due::List(kind),
            FieldKind::Map { key, value } => Due::Map(key, value),
        };
        let check = self.check;
        Value { check, due }.deserialize(value).map(|()| true)
    }
}

/// The name of a member, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(name: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        name.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests;
