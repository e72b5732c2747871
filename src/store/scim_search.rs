//! How resources are found in PostgreSQL: the translation of filters and sort orders to SQL. It says the same as
//! [`eval`](scim::eval).
//!
//! Beside each resource stands its [search form](scim::search_form()), so that SQL compares byte by byte, and no collation has a say.
//! What is looked for most has a column or a table with an index: `id`, `userName`, `externalId`, `displayName`, `emails.value`,
//! `active`, `meta`, `members`, `groups`.
//!
//! Every condition is true or false, never null, so that `not` means the opposite.

use chrono::{DateTime, SubsecRound, Utc};
use scim::filter::{Comparand, Operator, Resolved};
use scim::reference::Reference;
use scim::schema::{AttributePath, ResourceType, Returned, Type};
use uuid::Uuid;

use super::scim_resources::{SortKey, SortKind};
use super::sql::{Bound, Fragment};

/// The condition on a row `t` of the type's table, in a `scim_resources::statement`; `base` is the URL of the
/// SCIM root.
pub fn condition(base: &str, resource_type: ResourceType, filter: &Resolved) -> Fragment {
    Translator {
        base,
        resource_type,
    }
    .resource(filter)
}

/// The condition on a row `t`, for a filter that asks for the one resource with an identifier, name
/// or address, as identity providers do before every change. It is the same for every tenant.
pub fn lookup_condition(filter: &Resolved) -> Option<Fragment> {
    let Resolved::Compare(path, Operator::Eq, comparand) = filter else {
        return None;
    };
    match (core_name(path)?, comparand) {
        ("emails", Comparand::Text { comparable, .. }) if path.leaf().name == "value" => {
            Some(has_address(comparable))
        }
        _ => Some(key_column(path)?.compare(Operator::Eq, comparand)),
    }
}

/// The condition on an address, in the row `a`, if a filter asks for the users who have one and nothing else.
pub fn address_condition(filter: &Resolved) -> Option<Fragment> {
    match filter {
        Resolved::Compare(path, operator, Comparand::Text { comparable, .. })
            if core_name(path) == Some("emails") && path.leaf().name == "value" =>
        {
            key_compare("a.value_key", *operator, comparable)
        }
        _ => None,
    }
}

/// Whether a filter asks for what was changed since a time: that may be half of all, and stands anywhere in the list.
pub fn is_of_time(filter: &Resolved) -> bool {
    match filter {
        Resolved::And(parts) | Resolved::Or(parts) => parts.iter().any(is_of_time),
        Resolved::Compare(path, ..) => core_name(path) == Some("meta"),
        _ => false,
    }
}

/// Whether a filter leads to its matches by an index. For another, all resources of the tenant are read.
pub fn has_index(resource_type: ResourceType, filter: &Resolved) -> bool {
    let has_index = |part| has_index(resource_type, part);
    match filter {
        // What is active says too little of what to read, unless it is all that is asked for.
        Resolved::And(parts) => {
            let mut others = parts.iter().filter(|part| !is_of_active(part)).peekable();
            others.peek().is_none() || others.any(has_index)
        }
        Resolved::Or(parts) => parts.iter().all(has_index),
        Resolved::Not(_) | Resolved::Present(_) => false,
        Resolved::ValuePath(path, inner) => {
            core_name(path) == Some("emails") && address(inner).is_some()
        }
        Resolved::Compare(path, operator, _) => {
            let is_eq = *operator == Operator::Eq;
            let is_range = !matches!(operator, Operator::Ne | Operator::Co | Operator::Ew);
            match (resource_type, core_name(path), path.leaf().name) {
                (_, Some("id"), _) => is_eq,
                (_, Some("externalId" | "displayName"), _) => is_range,
                (ResourceType::User, Some("userName"), _) => is_range,
                (ResourceType::User, Some("emails"), "value")
                | (ResourceType::User, Some("meta"), "lastModified") => is_range,
                (ResourceType::User, Some("active"), _) => true,
                (ResourceType::User, Some("groups"), "value" | "$ref")
                | (ResourceType::Group, Some("members"), "value" | "$ref") => is_eq,
                _ => false,
            }
        }
    }
}

