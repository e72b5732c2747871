//! The memory for large requests. Each of them is bounded, and takes many times its length while it is
//! worked on: so few are at a time, and the others wait in line.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use http::{HeaderMap, header};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::Error;

/// Bytes of a request that do not count.
const SMALL: usize = 64 * 1024;
/// Bytes of all large requests at a time.
const TOTAL: usize = 3 * 1024 * 1024;
/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// How much there is left.
#[derive(Debug)]
pub struct Large(Semaphore);

impl Default for Large {
    fn default() -> Self {
        Self(Semaphore::new(TOTAL))
    }
}

/// How long the body of a request is: `most`, where that shows at the end alone.
pub fn length(headers: &HeaderMap, body: &Body, most: usize) -> usize {
    let is_encoded = headers.contains_key(header::CONTENT_ENCODING);
    let length = body.size_hint().exact().filter(|_| !is_encoded);
    match length.map(usize::try_from) {
        _ if body.is_end_stream() => 0,
        Some(Ok(length)) => most.min(length),
        _ => most,
    }
}

impl Large {
    /// Room for a body of this [`length`]. It is for requests whose sender is known: others could keep it.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when there is none in time.
    pub async fn room(&self, length: usize) -> Result<Option<SemaphorePermit<'_>>, Error> {
        if length <= SMALL {
            return Ok(None);
        }
        let bytes = u32::try_from(length.min(TOTAL)).map_err(Error::internal)?;
        match timeout(PATIENCE, self.0.acquire_many(bytes)).await {
            Ok(room) => room.map(Some).map_err(Error::internal),
            Err(_) => Err(Error::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[test]
    fn what_does_not_tell_its_length_counts_as_the_longest() {
        let plain = HeaderMap::new();
        assert_eq!(length(&plain, &Body::empty(), 1000), 0);
        assert_eq!(length(&plain, &Body::from("four"), 1000), 4);
        assert_eq!(length(&plain, &Body::from("four"), 3), 3);
        let chunks = stream::iter([Ok::<_, std::io::Error>("four")]);
        assert_eq!(length(&plain, &Body::from_stream(chunks), 1000), 1000);
        let mut packed = HeaderMap::new();
        packed.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(length(&packed, &Body::from("four"), 1000), 1000);
    }

    #[tokio::test]
    async fn large_requests_share_the_room_and_small_ones_take_none() {
        let large = Large::default();
        assert!(large.room(SMALL).await.unwrap().is_none());
        let first = large.room(2 * TOTAL).await.unwrap();
        assert_eq!(large.0.available_permits(), 0, "the longest has all of it");
        drop(first);
        let _second = large.room(SMALL + 1).await.unwrap();
        assert_eq!(large.0.available_permits(), TOTAL - SMALL - 1);
    }
}
