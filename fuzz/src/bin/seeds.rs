//! Writes seeds and dictionaries into a directory: `seeds DIRECTORY`. Prints the names of all
//! targets.

use std::path::PathBuf;

use token_exporter_fuzz::seeds::Target;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()));
    for target in Target::all() {
        let own = folder.join(target.name());
        std::fs::create_dir_all(&own)?;
        for (number, seed) in target.seeds().iter().enumerate() {
            std::fs::write(own.join(format!("seed-{number:03}")), seed)?;
        }
        std::fs::write(folder.join(format!("{}.dict", target.name())), target.dictionary())?;
        println!("{}", target.name());
    }
    Ok(())
}
