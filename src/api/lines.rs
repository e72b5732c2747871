//! Streams as JSON lines, for SDKs that know no other form: they send the request as JSON, and read a message a line. The request is
//! put into the envelope that the Connect protocol has for streams, and the messages of the answer are taken out of theirs.

use std::convert::Infallible;

use axum::body::{Body, BodyDataStream, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use connectrpc::{ConnectError, ErrorCode};
use futures_util::{FutureExt, StreamExt, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;

use super::{MAX_BODY, STREAM};

/// How the answer is marked.
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/jsonl");
/// How the Connect protocol marks a stream of JSON.
const CONNECT: HeaderValue = HeaderValue::from_static("application/connect+json");
/// What is before a message in its envelope: flags, and how long it is.
const PREFIX: usize = 5;
/// The flag of the last envelope, which has no message but what went wrong.
const END: u8 = 2;

/// Answers with lines where the method has a stream and the request is JSON.
pub async fn translate(request: Request, next: Next) -> Response {
    let is_stream = request.uri().path().ends_with(STREAM) && request.method() == Method::POST;
    if !is_stream || !is_json(request.headers()) {
        return next.run(request).await;
    }
    let (mut head, body) = request.into_parts();
    let Ok(message) = to_bytes(body, MAX_BODY).await else {
        return failure(&ConnectError::resource_exhausted(
            "the request is too large",
        ));
    };
    let mut envelope = BytesMut::with_capacity(PREFIX + message.len());
    envelope.put_u8(0);
    envelope.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    match &*message {
        b"" => {
            envelope.clear();
            envelope.extend_from_slice(b"\0\0\0\0\x02{}");
        }
        message => envelope.extend_from_slice(message),
    }
    head.headers.insert(CONTENT_TYPE, CONNECT);
    for name in [CONTENT_LENGTH, ACCEPT_ENCODING] {
        head.headers.remove(name);
    }
    let request = Request::from_parts(head, Body::from(envelope.freeze()));
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    lines(response).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let value = value.unwrap_or_default().split(|b| *b == b';').next();
    let value = value.unwrap_or_default().trim_ascii();
    let is_compressed = headers.contains_key(CONTENT_ENCODING);
    !is_compressed
        && ["application/json", "application/jsonl"]
            .iter()
            .any(|known| value.eq_ignore_ascii_case(known.as_bytes()))
}

async fn lines(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let mut messages = Messages {
        body: body.into_data_stream(),
        read: BytesMut::new(),
    };
    // What is wrong with the request is known at once, and has a status.
    let first = messages.next().now_or_never();
    if let Some(Some(Message::End(end))) = &first
        && let Some(error) = end.get("error")
    {
        return failed(error);
    }
    let first = match first {
        Some(Some(Message::One(line))) => Some(line),
        _ => None,
    };
    head.headers.insert(CONTENT_TYPE, JSON_LINES);
    head.headers.remove(CONTENT_LENGTH);
    let rest = stream::unfold(messages, |mut messages| async move {
        match messages.next().await {
            Some(Message::One(line)) => Some((line, messages)),
            // Whoever reads lines alone is told, too, why there are no more.
            Some(Message::End(end)) => Some((last_line(&end)?, messages)),
            None => None,
        }
    });
    let all = stream::iter(first).chain(rest).map(Ok::<_, Infallible>);
    Response::from_parts(head, Body::from_stream(all))
}

fn last_line(end: &Value) -> Option<Bytes> {
    let error = end.get("error")?;
    Some(format!("{error}\n").into())
}

/// The answer of a call that has no stream, for an error of one that has.
fn failed(error: &Value) -> Response {
    let code = error.get("code").and_then(Value::as_str);
    let code = code
        .and_then(|code| code.parse().ok())
        .unwrap_or(ErrorCode::Unknown);
    let status = ConnectError::new(code, "").http_status();
    let mut response = Response::new(Body::from(error.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn failure(error: &ConnectError) -> Response {
    let message = error.message.as_deref().unwrap_or_default();
    failed(&serde_json::json!({ "code": error.code.as_str(), "message": message }))
}

enum Message {
    /// One, with the end of its line.
    One(Bytes),
    /// The end, and what the protocol says with it.
    End(Value),
}

/// The messages of a stream.
struct Messages {
    body: BodyDataStream,
    read: BytesMut,
}

impl Messages {
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            let part = self.body.next().await?.ok()?;
            self.read.extend_from_slice(&part);
        }
    }

    /// The next one, if all of it is read.
    fn take(&mut self) -> Option<Message> {
        let prefix: [u8; PREFIX] = self.read.get(..PREFIX)?.try_into().ok()?;
        let [flags, length @ ..] = prefix;
        let length = u32::from_be_bytes(length) as usize;
        if self.read.len() < PREFIX + length {
            return None;
        }
        self.read.advance(PREFIX);
        let mut message = self.read.split_to(length);
        if flags & END != 0 {
            return Some(Message::End(
                serde_json::from_slice(&message).unwrap_or_default(),
            ));
        }
        message.extend_from_slice(b"\n");
        Some(Message::One(message.freeze()))
    }
}
