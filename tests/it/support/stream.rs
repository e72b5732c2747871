//! A stream, as a client of the Connect protocol reads it (Connect protocol, "Streaming-Response").

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf, BytesMut};
use futures_util::StreamExt;
use http::{Request, header};
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use super::Server;

/// The messages that a method answers with.
pub struct Stream {
    body: BodyDataStream,
    read: BytesMut,
}

impl Stream {
    pub async fn open(server: &Server, path: &str, token: &str, request: Value) -> Self {
        let message = request.to_string();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message.bytes());
        let request = Request::post(format!("/{path}"))
            .header(header::CONTENT_TYPE, "application/connect+json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::from(body));
        let response = server
            .router
            .clone()
            .oneshot(request.unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body().into_data_stream(),
            read: BytesMut::new(),
        }
    }

    /// The next message, and whether it is the end.
    pub async fn next(&mut self) -> (bool, Value) {
        let next = async {
            loop {
                if self.read.len() >= 5 {
                    let length = u32::from_be_bytes(self.read[1..5].try_into().unwrap()) as usize;
                    if self.read.len() >= 5 + length {
                        let is_end = self.read[0] & 2 != 0;
                        self.read.advance(5);
                        let message = self.read.split_to(length);
                        return (is_end, serde_json::from_slice(&message).unwrap());
                    }
                }
                let part = self.body.next().await.expect("more of the stream");
                self.read.extend_from_slice(&part.unwrap());
            }
        };
        timeout(Duration::from_secs(30), next)
            .await
            .expect("a message")
    }

    pub async fn event(&mut self) -> Value {
        let (is_end, event) = self.next().await;
        assert!(!is_end, "{event}");
        event
    }
}
