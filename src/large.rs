//! The memory for large requests. Each of them is bounded, and takes many times its length while it is
//! worked on: so few are at a time, and the others wait in line.

use std::time::Duration;

use http::{HeaderMap, header};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::Error;

/// Bytes of a request that do not count.
const SMALL: usize = 64 * 1024;
/// Bytes of all large requests at a time.
const TOTAL: usize = 4 * 1024 * 1024;
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

impl Large {
    /// Room for the body of a request of these headers, which is `most` bytes long at most. It is for
    /// requests whose sender is known: others could keep it.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when there is none in time.
    pub async fn room(
        &self,
        headers: &HeaderMap,
        most: usize,
    ) -> Result<Option<SemaphorePermit<'_>>, Error> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|text| text.to_str().ok()?.parse().ok());
        let is_encoded = headers.contains_key(header::CONTENT_ENCODING);
        let has_none = length.is_none() && !headers.contains_key(header::TRANSFER_ENCODING);
        let length: usize = match length {
            Some(length) if !is_encoded => most.min(length),
            None if has_none => 0,
            _ => most,
        };
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
