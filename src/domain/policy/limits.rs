//! What keeps an evaluation short and small.
//!
//! The interpreter has no limits of its own: an expression of a few hundred characters can loop for
//! days, or double a text until memory is gone. So calls that count are put into the tree where it
//! loops, copies or compares. Once a limit is passed they all fail, so that every loop ends; whether
//! it was is asked afterwards, because `||` and `exists` forgive errors.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, operators,
};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelList, CelMap, CelString, DYN_TYPE, STRING_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use regex::{Regex, RegexBuilder};

/// Rounds of all loops together.
const MAX_STEPS: u32 = 100_000;
const MAX_TIME: Duration = Duration::from_secs(1);
/// Memory of all copies together, those that are gone too. Claims take some kilobytes.
const MAX_MEMORY: usize = 64 * 1024 * 1024;

/// A regular expression's text, its compiled size, and what it may be matched against: their
/// product bounds the time of one match, in which nothing looks at the clock.
const MAX_PATTERN: usize = 4096;
const MAX_COMPILED: usize = 1024 * 1024;
const MAX_MATCHED: usize = 4096;
/// How many are remembered.
const MAX_REGEXES: usize = 16;

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

/// What the evaluation on this thread has used, and may use. Functions of the interpreter are plain
/// `fn`s, which can be handed nothing else.
struct Meter {
    steps: Cell<u32>,
    /// Bytes that are left.
    memory: Cell<usize>,
    /// How long an evaluation may take.
    time: Cell<Duration>,
    end: Cell<Option<Instant>>,
    passed: Cell<Option<Limit>>,
    /// Compiled regular expressions: a loop uses the same one for each element.
    regexes: RefCell<Vec<Regex>>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            steps: Cell::new(0),
            memory: Cell::new(0),
            time: Cell::new(MAX_TIME),
            end: Cell::new(None),
            passed: Cell::new(None),
            regexes: RefCell::new(Vec::new()),
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
        let left = weigh(value, self.memory.get()).ok_or_else(|| self.pass(Limit::Memory))?;
        self.memory.set(left);
        Ok(())
    }

    fn look(&self) -> Result<(), ExecutionError> {
        match (self.passed.get(), self.end.get()) {
            (Some(limit), _) => Err(self.pass(limit)),
            (None, Some(end)) if Instant::now() > end => Err(self.pass(Limit::Steps)),
            _ => Ok(()),
        }
    }

    fn regex(&self, pattern: &str) -> Result<Regex, regex::Error> {
        let mut regexes = self.regexes.borrow_mut();
        if let Some(regex) = regexes.iter().find(|regex| regex.as_str() == pattern) {
            return Ok(regex.clone());
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build()?;
        if regexes.len() >= MAX_REGEXES {
            regexes.clear();
        }
        regexes.push(regex.clone());
        Ok(regex)
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
        meter.memory.set(MAX_MEMORY);
        meter.end.set(Some(Instant::now() + meter.time.get()));
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
    match METER.with(|meter| meter.regex(pattern.inner())) {
        Ok(regex) => Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner())))),
        Err(regex::Error::CompiledTooBig(_)) => fault("the regular expression is too large"),
        Err(_) => fault("the regular expression is not one"),
    }
}