fn is_of_active(filter: &Resolved) -> bool {
    matches!(filter, Resolved::Compare(path, ..) if core_name(path) == Some("active"))
}

/// Whether an index has the resources of a type in the order of this attribute.
pub fn is_sorted_by_index(path: &AttributePath, resource_type: ResourceType) -> bool {
    matches!(
        (resource_type, core_name(path), path.leaf().name),
        (_, Some("id" | "externalId" | "displayName"), _)
            | (ResourceType::User, Some("userName"), _)
            | (ResourceType::User, Some("meta"), "lastModified")
    )
}

/// The column of what identifies a resource.
fn key_column(path: &AttributePath) -> Option<Column> {
    Some(match core_name(path)? {
        "id" => Column::Id,
        "userName" => Column::Text("t.user_name_key"),
        "externalId" => Column::Text("t.external_id"),
        "displayName" => Column::Text("t.display_name_key"),
        _ => return None,
    })
}

/// The condition on a row `m` of a group's members, in such a statement; `base` is the URL of the SCIM root.
pub fn member_condition(base: &str, filter: &Resolved) -> Fragment {
    Translator {
        base,
        resource_type: ResourceType::Group,
    }
    .element(filter, Element::Member)
}

/// What a list is sorted by. Of several values, the primary one counts, or else the first (RFC 7644,
/// section 3.4.2.3). `None` for what cannot be sorted by.
pub fn sort_key(path: &AttributePath, resource_type: ResourceType) -> Option<SortKey> {
    if path.leaf().returned == Returned::Never {
        return None;
    }
    let key = |kind, text: String| SortKey {
        value: Fragment::new(text),
        kind,
    };
    let text = |text: String| key(SortKind::Text, text);
    let leaf = match (path.attribute.data_type, path.sub_attribute) {
        (Type::Complex, None) => path.attribute.sub_attribute("value")?,
        _ => path.leaf(),
    };
    Some(match (core_name(path), leaf.name) {
        (Some("id"), _) => key(SortKind::Id, "t.id".to_owned()),
        (Some("userName"), _) => text("t.user_name_key".to_owned()),
        (Some("externalId"), _) => text("t.external_id".to_owned()),
        (Some("displayName"), _) => text("t.display_name_key".to_owned()),
        (Some("active"), _) => text("t.active::text".to_owned()),
        (Some("meta"), "created") => key(SortKind::Moment, "t.created_at".to_owned()),
        (Some("meta"), "lastModified") => {
            key(SortKind::Moment, last_modified(resource_type).to_owned())
        }
        (Some("meta" | "members" | "groups" | "schemas"), _) => return None,
        _ if path.attribute.multi_valued => text(format!(
            "(select v->>'{}' from jsonb_array_elements({}) with ordinality as e(v, n) order by (v->>'primary')::boolean desc nulls last, n limit 1)",
            leaf.name,
            json(path)
        )),
        _ if path.attribute.data_type == Type::Complex => {
            text(format!("({}->>'{}')", json(path), leaf.name))
        }
        _ => text(format!("({})", simple(path))),
    })
}

/// When a resource was changed last. A change of a group's members is told beside the group.
const fn last_modified(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::User => "t.last_modified",
        ResourceType::Group => {
            "greatest(t.last_modified, (select max(c.last_modified) from scim_group_changes c where c.organization_id = $1
            and c.scim_configuration_id = $2 and c.group_id = t.id))"
        }
    }
}

/// How often a resource was changed, and once more.
const fn version(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::User => "t.version",
        ResourceType::Group => {
            "(t.version + coalesce((select sum(c.count) from scim_group_changes c where c.organization_id = $1
            and c.scim_configuration_id = $2 and c.group_id = t.id), 0))"
        }
    }
}

/// The name of a core or common attribute.
fn core_name(path: &AttributePath) -> Option<&'static str> {
    path.extension.is_none().then_some(path.attribute.name)
}

/// The object that the attribute is in.
fn holder(path: &AttributePath) -> String {
    match path.extension {
        Some(schema) => format!("t.search->'{}'", schema.id),
        None => "t.search".to_owned(),
    }
}

