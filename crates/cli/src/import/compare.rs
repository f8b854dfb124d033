//! Whether two databases hold the same: objects by name, tables by rows and checksums that do not
//! depend on their order, sequences by where they are, large objects (H27).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::libpq::Place;
use crate::session::Session;

/// How two databases compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) tables: u64,
    pub(crate) rows: u64,
    pub(crate) sequences: u64,
    /// Objects other than these that have the same name on both sides.
    pub(crate) objects: u64,
    pub(crate) differences: Vec<Difference>,
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// `table`, `sequence`, `index`, …
    pub(crate) kind: String,
    /// Empty for large objects, which are compared together.
    pub(crate) name: String,
    pub(crate) what: String,
}

/// An object: its kind and its full name.
type Object = (String, String);

/// What is said of all large objects at once.
const BLOBS: &str = "large objects";

/// What a server is, as far as the form of its text goes.
#[derive(Clone, Debug, Deserialize)]
struct Form {
    version: u32,
    encoding: String,
    #[serde(default)]
    objects: Vec<Object>,
}

/// One table or sequence as it was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    /// Rows of a table, the last value of a sequence.
    count: String,
    sum: String,
}

impl Counted {
    /// Whether large objects are as many, and what of them could be read is not known to differ:
    /// their checksum begins with how many could be.
    fn may_be(&self, other: &Self) -> bool {
        let read = |one: &Self| one.sum.split(' ').next().map(str::to_owned);
        self.count == other.count && read(self) != read(other)
    }
}

/// Compares a source with its copy.
pub(crate) async fn compare(
    session: &Session,
    source: &Place,
    target: &Place,
) -> Result<Report, Failure> {
    let (theirs, ours) = tokio::try_join!(form(session, source), form(session, target))?;
    let (mut report, common) = of_names(&theirs.objects, &ours.objects);
    let script = counting(&common, theirs.version.min(ours.version), &theirs, &ours);
    let (left, right) =
        tokio::try_join!(count(session, source, &script), count(session, target, &script))?;
    of_counts(&mut report, &common, &left, &right);
    Ok(report)
}

async fn form(session: &Session, place: &Place) -> Result<Form, Failure> {
    let said = place.ask(session, OBJECTS).await?;
    serde_json::from_str(&said).map_err(|error| not_understood(place, &error.to_string()))
}

fn not_understood(place: &Place, why: &str) -> Failure {
    let message = format!("What {} says of itself is not understood: {why}", place.label);
    Failure::new(Exit::Failed, "bad-inventory", message)
}

/// Compares names; gives what can be counted on both sides.
fn of_names(theirs: &[Object], ours: &[Object]) -> (Report, Vec<Object>) {
    let theirs: BTreeSet<_> = theirs.iter().collect();
    let ours: BTreeSet<_> = ours.iter().collect();
    let mut report = Report::default();
    let mut tell = |object: &Object, what: &str| {
        let (kind, name) = object.clone();
        report.differences.push(Difference { kind, name, what: what.to_owned() });
    };
    theirs.difference(&ours).for_each(|object| tell(object, "is missing in the target"));
    // A new database has extensions of the platform's.
    let more = ours.difference(&theirs).filter(|(kind, _)| kind != "extension");
    more.for_each(|object| tell(object, "is only in the target"));
    let both = theirs.intersection(&ours);
    let (countable, others): (Vec<_>, Vec<_>) =
        both.partition(|(kind, _)| ["table", "materialized view", "sequence"].contains(&&**kind));
    report.objects = others.len() as u64;
    (report, countable.into_iter().copied().cloned().collect())
}

