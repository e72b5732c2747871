//! Claims expressions: CEL over the one variable `claims`, yielding a boolean.
//!
//! CEL has no static types here: what `claims.x` is shows only at a login. So [`check()`], at write,
//! refuses what can never be right (a syntax error, another variable, a function that does not
//! exist, a result that is certainly not a boolean), and [`evaluate()`], at a login, lets in on `true`
//! alone. Claims are private: what [`evaluate()`] says names types and the expression's own text, never
//! a claim's value. [`explain`] shows values, to those who sent them.

mod check;
mod evaluate;
mod limits;
mod named;
mod source;
mod values;

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
    /// What [`evaluate()`] says.
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
/// As of [`check()`].
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::{Verdict, check, claims_named, evaluate, explain};

    const SECRET: &str = "Wq7zZ";

    fn claims() -> impl Strategy<Value = Map<String, Value>> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-3..3i64).prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -~é\u{1F600}]{0,4}".prop_map(|text| Value::from(format!("{SECRET}{text}"))),
        ];
        let json = scalar.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..3)
                    .prop_map(|members| json!(members)),
            ]
        });
        prop::collection::btree_map("[abc]", json, 0..4)
            .prop_map(|members| members.into_iter().collect())
    }

    /// Expressions that parse, with all of the language in them.
    fn expressions() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "claims",
            "claims.a",
            "claims.b",
            "claims.c",
            "claims.a.b",
            "claims['a']",
            "has(claims.a)",
            "has(claims.a.c)",
            "1",
            "-1",
            "2u",
            "0x1F",
            "1.5e-3",
            "-.5",
            "true",
            "null",
            "'é)('",
            "r\"\\d(\"",
            "b'x'",
            "\"\"\"a'\"b\"\"\"",
            "[]",
            "{}",
        ])
        .prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 3, |inner| {
            let operator = prop::sample::select(vec![
                "&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%",
            ]);
            let one = prop::sample::select(vec![
                "!@",
                "-@",
                "@",
                "@.a",
                "@[0]",
                "size(@)",
                "@.size()",
                "string(@)",
                "int(@)",
                "timestamp(@)",
                "duration(@)",
                "type(@)",
                "max(@)",
                "[@, 1,]",
                "{ 'k' : @ }",
                "claims.exists(x, x == @)",
                "@.exists(x, x)",
                "@.all( x, !x )",
                "[@].map(x, x + x)",
                "[@].map(x, x, [x])",
                "@.filter(x, x > 1)",
                "@.exists_one(x, x == 1)",
                "has(@.b)",
                "@.matches('^W')",
                "@.startsWith('W')",
                "@.getHours()",
            ]);
            let one = (one, inner.clone())
                .prop_map(|(form, inner)| form.replace('@', &format!("({inner} // )\n)")));
            let two = (inner.clone(), operator, inner.clone())
                .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})"));
            let three = (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : {c})"));
            let bare = (inner.clone(), inner).prop_map(|(a, b)| format!("{a} && {b} || {a}"));
            prop_oneof![3 => one, 3 => two, 1 => three, 1 => bare]
        })
    }

    proptest! {
        #[test]
        fn every_evaluation_ends_and_keeps_claims_private(expression in expressions(), claims in claims()) {
            if let Verdict::KeepsOut { part, reason } = evaluate(&expression, &claims) {
                prop_assert!(!reason.contains(SECRET), "{expression}: {part} {reason}");
                prop_assert!(!reason.contains("interpreter fail"), "{expression}: {reason}");
            }
            let _ = claims_named(&expression);
        }

        #[test]
        fn the_text_of_a_part_is_that_part(expression in expressions(), claims in claims()) {
            let Ok(explanation) = explain(&expression, &claims) else {
                return Ok(());
            };
            for part in explanation.parts {
                // Not every part could be an expression: one that yields a number, say.
                let alone = explain(&format!("dyn({})", part.source), &claims);
                let value = alone.as_ref().map(|alone| alone.parts[0].value.as_ref().ok());
                prop_assert_eq!(value, Ok(part.value.as_ref().ok()), "{}: {:?}", expression, part);
            }
        }

        #[test]
        fn no_text_panics(text in "[ -~\\n]{0,80}", claims in claims()) {
            let lets_in = evaluate(&text, &claims) == Verdict::LetsIn;
            prop_assert!(!lets_in || check(&text).is_ok());
        }
    }

    #[test]
    fn the_guide_has_ten_expressions_that_let_in_whom_they_mean() {
        let claims = json!({
            "email": "ada@example.com", "email_verified": true, "groups": ["engineering", "eng-db"], "amr": ["pwd", "otp"],
            "https://example.com/roles": ["admin"], "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
        });
        let claims = claims.as_object().unwrap();
        let guide = include_str!("../../../docs/claims-expressions.md");
        let (_, table) = guide.split_once("## Ten expressions").unwrap();
        let (table, _) = table.split_once("## What there is").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
        let expressions: Vec<String> = rows
            .map(|row| row.split('`').nth(1).unwrap().replace("\\|", "|"))
            .collect();
        assert_eq!(expressions.len(), 10);
        for expression in expressions {
            assert_eq!(
                evaluate(&expression, claims),
                Verdict::LetsIn,
                "{expression}"
            );
        }
    }

    #[test]
    fn a_panic_ends_in_a_refusal() {
        let panicked = super::on_its_own_thread(|| -> u8 { panic!("on purpose") });
        assert_eq!(panicked, None);
        assert_eq!(super::on_its_own_thread(|| 7), Some(7));
    }

    #[test]
    fn an_expression_that_is_too_long_is_refused() {
        let expression = format!("true{}", " ".repeat(super::MAX_LENGTH));
        let refused = check(&expression).unwrap_err();
        assert!(refused.contains("at most 4096 characters"), "{refused}");
    }
}
