//! Evaluates an expression over claims, and says what decided.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use cel::{Context, Env, ExecutionError, Program, Value, functions};
use serde_json::{Map, Value as Json};

use super::limits::{self, Limit};
use super::named::children;
use super::source::{Source, words};
use super::{Part, Verdict};

/// The longest value that an explanation shows, in characters.
const SHOWN: usize = 200;

static ENVIRONMENT: LazyLock<Option<Arc<Env>>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    limits::add_to(&mut env).ok()?;
    Some(Arc::new(env))
});

/// An expression and the claims that it is about.
pub(super) struct Evaluator<'a> {
    program: &'a Program,
    source: Source<'a>,
    context: Context<'a, 'a>,
    /// What the expression itself names: it may be named in a reason.
    words: BTreeSet<String>,
}

/// What an evaluation came to, as far as it may be told to whoever may not see values.
enum Outcome {
    Boolean(bool),
    /// A value of this type.
    Other(String),
    Error(String),
    Stopped(Limit),
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(program: &'a Program, claims: &'a Map<String, Json>) -> Self {
        // Without the functions that count, what is guarded cannot be evaluated, which keeps out.
        let mut context = match &*ENVIRONMENT {
            Some(env) => Context::with_env(Arc::clone(env)),
            None => Context::empty(),
        };
        // Neither is in the standard environment, so there is no conflict.
        let _ = context.add_function("max", functions::max);
        let _ = context.add_function("min", functions::min);
        context.add_variable_as_val("claims", map(claims));
        let mut named = BTreeSet::new();
        words(program.expression(), &mut named);
        Self {
            program,
            source: Source::new(program),
            context,
            words: named,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let whole = self.program.expression();
        limits::start();
        let outcome = self.outcome(whole);
        let (part, outcome) = match outcome {
            Outcome::Boolean(true) => return Verdict::LetsIn,
            Outcome::Stopped(_) => (whole, outcome),
            _ => {
                limits::start();
                self.decisive(whole, outcome)
            }
        };
        let reason = match outcome {
            Outcome::Boolean(value) => format!("is {value}"),
            Outcome::Other(what) => format!("is {what}, not true or false"),
            Outcome::Error(reason) => format!("cannot be evaluated: {reason}"),
            Outcome::Stopped(Limit::Steps) => "takes too many steps".to_owned(),
            Outcome::Stopped(Limit::Memory) => "takes too much memory".to_owned(),
        };
        Verdict::KeepsOut {
            part: self.source.text(part),
            reason,
        }
    }

    /// The parts that have a value of their own and are no literals.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = vec![];
        self.add_parts(self.program.expression(), 0, &mut parts);
        parts
    }

    fn add_parts(&self, expr: &IdedExpr, depth: usize, parts: &mut Vec<Part>) {
        limits::start();
        parts.push(Part {
            depth,
            source: self.source.text(expr),
            value: self.run(expr, |value| match (value, limits::passed()) {
                (_, Some(Limit::Steps)) => Err("takes too many steps".to_owned()),
                (_, Some(Limit::Memory)) => Err("takes too much memory".to_owned()),
                (Ok(value), None) => Ok(shown(value)),
                (Err(error), None) => Err(self.reason(&error)),
            }),
        });
        let shown = |operand: &&IdedExpr| match &operand.expr {
            Expr::Literal(_) => false,
            Expr::Ident(name) => name != "claims",
            _ => true,
        };
        for operand in operands(expr).into_iter().filter(shown) {
            self.add_parts(operand, depth + 1, parts);
        }
    }

