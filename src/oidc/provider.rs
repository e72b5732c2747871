//! What providers publish of themselves, kept for as long as they allow.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, header};
use quick_cache::sync::Cache;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;

use super::jose::KeySet;
use super::token::Authentication;
use super::{Metadata, printable, rules};
use crate::app::clock::Clock;
use crate::domain::sign_in::{Check, Refusal};
use crate::outgoing::Outgoing;

/// How many providers are remembered.
const MAX_PROVIDERS: usize = 1_000;
/// How many keys a provider may publish: they are read at once.
const MAX_KEYS: usize = 100;
/// How long what a provider publishes is kept when it does not say, at least, and at most.
const LIFETIME: TimeDelta = TimeDelta::hours(1);
const MIN_LIFETIME: TimeDelta = TimeDelta::minutes(1);
const MAX_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// How often keys are read again because of a token that none of them signed.
const REFRESH_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// How long a provider that does not answer is not asked again: others would wait in line for it.
const FAILURE_LIFETIME: TimeDelta = TimeDelta::seconds(5);

/// A provider, as it published itself.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its metadata.
    pub metadata: Arc<Metadata>,
    /// The keys that sign its tokens.
    pub keys: Arc<KeySet>,
}

impl Provider {
    /// Whether it takes no secret of any client, but something that is signed (`private_key_jwt`).
    pub fn wants_signature(&self) -> bool {
        Authentication::ways(&self.metadata) == [Authentication::Signature]
    }

    /// Makes sure that an answer is this provider's, as far as it names itself (RFC 9207, section
    /// 2.4).
    ///
    /// # Errors
    ///
    /// Another name, or none where one must be.
    pub fn check_issuer(&self, named: Option<&str>) -> Result<(), Refusal> {
        rules::answer_issuer(&self.metadata, named)
    }
}

/// Something with an end.
#[derive(Debug)]
struct Kept<T> {
    value: T,
    ends_at: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct State {
    metadata: Option<Kept<Arc<Metadata>>>,
    keys: Option<Kept<Arc<KeySet>>>,
    /// When the keys were last read because a token was signed with none of them.
    refreshed_at: Option<DateTime<Utc>>,
    failure: Option<Kept<Refusal>>,
}

/// The providers that were used lately. Each replica reads for itself.
#[derive(Debug)]
pub struct Providers {
    clock: Clock,
    known: Cache<String, Arc<Mutex<State>>>,
    /// How clients prove who they are, where what is usual was refused.
    ways: Cache<[u8; 32], Authentication>,
}

impl Providers {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: Cache::new(MAX_PROVIDERS),
            ways: Cache::new(MAX_PROVIDERS),
        }
    }

    /// The present moment.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The way in which a registration is known to prove who it is.
    pub(super) fn way_of(&self, registration: &[u8; 32]) -> Option<Authentication> {
        self.ways.get(registration)
    }

    pub(super) fn note_way(&self, registration: [u8; 32], way: Authentication) {
        self.ways.insert(registration, way);
    }

    /// What a provider publishes. Those who ask for the same at once wait for one to read it.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub async fn get(&self, outgoing: &Outgoing, issuer: &str) -> Result<Provider, Refusal> {
        let state = self.state(issuer)?;
        let mut state = state.lock().await;
        let now = self.now();
        if let Some(failure) = live(state.failure.as_ref(), now) {
            return Err(failure.clone());
        }
        let limit = outgoing.patience();
        let reading = timeout(limit, read(&mut state, outgoing, issuer, now)).await;
        let read = reading.unwrap_or_else(|_| Err(took_too_long(outgoing)));
        state.failure = read.as_ref().err().map(|refusal| Kept {
            value: refusal.clone(),
            // From its end: those who waited for it must not wait for another.
            ends_at: self.now() + FAILURE_LIFETIME,
        });
        read
    }

    /// The provider with other keys than `known`, none of which signed a token: those that somebody
    /// else had read meanwhile, or they are read again. `None` when that happened within the last
    /// minute, however often they were read for other reasons.
    ///
    /// # Errors
    ///
    /// Why they cannot be read. Those that there are stay for other tokens.
    pub async fn with_fresh_keys(
        &self,
        outgoing: &Outgoing,
        issuer: &str,
        known: &Provider,
    ) -> Result<Option<Provider>, Refusal> {
        let state = self.state(issuer)?;
        let mut state = state.lock().await;
        let now = self.now();
        let is_known = |keys: &Arc<KeySet>| Arc::ptr_eq(keys, &known.keys);
        if live(state.keys.as_ref(), now).is_some_and(|keys| !is_known(keys)) {
            return read(&mut state, outgoing, issuer, now).await.map(Some);
        }
        let is_recent = |at: DateTime<Utc>| now < at + REFRESH_INTERVAL;
        if state.refreshed_at.is_some_and(is_recent) {
            return Ok(None);
        }
        let fresh = refresh(&mut state, outgoing, issuer, now).await;
        // Not before: who went away meanwhile did not have them read.
        state.refreshed_at = Some(now);
        fresh.map(Some)
    }

    fn state(&self, issuer: &str) -> Result<Arc<Mutex<State>>, Refusal> {
        let fresh = || Ok::<_, Refusal>(Arc::default());
        self.known.get_or_insert_with(issuer, fresh)
    }
}