/// What is left of a budget after a value's memory, about. `None` if it is not enough.
fn weigh(value: &dyn Val, budget: usize) -> Option<usize> {
    const ANY: usize = 64;
    let left = budget.checked_sub(ANY)?;
    if let Some(text) = value.downcast_ref::<CelString>() {
        left.checked_sub(text.inner().len())
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        left.checked_sub(bytes.inner().len())
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        let mut elements = list.inner().iter();
        elements.try_fold(left, |left, element| weigh(element.as_ref(), left))
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut entries = map.inner().iter();
        entries.try_fold(left, |left, (key, value)| {
            weigh(value.as_ref(), weigh(key.inner(), left)?)
        })
    } else {
        Some(left)
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, Value, json};

    use super::super::evaluate::Evaluator;
    use super::super::{Verdict, evaluate, with_program};
    use super::{MAX_STEPS, METER};

    /// More than any machine needs: what stops an expression is not the clock.
    const UNLIMITED: Duration = Duration::from_secs(24 * 60 * 60);

    fn claims(json: Value) -> Map<String, Value> {
        match json {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    /// The reason for which it is kept out if it may take this long, and the steps that were counted.
    #[track_caller]
    fn stopped_within(
        time: Duration,
        expression: &str,
        claims: &Map<String, Value>,
    ) -> (String, u32) {
        let evaluated = with_program(expression, |program| {
            METER.with(|meter| meter.time.set(time));
            let verdict = Evaluator::new(program, claims).verdict();
            (verdict, METER.with(|meter| meter.steps.get()))
        });
        match evaluated {
            Ok(Some((Verdict::KeepsOut { reason, .. }, steps))) => (reason, steps),
            other => panic!("{expression}: {other:?}"),
        }
    }

    /// The reason for which it is kept out, however slow the machine is.
    #[track_caller]
    fn stopped(expression: &str, claims: &Map<String, Value>) -> String {
        stopped_within(UNLIMITED, expression, claims).0
    }

    fn groups(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("group-{i}")).collect()
    }

    #[test]
    fn loops_end() {
        let claims = claims(json!({"groups": groups(2_000)}));
        for expression in [
            "claims.groups.all(a, claims.groups.all(b, claims.groups.all(c, c != 'x')))",
            "claims.groups.exists(a, claims.groups.exists(b, claims.groups.exists(c, c == 'x')))",
            "claims.groups.map(a, claims.groups.map(b, claims.groups.map(c, 1))).size() > 0",
            "claims.groups.filter(a, claims.groups.exists_one(b, claims.groups.map(c, c == b, c) != [])) != []",
            // Errors that are forgiven.
            "claims.groups.all(a, claims.groups.all(b, claims.groups.all(c, true)) || true) || true",
        ] {
            let (reason, steps) = stopped_within(UNLIMITED, expression, &claims);
            assert_eq!(reason, "takes too many steps");
            // A loop that forgives the error still goes through its list once.
            assert!(steps <= MAX_STEPS + 2_001, "{expression}: {steps}");
        }
    }

    #[test]
    fn the_clock_is_looked_at_in_loops_and_before_each_match() {
        let claims = claims(json!({"groups": groups(2)}));
        for expression in [
            "claims.groups.all(g, true)",
            "'a'.matches('a')",
            "claims.groups == claims.groups",
        ] {
            assert_eq!(evaluate(expression, &claims), Verdict::LetsIn);
            let (reason, _) = stopped_within(Duration::ZERO, expression, &claims);
            assert_eq!(reason, "takes too many steps", "{expression}");
        }
    }

    #[test]
    fn what_organizations_do_is_far_from_the_limits() {
        let claims = claims(json!({"groups": groups(2_000), "roles": groups(20)}));
        for expression in [
            "claims.groups.exists(g, g == 'group-1999')",
            "claims.groups.map(g, g + '@example.com').filter(g, g.startsWith('group')).size() == 2000",
            "claims.roles.all(r, r in claims.groups)",
            "claims.roles.all(r, claims.groups.exists(g, g == r))",
            "claims.groups.all(g, claims.groups.size() == 2000 && claims.groups[0] != g || true)",
            "claims.groups.filter(g, g.matches('^group-[0-9]$')).size() == 10",
        ] {
            assert_eq!(evaluate(expression, &claims), Verdict::LetsIn);
        }
    }

    #[test]
    fn values_do_not_grow_without_end() {
        let doubled = format!("['abc']{} == []", ".map(x, x + x)".repeat(50));
        assert_eq!(stopped(&doubled, &Map::new()), "takes too much memory");
        let claims = claims(json!({
            "text": "a".repeat(500_000),
            "list": vec![0; 200_000],
            "two": [1, 2],
        }));
        let chain = |step: &str| format!("[claims.text]{}.size() == 1", step.repeat(50));
        for expression in [
            chain(".map(x, x + x)"),
            chain(".map(x, [x, x])"),
            chain(".map(x, {1: x, 2: x})"),
            "claims.list.map(x, claims) != []".to_owned(),
            format!("[{}claims] == []", "claims,".repeat(400)),
            format!("{}'' == ''", "claims.text + ".repeat(100)),
            format!(
                "claims.two.map(x, [{}1]) == [] || claims.list.map(x, [{}1]) == []",
                "1,".repeat(900),
                "1,".repeat(900)
            ),
            format!(
                "{}true{}",
                "claims.list.exists(x, ".repeat(50),
                ")".repeat(50)
            ),
            format!(
                "{}true{}",
                "claims.two.all(x, claims.list * 2 == 2 || ".repeat(30),
                ")".repeat(30)
            ),
            format!("{}false", "max(claims.list) == 1 || ".repeat(50)),
        ] {
            let reason = stopped(&expression, &claims);
            assert_eq!(reason, "takes too much memory", "{expression}");
        }
    }

    #[test]
    fn matching_is_bounded() {
        let claims = claims(json!({"long": "a".repeat(100_000)}));
        for (expression, reason) in [
            ("claims.long.matches('b')", "the text is too long"),
            (
                "'a'.matches(claims.long)",
                "the regular expression is too long",
            ),
            (
                "'a'.matches('((a{100}){100}){100}')",
                "the regular expression is too large",
            ),
            ("'a'.matches('(')", "the regular expression is not one"),
        ] {
            let said = stopped(expression, &claims);
            assert!(said.contains(reason), "{expression}: {said}");
        }
    }
}
