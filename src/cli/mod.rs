//! The command line: one file a command. What a running server can tell, commands ask it (`remote`); the
//! others work on the database. Results go to stdout, everything else to stderr.
//! Exit codes: 0 done, 1 failed, 2 a bad setting or argument.

mod application;
mod audit;
mod events;
mod keys;
mod migrate;
mod organization;
mod output;
mod remote;
mod scim;
mod serve;
mod session;
mod setup_link;
mod sso;
mod status;
mod token;
mod webhook;

use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::time::timeout;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use self::output::{NobodyReads, remark};
use crate::app::Operator;
use crate::config::{BadSetting, DatabaseSettings, LogFormat, LogSettings};
use crate::error::{Error, Violation};
use crate::log;
use crate::store::{self, Store};
use crate::traces::{self, Traces};

/// Knows who belongs to an organization: SSO and SCIM configuration over the gitpod.v1 API.
///
/// Every setting is a flag and an environment variable; the flag wins.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the API.
    Serve(Box<serve::Serve>),
    /// Brings the schema of the database up to date, as serve does at its start.
    Migrate(migrate::Migrate),
    /// Makes and changes the keys that seal secrets.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Makes and lists organizations.
    #[command(subcommand)]
    Organization(organization::Command),
    /// Makes, lists and revokes API tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Makes and changes the applications that people sign in to.
    #[command(subcommand)]
    Application(application::Command),
    /// The addresses that events are sent to: asks a running server.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Links with which somebody without an account sets up an organization's ways in: asks a running server.
    #[command(subcommand)]
    SetupLink(setup_link::Command),
    /// Prints the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Prints what happened to members, groups, sessions and configurations, and what happens.
    #[command(subcommand)]
    Events(events::Command),
    /// Prints how a running server is: its database, its configurations, and who signed in. Exits with 1 when
    /// something is BAD.
    Status(status::Status),
    /// Lists and ends the sessions of people who signed in.
    #[command(subcommand)]
    Session(session::Command),
    /// Tells what identity providers did.
    #[command(subcommand)]
    Scim(scim::Command),
    /// Tries out what single sign-on does.
    #[command(subcommand)]
    Sso(sso::Command),
}

/// The command line: its commands, with their arguments and the environment variables of these.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let mut command = without_empty(command());
    let cli = match parse(&mut command) {
        Ok(cli) => cli,
        Err(error) => return explain(&command, &error),
    };
    match run(cli) {
        Ok(code) => code,
        // As a program ends of which nobody wants to hear more.
        Err(error) if error.is::<NobodyReads>() => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("error: {}", describe(&error)));
            ExitCode::from(if error.is::<BadSetting>() { 2 } else { 1 })
        }
    }
}

fn parse(command: &mut clap::Command) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(command))
}

/// The command with the variables that are set to nothing as if they were not there.
fn without_empty(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| match is_empty(&arg) {
            true => arg.env(None::<&str>),
            false => arg,
        })
        .mut_subcommands(without_empty)
}

/// Every argument of a command and of those below it.
fn arguments(command: &clap::Command) -> Vec<&Arg> {
    let below = command.get_subcommands().flat_map(arguments);
    command.get_arguments().chain(below).collect()
}

/// The variable of the argument that an error is about, in brackets.
fn variable(command: &clap::Command, name: &str) -> String {
    let flag = name.split([' ', '=']).next().unwrap_or_default();
    let is_it = |arg: &&Arg| {
        arg.get_long()
            .is_some_and(|long| flag.strip_prefix("--") == Some(long))
    };
    let found = arguments(command).into_iter().find(is_it);
    let variable = found.and_then(Arg::get_env).and_then(OsStr::to_str);
    variable.map_or_else(String::new, |variable| format!(" ({variable})"))
}

