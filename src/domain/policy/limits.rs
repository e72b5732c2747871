//! What keeps an evaluation short and small.
//!
//! The interpreter has no limits of its own: an expression of a few hundred characters can loop for
//! days, or double a text until memory is gone. So calls that count are put into the tree where it
//! loops, copies or compares. Once a limit is passed they all fail, so that every loop ends; whether
//! it was is asked afterwards, because `||` and `exists` forgive errors.

use std::cell::Cell;
use std::time::{Duration, Instant};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, operators,
};
use cel::common::types::{CelBytes, CelDouble, CelList, CelMap, CelString, DYN_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use regex::RegexBuilder;

/// Rounds of all loops together.
const MAX_STEPS: u32 = 100_000;
const MAX_TIME: Duration = Duration::from_secs(1);
/// Memory of all copies together, those that are gone too. Claims take some kilobytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A regular expression's text, its compiled size, and what it may be matched against: their
/// product bounds the time of one match, in which nothing looks at the clock.
const MAX_PATTERN: usize = 4096;
const MAX_COMPILED: usize = 256 * 1024;
const MAX_MATCHED: usize = 16 * 1024;

/// Functions whose names nobody can write: `@` starts no name in CEL.
const STEP: &str = "@step";
const COPY: &str = "@copy";
const LOOK: &str = "@look";
const INDEX: &str = "@index";
const MATCHES: &str = "@matches";

/// Functions that read their arguments and copy none.
const READERS: [&str; 7] = [
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::IN,
    "size",
    "contains",
    "startsWith",
    "endsWith",
];

/// The limit that an evaluation passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Steps, or time.
    Steps,
    Memory,
}

/// What the evaluation on this thread has used. Functions of the interpreter are plain `fn`s, which
/// can be handed nothing else.
struct Meter {
    steps: Cell<u32>,
    bytes: Cell<usize>,
    end: Cell<Option<Instant>>,
    passed: Cell<Option<Limit>>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            steps: Cell::new(0),
            bytes: Cell::new(0),
            end: Cell::new(None),
            passed: Cell::new(None),
        }
    };
}

impl Meter {
    fn step(&self) -> Result<(), ExecutionError> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MAX_STEPS {
            return Err(self.pass(Limit::Steps));
        }
        self.look()
    }

    fn copy(&self, value: &dyn Val) -> Result<(), ExecutionError> {
        self.look()?;
        match weigh(value, MAX_BYTES - self.bytes.get()) {
            Some(bytes) => {
                self.bytes.set(self.bytes.get() + bytes);
                Ok(())
            }
            None => Err(self.pass(Limit::Memory)),
        }
    }

    fn look(&self) -> Result<(), ExecutionError> {
        match (self.passed.get(), self.end.get()) {
            (Some(limit), _) => Err(self.pass(limit)),
            (None, Some(end)) if Instant::now() > end => Err(self.pass(Limit::Steps)),
            _ => Ok(()),
        }
    }

    fn pass(&self, limit: Limit) -> ExecutionError {
        self.passed.set(Some(limit));
        ExecutionError::function_error(STEP, "a limit is passed")
    }
}

/// Starts to count.
pub(super) fn start() {
    METER.with(|meter| {
        meter.steps.set(0);
        meter.bytes.set(0);
        meter.end.set(Some(Instant::now() + MAX_TIME));
        meter.passed.set(None);
    });
}

/// The limit that was passed since the start.
pub(super) fn passed() -> Option<Limit> {
    METER.with(|meter| meter.passed.get())
}

/// Adds the functions that count.
pub(super) fn add_to(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(STEP, STEP, vec![DYN_TYPE], |args| {
        METER.with(Meter::step)?;
        only(args)
    })?;
    env.add_overload(COPY, COPY, vec![DYN_TYPE], |args| {
        let value = only(args)?;
        METER.with(|meter| meter.copy(value.as_ref()))?;
        Ok(value)
    })?;
    env.add_overload(LOOK, LOOK, vec![DYN_TYPE], |args| {
        METER.with(Meter::look)?;
        only(args)
    })?;
    env.add_overload(INDEX, INDEX, vec![DYN_TYPE], |args| {
        let value = only(args)?;
        // The interpreter's error has a copy of the whole list.
        if let Some(double) = value.downcast_ref::<CelDouble>()
            && double.inner().fract() != 0.0
        {
            return Err(ExecutionError::no_such_overload(
                operators::INDEX,
                vec!["list".to_owned(), "double".to_owned()],
            ));
        }
        METER.with(|meter| meter.copy(value.as_ref()))?;
        Ok(value)
    })?;
    let texts = vec![STRING_TYPE, STRING_TYPE];
    env.add_overload(MATCHES, MATCHES, texts, |args| matches(&args))
}

fn only<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)
}

