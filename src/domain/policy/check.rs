//! What can be known of an expression before there are claims.

use cel::Program;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

/// The functions of an expression, as a result or as an argument: name, and whether it yields a
/// boolean.
const FUNCTIONS: [(&str, bool); 27] = [
    ("bool", true),
    ("bytes", false),
    ("contains", true),
    ("double", false),
    ("duration", false),
    ("endsWith", true),
    ("getDate", false),
    ("getDayOfMonth", false),
    ("getDayOfWeek", false),
    ("getDayOfYear", false),
    ("getFullYear", false),
    ("getHours", false),
    ("getMilliseconds", false),
    ("getMinutes", false),
    ("getMonth", false),
    ("getSeconds", false),
    ("int", false),
    ("matches", true),
    ("max", false),
    ("min", false),
    ("size", false),
    ("startsWith", true),
    ("string", false),
    ("timestamp", false),
    ("type", false),
    ("uint", false),
    ("dyn", true),
];

/// What the parser makes of operators and macros. Names of functions that it makes of what a user
/// writes start with a letter, `_` or `.`, so that no user calls `@not_strictly_false`, nor the
/// functions that [`limits`](super::limits) adds.
const OPERATORS: [&str; 19] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
    operators::NOT_STRICTLY_FALSE,
];

/// The longest chain of nested operations. Expressions that people write have a dozen.
const MAX_DEPTH: usize = 128;

/// Parses an expression and refuses what can never be right.
pub(super) fn compile(expression: &str) -> Result<Program, String> {
    let program = Program::compile(expression).map_err(|errors| match errors.errors.first() {
        Some(error) => {
            let (line, column) = (error.pos.0.max(1), error.pos.1.max(1));
            let reason = in_our_words(&error.msg);
            format!("must be a CEL expression: line {line}, column {column}: {reason}")
        }
        None => "must be a CEL expression: it cannot be parsed".to_owned(),
    })?;
    let checker = Checker {
        source: program.source_info(),
    };
    checker.walk(program.expression(), &mut vec![], 0)?;
    match checker.result(program.expression()) {
        Yields::Boolean | Yields::Unknown => Ok(program),
        Yields::Other(what) => Err(checker.fault(
            program.expression(),
            &format!("the result is {what}: an expression must yield true or false, such as claims.email_verified"),
        )),
    }
}

/// What the parser found, without the part of the expression that it quotes.
fn in_our_words(message: &str) -> &'static str {
    let quoted = "what is in quotes has no end, or a wrong escape";
    let reasons = [
        ("ecursion limit", "the expression is nested too deeply"),
        ("input '<EOF>'", "the expression ends too early"),
        ("expecting <EOF>", "the expression should end here"),
        ("recognition error at: ''", quoted),
        ("recognition error at: '\"", quoted),
        ("invalid string literal", quoted),
        ("invalid bytes literal", quoted),
        ("reserved identifier", "CEL reserves this word"),
        ("literal", "this is no number"),
        ("simple name", "the macro's first argument must be a name"),
        (
            "has() macro",
            "has() takes a field, as in has(claims.email)",
        ),
    ];
    let found = reasons.iter().find(|(part, _)| message.contains(part));
    found.map_or("this is not expected here", |(_, reason)| reason)
}

/// What is known of a result before there are claims.
enum Yields {
    Boolean,
    /// A claim, say: it may be a boolean.
    Unknown,
    Other(&'static str),
}

struct Checker<'a> {
    source: &'a SourceInfo,
}

