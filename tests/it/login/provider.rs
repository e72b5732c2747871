//! An OpenID provider on the loopback that does as it should until a test has it do otherwise.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RsaEncoding, RsaKeyPair,
};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use rollcall::app::Clock;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::net::TcpListener;
use url::Url;

use crate::support::merge;

pub const CLIENT: &str = "rollcall-client";
pub const SECRET: &str = "hunter2-hunter2";
const CALLBACK: &str = "https://rollcall.test/auth/oidc/callback";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Metadata,
    Keys,
    Token,
    Userinfo,
}

pub const ENDPOINTS: [Endpoint; 4] = [
    Endpoint::Metadata,
    Endpoint::Keys,
    Endpoint::Token,
    Endpoint::Userinfo,
];

/// What an endpoint answers instead of what it should.
#[derive(Clone)]
pub enum Answer {
    /// A status, a header and a body.
    This(u16, (&'static str, String), Bytes),
    /// Nothing, ever.
    Never,
    /// Half of what it should, and then nothing, ever.
    Stalled,
    /// Half of what it should, and then the connection breaks.
    Broken,
    /// Without end, which no header announces.
    Endless,
    /// What it should, with spaces up to this many bytes, which no header announces.
    Padded(usize),
}

impl Answer {
    pub fn json(text: &str) -> Self {
        let kind = ("content-type", "application/json".to_owned());
        Self::This(200, kind, Bytes::from(text.to_owned()))
    }

    pub fn status(status: u16) -> Self {
        Self::This(status, ("x-nothing", String::new()), Bytes::new())
    }

    pub fn redirect(to: &str) -> Self {
        Self::This(307, ("location", to.to_owned()), Bytes::new())
    }
}

/// A key pair, the same for the same seed.
#[derive(Clone)]
pub struct Key {
    pub alg: &'static str,
    pub kid: &'static str,
    pub seed: u8,
}

impl Key {
    pub const fn new(alg: &'static str) -> Self {
        Self {
            alg,
            kid: alg,
            seed: 7,
        }
    }

    fn rsa() -> RsaKeyPair {
        let pem = include_str!("rsa.pem")
            .lines()
            .filter(|line| !line.starts_with("-----"));
        let der = STANDARD.decode(pem.collect::<String>()).unwrap();
        RsaKeyPair::from_der(&der).unwrap()
    }

    fn ed25519(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self.seed; 32]).unwrap()
    }