/// The attribute as JSON.
fn json(path: &AttributePath) -> String {
    format!("({}->'{}')", holder(path), path.attribute.name)
}

/// A simple attribute as text.
fn simple(path: &AttributePath) -> String {
    format!("{}->>'{}'", holder(path), path.attribute.name)
}

/// Where the values of a multi-valued attribute are.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    /// `v`: an element of a JSON array, or a complex value.
    Json,
    /// `m`: a row of a group's members.
    Member,
    /// `b`: a row of the groups that a user is in.
    Group,
}

impl Element {
    /// A sub-attribute, or a simple value itself, as text: what a client is shown. `base` is the URL of
    /// the SCIM root.
    fn text(self, path: &AttributePath, base: &str) -> String {
        let name = path.sub_attribute.map_or("value", |sub| sub.name);
        match (self, name) {
            (Self::Json, name) if path.sub_attribute.is_some() => format!("v->>'{name}'"),
            (Self::Json, _) => "v #>> '{}'".to_owned(),
            (Self::Member, "value") => "m.member_value".to_owned(),
            (Self::Member, "type") => {
                "coalesce((".to_owned()
                    + &kind_of_member("'user'", "'group'")
                    + "), folded(m.kind))"
            }
            (Self::Member, "display") => {
                "coalesce(m.display_key, folded(m.display), (".to_owned()
                    + &of_member(
                        "scim_users",
                        "coalesce(r.display_name_key, folded(r.user_name))",
                    )
                    + "), ("
                    + &of_member("scim_groups", "r.display_name_key")
                    + "))"
            }
            (Self::Member, "$ref") => {
                let [user, group] = ResourceType::ALL
                    .map(|kind| format!("{} || m.member_value", directory(base, kind)));
                "(".to_owned() + &kind_of_member(&user, &group) + ")"
            }
            (Self::Group, "value") => "b.group_id::text".to_owned(),
            (Self::Group, "display") => "b.display_name_key".to_owned(),
            (Self::Group, "type") => "b.kind".to_owned(),
            (Self::Group, "$ref") => {
                format!("({} || b.group_id)", directory(base, ResourceType::Group))
            }
            (Self::Member | Self::Group, _) => "null::text".to_owned(),
        }
    }
}

/// Where the resources of a type are, as a text in SQL; a slash follows.
fn directory(base: &str, kind: ResourceType) -> String {
    let base = base.replace('\'', "''");
    format!("'{base}{}/'", kind.endpoint())
}

/// `column` of the row `r` of `table` that the member in the row `m` names, if there is one. It is looked
/// up by its key.
fn of_member(table: &str, column: &str) -> String {
    format!(
        "select {column} from {table} r where r.organization_id = $1 and r.scim_configuration_id = $2
            and r.id = case when m.member_value ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$' then m.member_value::uuid end"
    )
}

/// One of two texts, by the type of what the member in the row `m` names; null if that is nothing.
fn kind_of_member(user: &str, group: &str) -> String {
    format!(
        "case when exists ({}) then {user} when exists ({}) then {group} end",
        of_member("scim_users", "1"),
        of_member("scim_groups", "1"),
    )
}

/// The groups of the user in the row `t`, directly or through other groups.
const BELONGINGS: &str = "(with recursive up(group_id, kind) as (
        select u.group_id, 'direct' from scim_group_members u
        where u.organization_id = $1 and u.scim_configuration_id = $2 and u.member_value = t.id::text
        union
        select u.group_id, 'indirect' from up join scim_group_members u on u.organization_id = $1
            and u.scim_configuration_id = $2 and u.member_value = up.group_id::text)
    select g.id as group_id, g.display_name_key, min(up.kind) as kind from up join scim_groups g
    on g.organization_id = $1 and g.scim_configuration_id = $2 and g.id = up.group_id
    group by g.id, g.display_name_key) b";

/// A condition that never holds, and that is not seen to before the statement runs: Citus looks for the machine that has the rows of
/// a statement, and finds none for one of which it knows that it has no rows.
const NEVER: &str = "now() is null";

