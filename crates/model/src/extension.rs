//! Which extensions tenants may create (J1, J5): data in one place.

use crate::plan::Tier;

/// An extension that tenants may create, where it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: &'static str,
    /// Whether only plans with [`crate::plan::Features::big_extensions`] have it.
    pub big: bool,
}

const fn small(name: &'static str) -> Extension {
    Extension { name, big: false }
}

const fn big(name: &'static str) -> Extension {
    Extension { name, big: true }
}

/// The list, by name. `chkpass`, which the book has, does not exist since PostgreSQL 11.
pub const EXTENSIONS: &[Extension] = &[
    small("btree_gist"),
    small("citext"),
    small("cube"),
    small("dblink"),
    small("dict_int"),
    small("dict_xsyn"),
    small("earthdistance"),
    small("fuzzystrmatch"),
    small("hstore"),
    small("intarray"),
    small("isn"),
    small("ltree"),
    small("pg_stat_statements"),
    small("pg_trgm"),
    small("pgcrypto"),
    small("pgrowlocks"),
    small("pgstattuple"),
    small("plpgsql"),
    big("plv8"),
    big("postgis"),
    big("postgis_topology"),
    small("postgres_fdw"),
    small("tablefunc"),
    small("unaccent"),
    small("uuid-ossp"),
];

/// The settings that carry the list to a server: the first is what enforces it, the second is what
/// other platforms' tools look for. An agent cuts the list to what is installed.
pub const SETTINGS: [&str; 2] = ["extwlist.extensions", "rds.allowed_extensions"];

/// The extensions of a tier, separated by commas: the value of [`SETTINGS`].
#[must_use]
pub fn allowed(tier: Tier) -> String {
    let has_big = tier.features().big_extensions;
    let names = EXTENSIONS.iter().filter(|one| has_big || !one.big).map(|one| one.name);
    names.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j1_j5_the_list_is_the_books_and_hobby_has_no_big_ones() {
        assert!(EXTENSIONS.is_sorted_by_key(|one| one.name));
        let (hobby, standard) = (allowed(Tier::Hobby), allowed(Tier::Standard));
        assert_eq!((hobby.split(',').count(), standard.split(',').count()), (22, 25));
        for name in ["plv8", "postgis", "postgis_topology"] {
            assert!(!hobby.contains(name) && standard.split(',').any(|one| one == name));
        }
        for name in ["file_fdw", "adminpack", "pageinspect", "chkpass"] {
            assert!(!standard.contains(name));
        }
    }
}
