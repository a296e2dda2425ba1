//! The rooms of src/: each is a folder, and uses only those that stand before it in src/lib.rs.

use std::path::{Path, PathBuf};

/// Modules that a room shows whole, as a namespace for short names.
const NAMESPACES: [&str; 1] = ["parse"];

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files below a folder, as paths from the root of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut files) = (vec![root.join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root).expect("below the root").to_owned());
            }
        }
    }
    files.sort_unstable();
    files
}

/// The rooms in their order.
fn rooms(library: &str) -> Vec<&str> {
    library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect()
}

/// The members of a path that continues with a name or a group of paths, and where each stands.
fn members(path: &str) -> Vec<(usize, &str)> {
    let name = |from: usize| {
        let rest = &path[from..];
        &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())]
    };
    if !path.starts_with('{') {
        return vec![(0, name(0))];
    }
    let (mut depth, mut begins, mut found) = (0, false, Vec::new());
    for (at, c) in path.char_indices() {
        match c {
            '{' => (depth, begins) = (depth + 1, depth == 0),
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => begins = depth == 1,
            c if begins && !c.is_whitespace() => {
                found.push((at, name(at)));
                begins = false;
            }
            _ => {}
        }
    }
    found
}

/// The lines of a room's source that use a room after it, and which.
fn forbidden(rooms: &[&str], room: &str, source: &str) -> Vec<(usize, String)> {
    let place = |name: &str| rooms.iter().position(|room| *room == name);
    let code: String =
        source.lines().map(|line| format!("{}\n", line.split("//").next().unwrap_or(""))).collect();
    let mut found = Vec::new();
    for root in ["crate::", "super::super::"] {
        for (at, _) in code.match_indices(root) {
            let start = at + root.len();
            for (offset, name) in members(&code[start..]) {
                if place(name) > place(room) {
                    let line = code[..start + offset].matches('\n').count() + 1;
                    found.push((line, name.to_owned()));
                }
            }
        }
    }
    found
}

#[test]
fn a_room_uses_only_those_before_it() {
    let library = read("src/lib.rs");
    let rooms = rooms(&library);
    let mut wrong = Vec::new();
    for path in sources("src") {
        let Some(room) = path.iter().nth(1).filter(|_| path.iter().count() > 2) else { continue };
        for (line, used) in forbidden(&rooms, room.to_str().expect("UTF-8"), &read(&path)) {
            wrong.push(format!("{}:{line} uses {used}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "rooms that use later ones:\n{}", wrong.join("\n"));
}

#[test]
fn a_use_of_a_later_room_is_found() {
    let rooms = rooms("pub mod model;\npub mod state;\npub mod server;\n");
    let source = "use crate::{\n    model::{Secret, server},\n    server::{serve},\n};\n\n\
                  // crate::server\nuse super::super::server;\nfn state() -> crate::state::Store {}\n";
    let found = |room| forbidden(&rooms, room, source);
    let (state, server) = ("state".to_owned(), "server".to_owned());
    assert_eq!(found("model"), [(3, server.clone()), (8, state), (7, server.clone())]);
    assert_eq!(found("state"), [(3, server.clone()), (7, server)]);
    assert_eq!(found("server"), []);
}

#[test]
fn the_rooms_are_the_folders_and_the_architecture_shows_them_in_order() {
    let library = read("src/lib.rs");
    let rooms = rooms(&library);
    let mut entries: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    entries.sort_unstable();
    let mut expected: Vec<&str> = rooms.iter().copied().chain(["lib.rs", "main.rs"]).collect();
    expected.sort_unstable();
    assert_eq!(entries, expected);
    let architecture = read("docs/ARCHITECTURE.md");
    let rows = architecture.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let shown: Vec<&str> = rows.filter(|name| !name.contains('/')).collect();
    assert_eq!(shown, rooms, "the table of docs/ARCHITECTURE.md");
    for room in rooms {
        assert!(
            read(format!("src/{room}/mod.rs")).starts_with("//! "),
            "src/{room}/mod.rs says what it is for"
        );
    }
}

#[test]
fn sources_are_short_and_rooms_are_closed() {
    let mut wrong = Vec::new();
    for path in sources("src") {
        let (text, path) = (read(&path), path.display().to_string());
        let length = text.lines().count();
        if length > 600 {
            wrong.push(format!("{path} has {length} lines"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > 110 {
                wrong.push(format!("{path}:{number} is longer than 110 columns"));
            }
            let module = line.trim_start().strip_prefix("pub mod ").map(|name| name.trim_end_matches(';'));
            if module.is_some_and(|name| path != "src/lib.rs" && !NAMESPACES.contains(&name)) {
                wrong.push(format!("{path}:{number} opens a module"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
