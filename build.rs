//! Migrations are part of the binary: a new one compiles it anew.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
