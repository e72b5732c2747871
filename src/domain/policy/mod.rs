//! Claims expressions: CEL over the one variable `claims`, yielding a boolean.
//!
//! CEL has no static types here: what `claims.x` is shows only at a login. So [`check`], at write,
//! refuses what can never be right (a syntax error, another variable, a function that does not
//! exist, a result that is certainly not a boolean), and [`evaluate`], at a login, lets in on `true`
//! alone. Claims are private: what [`evaluate`] says names types and the expression's own text, never
//! a claim's value. [`explain`] shows values, to whoever brought them.

mod check;
mod evaluate;
mod limits;
mod named;
mod source;

use std::panic::AssertUnwindSafe;
use std::thread;

use cel::Program;
use serde_json::{Map, Value};

pub use named::{Named, claims_named};

use evaluate::Evaluator;

/// The longest expression, in characters, as the contract has it.
pub const MAX_LENGTH: usize = 4096;

/// Enough for the deepest tree that [`MAX_LENGTH`] characters make, in an unoptimized build too. Only
/// what is used of it is ever real memory.
const STACK: usize = 256 * 1024 * 1024;

/// What an expression says of somebody's claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is true, or empty.
    LetsIn,
    /// It is anything else.
    KeepsOut {
        /// The text of the smallest part of the expression that decided.
        part: String,
        /// What is the matter with that part, as the end of a sentence that starts with it: "is
        /// false", "cannot be evaluated: no such key: groups". It has no claim's value.
        reason: String,
    },
}

/// A verdict and how it comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What [`evaluate`] says.
    pub verdict: Verdict,
    /// The parts of the expression, the outermost first, each followed by its own.
    pub parts: Vec<Part>,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many parts this one is in.
    pub depth: usize,
    /// Its text.
    pub source: String,
    /// Its value, much like JSON and cut when it is long, or what is wrong.
    pub value: Result<String, String>,
}

/// Checks a claims expression; the empty one lets everybody in.
///
/// # Errors
///
/// What is wrong and where, as the end of a sentence that starts with the field's name.
pub fn check(expression: &str) -> Result<(), String> {
    with_program(expression, |_| ()).map(|_| ())
}

/// Evaluates an expression over somebody's claims. It takes up to two seconds, on a thread of its
/// own: call it where blocking is fine.
pub fn evaluate(expression: &str, claims: &Map<String, Value>) -> Verdict {
    let verdict = with_program(expression, |program| {
        Evaluator::new(program, claims).verdict()
    });
    match verdict {
        Ok(Some(verdict)) => verdict,
        Ok(None) => Verdict::LetsIn,
        Err(reason) => Verdict::KeepsOut {
            part: expression.to_owned(),
            reason: format!("cannot be evaluated: it {reason}"),
        },
    }
}

/// Evaluates an expression and each of its parts, showing values.
///
/// # Errors
///
/// As of [`check`].
pub fn explain(expression: &str, claims: &Map<String, Value>) -> Result<Explanation, String> {
    let explanation = with_program(expression, |program| {
        let evaluator = Evaluator::new(program, claims);
        Explanation {
            verdict: evaluator.verdict(),
            parts: evaluator.parts(),
        }
    });
    Ok(explanation?.unwrap_or(Explanation {
        verdict: Verdict::LetsIn,
        parts: vec![],
    }))
}

/// Hands a checked expression on; the empty one is none.
///
/// Parser, tree and interpreter recurse, and they are not free of panics: neither may end the
/// process, so they have a thread of their own.
fn with_program<T: Send>(
    expression: &str,
    then: impl FnOnce(&Program) -> T + Send,
) -> Result<Option<T>, String> {
    if expression.is_empty() {
        return Ok(None);
    }
    if expression.chars().count() > MAX_LENGTH {
        return Err(format!("must have at most {MAX_LENGTH} characters"));
    }
    let parsed = on_its_own_thread(|| check::compile(expression).map(|program| then(&program)));
    match parsed {
        Some(result) => result.map(Some),
        None => Err("must be a CEL expression: this one makes the interpreter fail".to_owned()),
    }
}

/// Runs on a stack that is large enough. `None` if it panics, or if there is no thread to be had.
fn on_its_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("claims-expression".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, AssertUnwindSafe(work).0);
        thread.ok()?.join().ok()
    })
}
