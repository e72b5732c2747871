//! The one domain error. It knows no protocol: each door translates it in one file
//! (`api/errors.rs` for Connect).
//!
//! - `domain`, `store`, `secrets` and the doors return [`Error`];
//! - `config` and `cli` return [`anyhow::Error`], printed to the operator who started the process.
//!
//! What a variant says is for the person who reads the response: what is wrong and what to do.
//! What only the operator may see is its source, which is logged and never sent.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

/// When to try again what failed for want of a part, or of room.
const RETRY: Duration = Duration::from_secs(1);

/// What went wrong that the operator should know: logged, never sent.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No valid bearer token. One message for every reason, so that nothing can be learnt from it.
    #[error(
        "a valid bearer token is required: send the header \"Authorization: Bearer <token>\" with a token that is complete, not expired and not revoked; in a browser, sign in again"
    )]
    Unauthenticated,

    /// The caller is known and may not do this.
    #[error("{0}")]
    PermissionDenied(&'static str),

    /// The caller's organization has no such thing, whether or not another has.
    #[error("no such {0}")]
    NotFound(&'static str),

    /// It would be the second of its kind.
    #[error("{0}")]
    AlreadyExists(Cow<'static, str>),

    /// Something else has to happen first.
    #[error("{0}")]
    FailedPrecondition(String),

    /// The request breaks a rule; every one that it breaks.
    #[error("invalid request")]
    Invalid(Vec<Violation>),

    /// Too many attempts; the time after which another may succeed.
    #[error("too many attempts: try again later")]
    Throttled(Duration),

    /// Too much large work is under way. Trying again helps.
    #[error("too many large requests are under way: try again")]
    Busy,

    /// A search that reads everything took longer than it may.
    #[error(
        "the search took longer than {} s: filter by userName, externalId, displayName, emails.value, active or meta.lastModified, of which there is an index", .0.as_secs()
    )]
    TooLong(Duration),

    /// A part that Rollcall needs does not answer. Trying again helps.
    #[error("the database is not available at the moment: try again")]
    Unavailable(#[source] Cause),

    /// A fault of Rollcall.
    #[error("internal error")]
    Internal(#[source] Cause),
}

impl Error {
    /// One broken rule.
    pub fn invalid(
        field: impl Into<String>,
        rule: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::Invalid(vec![Violation::new(field, rule, message)])
    }

    /// A fault of Rollcall, described for the log.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// What a client is told of [`Error::Internal`], at every door.
    pub const INTERNAL: &str = "internal error: the server's log has the cause under the id of this request, which is in the header x-request-id of the response";

    /// Logs the causes, if there are any: for the door that answers with this error, once.
    pub fn report(&self) {
        if let Some(cause) = self.source() {
            report(cause);
        }
    }

    /// After how many seconds another attempt may succeed, where waiting helps: whole ones, rounded up, at least one,
    /// as `Retry-After` has them (RFC 9110, section 10.2.3).
    pub fn retry_after(&self) -> Option<u64> {
        let wait = match self {
            Self::Throttled(wait) => *wait,
            Self::Busy | Self::Unavailable(_) => RETRY,
            _ => return None,
        };
        let begun = u64::from(wait.subsec_nanos() > 0);
        Some(wait.as_secs().saturating_add(begun).max(1))
    }
}

/// Logs why a request was not carried out: the only place that does.
pub fn report(cause: &(dyn std::error::Error + 'static)) {
    tracing::error!(cause = %Chain(cause), "a request failed");
}

/// An error with its causes, for the log. The debug form of an error of the database has values of the
/// row that it is about; this has none.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.0
            .source()
            .map_or(Ok(()), |cause| write!(f, ": {}", Chain(cause)))
    }
}

/// A field of a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field as in the `.proto` file, such as `email_domains[2]`.
    pub field: String,
    /// The rule's identifier: one of the constants, or one of `buf.validate`.
    pub rule: Cow<'static, str>,
    /// What the value must be, as the end of a sentence that starts with the field.
    pub message: String,
}

impl Violation {
    /// A value of the field's type.
    pub const TYPE: &str = "rollcall.type";
    /// A field that is given once, and alone of its `oneof`.
    pub const ONCE: &str = "rollcall.once";
    /// A value.
    pub const REQUIRED: &str = "required";
    /// A UUID.
    pub const UUID: &str = "string.uuid";
    /// Text without NUL, which PostgreSQL cannot store.
    pub const STORABLE: &str = "rollcall.storable";
    /// Text within its length.
    pub const LENGTH: &str = "rollcall.length";
    /// A list or map within its size.
    pub const COUNT: &str = "rollcall.count";
    /// A list that has nothing twice.
    pub const UNIQUE: &str = "repeated.unique";
    /// A domain name.
    pub const DOMAIN: &str = "rollcall.domain";
    /// An e-mail address.
    pub const EMAIL: &str = "string.email";
    /// An enum value other than UNSPECIFIED.
    pub const SPECIFIED: &str = "rollcall.specified";
    /// A role of the kind of thing that it is on.
    pub const ROLE: &str = "rollcall.role";
    /// A time that begins and ends where it may.
    pub const LIFETIME: &str = "rollcall.lifetime";
    /// A field by which a list can be sorted.
    pub const SORT: &str = "rollcall.sort";
    /// What only a person may ask for.
    pub const PERSON: &str = "rollcall.person";
    /// What events can be watched of.
    pub const SCOPE: &str = "rollcall.scope";
    /// The rule of issuers.
    pub const ISSUER: &str = "rollcall.issuer";
    /// The rule of texts that are copied from a page.
    pub const BLANKS: &str = "rollcall.blanks";
    /// A CEL expression that compiles, names only `claims` and yields a boolean.
    pub const CLAIMS_EXPRESSION: &str = "rollcall.claims_expression";
    /// The text of a JSON object.
    pub const JSON_OBJECT: &str = "rollcall.json_object";
    /// A moment between the years 1 and 9999.
    pub const TIME: &str = "rollcall.time";
    /// A URI of an application.
    pub const URI: &str = "rollcall.uri";
    /// A colour in which text can be read.
    pub const COLOR: &str = "rollcall.color";
    /// A file that is a picture of a kind that pages show.
    pub const PICTURE: &str = "rollcall.picture";
    /// Settings of an application that contradict each other.
    pub const APPLICATION: &str = "rollcall.application";
    /// A URL that a login may return to.
    pub const RETURN_TO: &str = "rollcall.return_to";
    /// A type of event that there is.
    pub const EVENT_TYPE: &str = "rollcall.event_type";
    /// A page token that this list issued.
    pub const PAGE_TOKEN: &str = "rollcall.page_token";
    /// A page size that is a number of 0 to 100.
    pub const PAGE_SIZE: &str = "rollcall.page_size";

    /// A broken rule.
    pub fn new(field: impl Into<String>, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
            message: message.into(),
        }
    }
}

/// Succeeds when no rule is broken.
///
/// # Errors
///
/// [`Error::Invalid`] with all of `violations` when there is one.
pub fn no_violations(violations: Vec<Violation>) -> Result<(), Error> {
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(violations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_are_enough() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_999, 3)] {
            let error = Error::Throttled(Duration::from_millis(millis));
            assert_eq!(error.retry_after(), Some(seconds), "{millis} ms");
        }
        assert_eq!(Error::Busy.retry_after(), Some(1));
        assert_eq!(Error::Unavailable("gone".into()).retry_after(), Some(1));
        for error in [Error::Unauthenticated, Error::internal("a fault")] {
            assert_eq!(error.retry_after(), None, "{error:?}");
        }
    }
}
