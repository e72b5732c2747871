//! A share of the connections: what one door waits for, such as a lock on a table of its own, must not
//! take all of them from the others.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The fewest connections of which any can be kept back.
const FEWEST: u32 = 4;

tokio::task_local! {
    static SHARE: Share;
}

/// How many connections the requests of one door may use at a time.
#[derive(Clone, Debug, Default)]
pub struct Share(Option<Arc<Semaphore>>);

impl Share {
    /// Three of four.
    pub(super) fn of(max_connections: u32) -> Self {
        let most = max_connections - max_connections / FEWEST;
        Self((max_connections >= FEWEST).then(|| Arc::new(Semaphore::new(most as usize))))
    }

    /// Has everything that `work` asks of the database count.
    pub async fn bound<T>(self, work: impl Future<Output = T>) -> T {
        SHARE.scope(self, work).await
    }

    pub(super) fn of_this_task() -> Self {
        SHARE.try_with(Clone::clone).unwrap_or_default()
    }

    pub(super) async fn take(self) -> Result<Option<OwnedSemaphorePermit>, AcquireError> {
        match self.0 {
            Some(connections) => connections.acquire_owned().await.map(Some),
            None => Ok(None),
        }
    }
}