    /// The key's curve by name, how it signs, and what it is.
    fn curve(&self) -> (&'static str, EcdsaKeyPair) {
        let (name, curve, signs, size): (_, _, &'static EcdsaSigningAlgorithm, _) = match self.alg {
            "ES256" => ("P-256", &ECDH_P256, &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
            "ES384" => ("P-384", &ECDH_P384, &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
            _ => ("P-521", &ECDH_P521, &ECDSA_P521_SHA512_FIXED_SIGNING, 66),
        };
        let mut secret = vec![self.seed; size];
        if size == 66 {
            secret[0] = 0;
        }
        let point = agreement::PrivateKey::from_private_key(curve, &secret).unwrap();
        let point = point.compute_public_key().unwrap();
        let key = EcdsaKeyPair::from_private_key_and_public_key(signs, &secret, point.as_ref());
        (name, key.unwrap())
    }

    /// The public key, as it is published.
    pub fn public(&self) -> Value {
        let mut key = match self.alg {
            "EdDSA" => {
                let x = encode(self.ed25519().public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
            "ES256" | "ES384" | "ES512" => {
                let (curve, key) = self.curve();
                let point = key.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            _ => {
                let key = Self::rsa();
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                json!({
                    "kty": "RSA",
                    "n": encode(n.big_endian_without_leading_zero()),
                    "e": encode(e.big_endian_without_leading_zero()),
                })
            }
        };
        merge(
            &mut key,
            json!({ "kid": self.kid, "use": "sig", "alg": self.alg }),
        );
        key
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let encoding: &'static dyn RsaEncoding = match self.alg {
            "EdDSA" => return self.ed25519().sign(message).as_ref().to_vec(),
            "ES256" | "ES384" | "ES512" => {
                let (_, key) = self.curve();
                return key.sign(&random, message).unwrap().as_ref().to_vec();
            }
            "RS256" => &signature::RSA_PKCS1_SHA256,
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            _ => &signature::RSA_PSS_SHA512,
        };
        let key = Self::rsa();
        let mut signed = vec![0; key.public_modulus_len()];
        key.sign(encoding, &random, message, &mut signed).unwrap();
        signed
    }

    fn hash(&self, text: &str) -> Vec<u8> {
        match self.alg {
            "EdDSA" => Sha512::digest(text).to_vec(),
            alg if alg.ends_with("384") => Sha384::digest(text).to_vec(),
            alg if alg.ends_with("512") => Sha512::digest(text).to_vec(),
            _ => Sha256::digest(text).to_vec(),
        }
    }
}

/// What signs an ID token.
#[derive(Clone)]
pub enum Sign {
    With(Key),
    /// HS256 with these bytes.
    Hmac(Vec<u8>),
    /// `none`.
    Nothing,
    /// As it should, but over something else.
    Forged,
}

/// A code that was given out.
#[derive(Clone)]
struct Grant {
    challenge: String,
    nonce: String,
    client: String,
    person: Value,
}

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

pub struct State {
    pub key: Key,
    pub sign: Option<Sign>,
    pub keys: Vec<Value>,
    /// Who signs in next.
    pub person: Value,
    /// What differs from what should be; null takes away.
    pub metadata: Value,
    pub header: Value,
    pub claims: Value,
    pub tokens: Value,
    pub userinfo: Value,
    pub answers: HashMap<Endpoint, Answer>,
    pub cache_control: HashMap<Endpoint, &'static str>,
    /// What answers say that they are, in the place of JSON.
    pub kinds: HashMap<Endpoint, &'static str>,
    /// Whether base64url has the padding that it should not have.
    pub is_padded: bool,
    /// Whether times have a fraction.
    pub has_fractions: bool,
    /// What the addresses of the endpoints end in, after a question mark.
    pub query: &'static str,
    /// Whether the secret is taken in the form alone.
    pub takes_form_alone: bool,
    /// The keys of the client, which has to sign with one of them in the place of a secret.
    pub client_keys: Option<Value>,
    /// What happens before a token is given.
    pub before_token: Option<Hook>,
    /// The identifiers of what clients signed.
    pub assertions: Vec<String>,
    grants: HashMap<String, Grant>,
    requests: Vec<(Endpoint, HeaderMap, String)>,
    secrets: Vec<String>,
    next: u32,
}

#[derive(Clone)]
pub struct Provider {
    pub issuer: String,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Provider {
    pub async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let key = Key::new("EdDSA");
        let state = State {
            keys: vec![key.public()],
            key,
            sign: None,
            person: json!({}),
            metadata: json!({}),
            header: json!({}),
            claims: json!({}),
            tokens: json!({}),
            userinfo: json!({}),
            answers: HashMap::new(),
            cache_control: HashMap::new(),
            kinds: HashMap::new(),
            is_padded: false,
            has_fractions: false,
            query: "",
            takes_form_alone: false,
            client_keys: None,
            before_token: None,
            assertions: vec![],
            grants: HashMap::new(),
            requests: vec![],
            secrets: vec![SECRET.to_owned()],
            next: 0,
        };
        let provider = Self {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            clock,
            state: Arc::new(Mutex::new(state)),
        };
        let router = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    /// Its state, to be bent.
    pub fn bend(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Does as it should again.
    pub fn straighten(&self) {
        self.rotate(Key::new("EdDSA"));
        let mut state = self.bend();
        state.metadata = json!({});
        state.header = json!({});
        state.claims = json!({});
        state.tokens = json!({});
        state.userinfo = json!({});
        state.sign = None;
        state.is_padded = false;
        state.has_fractions = false;
        state.query = "";
        state.takes_form_alone = false;
        state.client_keys = None;
        state.answers.clear();
        state.kinds.clear();
        state.cache_control.clear();
    }

    pub fn answers(&self, endpoint: Endpoint, answer: Answer) {
        self.bend().answers.insert(endpoint, answer);
    }

    /// Signs with another key from now on, and publishes it alone.
    pub fn rotate(&self, key: Key) {
        let mut state = self.bend();
        state.keys = vec![key.public()];
        state.key = key;
    }

    /// How often an endpoint was asked.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        let state = self.bend();
        state
            .requests
            .iter()
            .filter(|(e, ..)| *e == endpoint)
            .count()
    }

    /// Headers and body of the last request to an endpoint.
    pub fn last(&self, endpoint: Endpoint) -> (HeaderMap, String) {
        let state = self.bend();
        let found = state.requests.iter().rfind(|(e, ..)| *e == endpoint);
        let (_, headers, body) = found.unwrap();
        (headers.clone(), body.clone())
    }

    /// What nobody but the two servers may know.
    pub fn secrets(&self) -> Vec<String> {
        self.bend().secrets.clone()
    }

    /// Lets the person in who was sent here, and returns the answer's parameters.
    pub fn authorize(&self, url: &str) -> HashMap<String, String> {
        let url = Url::parse(url).unwrap();
        assert!(
            url.as_str()
                .starts_with(&format!("{}/authorize?", self.issuer)),
            "{url}"
        );
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["redirect_uri"], CALLBACK);
        assert!(
            asked["scope"].starts_with("openid email profile"),
            "{}",
            asked["scope"]
        );
        let mut state = self.bend();
        state.next += 1;
        let code = format!("code-{}-{}", state.next, asked["nonce"]);
        let grant = Grant {
            challenge: asked["code_challenge"].clone(),
            nonce: asked["nonce"].clone(),
            client: asked["client_id"].clone(),
            person: state.person.clone(),
        };
        state.grants.insert(code.clone(), grant);
        let secrets = [&code, &asked["nonce"], &asked["state"]];
        state.secrets.extend(secrets.map(Clone::clone));
        [("code", code), ("state", asked["state"].clone())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    /// A userinfo answer that is signed like an ID token.
    pub fn signed_userinfo(&self, claims: Value) -> Answer {
        let base = json!({ "iss": self.issuer, "aud": CLIENT });
        let token = jwt(&self.bend(), &bent(base, &claims));
        Answer::This(
            200,
            ("content-type", "application/jwt".to_owned()),
            token.into(),
        )
    }

    fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        let query = self.bend().query;
        let mark = if query.is_empty() { "" } else { "?" };
        let endpoint = |name: &str| format!("{issuer}/{name}{mark}{query}");
        let metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": endpoint("authorize"),
            "token_endpoint": endpoint("token"),
            "userinfo_endpoint": endpoint("userinfo"),
            "jwks_uri": endpoint("keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        });
        bent(metadata, &self.bend().metadata)
    }

    /// Whether the client proves with one of these keys who it is (RFC 7523, section 3).
    fn is_signed(&self, form: &HashMap<String, String>, keys: &Value) -> bool {
        let Some(assertion) = form.get("client_assertion") else {
            return false;
        };
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        assert!(!form.contains_key("client_secret"));
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let parts: Vec<&str> = assertion.split('.').collect();
        let [header, claims]: [Value; 2] =
            [parts[0], parts[1]].map(|part| serde_json::from_slice(&decode(part)).unwrap());
        assert_eq!(
            (&claims["iss"], &claims["sub"]),
            (&json!(CLIENT), &json!(CLIENT))
        );
        assert_eq!(claims["aud"], format!("{}/token", self.issuer));
        let now = self.clock.now().timestamp();
        assert!(claims["exp"].as_i64().unwrap() > now && claims["iat"].as_i64().unwrap() <= now);
        self.bend().secrets.push(assertion.clone());
        self.bend()
            .assertions
            .push(claims["jti"].as_str().unwrap().to_owned());
        let key = keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["kid"] == header["kid"]);
        key.is_some_and(|key| {
            let number = |name: &str| decode(key[name].as_str().unwrap());
            let key = signature::RsaPublicKeyComponents {
                n: number("n"),
                e: number("e"),
            };
            let message = format!("{}.{}", parts[0], parts[1]);
            let algorithm = match header["alg"].as_str().unwrap() {
                "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                _ => &signature::RSA_PSS_2048_8192_SHA256,
            };
            key.verify(algorithm, message.as_bytes(), &decode(parts[2]))
                .is_ok()
        })
    }

    /// The tokens for a code, or the error and its status.
    fn exchange(&self, headers: &HeaderMap, body: &str) -> Result<Value, (u16, &'static str)> {
        let form: HashMap<String, String> = form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect();
        let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
        let is_basic = headers
            .get(header::AUTHORIZATION)
            .is_some_and(|v| *v == *basic);
        let is_post = form
            .get("client_secret")
            .is_some_and(|secret| secret == SECRET)
            && form.get("client_id").is_some_and(|id| id == CLIENT);
        let (keys, form_alone) = {
            let state = self.bend();
            (state.client_keys.clone(), state.takes_form_alone)
        };
        let is_known = match keys {
            Some(keys) => self.is_signed(&form, &keys),
            None => is_post || (is_basic && !form_alone),
        };
        if !is_known {
            return Err((401, "invalid_client"));
        }
        assert_eq!(form["grant_type"], "authorization_code");
        let mut state = self.bend();
        let grant = state
            .grants
            .remove(&form["code"])
            .ok_or((400, "invalid_grant"))?;
        state.secrets.push(form["code_verifier"].clone());
        let proves = encode(&Sha256::digest(&form["code_verifier"])) == grant.challenge;
        if !proves || form["redirect_uri"] != CALLBACK {
            return Err((400, "invalid_grant"));
        }

        let now = self.clock.now().timestamp();
        let access_token = format!("access-{}", form["code"]);
        let hash = state.key.hash(&access_token);
        let claims = json!({
            "iss": self.issuer,
            "aud": grant.client,
            "iat": now,
            "exp": now + 300,
            "nonce": grant.nonce,
            "at_hash": encode(&hash[..hash.len() / 2]),
        });
        let mut claims = bent(bent(claims, &grant.person), &state.claims);
        if state.has_fractions {
            for name in ["iat", "exp"] {
                claims[name] = json!(claims[name].as_f64().unwrap() + 0.25);
            }
        }
        let id_token = jwt(&state, &claims);
        state
            .secrets
            .extend([access_token.clone(), id_token.clone()]);
        let tokens = json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": id_token,
        });
        Ok(bent(tokens, &state.tokens))
    }
}

/// The ID token for these claims.
fn jwt(state: &State, claims: &Value) -> String {
    let sign = state.sign.clone().unwrap_or(Sign::With(state.key.clone()));
    let (alg, kid) = match &sign {
        Sign::With(key) => (key.alg, key.kid),
        Sign::Forged => (state.key.alg, state.key.kid),
        Sign::Hmac(_) => ("HS256", state.key.kid),
        Sign::Nothing => ("none", state.key.kid),
    };
    let header = bent(
        json!({ "alg": alg, "kid": kid, "typ": "JWT" }),
        &state.header,
    );
    let encode = |bytes: &[u8]| match state.is_padded {
        true => URL_SAFE.encode(bytes),
        false => encode(bytes),
    };
    let message = [header, claims.clone()].map(|part| encode(part.to_string().as_bytes()));
    let message = message.join(".");
    let signature = match sign {
        Sign::With(key) => key.sign(message.as_bytes()),
        Sign::Forged => state.key.sign(b"something else"),
        Sign::Hmac(key) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
        }
        Sign::Nothing => vec![],
    };
    format!("{message}.{}", encode(&signature))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What stands for a null that is sent, and not for something that is left out.
pub const NULL: &str = "a null";

/// An object with some fields set, and those taken away that are null.
fn bent(mut object: Value, more: &Value) -> Value {
    merge(&mut object, more.clone());
    let Value::Object(fields) = object else {
        panic!("an object")
    };
    let mut fields: Map<_, _> = fields.into_iter().filter(|(_, v)| !v.is_null()).collect();
    for value in fields.values_mut().filter(|value| *value == NULL) {
        *value = Value::Null;
    }
    Value::Object(fields)
}

async fn answer(Shared(provider): Shared<Provider>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let endpoint = match head.uri.path() {
        "/.well-known/openid-configuration" => Endpoint::Metadata,
        "/keys" => Endpoint::Keys,
        "/token" => Endpoint::Token,
        "/userinfo" => Endpoint::Userinfo,
        other => panic!("nobody asks for {other}"),
    };
    let (bent_answer, hook) = {
        let mut state = provider.bend();
        state
            .requests
            .push((endpoint, head.headers.clone(), body.clone()));
        let hook = (endpoint == Endpoint::Token).then(|| state.before_token.take());
        (state.answers.get(&endpoint).cloned(), hook.flatten())
    };
    if let Some(hook) = hook {
        hook().await;
    }
    let (status, value) = match endpoint {
        Endpoint::Metadata => (200, provider.metadata()),
        Endpoint::Keys => (200, json!({ "keys": provider.bend().keys })),
        Endpoint::Token => match provider.exchange(&head.headers, &body) {
            Ok(tokens) => (200, tokens),
            Err((status, error)) => (status, json!({ "error": error })),
        },
        Endpoint::Userinfo => {
            let state = provider.bend();
            let is_ours = head
                .headers
                .get(header::AUTHORIZATION)
                .is_some_and(|value| {
                    let token = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
                    state.secrets.iter().any(|secret| secret == token)
                });
            assert!(is_ours, "a token that was given out");
            (200, bent(state.person.clone(), &state.userinfo))
        }
    };
    let text = value.to_string();
    let half = Bytes::from(text[..text.len() / 2].to_owned());
    let kind = provider.bend().kinds.get(&endpoint).copied();
    let mut response =
        Response::builder().header("content-type", kind.unwrap_or("application/json"));
    if let Some(value) = provider.bend().cache_control.get(&endpoint) {
        response = response.header("cache-control", *value);
    }
    match bent_answer {
        None => response.status(status).body(Body::from(text)),
        Some(Answer::This(status, (name, value), body)) => Response::builder()
            .status(status)
            .header(name, value)
            .body(Body::from(body)),
        Some(Answer::Never) => std::future::pending().await,
        Some(Answer::Stalled) => {
            let half = stream::once(async { Ok::<_, Infallible>(half) });
            response.body(Body::from_stream(half.chain(stream::pending())))
        }
        Some(Answer::Broken) => {
            let parts = [Ok(half), Err(std::io::Error::other("broken"))];
            response.body(Body::from_stream(stream::iter(parts)))
        }
        Some(Answer::Padded(length)) => {
            let spaces = vec![b' '; length - text.len()];
            let parts = [Ok::<_, Infallible>(Bytes::from(text)), Ok(spaces.into())];
            response.body(Body::from_stream(stream::iter(parts)))
        }
        Some(Answer::Endless) => {
            let spaces = Bytes::from(vec![b' '; 64 * 1024]);
            let parts = stream::repeat(spaces).map(Ok::<_, Infallible>);
            response.body(Body::from_stream(parts))
        }
    }
    .unwrap()
}
