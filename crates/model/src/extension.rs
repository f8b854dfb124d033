//! Which extensions tenants may create (J1, J5): data in one place.

use crate::plan::Tier;

/// An extension that tenants may create, where it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: &'static str,
    /// Which plans have it.
    pub gate: Gate,
}

/// Which plans have an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// All.
    Every,
    /// Those with a cluster of their own: it connects to other servers from within this one, and a
    /// connection that hangs would hold up the neighbours of a shared cluster.
    OwnCluster,
    /// Those with [`crate::plan::Features::big_extensions`].
    Big,
}

const fn small(name: &'static str) -> Extension {
    Extension { name, gate: Gate::Every }
}

const fn connects(name: &'static str) -> Extension {
    Extension { name, gate: Gate::OwnCluster }
}

const fn big(name: &'static str) -> Extension {
    Extension { name, gate: Gate::Big }
}

/// The list, by name. `chkpass`, which the book has, does not exist since PostgreSQL 11.
pub const EXTENSIONS: &[Extension] = &[
    small("btree_gist"),
    small("citext"),
    small("cube"),
    connects("dblink"),
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
    connects("postgres_fdw"),
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
    let has = |one: &&Extension| match one.gate {
        Gate::Every => true,
        Gate::OwnCluster => tier != Tier::Hobby,
        Gate::Big => tier.features().big_extensions,
    };
    let names = EXTENSIONS.iter().filter(has).map(|one| one.name);
    names.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j1_j5_the_list_is_the_books_and_hobby_lacks_what_is_big_or_connects() {
        assert!(EXTENSIONS.is_sorted_by_key(|one| one.name));
        let (hobby, standard) = (allowed(Tier::Hobby), allowed(Tier::Standard));
        assert_eq!((hobby.split(',').count(), standard.split(',').count()), (20, 25));
        for name in ["plv8", "postgis", "postgis_topology", "dblink", "postgres_fdw"] {
            assert!(!hobby.contains(name) && standard.split(',').any(|one| one == name));
        }
        for name in ["file_fdw", "adminpack", "pageinspect", "chkpass"] {
            assert!(!standard.contains(name));
        }
    }
}