    /// The smallest part that made a part what it is, which is not true.
    fn decisive<'e>(&self, expr: &'e IdedExpr, outcome: Outcome) -> (&'e IdedExpr, Outcome) {
        let operands = operands(expr);
        let found = match (operator(expr), &outcome) {
            (Some(operators::LOGICAL_AND), Outcome::Boolean(_)) => {
                self.first(&operands, |o| matches!(o, Outcome::Boolean(false)))
            }
            (Some(operators::CONDITIONAL), _) => match &*operands {
                [condition, yes, no] => match self.outcome(condition) {
                    Outcome::Boolean(true) => self.first(&[yes], |_| true),
                    Outcome::Boolean(false) => self.first(&[no], |_| true),
                    other => Some((*condition, other)),
                },
                _ => None,
            },
            (
                Some(operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT),
                Outcome::Error(_),
            ) => self.first(&operands, |o| !matches!(o, Outcome::Boolean(_))),
            (_, Outcome::Error(_)) => self.first(&operands, |o| matches!(o, Outcome::Error(_))),
            _ => None,
        };
        match found {
            // The search has the limits of an evaluation; where they end it, what is known is told.
            None | Some((_, Outcome::Stopped(_))) => (expr, outcome),
            Some((part, outcome)) => self.decisive(part, outcome),
        }
    }

    fn first<'e>(
        &self,
        parts: &[&'e IdedExpr],
        is: impl Fn(&Outcome) -> bool,
    ) -> Option<(&'e IdedExpr, Outcome)> {
        parts
            .iter()
            .map(|part| (*part, self.outcome(part)))
            .find(|(_, outcome)| is(outcome) || matches!(outcome, Outcome::Stopped(_)))
    }

    fn outcome(&self, expr: &IdedExpr) -> Outcome {
        self.run(expr, |value| match (value, limits::passed()) {
            (_, Some(limit)) => Outcome::Stopped(limit),
            (Ok(value), None) => match value.downcast_ref::<CelBool>() {
                Some(boolean) => Outcome::Boolean(*boolean.inner()),
                None => Outcome::Other(type_in_words(value.get_type().name())),
            },
            (Err(error), None) => Outcome::Error(self.reason(&error)),
        })
    }

    fn run<T>(
        &self,
        expr: &IdedExpr,
        then: impl FnOnce(Result<&dyn Val, ExecutionError>) -> T,
    ) -> T {
        let guarded = limits::guard(expr.clone());
        match Value::resolve_val(&guarded, &self.context) {
            Ok(value) => then(Ok(value.as_ref())),
            Err(error) => then(Err(error)),
        }
    }

    /// An error without values: those may be claims'. Keys are named when the expression has them.
    fn reason(&self, error: &ExecutionError) -> String {
        use ExecutionError as E;
        match error {
            E::NoSuchKey(key) if self.words.contains(&**key) => format!("no such key: {key}"),
            E::NoSuchKey(_) => "no such key".to_owned(),
            E::NoSuchOverload(overload) => unfit(
                overload.function(),
                overload.argument_types().iter().map(|t| &**t),
            ),
            E::UnsupportedBinaryOperator(operator, left, right) => {
                let types = [left.type_of().to_string(), right.type_of().to_string()];
                unfit(operator, types.iter().map(|t| &**t))
            }
            E::UnexpectedType { got, want } if want == "iterable" => {
                format!("{} has no elements", type_in_words(got))
            }
            E::UnexpectedType { got, want } if want == "bool" => {
                format!("{} is not true or false", type_in_words(got))
            }
            E::UnexpectedType { got, .. } => format!("{} is not possible here", type_in_words(got)),
            E::UndeclaredReference(name) => format!("{name} is not known"),
            E::FunctionError { function, message } if function.starts_with('@') => message.clone(),
            E::FunctionError { function, .. } => {
                format!("{function}() makes nothing of what it is given")
            }
            E::InvalidArgumentCount { .. } | E::MissingArgumentOrTarget => {
                "a function needs another number of arguments".to_owned()
            }
            E::DivisionByZero(_) | E::RemainderByZero(_) => "it divides by zero".to_owned(),
            E::Overflow(..) => "a number is too large".to_owned(),
            E::IndexOutOfBounds(_) => "a list has fewer elements".to_owned(),
            E::DuplicateKey(_) => "a map has a key twice".to_owned(),
            E::UnsupportedKeyType(_) => "a map has a key of a type that none can have".to_owned(),
            E::ValuesNotComparable(..) => "the values cannot be compared".to_owned(),
            _ => "its values do not fit together".to_owned(),
        }
    }
}

/// A function that does not take these types.
fn unfit<'t>(function: &str, types: impl Iterator<Item = &'t str>) -> String {
    let types: Vec<String> = types.map(type_in_words).collect();
    let types = types.join(" and ");
    match function.trim_matches(['_', '@']) {
        "." => match types.split(" and ").next() {
            Some(of) => format!("{of} has no fields"),
            None => "there are no fields".to_owned(),
        },
        "[_]" | "[_" => match types.split(" and ").next() {
            Some(of) => format!("{of} has no such index"),
            None => "there is no such index".to_owned(),
        },
        "add" => format!("+ does not take {types}"),
        "sub" => format!("- does not take {types}"),
        "mul" => format!("* does not take {types}"),
        "div" => format!("/ does not take {types}"),
        "rem" => format!("% does not take {types}"),
        name => format!("{name} does not take {types}"),
    }
}