/// SQL that counts everything in one snapshot, and says it in the same words on every server.
fn counting(common: &[Object], oldest: u32, theirs: &Form, ours: &Form) -> String {
    // The shortest exact form of a float is known since 12; before, 15 digits are the same.
    let digits = if oldest >= 120_000 { 1 } else { 0 };
    let same_encoding = theirs.encoding == ours.encoding;
    let row = "howdah_row";
    let hash = if oldest >= 110_000 && same_encoding {
        format!("hashtextextended({row}::text, 0)")
    } else {
        format!("('x' || left(md5(convert_to({row}::text, 'UTF8')), 16))::bit(64)::bigint")
    };
    let mut script = format!(
        "begin isolation level repeatable read read only;\n\
         set local search_path = pg_catalog;\n\
         set local statement_timeout = 0;\n\
         set local lock_timeout = '60s';\n\
         set local idle_in_transaction_session_timeout = 0;\n\
         set local row_security = off;\n\
         set local timezone = 'UTC';\n\
         set local datestyle = 'ISO, YMD';\n\
         set local intervalstyle = 'postgres';\n\
         set local bytea_output = 'hex';\n\
         set local lc_monetary = 'C';\n\
         set local xmlbinary = 'base64';\n\
         set local extra_float_digits = {digits};\n"
    );
    for (number, (kind, name)) in common.iter().enumerate() {
        let _ = match kind.as_str() {
            "sequence" => writeln!(script, "select {number}, last_value, is_called from {name};"),
            _ => writeln!(
                script,
                "select {number}, count(*), coalesce(sum({hash}), 0) from only {name} {row};"
            ),
        };
    }
    // Those of others cannot be read; they are counted.
    script.push_str(
        "select -1, count(*), count(*) filter (where pg_has_role(lomowner, 'usage')) || ' ' || \
         coalesce(sum(('x' || left(md5(lo_get(oid)), 16))::bit(64)::bigint) \
         filter (where pg_has_role(lomowner, 'usage')), 0) from pg_largeobject_metadata;\n\
         commit;\n",
    );
    script
}

async fn count(
    session: &Session,
    place: &Place,
    script: &str,
) -> Result<BTreeMap<i64, Counted>, Failure> {
    let said = place.ask(session, script).await?;
    let mut all = BTreeMap::new();
    for line in said.lines() {
        let mut words = line.split('\t');
        let (Some(number), Some(count), Some(sum)) = (words.next(), words.next(), words.next())
        else {
            return Err(not_understood(place, "a line is too short"));
        };
        let number = number.parse().map_err(|_| not_understood(place, "a number is none"))?;
        all.insert(number, Counted { count: count.to_owned(), sum: sum.to_owned() });
    }
    Ok(all)
}

/// Compares what was counted.
fn of_counts(
    report: &mut Report,
    common: &[Object],
    left: &BTreeMap<i64, Counted>,
    right: &BTreeMap<i64, Counted>,
) {
    let blobs = (BLOBS.to_owned(), String::new());
    let numbered = common.iter().enumerate().map(|(number, object)| (number as i64, object));
    for (number, (kind, name)) in numbered.chain([(-1, &blobs)]) {
        match kind.as_str() {
            "sequence" => report.sequences += 1,
            BLOBS => {}
            _ => report.tables += 1,
        }
        let (left, right) = (left.get(&number), right.get(&number));
        if let (Some(left), Some(right)) = (left, right)
            && (left == right || kind == BLOBS && left.may_be(right))
        {
            if !["sequence", BLOBS].contains(&kind.as_str()) {
                report.rows += left.count.parse::<u64>().unwrap_or(0);
            }
            continue;
        }
        let what = match (left, right) {
            (Some(left), Some(right)) if kind == "sequence" => {
                format!("is at {} in the source and at {} in the target", left.count, right.count)
            }
            (Some(left), Some(right)) if kind == BLOBS && left.count != right.count => {
                format!("are {} in the source and {} in the target", left.count, right.count)
            }
            (Some(_), Some(_)) if kind == BLOBS => "have other content".to_owned(),
            (Some(left), Some(right)) if left.count == right.count => {
                format!("has {} rows on both sides, with other content", left.count)
            }
            (Some(left), Some(right)) => {
                format!("has {} rows in the source and {} in the target", left.count, right.count)
            }
            _ => "could not be counted".to_owned(),
        };
        report.differences.push(Difference { kind: kind.clone(), name: name.clone(), what });
    }
}