const MEMBERS: &str = "scim_group_members m where m.organization_id = $1 and m.scim_configuration_id = $2 and m.group_id = t.id";

struct Translator<'a> {
    base: &'a str,
    resource_type: ResourceType,
}

impl Translator<'_> {
    fn resource(&self, filter: &Resolved) -> Fragment {
        match filter {
            Resolved::And(parts) => {
                Fragment::joined(parts.iter().map(|p| self.resource(p)), " and ", "true")
            }
            Resolved::Or(parts) => {
                Fragment::joined(parts.iter().map(|p| self.resource(p)), " or ", NEVER)
            }
            Resolved::Not(part) => Fragment::new("(not ").then(self.resource(part)).text(")"),
            Resolved::Present(path) => self.present(path),
            Resolved::Compare(path, operator, comparand) => {
                self.compare(path, *operator, comparand)
            }
            Resolved::ValuePath(path, inner) => {
                let exact = self.exists(path, self.element(inner, self.elements(path)));
                match (core_name(path), address(inner)) {
                    (Some("emails"), Some(address)) => {
                        Fragment::joined([has_address(address), exact], " and ", "true")
                    }
                    _ => exact,
                }
            }
        }
    }

    fn elements(&self, path: &AttributePath) -> Element {
        match (self.resource_type, core_name(path)) {
            (ResourceType::Group, Some("members")) => Element::Member,
            (ResourceType::User, Some("groups")) => Element::Group,
            _ => Element::Json,
        }
    }

    /// A condition on one value of a multi-valued attribute.
    fn element(&self, filter: &Resolved, element: Element) -> Fragment {
        match filter {
            Resolved::And(parts) => Fragment::joined(
                parts.iter().map(|p| self.element(p, element)),
                " and ",
                "true",
            ),
            Resolved::Or(parts) => Fragment::joined(
                parts.iter().map(|p| self.element(p, element)),
                " or ",
                NEVER,
            ),
            Resolved::Not(part) => Fragment::new("(not ")
                .then(self.element(part, element))
                .text(")"),
            Resolved::Present(path) => {
                Fragment::new(format!("({} is not null)", element.text(path, self.base)))
            }
            Resolved::Compare(path, Operator::Eq, Comparand::Text { sent, .. })
                if element != Element::Json && path.leaf().name == "$ref" =>
            {
                self.is_at(path, element, sent)
            }
            Resolved::Compare(path, operator, comparand) => {
                let text = element.text(path, self.base);
                let text = match path.leaf().name {
                    "primary" => format!("coalesce({text}, 'false')"),
                    _ => text,
                };
                compare(&text, *operator, comparand)
            }
            // The grammar has no value path in a value path.
            Resolved::ValuePath(..) => Fragment::new(NEVER),
        }
    }

    /// Whether a member or a group is shown with this URI: its id is looked for first, as it has an
    /// index.
    fn is_at(&self, path: &AttributePath, element: Element, uri: &str) -> Fragment {
        let Some(Reference { id, .. }) = self.resource_at(uri) else {
            return Fragment::new(NEVER);
        };
        let value = match element {
            Element::Group => "(b.group_id::text = ",
            _ => "(m.member_value = ",
        };
        Fragment::new(value)
            .bind(Bound::Text(id.to_string()))
            .text(format!(
                " and coalesce({} = ",
                element.text(path, self.base)
            ))
            .bind(Bound::Text(uri.to_owned()))
            .text(", false))")
    }

    /// What a URI leads to that this server has given to a resource.
    fn resource_at(&self, uri: &str) -> Option<Reference> {
        Reference::parse(uri).filter(|reference| reference.uri(self.base) == uri)
    }

    /// The group that a comparison of `groups` for equality asks for.
    fn group(&self, path: &AttributePath, text: &str) -> Option<Uuid> {
        if path.leaf().name == "$ref" {
            let group = self.resource_at(text)?;
            return (group.resource_type == ResourceType::Group).then_some(group.id);
        }
        let group = Uuid::try_parse(text).ok();
        group.filter(|group| group.to_string() == *text)
    }

    /// Some value of the attribute for which `condition` holds.
    fn exists(&self, path: &AttributePath, condition: Fragment) -> Fragment {
        let from = match self.elements(path) {
            Element::Member => format!("{MEMBERS} and "),
            Element::Group => format!("{BELONGINGS} where "),
            Element::Json if path.attribute.multi_valued => {
                format!("jsonb_array_elements({}) as e(v) where ", json(path))
            }
            Element::Json => format!("(select {} as v) e where v is not null and ", json(path)),
        };
        Fragment::new(format!("exists (select 1 from {from}"))
            .then(condition)
            .text(")")
    }

    fn present(&self, path: &AttributePath) -> Fragment {
        if let Some(column) = self.column(path) {
            return Fragment::new(format!("({} is not null)", column.text()));
        }
        let is_list = path.attribute.multi_valued;
        match (
            is_list || path.attribute.data_type == Type::Complex,
            path.sub_attribute,
        ) {
            (true, None) if is_list => self.exists(path, Fragment::new("true")),
            (true, Some(_)) => {
                let text = self.elements(path).text(path, self.base);
                self.exists(path, Fragment::new(format!("({text} is not null)")))
            }
            _ => Fragment::new(format!("({} is not null)", json(path))),
        }
    }

    fn compare(&self, path: &AttributePath, operator: Operator, comparand: &Comparand) -> Fragment {
        if let Some(column) = self.column(path) {
            return column.compare(operator, comparand);
        }
        if let (
            ResourceType::User,
            Some("groups"),
            "value" | "$ref",
            Operator::Eq,
            Comparand::Text { comparable, .. },
        ) = (
            self.resource_type,
            core_name(path),
            path.leaf().name,
            operator,
            comparand,
        ) {
            return self
                .group(path, comparable)
                .map_or_else(|| Fragment::new(NEVER), is_in);
        }
        if let (Some("emails"), "value", Comparand::Text { comparable, .. }) =
            (core_name(path), path.leaf().name, comparand)
            && operator != Operator::Ne
        {
            let column = "a.value_key";
            let condition = key_compare(column, operator, comparable)
                .unwrap_or_else(|| compare(column, operator, comparand));
            return has_some_address(condition);
        }
        if path.attribute.data_type != Type::Complex && !path.attribute.multi_valued {
            return compare(&format!("({})", simple(path)), operator, comparand);
        }
        let resolved = Resolved::Compare(*path, operator, comparand.clone());
        let some = self.exists(path, self.element(&resolved, self.elements(path)));
        if operator != Operator::Ne {
            return some;
        }
        let none = Fragment::new("(not ")
            .then(self.exists(path, Fragment::new("true")))
            .text(")");
        Fragment::joined([none, some], " or ", "true")
    }
}

