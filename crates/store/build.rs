//! Builds the crate anew when a migration changes: `migrate!` embeds them.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
