//! A connection that a request takes when it first needs one, if it does.

use super::Store;
use super::connection::Connection;
use super::pool::Lease;
use super::wide::Wide;
use crate::error::Error;

/// A connection, from when it is first needed.
pub struct Later<'a> {
    store: &'a Store,
    is_wide: bool,
    held: Option<Reading>,
}

/// A connection for reading.
enum Reading {
    Plain(Lease),
    Wide(Wide),
}

impl<'a> Later<'a> {
    /// None yet.
    pub fn new(store: &'a Store) -> Self {
        Self {
            store,
            is_wide: false,
            held: None,
        }
    }

    /// None yet, and then one for a search that reads everything that a tenant has.
    pub fn wide(store: &'a Store) -> Self {
        Self {
            is_wide: true,
            ..Self::new(store)
        }
    }

    /// The connection.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when none is free in time; [`Error::Busy`] when too many search everything.
    pub async fn get(&mut self) -> Result<&mut Connection, Error> {
        let reading = match self.held.take() {
            Some(reading) => reading,
            None if self.is_wide => Reading::Wide(Wide::begin(self.store).await?),
            None => Reading::Plain(self.store.acquire().await?),
        };
        Ok(match self.held.insert(reading) {
            Reading::Plain(lease) => lease,
            Reading::Wide(wide) => wide,
        })
    }

    /// Gives the connection back, ready for the next. One for a search that is dropped has to be asked
    /// first.
    pub async fn finish(self) -> Result<(), Error> {
        match self.held {
            Some(Reading::Wide(wide)) => wide.finish().await,
            _ => Ok(()),
        }
    }
}