/// The address that a condition on `emails` asks for, beside whatever else.
fn address(filter: &Resolved) -> Option<&str> {
    match filter {
        Resolved::And(parts) => parts.iter().find_map(address),
        Resolved::Compare(path, Operator::Eq, Comparand::Text { comparable, .. })
            if path.leaf().name == "value" =>
        {
            Some(comparable)
        }
        _ => None,
    }
}

/// Whether the user is in this group, directly or through other groups: from the group down, once,
/// instead of from each user up.
fn is_in(group: Uuid) -> Fragment {
    Fragment::new(
        "t.id::text in (with recursive down(value) as (
                select d.member_value from scim_group_members d join scim_groups g on g.id = d.group_id
                where d.organization_id = $1 and d.scim_configuration_id = $2 and g.organization_id = $1 and g.scim_configuration_id = $2
                    and d.group_id = ",
    )
    .bind(Bound::Id(group))
    .text(
        " union
                select d.member_value from down join scim_groups g on g.id::text = down.value
                join scim_group_members d on d.group_id = g.id
                where d.organization_id = $1 and d.scim_configuration_id = $2 and g.organization_id = $1 and g.scim_configuration_id = $2)
             select value from down)",
    )
}

fn has_address(address: &str) -> Fragment {
    let is = Fragment::new("a.value_key = ").bind(Bound::Text(address.to_owned()));
    has_some_address(is)
}