fn matches<'b, 'v>(args: &[CowVal<'_, '_>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    METER.with(Meter::look)?;
    let texts: Vec<&CelString> = args.iter().filter_map(|arg| arg.downcast_ref()).collect();
    let [text, pattern] = &*texts else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let fault = |reason| Err(ExecutionError::function_error(MATCHES, reason));
    if text.inner().len() > MAX_MATCHED {
        return fault("the text is too long for a regular expression");
    }
    if pattern.inner().len() > MAX_PATTERN {
        return fault("the regular expression is too long");
    }
    let regex = RegexBuilder::new(pattern.inner())
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build();
    match regex {
        Ok(regex) => Ok(CowVal::owned(cel::common::types::CelBool::from(
            regex.is_match(text.inner()),
        ))),
        Err(regex::Error::CompiledTooBig(_)) => fault("the regular expression is too large"),
        Err(_) => fault("the regular expression is not one"),
    }
}

/// The memory that a value takes, about. `None` if it is more than `most`.
fn weigh(value: &dyn Val, most: usize) -> Option<usize> {
    const ANY: usize = 64;
    let mut bytes = ANY;
    let mut add = |more: Option<usize>| {
        bytes += more?;
        (bytes <= most).then_some(most - bytes)
    };
    if let Some(text) = value.downcast_ref::<CelString>() {
        add(Some(text.inner().len()))?;
    } else if let Some(data) = value.downcast_ref::<CelBytes>() {
        add(Some(data.inner().len()))?;
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        let mut left = add(Some(0))?;
        for element in list.inner() {
            left = add(weigh(element.as_ref(), left))?;
        }
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut left = add(Some(0))?;
        for (key, value) in map.inner() {
            left = add(weigh(key.inner(), left))?;
            left = add(weigh(value.as_ref(), left))?;
        }
    }
    (bytes <= most).then_some(bytes)
}

/// Puts the counting calls into a tree.
pub(super) fn guard(expr: IdedExpr) -> IdedExpr {
    let guarded = match expr.expr {
        Expr::Call(call) => Expr::Call(guard_call(call)),
        Expr::Select(mut select) => {
            select.operand = Box::new(guard(*select.operand));
            Expr::Select(select)
        }
        Expr::List(list) => Expr::List(ListExpr {
            elements: list.elements.into_iter().map(copied).collect(),
            ..list
        }),
        Expr::Map(mut map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    entry.key = copied(std::mem::take(&mut entry.key));
                    entry.value = copied(std::mem::take(&mut entry.value));
                }
            }
            Expr::Map(map)
        }
        Expr::Comprehension(comprehension) => {
            Expr::Comprehension(Box::new(guard_loop(*comprehension)))
        }
        other => other,
    };
    IdedExpr {
        id: expr.id,
        expr: guarded,
    }
}

fn guard_call(mut call: CallExpr) -> CallExpr {
    let logical = matches!(
        &*call.func_name,
        operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::CONDITIONAL
            | operators::NOT_STRICTLY_FALSE
    );
    if call.func_name == "matches" {
        // As a function: that it is called on its first argument makes no difference.
        let target = call.target.take().map(|target| *target);
        call.args = target.into_iter().chain(call.args).map(guard).collect();
        call.func_name = MATCHES.to_owned();
        return call;
    }
    if call.func_name == operators::INDEX {
        let mut args = call.args.into_iter();
        call.args = args.next().map(guard).into_iter().collect();
        call.args
            .extend(args.map(|index| within(INDEX, guard(index))));
        return call;
    }
    let argument = if logical {
        guard
    } else if READERS.contains(&&*call.func_name) {
        looked
    } else {
        copied
    };
    call.target = call.target.map(|target| Box::new(argument(*target)));
    call.args = call.args.into_iter().map(argument).collect();
    call
}

fn guard_loop(mut comprehension: ComprehensionExpr) -> ComprehensionExpr {
    // Each element becomes the loop's variable, as a copy.
    comprehension.iter_range = copied(comprehension.iter_range);
    if matches!(comprehension.accu_init.expr, Expr::List(_)) {
        comprehension.loop_step = guard_append(comprehension.loop_step, true);
    } else {
        comprehension.loop_cond = within(STEP, comprehension.loop_cond);
        comprehension.loop_step = guard(comprehension.loop_step);
    }
    comprehension
}

/// Guards the step of `map` and `filter`, which is `@result + [element]`, or
/// `test ? @result + [element] : @result`. It keeps this form, in which the interpreter appends
/// instead of copying all that there is.
fn guard_append(step: IdedExpr, counts: bool) -> IdedExpr {
    let expr = match step.expr {
        Expr::Call(mut call) if call.func_name == operators::CONDITIONAL => {
            let mut args = call.args.into_iter();
            let test = args.next().map(|test| within(STEP, guard(test)));
            let append = args.next().map(|append| guard_append(append, false));
            call.args = test.into_iter().chain(append).chain(args).collect();
            Expr::Call(call)
        }
        Expr::Call(mut call) => {
            for argument in &mut call.args {
                if let Expr::List(list) = &mut argument.expr {
                    let element = |e| {
                        if counts {
                            within(STEP, copied(e))
                        } else {
                            copied(e)
                        }
                    };
                    list.elements = std::mem::take(&mut list.elements)
                        .into_iter()
                        .map(element)
                        .collect();
                }
            }
            Expr::Call(call)
        }
        other => other,
    };
    IdedExpr { id: step.id, expr }
}

fn copied(expr: IdedExpr) -> IdedExpr {
    within(COPY, guard(expr))
}

fn looked(expr: IdedExpr) -> IdedExpr {
    within(LOOK, guard(expr))
}

fn within(function: &str, argument: IdedExpr) -> IdedExpr {
    IdedExpr {
        id: argument.id,
        expr: Expr::Call(CallExpr {
            func_name: function.to_owned(),
            target: None,
            args: vec![argument],
        }),
    }
}
