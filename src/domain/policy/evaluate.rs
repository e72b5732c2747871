//! Evaluates an expression over claims, and says what decided.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use cel::common::types::CelBool;
use cel::common::value::Val;
use cel::{Context, Env, ExecutionError, Program, Value, functions};
use serde_json::{Map, Value as Json};

use super::limits::{self, Limit};
use super::named::children;
use super::source::{Source, words};
use super::values::{map, shown, type_in_words};
use super::{Part, Verdict};

const LONG: &str = "takes too many steps";
const LARGE: &str = "takes too much memory";

/// How long all parts of an expression may take together: each has the limits of an evaluation, and
/// there may be a thousand.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// The result of an evaluation, for people who may not see values.
enum Outcome {
    Boolean(bool),
    /// A value of this type.
    Other(String),
    Error(String),
    Stopped(Limit),
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(program: &'a Program, claims: &'a Map<String, Json>) -> Self {
        // Without the functions that count there are no others either.
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
            Outcome::Stopped(Limit::Steps) => LONG.to_owned(),
            Outcome::Stopped(Limit::Memory) => LARGE.to_owned(),
        };
        Verdict::KeepsOut {
            part: self.source.text(part),
            reason,
        }
    }

    /// The parts that have a value of their own and are no literals.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = vec![];
        let end = Instant::now() + PATIENCE;
        self.add_parts(self.program.expression(), 0, end, &mut parts);
        parts
    }

    fn add_parts(&self, expr: &IdedExpr, depth: usize, end: Instant, parts: &mut Vec<Part>) {
        let long = Err(format!("it {LONG}"));
        let value = if parts.iter().any(|part| part.value == long) {
            // Parts of it would take as long, one after the other.
            Err("it was not tried, after a part that takes too many steps".to_owned())
        } else if Instant::now() > end {
            Err("it was not tried: those before it took too long".to_owned())
        } else {
            limits::start();
            self.run(expr, |value| match (value, limits::passed()) {
                (_, Some(Limit::Steps)) => long,
                (_, Some(Limit::Memory)) => Err(format!("it {LARGE}")),
                (Ok(value), None) => Ok(shown(value)),
                (Err(error), None) => Err(self.reason(&error)),
            })
        };
        parts.push(Part {
            depth,
            source: self.source.text(expr),
            value,
        });
        let is_shown = |operand: &&IdedExpr| match &operand.expr {
            Expr::Literal(_) => false,
            Expr::Ident(name) => name != "claims",
            _ => true,
        };
        for operand in operands(expr).into_iter().filter(is_shown) {
            self.add_parts(operand, depth + 1, end, parts);
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

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::super::{Explanation, Verdict, evaluate, explain};

    fn claims() -> Map<String, Value> {
        let claims = json!({
            "email": "ada@example.com",
            "email_verified": true,
            "verified_text": "true",
            "groups": ["staff", "admins"],
            "address": {"country": "NL"},
            "level": 4,
            "large": u64::MAX,
            "negative": -3,
            "score": 1.5,
            "nothing": null,
            "updated_at": "2026-01-02T03:04:05Z",
        });
        serde_json::from_value(claims).unwrap()
    }

    #[track_caller]
    fn kept_out(expression: &str) -> (String, String) {
        match evaluate(expression, &claims()) {
            Verdict::KeepsOut { part, reason } => (part, reason),
            Verdict::LetsIn => panic!("{expression} lets in"),
        }
    }

    #[test]
    fn what_is_true_lets_in() {
        for expression in [
            "",
            "true",
            "claims.email_verified",
            "claims.level > 3 && claims.level == 4 && claims.level < 4.5",
            "claims.negative == -3 && claims.negative + claims.level == 1",
            "claims.large == 18446744073709551615u",
            "claims.score == 1.5 && claims.score < 2.0",
            "claims.nothing == null && has(claims.nothing)",
            "!has(claims.missing) && !('missing' in claims) && 'email' in claims",
            "has(claims.address.country) && !has(claims.address.city)",
            "claims.address == {'country': 'NL'} && claims['address']['country'] == 'NL'",
            "claims.groups == ['staff', 'admins'] && claims.groups[1] == 'admins'",
            "claims.groups.exists_one(g, g.startsWith('a')) && !claims.groups.all(g, g == 'staff')",
            "claims.groups.map(g, size(g)) == [5, 6] && claims.groups.filter(g, g != 'staff').size() == 1",
            "claims.email.matches('^[a-z]+@example[.]com$') && matches(claims.email, 'ada')",
            "max(claims.level, 7) == 7 && min([3, claims.level]) == 3",
            "timestamp(claims.updated_at).getFullYear() == 2026",
            "timestamp(claims.updated_at) + duration('1h') > timestamp('2026-01-02T04:00:00Z')",
            "claims.missing == 1 || true",
            "claims.level > 3 ? claims.email_verified : claims.missing",
            "string(claims.level) + 'x' == '4x' && int('4') == claims.level",
            "type(claims.level) == type(1)",
        ] {
            assert_eq!(
                evaluate(expression, &claims()),
                Verdict::LetsIn,
                "{expression}"
            );
        }
    }

    #[test]
    fn anything_else_keeps_out_and_the_smallest_part_is_told() {
        for (expression, part, reason) in [
            ("false", "false", "is false"),
            (
                "claims.email_verified && claims.email.endsWith('@x.com') && false",
                "claims.email.endsWith('@x.com')",
                "is false",
            ),
            (
                "true && (claims.email_verified && (claims.level > 9)) && true",
                "claims.level > 9",
                "is false",
            ),
            (
                "true && (claims.level > 9 || claims.level < 2)",
                "claims.level > 9 || claims.level < 2",
                "is false",
            ),
            ("!(claims.level > 3)", "!(claims.level > 3)", "is false"),
            (
                "claims.level > 3 ? claims.email == 'x' : true",
                "claims.email == 'x'",
                "is false",
            ),
            (
                "claims.level > 5 ? true : size( claims.groups ) > 7",
                "size( claims.groups ) > 7",
                "is false",
            ),
            (
                "'root' in claims.groups",
                "'root' in claims.groups",
                "is false",
            ),
            (
                "claims.verified_text",
                "claims.verified_text",
                "is a string, not true or false",
            ),
            (
                "claims.email_verified && claims.verified_text",
                "claims.verified_text",
                "is a string, not true or false",
            ),
            (
                "!claims.level",
                "claims.level",
                "is an int, not true or false",
            ),
            (
                "false || claims.nothing",
                "claims.nothing",
                "is null, not true or false",
            ),
            (
                "claims.score ? true : true",
                "claims.score",
                "is a double, not true or false",
            ),
            (
                "claims.address",
                "claims.address",
                "is a map, not true or false",
            ),
            (
                "claims.groups",
                "claims.groups",
                "is a list, not true or false",
            ),
            (
                "claims.email_verified && 'x' in claims.roles",
                "claims.roles",
                "cannot be evaluated: no such key: roles",
            ),
            (
                "claims.roles.exists(r, r == 'x')",
                "claims.roles",
                "cannot be evaluated: no such key: roles",
            ),
            (
                "claims.groups.all(g, g.name == 'x')",
                "claims.groups.all(g, g.name == 'x')",
                "cannot be evaluated: a string has no fields",
            ),
            (
                "claims.level > '3'",
                "claims.level > '3'",
                "cannot be evaluated: > does not take an int and a string",
            ),
            (
                "claims.level + '3' == '43'",
                "claims.level + '3'",
                "cannot be evaluated: + does not take an int and a string",
            ),
            (
                "claims.groups[7] == 'x'",
                "claims.groups[7]",
                "cannot be evaluated: a list has fewer elements",
            ),
            (
                "claims.groups['x'] == 'x'",
                "claims.groups['x']",
                "cannot be evaluated: a list has no such index",
            ),
            (
                "claims.groups[0.5] == 'x'",
                "claims.groups[0.5]",
                "cannot be evaluated: a list has no such index",
            ),
            (
                "1 / (claims.level - 4) == 1",
                "1 / (claims.level - 4)",
                "cannot be evaluated: it divides by zero",
            ),
            (
                "claims.level.exists(x, true)",
                "claims.level.exists(x, true)",
                "cannot be evaluated: an int has no elements",
            ),
            (
                "int(claims.email) == 1",
                "int(claims.email)",
                "cannot be evaluated: int() makes nothing of what it is given",
            ),
            (
                "user.admin",
                "user.admin",
                "cannot be evaluated: it must be a CEL expression",
            ),
            (
                "claims.",
                "claims.",
                "cannot be evaluated: it must be a CEL expression",
            ),
        ] {
            let (said_part, said) = kept_out(expression);
            assert_eq!(said_part, part, "{expression}: {said}");
            assert!(said.starts_with(reason), "{expression}: {said}");
        }
    }

    #[test]
    fn reasons_have_no_values() {
        for expression in [
            "claims.email",
            "claims[claims.email] == 1",
            "{'a': 1}[claims.email] == 1",
            "claims.groups.exists(g, claims[g])",
            "int(claims.email) == 1",
            "timestamp(claims.email) == timestamp(claims.groups[0])",
            "duration(claims.email) < duration('1h')",
            "claims.email * claims.level == 1",
            "claims.email < claims.level",
            "claims.groups + claims.email == []",
            "-claims.email == 1",
            "{claims.address: 1} == {}",
            "{claims.email: 1, 'ada@' + 'example.com': 2} == {}",
            "claims.groups[claims.email] == 1",
            "'x'.matches(claims.email + '(')",
            "timestamp(claims.updated_at).getHours(claims.email) == 1",
            "max(claims.email, claims.level) == 1",
            "bool(claims.email)",
            "claims.address.all(k, claims.address[k])",
        ] {
            let (_, reason) = kept_out(expression);
            for value in ["ada", "example", "staff", "admins", "NL", "2026", "country"] {
                assert!(!reason.contains(value), "{expression}: {reason}");
            }
        }
    }

    #[test]
    fn an_explanation_shows_each_part_with_its_value() {
        let expression = "claims.email_verified &&\n  (claims.level>9 || 'root' in claims.groups) // those\n && claims.x.exists(x, true)";
        let Explanation { verdict, parts } = explain(expression, &claims()).unwrap();
        assert_eq!(
            verdict,
            Verdict::KeepsOut {
                part: "claims.level>9 || 'root' in claims.groups".to_owned(),
                reason: "is false".to_owned(),
            }
        );
        let lines: Vec<String> = parts
            .into_iter()
            .map(|part| match part.value {
                Ok(value) => format!("{} {} = {value}", part.depth, part.source),
                Err(reason) => format!("{} {}: {reason}", part.depth, part.source),
            })
            .collect();
        assert_eq!(
            lines,
            [
                "0 claims.email_verified && (claims.level>9 || 'root' in claims.groups) && claims.x.exists(x, true) = false",
                "1 claims.email_verified = true",
                "1 claims.level>9 || 'root' in claims.groups = false",
                "2 claims.level>9 = false",
                "3 claims.level = 4",
                "2 'root' in claims.groups = false",
                r#"3 claims.groups = ["staff", "admins"]"#,
                "1 claims.x.exists(x, true): no such key: x",
                "2 claims.x: no such key: x",
            ]
        );
        assert_eq!(explain("", &claims()).unwrap().parts, []);
        assert!(
            explain("claims.", &claims())
                .unwrap_err()
                .contains("line 1")
        );
    }

    #[test]
    fn long_values_are_cut() {
        let mut claims = claims();
        claims.insert("long".to_owned(), json!(vec!["é\"".repeat(50); 1_000]));
        let explanation = explain("claims.long == []", &claims).unwrap();
        let value = explanation.parts[1].value.clone().unwrap();
        assert_eq!(value.chars().count(), super::super::values::SHOWN + 2);
        assert!(value.ends_with(" …"), "{value}");
    }
}