/// Who is slow with each of several answers is too slow.
pub(super) fn took_too_long(outgoing: &Outgoing) -> Refusal {
    Refusal::new(
        Check::Provider,
        format!(
            "the provider is too slow: it did not answer all requests of this login within {} s",
            outgoing.patience().as_secs_f32()
        ),
    )
}

fn live<T>(kept: Option<&Kept<T>>, now: DateTime<Utc>) -> Option<&T> {
    kept.filter(|kept| now < kept.ends_at)
        .map(|kept| &kept.value)
}

/// A provider, with its metadata and keys as they were read last.
async fn read(
    state: &mut State,
    outgoing: &Outgoing,
    issuer: &str,
    now: DateTime<Utc>,
) -> Result<Provider, Refusal> {
    let metadata = metadata(state, outgoing, issuer, now).await?;
    let keys = match live(state.keys.as_ref(), now) {
        Some(keys) => keys.clone(),
        None => keys(state, outgoing, &metadata, now).await?,
    };
    Ok(Provider { metadata, keys })
}

/// The provider, with keys that are read now.
async fn refresh(
    state: &mut State,
    outgoing: &Outgoing,
    issuer: &str,
    now: DateTime<Utc>,
) -> Result<Provider, Refusal> {
    let metadata = metadata(state, outgoing, issuer, now).await?;
    let keys = keys(state, outgoing, &metadata, now).await?;
    Ok(Provider { metadata, keys })
}

async fn metadata(
    state: &mut State,
    outgoing: &Outgoing,
    issuer: &str,
    now: DateTime<Utc>,
) -> Result<Arc<Metadata>, Refusal> {
    if let Some(metadata) = live(state.metadata.as_ref(), now) {
        return Ok(metadata.clone());
    }
    let (metadata, lifetime) = discover(outgoing, issuer).await?;
    let metadata = Arc::new(metadata);
    // Keys of another place are not this provider's any more.
    state.keys = None;
    state.metadata = Some(Kept {
        value: metadata.clone(),
        ends_at: now + lifetime,
    });
    Ok(metadata)
}

async fn keys(
    state: &mut State,
    outgoing: &Outgoing,
    metadata: &Metadata,
    now: DateTime<Utc>,
) -> Result<Arc<KeySet>, Refusal> {
    let (keys, lifetime) = read_keys(outgoing, metadata).await?;
    let keys = Arc::new(keys);
    state.keys = Some(Kept {
        value: keys.clone(),
        ends_at: now + lifetime,
    });
    Ok(keys)
}

async fn discover(outgoing: &Outgoing, issuer: &str) -> Result<(Metadata, TimeDelta), Refusal> {
    let refuse = |text: String| Refusal::new(Check::Provider, text);
    // OpenID Connect Discovery, section 4: below the issuer, whether or not that ends in a slash.
    let place = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let url =
        Url::parse(&place).map_err(|e| refuse(format!("issuer_url {issuer:?} is no URL: {e}")))?;
    let answer = outgoing
        .get(&url)
        .await
        .map_err(|e| refuse(format!("the provider's metadata cannot be read: {e}")))?;
    let metadata = Metadata::read(answer.body())
        .map_err(|reason| refuse(format!("the provider's metadata {reason} ({url})")))?;
    let named = &metadata.issuer;
    if named != issuer {
        return Err(refuse(format!(
            "the provider at {issuer:?} calls itself {:?}: set issuer_url to exactly that, if that is the provider you mean",
            printable(named)
        )));
    }
    check_endpoints(outgoing, &metadata)?;
    Ok((metadata, lifetime(answer.headers())))
}

/// Makes sure that everything that people and this server are sent to may be asked. The userinfo is another
/// matter: it may never be asked for.
fn check_endpoints(outgoing: &Outgoing, metadata: &Metadata) -> Result<(), Refusal> {
    let endpoints = [
        &metadata.authorization_endpoint,
        &metadata.token_endpoint,
        &metadata.jwks_uri,
    ];
    for endpoint in endpoints {
        outgoing.check(endpoint).map_err(|e| {
            let text = format!("an endpoint of the provider cannot be used: {e}");
            Refusal::new(Check::Provider, text)
        })?;
    }
    Ok(())
}

async fn read_keys(
    outgoing: &Outgoing,
    metadata: &Metadata,
) -> Result<(KeySet, TimeDelta), Refusal> {
    let refuse = |text: String| Refusal::new(Check::Provider, text);
    let url = &metadata.jwks_uri;
    let answer = outgoing
        .get(url)
        .await
        .map_err(|e| refuse(format!("the provider's keys cannot be read: {e}")))?;
    let document: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let published = document["keys"].as_array().ok_or_else(|| {
        refuse(format!(
            "the provider's keys at {url} cannot be used: they are no JSON object with a list of keys"
        ))
    })?;
    if published.len() > MAX_KEYS {
        return Err(refuse(format!(
            "the provider publishes more than {MAX_KEYS} keys at {url}"
        )));
    }
    let keys = KeySet::read(published);
    if keys.is_empty() {
        return Err(refuse(format!(
            "the provider publishes no keys at {url} that can verify a signature"
        )));
    }
    Ok((keys, lifetime(answer.headers())))
}

