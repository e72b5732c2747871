//! Which claims an expression looks at.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// The claims that an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// These, sorted; no more can matter.
    These(Vec<String>),
    /// Any claim may matter, as in `size(claims)` or `claims[x]`.
    Any,
}

/// The top-level claims that an expression names: `email` of `claims.email`, `claims["email"]` and
/// `has(claims.email)`. None when the expression is empty or bad.
pub fn claims_named(expression: &str) -> Named {
    let named = super::with_program(expression, |program| {
        let mut names = BTreeSet::new();
        match collect(program.expression(), false, &mut names) {
            Some(()) => Named::These(names.into_iter().collect()),
            None => Named::Any,
        }
    });
    named.ok().flatten().unwrap_or(Named::These(vec![]))
}

/// `None` when it may be any claim. `hidden`: `claims` is a macro's variable here.
fn collect(expr: &IdedExpr, hidden: bool, names: &mut BTreeSet<String>) -> Option<()> {
    if !hidden && let Some(name) = claim(&expr.expr) {
        names.insert(name.to_owned());
        return Some(());
    }
    match &expr.expr {
        Expr::Ident(name) => (hidden || name != "claims").then_some(()),
        Expr::Comprehension(c) => {
            collect(&c.iter_range, hidden, names)?;
            let hidden = hidden || c.iter_var == "claims";
            [&c.loop_cond, &c.loop_step]
                .into_iter()
                .try_for_each(|inner| collect(inner, hidden, names))
        }
        _ => children(expr)
            .into_iter()
            .try_for_each(|child| collect(child, hidden, names)),
    }
}

/// The claim that this is: `claims.name` or `claims["name"]`.
fn claim(expr: &Expr) -> Option<&str> {
    let (of, name) = match expr {
        Expr::Select(select) => (&*select.operand, &*select.field),
        Expr::Call(CallExpr {
            func_name, args, ..
        }) if func_name == operators::INDEX => match &**args {
            [of, index] => (of, literal(index)?),
            _ => return None,
        },
        _ => return None,
    };
    matches!(&of.expr, Expr::Ident(ident) if ident == "claims").then_some(name)
}

/// The text of a literal.
pub(super) fn literal(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// What an expression is made of, as written. A loop is made of what it goes over: the rest has no
/// value outside it.
pub(super) fn children(expr: &IdedExpr) -> Vec<&IdedExpr> {
    match &expr.expr {
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &**target);
            target.chain(&call.args).collect()
        }
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })
            .collect(),
        Expr::Comprehension(c) => vec![&c.iter_range],
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::{Named, claims_named};

    #[test]
    fn the_claims_that_an_expression_names() {
        for (expression, expected) in [
            ("", &[][..]),
            ("true", &[]),
            ("claims.", &[]),
            ("claims.email_verified", &["email_verified"]),
            (
                r#"claims.b == claims["a"] || has(claims.c) || claims.b == 1"#,
                &["a", "b", "c"],
            ),
            (
                r#"claims.address.country == "NL" && !(claims.x in [claims.y])"#,
                &["address", "x", "y"],
            ),
            (
                "claims.groups.exists(g, g.name == claims.team && {claims.k: claims.v}.size() > 0)",
                &["groups", "k", "team", "v"],
            ),
            // The inner `claims` are strings.
            (
                "claims.groups.exists(claims, claims.startsWith('x'))",
                &["groups"],
            ),
        ] {
            let expected = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(
                claims_named(expression),
                Named::These(expected),
                "{expression}"
            );
        }
        for expression in [
            "claims.exists(name, name == 'admin')",
            "size(claims) > 2",
            "'admin' in claims",
            "claims[claims.which]",
            "claims.groups.exists(g, claims[g] == 1)",
            "claims == {'a': 1}",
        ] {
            assert_eq!(claims_named(expression), Named::Any, "{expression}");
        }
    }
}