impl Checker<'_> {
    /// Looks for variables and functions that no login will have. `bound` are the variables of the
    /// macros around (`all`, `exists`, …).
    fn walk(&self, expr: &IdedExpr, bound: &mut Vec<String>, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(self.fault(expr, "the expression is nested too deeply"));
        }
        match &expr.expr {
            Expr::Ident(name)
                if name == "claims" || name.starts_with('@') || bound.contains(name) =>
            {
                Ok(())
            }
            Expr::Ident(_) => Err(self.fault(
                expr,
                "this name is not known: the only variable is claims, as in claims.email",
            )),
            Expr::Call(call) => {
                self.check_function(expr, &call.func_name)?;
                call.target
                    .iter()
                    .map(|target| &**target)
                    .chain(&call.args)
                    .try_for_each(|e| self.walk(e, bound, depth + 1))
            }
            Expr::Select(select) => self.walk(&select.operand, bound, depth + 1),
            Expr::List(list) => list
                .elements
                .iter()
                .try_for_each(|e| self.walk(e, bound, depth + 1)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.walk(&entry.key, bound, depth + 1)?;
                    self.walk(&entry.value, bound, depth + 1)
                }
                EntryExpr::StructField(field) => self.walk(&field.value, bound, depth + 1),
            }),
            Expr::Comprehension(c) => {
                self.walk(&c.iter_range, bound, depth + 1)?;
                let outside = bound.len();
                bound.extend([c.iter_var.clone(), c.accu_var.clone()]);
                bound.extend(c.iter_var2.clone());
                let inside = [&c.accu_init, &c.loop_cond, &c.loop_step, &c.result];
                let walked = inside
                    .into_iter()
                    .try_for_each(|e| self.walk(e, bound, depth + 1));
                bound.truncate(outside);
                walked
            }
            Expr::Struct(_) => Err(self.fault(expr, "messages are not available")),
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn check_function(&self, expr: &IdedExpr, name: &str) -> Result<(), String> {
        if OPERATORS.contains(&name) || FUNCTIONS.iter().any(|(known, _)| *known == name) {
            return Ok(());
        }
        Err(self.fault(expr, "there is no function of this name"))
    }

    fn result(&self, expr: &IdedExpr) -> Yields {
        match &expr.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Yields::Boolean,
            Expr::Literal(LiteralValue::String(_)) => Yields::Other("a string"),
            Expr::Literal(LiteralValue::Null) => Yields::Other("null"),
            Expr::Literal(_) => Yields::Other("a number or bytes"),
            Expr::List(_) => Yields::Other("a list"),
            Expr::Map(_) => Yields::Other("a map"),
            Expr::Call(call) => match &*call.func_name {
                operators::CONDITIONAL => match &*call.args {
                    [_, yes, no] => match (self.result(yes), self.result(no)) {
                        (Yields::Other(what), _) | (_, Yields::Other(what)) => Yields::Other(what),
                        (Yields::Boolean, Yields::Boolean) => Yields::Boolean,
                        _ => Yields::Unknown,
                    },
                    _ => Yields::Unknown,
                },
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO
                | operators::NEGATE => Yields::Other("a number, text or list"),
                operators::INDEX => Yields::Unknown,
                name => match FUNCTIONS.iter().find(|(known, _)| *known == name) {
                    Some((_, false)) => Yields::Other("no boolean"),
                    Some((_, true)) => Yields::Unknown,
                    None => Yields::Boolean,
                },
            },
            Expr::Ident(name) if name == "claims" => Yields::Other("the map of all claims"),
            // map() and filter() collect; all(), exists() and exists_one() decide.
            Expr::Comprehension(c) if matches!(c.accu_init.expr, Expr::List(_)) => {
                Yields::Other("a list")
            }
            _ => Yields::Unknown,
        }
    }

    fn fault(&self, at: &IdedExpr, reason: &str) -> String {
        let start = self
            .source
            .offset_for(at.id)
            .map_or(0, |(start, _)| start as usize);
        // It counts bytes.
        let before = self.source.source.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        format!(
            "must be a CEL expression that yields a boolean: line {line}, column {column}: {reason}"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check;

    #[test]
    fn expressions_that_can_decide_are_accepted() {
        for expression in [
            "",
            "true",
            "claims.email_verified",
            r#"claims.email_verified && claims.email.endsWith("@example.com")"#,
            r#""admins" in claims.groups"#,
            r#"claims.groups.exists(g, g == "admins" || g.startsWith("eng-"))"#,
            "has(claims.email) && size(claims.groups) > 2",
            "claims.a ? claims.b : !claims.c",
            r#"claims["https://example.com/admin"]"#,
            r#"claims.groups.filter(g, g != "x").size() >= 1"#,
            r#"claims.email.matches("^[a-z]+@example[.]com$")"#,
            "claims.groups.all(g, claims.roles.exists(r, r == g))",
        ] {
            assert_eq!(check(expression), Ok(()), "{expression}");
        }
    }

    #[test]
    fn expressions_that_cannot_are_refused_with_the_place() {
        for (expression, place, reason) in [
            ("claims.email ==", "line 1, column 16", "ends too early"),
            ("claims.s3cret!", "line 1, column 14", "here"),
            ("'s3cret", "line 1, column 1", ""),
            (
                "claims.a == s3cret.b()",
                "line 1",
                "no function of this name",
            ),
            ("claims.a s3cret", "line 1, column 10", "should end here"),
            (
                "claims.email\n  && user.admin",
                "line 2, column 6",
                "the only variable is claims",
            ),
            (
                "'é' == claims.a && user",
                "line 1, column 20",
                "the only variable is claims",
            ),
            (
                "_f(claims.a)",
                "line 1, column 3",
                "no function of this name",
            ),
            (".size(claims)", "line 1", "no function"),
            ("1 + 2", "line 1", "a number"),
            (r#""yes""#, "line 1, column 1", "a string"),
            ("claims", "line 1, column 1", "the map of all claims"),
            ("claims.groups.map(g, g)", "line 1", "a list"),
            ("size(claims.groups)", "line 1", "no boolean"),
            ("claims.a ? true : 'no'", "line 1", "a string"),
            ("delete(claims)", "line 1", "no function"),
            (
                "claims.groups.exists(g, h)",
                "line 1, column 25",
                "this name is not known",
            ),
            ("Thing{a: 1} == claims", "line 1", "not available"),
        ] {
            let refused = check(expression).expect_err(expression);
            assert!(refused.contains(place), "{expression}: {refused}");
            assert!(refused.contains(reason), "{expression}: {refused}");
            assert!(!refused.contains("s3cret"), "{expression}: {refused}");
        }
    }

    /// The parser's messages are recognised by their words, which a new version may change.
    #[test]
    fn what_the_parser_finds_is_told_in_words_of_ours() {
        let nested = format!("{}true{}", "(".repeat(200), ")".repeat(200));
        for (expression, reason) in [
            (&*nested, "the expression is nested too deeply"),
            ("claims.a ==", "the expression ends too early"),
            ("claims.a b", "the expression should end here"),
            ("claims.a == 'b", "what is in quotes has no end"),
            ("claims.a == \"b", "what is in quotes has no end"),
            (r"claims.a == '\q'", "or a wrong escape"),
            (r"claims.a == '\ud800'", "or a wrong escape"),
            (r"claims.a == b'\400'", "what is in quotes"),
            ("claims.a == for", "CEL reserves this word"),
            ("claims.a == 99999999999999999999", "this is no number"),
            ("claims.a.all(b.c, true)", "must be a name"),
            ("has(claims)", "has() takes a field"),
        ] {
            let refused = check(expression).expect_err(expression);
            assert!(refused.contains(reason), "{expression}: {refused}");
        }
    }

    #[test]
    fn nesting_is_refused_before_it_overflows_the_stack() {
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("{1:", "1", "}"),
            ("claims.f(", "1", ")"),
            ("true ? ", "true", ": false"),
            ("claims.g.all(x, ", "true", ")"),
        ] {
            let times = (4096 - middle.len()) / (open.len() + close.len());
            let expression = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
            let refused = check(&expression).unwrap_err();
            assert!(!refused.contains("OtherError"), "{refused}");
        }
        for (first, more) in [
            ("true", "?!"),
            ("", "!"),
            ("", "-"),
            ("claims", ".a"),
            ("1", "+1"),
            ("true", "&&true"),
            ("true", "||true"),
            ("claims", "[0]"),
            ("1", "==1"),
            ("claims", ".size()"),
            ("true", "?true:true"),
        ] {
            // Whether it is accepted does not matter; that it returns does.
            let _ = check(&format!(
                "{first}{}",
                more.repeat((4096 - first.len()) / more.len())
            ));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\\n]{0,80}") {
            let _ = check(&text);
        }

        #[test]
        fn no_pieces_panic(pieces in prop::collection::vec(prop::sample::select(vec![
            "claims", ".email", "==", "!=", "(", ")", "[", "]", "{", "}", "'a'", "\"b", "1", "1.5", "0x", "?", ":", ",", "&&", "||",
            "!", "-", "+", "in", "has(", ".all(", ".exists(x,", "x", "true", "null", "\\", "`", "b'\\xff'", "r'", "1u", "é", "\u{1F600}",
        ]), 0..24)) {
            let _ = check(&pieces.concat());
        }
    }
}
