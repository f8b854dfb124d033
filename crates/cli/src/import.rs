//! Moving in: what a database elsewhere holds, what stands in its way, and whether its copy is the
//! same (H24–H27). Nothing writes to the source.

pub(crate) mod checks;
pub(crate) mod compare;
pub(crate) mod inventory;