/// Help and usage as they are; a bad value in one line.
fn explain(command: &clap::Command, error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue
    ) {
        let text = error.render().to_string();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("For more"))
            .collect();
        let mut line = lines.join(" ").trim().to_owned();
        if let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidArg) {
            let quoted = format!("'{name}'");
            line = line.replacen(&quoted, &format!("{quoted}{}", variable(command, name)), 1);
        }
        remark(format_args!("{line}"));
    } else if error.kind() == ErrorKind::InvalidUtf8 {
        let is_text =
            |name: &&OsStr| std::env::var_os(name).is_none_or(|value| value.to_str().is_some());
        let names = arguments(command).into_iter().filter_map(Arg::get_env);
        let name = names.filter(|name| !is_text(name)).find_map(OsStr::to_str);
        remark(format_args!(
            "error: {} must be UTF-8",
            name.unwrap_or("every argument")
        ));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The whole chain of causes: the operator is the one to see them.
fn describe(error: &anyhow::Error) -> String {
    let texts = error
        .chain()
        .filter_map(|cause| match cause.downcast_ref::<Error>() {
            // These two say nothing to an operator that their causes, which follow, do not.
            Some(Error::Internal(_) | Error::Unavailable(_)) => None,
            Some(Error::Invalid(violations)) => {
                let line = |v: &Violation| format!("{} {}", v.field, v.message);
                Some(violations.iter().map(line).collect::<Vec<_>>().join("; "))
            }
            _ => Some(cause.to_string()),
        });
    texts.collect::<Vec<_>>().join(": ")
}

fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let traces = match cli.command {
        Command::Serve(_) => Traces::from_environment(runtime.handle())?,
        _ => None,
    };
    let _log = start_log(&cli.log, traces.as_ref())?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => command.run().await?,
            Command::Migrate(command) => command.run().await?,
            Command::Keys(command) => command.run().await?,
            Command::Organization(command) => command.run().await?,
            Command::Token(command) => command.run().await?,
            Command::Application(command) => command.run().await?,
            Command::Webhook(command) => command.run().await?,
            Command::SetupLink(command) => command.run().await?,
            Command::Audit(command) => command.run().await?,
            Command::Events(command) => command.run().await?,
            Command::Scim(command) => command.run().await?,
            Command::Session(command) => command.run().await?,
            Command::Sso(command) => return command.run().await,
            Command::Status(command) => return command.run().await,
        }
        Ok(ExitCode::SUCCESS)
    });
    if let Some(traces) = traces {
        traces.finish();
    }
    // What still runs was told to stop and did not.
    runtime.shutdown_background();
    result
}

fn start_log(settings: &LogSettings, traces: Option<&Traces>) -> Result<WorkerGuard> {
    let filter = settings.filter()?;
    // The spans of traces are none of the log's.
    let filter = filter.add_directive(format!("{}=off", traces::TARGET).parse()?);
    let (writer, guard) = log::writer();
    let log = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .log_internal_errors(false);
    let log: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Text => log
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    match traces {
        // One filter for all costs less than one for each.
        None => Registry::default().with(log).with(filter).init(),
        Some(traces) => Registry::default()
            .with(log.with_filter(filter))
            .with(traces.layer())
            .init(),
    }
    // The default would wait for a reader of stderr.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(guard)
}

/// How long an operator waits without being told for what.
const SILENCE: Duration = Duration::from_secs(4);

/// Says what is waited for, if it takes long.
async fn said<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    match timeout(SILENCE, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            remark(format_args!("waiting for {what}"));
            work.await
        }
    }
}

/// Connects to the database that the settings name.
async fn connect(url: &str, connections: u32) -> Result<Store> {
    let what = format!("the database at {}", store::hosts(url));
    match said(&what, Store::connect(url, connections)).await {
        // It was reached: what is wrong with it is a whole sentence.
        Err(error @ Error::FailedPrecondition(_)) => Err(error.into()),
        store => store.context("cannot reach the database that DATABASE_URL names"),
    }
}

/// Brings the schema up to date.
async fn migrate(store: &Store) -> Result<(), Error> {
    let what = "the schema: a version takes long, or another process changes it";
    said(what, store.migrate()).await
}

/// What a command works with that runs beside the servers.
async fn operator(database: &DatabaseSettings) -> Result<Operator> {
    Operator::new(connect(database.required_url()?, 1).await?)
}