/// Whether the user has an address, in the row `a`, for which `condition` holds.
fn has_some_address(condition: Fragment) -> Fragment {
    Fragment::new(
        "exists (select 1 from scim_user_emails a where a.organization_id = $1
            and a.scim_configuration_id = $2 and a.scim_user_id = t.id and ",
    )
    .then(condition)
    .text(")")
}

/// What has a column of its own.
enum Column {
    Id,
    Text(&'static str),
    Active,
    Moment(&'static str),
    /// The same for all resources, or only known when they are read.
    Fixed(String),
}

impl Translator<'_> {
    fn column(&self, path: &AttributePath) -> Option<Column> {
        let kind = self.resource_type;
        if let Some(column) = key_column(path) {
            return Some(column);
        }
        Some(
            match (core_name(path)?, path.sub_attribute.map(|sub| sub.name)) {
                ("active", _) => Column::Active,
                ("meta", Some("created")) => Column::Moment("t.created_at"),
                ("meta", Some("lastModified")) => Column::Moment(last_modified(kind)),
                ("meta", Some("version")) => {
                    Column::Fixed(format!("('W/\"' || {} || '\"')", version(kind)))
                }
                ("meta", Some("resourceType")) => Column::Fixed(format!("'{}'::text", kind.name())),
                ("meta", Some("location")) => {
                    Column::Fixed(format!("({} || t.id)", directory(self.base, kind)))
                }
                ("meta", _) => Column::Fixed("''::text".to_owned()),
                _ => return None,
            },
        )
    }
}

impl Column {
    fn text(&self) -> &str {
        match self {
            Self::Id => "t.id",
            Self::Text(column) | Self::Moment(column) => column,
            Self::Active => "t.active",
            Self::Fixed(text) => text,
        }
    }

    fn compare(&self, operator: Operator, comparand: &Comparand) -> Fragment {
        match (self, comparand) {
            (Self::Id, Comparand::Text { comparable, .. }) => {
                match (operator, Uuid::try_parse(comparable)) {
                    (Operator::Eq, Ok(id)) if id.to_string() == *comparable => {
                        Fragment::new("(t.id = ").bind(Bound::Id(id)).text(")")
                    }
                    _ => compare("t.id::text", operator, comparand),
                }
            }
            (Self::Active, Comparand::Boolean(value)) => {
                let is = *value == (operator == Operator::Eq);
                Fragment::new(if is { "(t.active)" } else { "(not t.active)" })
            }
            (Self::Moment(column), Comparand::DateTime(time)) => at_moment(column, operator, *time),
            (Self::Text(column), Comparand::Text { comparable, .. }) => {
                key_compare(column, operator, comparable)
                    .unwrap_or_else(|| compare(column, operator, comparand))
            }
            _ => compare(self.text(), operator, comparand),
        }
    }
}

/// The comparison of a moment, which has microseconds, with one that may have more digits.
fn at_moment(column: &str, operator: Operator, time: DateTime<Utc>) -> Fragment {
    let whole = time.trunc_subsecs(6);
    let operator = match (whole == time, operator) {
        (true, operator) => symbol(operator).unwrap_or("="),
        // What is before or at the whole microsecond is before the time; what is after it, after.
        (false, Operator::Lt | Operator::Le) => "<=",
        (false, Operator::Gt | Operator::Ge) => ">",
        (false, Operator::Ne) => return Fragment::new("true"),
        (false, _) => return Fragment::new(NEVER),
    };
    Fragment::new(format!("({column} {operator} "))
        .bind(Bound::Time(whole))
        .text(")")
}

const fn symbol(operator: Operator) -> Option<&'static str> {
    Some(match operator {
        Operator::Eq => "=",
        Operator::Ne => "<>",
        Operator::Gt => ">",
        Operator::Ge => ">=",
        Operator::Lt => "<",
        Operator::Le => "<=",
        Operator::Co | Operator::Sw | Operator::Ew => return None,
    })
}

