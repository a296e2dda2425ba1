//! The simulator's fixtures are embedded in the program: rebuild it when one is added.

fn main() {
    println!("cargo::rerun-if-changed=tests/fixtures");
}
