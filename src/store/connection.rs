//! A connection that knows what became of its queries, and gives up on a server that fell silent.

use std::time::Duration;
use std::{fmt, io};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    ConnectOptions as _, Connection as _, Either, Error, Execute, Executor, PgConnection, Postgres,
    SqlStr,
};
use tokio::time::timeout;

/// How long a server may take over one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until the server itself gives up a statement (`statement_timeout`).
    pub(super) statement: Duration,
    /// Until a statement gives up waiting for a lock (`lock_timeout`).
    pub(super) lock: Duration,
    /// Until a server that says nothing at all counts as gone: more than `statement`, so that one that
    /// is slow and there has said so before.
    pub(super) silence: Duration,
}

impl Limits {
    /// For a server across a network, which may swallow what is sent: who waits is told within the time
    /// that a request may take, and others go on with a new connection.
    pub(super) const SERVER: Self = Self {
        statement: Duration::from_secs(9),
        lock: Duration::from_secs(4),
        silence: Duration::from_secs(10),
    };
    /// For the embedded one, which is slow, never silent, and serves one connection; and for what may
    /// take long, such as deleting everything of a configuration.
    pub(super) const PATIENT: Self = Self {
        statement: Duration::from_secs(60),
        lock: Duration::from_secs(20),
        silence: Duration::from_secs(65),
    };

    /// For a search that reads everything that a tenant has.
    pub(super) const WIDE: Self = Self {
        statement: Duration::from_secs(5),
        ..Self::SERVER
    };

    /// The statements that have the server keep to them.
    pub(super) fn settings(self) -> String {
        self.set("set")
    }

    /// The same, until the transaction ends.
    pub(super) fn settings_of_transaction(self) -> String {
        self.set("set local")
    }

    fn set(self, verb: &str) -> String {
        let (statement, lock) = (self.statement.as_millis(), self.lock.as_millis());
        format!("{verb} statement_timeout = {statement}; {verb} lock_timeout = {lock}")
    }
}

/// What became of the queries on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Each was answered to the end.
    Clean,
    /// One failed, or nobody waited for its end: the connection may be good, which it has to show.
    Doubtful,
    /// One was not answered in time.
    Silent,
}

/// A connection to PostgreSQL, within a transaction or not.
pub struct Connection {
    inner: PgConnection,
    state: State,
    limits: Limits,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) async fn connect(options: &PgConnectOptions, limits: Limits) -> Result<Self, Error> {
        Ok(Self {
            inner: options.connect().await?,
            state: State::Clean,
            limits,
        })
    }

    /// The driver's connection, for what is not a query. Nobody watches it.
    pub(super) fn driver(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// What was under way came to its end.
    pub(super) fn is_settled(&mut self) {
        self.state = State::Clean;
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Holds the client's side to other limits from here on. The server's are another matter.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) async fn ping(&mut self) -> Result<(), Error> {
        let answer = self.inner.ping();
        bounded(&mut self.state, self.limits.silence, answer).await
    }

    /// Ends it, and tells the server.
    pub(super) async fn close(self) -> Result<(), Error> {
        self.inner.close().await
    }
}

/// Waits for an answer. Who stops waiting before leaves a doubt behind.
async fn bounded<T>(
    state: &mut State,
    limit: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let before = std::mem::replace(state, State::Doubtful);
    match timeout(limit, answer).await {
        Ok(Ok(answer)) => {
            *state = before;
            Ok(answer)
        }
        Ok(Err(error)) => Err(note(state, before, error)),
        Err(_) => {
            *state = State::Silent;
            Err(silence(limit))
        }
    }
}

/// The rows of an answer, and the ends of its statements.
type Items<'a> = BoxStream<'a, Result<Either<PgQueryResult, PgRow>, Error>>;

/// Hands over the rows of an answer, and holds it to its end: a server that breaks down says that it is ready without
/// having said that the statement is done, which for a `commit` would be a change that is acknowledged and lost.
async fn whole(mut items: Items<'_>, mut take: impl FnMut(PgRow)) -> Result<PgQueryResult, Error> {
    let mut end: Option<PgQueryResult> = None;
    while let Some(item) = items.try_next().await? {
        match item {
            Either::Left(done) => end.get_or_insert_default().extend([done]),
            Either::Right(row) => take(row),
        }
    }
    end.ok_or_else(without_end)
}

fn without_end() -> Error {
    Error::Protocol("the database left a statement without the end of its answer".to_owned())
}

/// Notes what an error says about the connection. One of a row, such as a second of its kind, says
/// nothing.
fn note(state: &mut State, before: State, error: Error) -> Error {
    let is_of_row = error
        .as_database_error()
        .and_then(|fault| fault.code())
        .is_some_and(|code| code.starts_with("23"));
    if is_of_row {
        *state = before;
    }
    error
}