/// How long an answer may be kept (RFC 9111, section 5.2.2.1), within limits.
fn lifetime(headers: &HeaderMap) -> TimeDelta {
    let directives = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    let mut lifetime = LIFETIME;
    for directive in directives {
        let directive = directive.to_ascii_lowercase();
        if matches!(&*directive, "no-store" | "no-cache") {
            return MIN_LIFETIME;
        }
        if let Some(age) = directive.strip_prefix("max-age=") {
            let seconds = age.trim_matches('"').parse().unwrap_or(0);
            lifetime = TimeDelta::try_seconds(seconds).unwrap_or(MAX_LIFETIME);
        }
    }
    lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Reach;

    #[test]
    fn endpoints_at_private_addresses_are_refused() {
        let metadata = |name: &str, value: &str| {
            let mut metadata = serde_json::json!({
                "issuer": "https://accounts.example.com",
                "authorization_endpoint": "https://accounts.example.com/authorize",
                "token_endpoint": "https://accounts.example.com/token",
                "jwks_uri": "https://keys.example.com/",
            });
            metadata[name] = value.into();
            Metadata::read(metadata.to_string().as_bytes()).unwrap()
        };
        let public = Outgoing::new(Reach::default()).unwrap();
        let fine = metadata("token_endpoint", "https://elsewhere.example.com/token");
        check_endpoints(&public, &fine).unwrap();
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for evil in [
                "http://accounts.example.com/",
                "https://127.0.0.1/",
                "https://169.254.169.254/latest/meta-data/",
                "https://[::1]:5432/",
                "https://0x7f000001/",
                "javascript:alert(1)",
            ] {
                let refused = check_endpoints(&public, &metadata(name, evil)).unwrap_err();
                assert_eq!(refused.check, Check::Provider, "{name} {evil}");
            }
        }
    }

    #[test]
    fn answers_are_kept_as_long_as_they_say_within_limits() {
        for (value, expected) in [
            ("", LIFETIME),
            ("public, max-age=7200", TimeDelta::hours(2)),
            ("max-age=1", MIN_LIFETIME),
            ("max-age=99999999", MAX_LIFETIME),
            ("max-age=9999999999999999999", MIN_LIFETIME),
            ("max-age=7200, no-store", MIN_LIFETIME),
            ("private", LIFETIME),
        ] {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, value.parse().unwrap())]);
            assert_eq!(lifetime(&headers), expected, "{value}");
        }
    }
}

/// The keys of clients that publish them, read when they are needed.
#[derive(Debug)]
pub struct ClientKeys {
    clock: Clock,
    known: Cache<String, Arc<Mutex<Option<Read>>>>,
}

/// Keys, and when they were read; none, if they could not be.
type Read = (DateTime<Utc>, Result<Arc<KeySet>, String>);

impl ClientKeys {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: Cache::new(MAX_PROVIDERS),
        }
    }

    /// The keys at a URL. They are read again after an hour, and sooner if they are `known` to have signed something not; but not
    /// within a minute.
    ///
    /// # Errors
    ///
    /// Why they cannot be read, as the end of a sentence.
    pub async fn at(
        &self,
        outgoing: &Outgoing,
        url: &str,
        known: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, String> {
        let fresh = || Ok::<_, String>(Arc::default());
        let state = self.known.get_or_insert_with(url, fresh)?;
        let mut state = state.lock().await;
        let now = self.clock.now();
        let is_refused = |keys: &Arc<KeySet>| known.is_some_and(|known| Arc::ptr_eq(keys, known));
        if let Some((at, read)) = &*state {
            let lifetime = match read {
                Ok(keys) if is_refused(keys) => REFRESH_INTERVAL,
                Ok(_) => LIFETIME,
                Err(_) => FAILURE_LIFETIME,
            };
            if now < *at + lifetime {
                return read.clone();
            }
        }
        let read = read_client_keys(outgoing, url).await.map(Arc::new);
        // From its end: those who waited for it must not wait for another. Keys that there are stay if there are no others.
        let kept = match (&read, state.take()) {
            (Err(_), Some((_, Ok(keys)))) => Ok(keys),
            _ => read,
        };
        *state = Some((self.clock.now(), kept.clone()));
        kept
    }
}

async fn read_client_keys(outgoing: &Outgoing, url: &str) -> Result<KeySet, String> {
    let url = Url::parse(url).map_err(|e| e.to_string())?;
    let answer = outgoing.get(&url).await.map_err(|e| e.to_string())?;
    let document: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let keys = document["keys"]
        .as_array()
        .filter(|keys| keys.len() <= MAX_KEYS);
    keys.map(|keys| KeySet::read(keys))
        .ok_or_else(|| "there is no JSON Web Key Set".to_owned())
}