fn type_in_words(name: &str) -> String {
    match name {
        "null_type" => "null".to_owned(),
        "int" => "an int".to_owned(),
        "optional_type" => "an optional value".to_owned(),
        name => format!(
            "a {}",
            name.rsplit('.').next().unwrap_or(name).to_lowercase()
        ),
    }
}

fn operator(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Call(CallExpr { func_name, .. }) => Some(func_name),
        _ => None,
    }
}

/// The operands as they are read: `a && b && c` has three.
fn operands(expr: &IdedExpr) -> Vec<&IdedExpr> {
    let chain = match operator(expr) {
        Some(name @ (operators::LOGICAL_AND | operators::LOGICAL_OR)) => name,
        _ => return children(expr),
    };
    let links = children(expr).into_iter().map(|operand| {
        if operator(operand) == Some(chain) {
            operands(operand)
        } else {
            vec![operand]
        }
    });
    links.flatten().collect()
}

fn value(json: &Json) -> Box<dyn Val + '_> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(boolean) => Box::new(CelBool::from(*boolean)),
        Json::Number(number) => {
            if let Some(int) = number.as_i64() {
                Box::new(CelInt::from(int))
            } else if let Some(uint) = number.as_u64() {
                Box::new(CelUInt::from(uint))
            } else {
                Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
            }
        }
        Json::String(text) => Box::new(CelString::from(&**text)),
        Json::Array(elements) => Box::new(CelList::from(
            elements.iter().map(value).collect::<Vec<_>>(),
        )),
        Json::Object(members) => map(members),
    }
}

fn map(members: &Map<String, Json>) -> Box<dyn Val + '_> {
    let entries: HashMap<CelMapKey<'_>, Box<dyn Val + '_>> = members
        .iter()
        .map(|(name, json)| (CelMapKey::String(CelString::from(&**name)), value(json)))
        .collect();
    Box::new(CelMap::from(entries))
}

/// A value, much like JSON, cut when it is long.
fn shown(value: &dyn Val) -> String {
    let mut text = String::new();
    show(value, &mut text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => {
            text.truncate(end);
            text + " …"
        }
        None => text,
    }
}

fn show(value: &dyn Val, text: &mut String) {
    // A character has up to four bytes: enough is there, and the rest is cut.
    if text.len() > SHOWN * 4 {
        return;
    }
    if let Some(string) = value.downcast_ref::<CelString>() {
        let start: String = string.inner().chars().take(SHOWN + 1).collect();
        text.push_str(&Json::from(start).to_string());
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        let start = &bytes.inner()[..bytes.inner().len().min(SHOWN + 1)];
        text.push_str(&format!("b\"{}\"", start.escape_ascii()));
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        text.push('[');
        for (index, element) in list.inner().iter().enumerate().take(SHOWN + 1) {
            text.push_str(if index > 0 { ", " } else { "" });
            show(element.as_ref(), text);
        }
        text.push(']');
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut entries: Vec<_> = map.inner().iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        text.push('{');
        for (index, (key, value)) in entries.into_iter().enumerate().take(SHOWN + 1) {
            text.push_str(if index > 0 { ", " } else { "" });
            show(key.inner(), text);
            text.push_str(": ");
            show(value.as_ref(), text);
        }
        text.push('}');
    } else {
        text.push_str(&scalar(value));
    }
}

fn scalar(value: &dyn Val) -> String {
    match Value::try_from(value) {
        Ok(Value::Bool(boolean)) => boolean.to_string(),
        Ok(Value::Int(int)) => int.to_string(),
        Ok(Value::UInt(uint)) => format!("{uint}u"),
        Ok(Value::Float(float)) => format!("{float:?}"),
        Ok(Value::Null) => "null".to_owned(),
        // A type is a text here.
        Ok(Value::String(name)) => (*name).clone(),
        Ok(Value::Timestamp(time)) => format!("timestamp(\"{}\")", time.to_rfc3339()),
        Ok(Value::Duration(duration)) => {
            format!("duration(\"{}s\")", duration.as_seconds_f64())
        }
        _ => type_in_words(value.get_type().name()),
    }
}
