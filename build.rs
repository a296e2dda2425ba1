//! The simulator's fixtures are embedded in the program; a new file among them must rebuild it.

fn main() {
    println!("cargo::rerun-if-changed=tests/fixtures");
}