fn silence(limit: Duration) -> Error {
    let text = format!("the database did not answer within {} s", limit.as_secs());
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answer = whole(self.inner.fetch_many(query), drop);
        Box::pin(bounded(&mut self.state, self.limits.silence, answer))
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let items = self.inner.fetch_many(query);
        let answer = async {
            let mut rows = Vec::new();
            whole(items, |row| rows.push(row)).await?;
            Ok(rows)
        };
        Box::pin(bounded(&mut self.state, self.limits.silence, answer))
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let limit = self.limits.silence;
        let state = &mut self.state;
        let before = std::mem::replace(state, State::Doubtful);
        let items = self.inner.fetch_many(query);
        let next = move |(items, state, has_end): (Option<Items<'e>>, &'e mut State, bool)| async move {
            let mut items = items?;
            let error = match timeout(limit, items.next()).await {
                Ok(None) if has_end => {
                    *state = before;
                    return None;
                }
                Ok(Some(Ok(item))) => {
                    let has_end = has_end || item.is_left();
                    return Some((Ok(item), (Some(items), state, has_end)));
                }
                Ok(None) => without_end(),
                Ok(Some(Err(error))) => note(state, before, error),
                Err(_) => {
                    *state = State::Silent;
                    silence(limit)
                }
            };
            Some((Err(error), (None, state, has_end)))
        };
        futures_util::stream::unfold((Some(items), state, false), next).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let items = self.inner.fetch_many(query);
        let answer = async {
            let mut first = None;
            whole(items, |row| {
                first.get_or_insert(row);
            })
            .await?;
            Ok(first)
        };
        Box::pin(bounded(&mut self.state, self.limits.silence, answer))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        let answer = self.inner.prepare_with(sql, parameters);
        Box::pin(bounded(&mut self.state, self.limits.silence, answer))
    }
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.inner.describe(sql)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use sqlx::postgres::PgSslMode;

    use super::*;

    /// What a server says when it is ready for the next statement.
    const READY: &[u8] = b"Z\0\0\0\x05I";

    /// Lets one in, and answers each statement with `answer`, and that it is ready.
    async fn serve(mut client: UnixStream, answer: &[u8]) -> io::Result<()> {
        let mut startup = vec![0; client.read_u32().await? as usize - 4];
        client.read_exact(&mut startup).await?;
        client.write_all(b"R\0\0\0\x08\0\0\0\0").await?;
        client.write_all(READY).await?;
        loop {
            let _kind = client.read_u8().await?;
            let mut statement = vec![0; client.read_u32().await? as usize - 4];
            client.read_exact(&mut statement).await?;
            client.write_all(&[answer, READY].concat()).await?;
        }
    }

    /// A connection to a server that answers so.
    async fn connect(folder: &tempfile::TempDir, answer: &'static [u8]) -> Connection {
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            serve(client, answer).await
        });
        let options = PgConnectOptions::new_without_pgpass()
            .socket(folder.path())
            .ssl_mode(PgSslMode::Disable);
        Connection::connect(&options, Limits::SERVER).await.unwrap()
    }

    /// As the embedded PostgreSQL answers when it breaks down for want of room for its write-ahead log.
    #[tokio::test]
    async fn an_answer_without_its_end_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut broken = connect(&folder, b"").await;
        let (commit, select) = ("commit", "select from users");
        let answers = [
            broken.execute(commit).await.map(|_| ()),
            broken.fetch_all(select).await.map(|_| ()),
            broken.fetch_optional(select).await.map(|_| ()),
            broken.fetch_one(select).await.map(|_| ()),
            broken
                .fetch_many(select)
                .try_collect::<Vec<_>>()
                .await
                .map(|_| ()),
        ];
        for answer in answers {
            let error = crate::error::Error::from(answer.unwrap_err());
            assert!(
                matches!(error, crate::error::Error::Unavailable(_)),
                "{error:?}"
            );
        }
        assert_eq!(broken.state(), State::Doubtful);

        let folder = tempfile::tempdir().unwrap();
        let mut whole = connect(&folder, b"C\0\0\0\x0bCOMMIT\0").await;
        whole.execute(commit).await.unwrap();
        assert_eq!(
            whole
                .fetch_many(commit)
                .try_collect::<Vec<_>>()
                .await
                .unwrap()
                .len(),
            1
        );
        assert!(whole.fetch_optional(commit).await.unwrap().is_none());
        assert_eq!(whole.state(), State::Clean);
    }
}