/// What there is, by kind and name. What belongs to an extension is the extension's.
const OBJECTS: &str = r"
set search_path = pg_catalog;
set default_transaction_read_only = on;
with own as (
  select n.oid, n.nspname from pg_namespace n
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', '_heroku')
  and not exists (select from pg_depend d where d.objid = n.oid
    and d.classid = 'pg_namespace'::regclass and d.deptype = 'e')
), objects (kind, class, oid, name) as (
  select case c.relkind when 'r' then 'table' when 'm' then 'materialized view' when 'S' then
    'sequence' when 'v' then 'view' when 'p' then 'partitioned table' when 'f' then 'foreign table'
    else 'index' end, 'pg_class'::regclass, c.oid,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname)
  from pg_class c join own n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm', 'S', 'v', 'p', 'f', 'i', 'I') and c.relpersistence <> 't'
  union all select 'column', 'pg_class'::regclass, c.oid, quote_ident(n.nspname) || '.' ||
    quote_ident(c.relname) || '.' || quote_ident(a.attname) || ' ' ||
    format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
  from pg_attribute a join pg_class c on c.oid = a.attrelid join own n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and a.attnum > 0
  and not a.attisdropped
  union all select 'constraint', 'pg_constraint'::regclass, k.oid,
    k.conrelid::regclass || ' ' || quote_ident(k.conname)
  from pg_constraint k join own n on n.oid = k.connamespace
  where k.contype in ('c', 'f', 'p', 'u', 'x') and k.conrelid <> 0
  union all select 'trigger', 'pg_trigger'::regclass, t.oid,
    t.tgrelid::regclass || ' ' || quote_ident(t.tgname)
  from pg_trigger t join pg_class c on c.oid = t.tgrelid join own n on n.oid = c.relnamespace
  where not t.tgisinternal
  union all select 'function', 'pg_proc'::regclass, p.oid, p.oid::regprocedure::text
  from pg_proc p join own n on n.oid = p.pronamespace
  where p.prorettype <> 'event_trigger'::regtype
  union all select 'type', 'pg_type'::regclass, t.oid, t.oid::regtype::text
  from pg_type t join own n on n.oid = t.typnamespace
  left join pg_class c on c.oid = t.typrelid
  where t.typtype in ('d', 'e', 'r') or t.typtype = 'c' and c.relkind = 'c'
  union all select 'policy', 'pg_policy'::regclass, p.oid,
    p.polrelid::regclass || ' ' || quote_ident(p.polname)
  from pg_policy p join pg_class c on c.oid = p.polrelid join own n on n.oid = c.relnamespace
  union all select 'schema', 'pg_namespace'::regclass, oid, quote_ident(nspname) from own
  union all select 'extension', 'pg_extension'::regclass, oid, quote_ident(extname)
  from pg_extension
)
select json_build_object('version', current_setting('server_version_num')::int,
  'encoding', current_setting('server_encoding'),
  'objects', (select coalesce(json_agg(json_build_array(kind, name)), '[]') from objects o
    where not exists (select from pg_depend d where d.objid = o.oid and d.classid = o.class
    and d.deptype = 'e')));
";

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> Object {
        (kind.to_owned(), name.to_owned())
    }

    #[test]
    fn h27_what_differs_is_named() {
        let theirs = [
            object("table", "public.a"),
            object("table", "public.b"),
            object("index", "public.i"),
            object("view", "public.v"),
            object("sequence", "public.s"),
        ];
        let ours = [&theirs[..2], &theirs[3..], &[object("table", "public.extra")]].concat();
        let (mut report, common) = of_names(&theirs, &ours);
        assert_eq!((report.objects, common.len()), (1, 3));
        let counted = |all: &[(i64, &str, &str)]| {
            let one = |(number, count, sum): &(i64, &str, &str)| {
                (*number, Counted { count: (*count).to_owned(), sum: (*sum).to_owned() })
            };
            all.iter().map(one).collect::<BTreeMap<_, _>>()
        };
        let left = counted(&[(0, "7", "t"), (1, "10", "1"), (2, "3", "2"), (-1, "0", "0 0")]);
        let right = counted(&[(0, "9", "t"), (1, "10", "1"), (2, "3", "9"), (-1, "1", "1 5")]);
        of_counts(&mut report, &common, &left, &right);
        assert_eq!((report.tables, report.rows, report.sequences), (2, 10, 1));
        let blobs = |sum: &str| Counted { count: "2".into(), sum: sum.into() };
        assert!(blobs("2 7").may_be(&blobs("1 5")) && !blobs("2 7").may_be(&blobs("2 5")));
        let told: Vec<_> = report
            .differences
            .iter()
            .map(|one| format!("{} {} {}", one.kind, one.name, one.what))
            .collect();
        assert_eq!(
            told,
            [
                "index public.i is missing in the target",
                "table public.extra is only in the target",
                "sequence public.s is at 7 in the source and at 9 in the target",
                "table public.b has 3 rows on both sides, with other content",
                "large objects  are 0 in the source and 1 in the target",
            ]
        );
    }
}