/// The comparison of a column whose texts are ordered byte by byte, as ranges of its index; `None` for what
/// is none.
fn key_compare(column: &str, operator: Operator, text: &str) -> Option<Fragment> {
    let range = |operator: &str| {
        Fragment::new(format!("{column} {operator} ")).bind(Bound::Text(text.to_owned()))
    };
    let parts = match operator {
        Operator::Eq => vec![range("=")],
        Operator::Sw => {
            let mut parts = vec![range(">=")];
            if let Some(end) = end_of_prefix(text) {
                parts.push(Fragment::new(format!("{column} < ")).bind(Bound::Text(end)));
            }
            parts
        }
        Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => vec![range(symbol(operator)?)],
        Operator::Ne | Operator::Co | Operator::Ew => return None,
    };
    // True or false, as every condition, where the column is null.
    let is_there = Fragment::new(format!("{column} is not null"));
    Some(Fragment::joined(
        parts.into_iter().chain([is_there]),
        " and ",
        "true",
    ))
}

/// The first text, byte by byte, after all that start with `prefix`; `None` if there is no other.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // Between the last letter before the surrogates and the first after them, there is none.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

/// The comparison of a text, which may be null, with a value.
fn compare(text: &str, operator: Operator, comparand: &Comparand) -> Fragment {
    let (left, right) = match comparand {
        Comparand::Text { comparable, .. } => (
            format!("({text} collate \"C\")"),
            Bound::Text(comparable.clone()),
        ),
        Comparand::Boolean(value) => (text.to_owned(), Bound::Text(value.to_string())),
        Comparand::Number(number) => (
            format!("({text})::double precision"),
            Bound::Number(*number),
        ),
        Comparand::DateTime(time) => (format!("({text})::timestamptz"), Bound::Time(*time)),
    };
    let guarded = |condition: Fragment| {
        Fragment::new(format!("({text} is not null and "))
            .then(condition)
            .text(")")
    };
    match operator {
        Operator::Ne => Fragment::new(format!("({text} is null or {left} <> "))
            .bind(right)
            .text(")"),
        Operator::Co => guarded(
            Fragment::new(format!("strpos({left}, "))
                .bind(right)
                .text(") > 0"),
        ),
        Operator::Sw => guarded(
            Fragment::new(format!("starts_with({left}, "))
                .bind(right)
                .text(")"),
        ),
        Operator::Ew => {
            let length = Fragment::new(format!("right({left}, char_length(")).bind(right.clone());
            guarded(length.text("::text)) = ").bind(right))
        }
        Operator::Eq | Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => {
            let operator = symbol(operator).unwrap_or("=");
            guarded(Fragment::new(format!("{left} {operator} ")).bind(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_text_that_does_not_start_with_it() {
        for (prefix, end) in [
            ("ada", Some("adb")),
            ("a\u{7f}", Some("a\u{80}")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}\u{10ffff}", None),
            ("", None),
        ] {
            let found = end_of_prefix(prefix);
            assert_eq!(found.as_deref(), end, "{prefix:?}");
            assert!(found.is_none_or(|found| *found > *format!("{prefix}\u{10ffff}")));
        }
    }

    #[test]
    fn a_filter_has_an_index_if_the_index_leads_to_few() {
        let has_index = |filter: &str| {
            let filter = scim::filter::compile(filter, ResourceType::User).unwrap();
            super::has_index(ResourceType::User, &filter)
        };
        for filter in [
            "userName eq \"ada\"",
            "displayName sw \"a\"",
            "emails sw \"a\"",
            "emails[type eq \"work\" and value eq \"a@example.com\"]",
            "meta.lastModified gt \"2026-01-01T00:00:00Z\"",
            "active eq false",
            "active eq true and active eq true",
            "userName co \"a\" and externalId eq \"1\"",
            "userName eq \"a\" or externalId eq \"1\"",
        ] {
            assert!(has_index(filter), "{filter}");
        }
        for filter in [
            "userName co \"a\"",
            "userName ne \"a\"",
            "userName pr",
            "not (userName eq \"a\")",
            "name.familyName eq \"a\"",
            "emails[type eq \"work\"]",
            "meta.created gt \"2026-01-01T00:00:00Z\"",
            "active eq true and userName co \"a\"",
            "userName eq \"a\" or title pr",
        ] {
            assert!(!has_index(filter), "{filter}");
        }
    }
}
