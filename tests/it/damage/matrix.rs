//! Every file of a store is deleted, cut, or has a bit turned over, one after the other. What is opened then says
//! clearly what is wrong, or makes again what is lost; in the end every value is what it should be.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use giornata::base::fault::{self, Write};
use giornata::engine::{Access, Depth, Engine, Hands, RunOptions, Value};
use giornata::exec::Control;
use tempfile::TempDir;

use crate::freshness_rig::all;
use crate::kill::open;
use crate::sim::copy_dir;

/// Small and large files, a directory, logs, an export, and something of each in the making.
const YAML: &str = r#"
sources:
  n: {files: n.txt}
assets:
  small: {deps: [n], run: 'echo makes small; cat "$n" > "$output"', output: s.txt}
  big: {deps: [n], run: 'echo makes big; seq "$(cat "$n")" 4000 > "$output"', output: o.txt, export: big.txt}
  dir: {deps: [n], run: 'mkdir "$output_dir/sub"; seq "$(cat "$n")" 3000 > "$output_dir/sub/a"; cp "$n" "$output_dir/b"', output_dir: true}
  down: {deps: [small, big, dir], run: 'cat "$small" "$big" "$dir/sub/a" "$dir/b" | cksum > "$output"', output: c.txt}
"#;

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Delete,
    Empty,
    Halve,
    /// Of the byte at this share of the file, in thousandths.
    Flip(u64),
}

pub(super) fn project(durability: &str) -> TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    fs::create_dir(dir.path().join("assets")).unwrap();
    let settings = format!("[settings]\ndurability = \"{durability}\"\n");
    fs::write(dir.path().join("giornata.toml"), settings).unwrap();
    fs::write(dir.path().join("assets/all.yaml"), YAML).unwrap();
    fs::write(dir.path().join("n.txt"), "1\n").unwrap();
    dir
}

pub(super) fn make(engine: &mut Engine) -> Result<(), giornata::engine::Error> {
    let request = all(engine, false);
    let options = RunOptions { jobs: Some(2), hands: Hands::Own(1), ..RunOptions::default() };
    let summary = engine.materialize(&request, &options, &Control::new(), &mut |_, _| {})?;
    assert!(summary.is_success(), "{summary:?}");
    Ok(())
}

/// A store at the moment of a kill: results, a log that is not merged, an owner, a run that goes on.
fn killed(dir: &Path) -> TempDir {
    make(&mut open(dir, Access::Write).unwrap()).unwrap();
    fs::write(dir.join("n.txt"), "2\n").unwrap();
    let copy = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut engine = open(dir, Access::Write).unwrap();
    let (root, to) = (dir.join(".giornata"), copy.path().to_owned());
    let mut moves = 0;
    let hook = move |write: Write<'_>| {
        // The second blob of a run comes into the store.
        moves += u32::from(matches!(write, Write::File("move into the store", _)));
        if moves == 2 {
            moves += 1;
            copy_dir(&root, &to)?;
        }
        Ok(())
    };
    fault::with(hook, || make(&mut engine)).unwrap();
    drop(engine);
    copy
}

pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn damage(path: &Path, damage: Damage) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    let mut bytes = fs::read(path)?;
    match damage {
        Damage::Delete => return fs::remove_file(path),
        Damage::Empty => bytes.clear(),
        Damage::Halve => bytes.truncate(bytes.len() / 2),
        Damage::Flip(share) => {
            let at = bytes.len() as u64 * share / 1000;
            if let Some(byte) = bytes.get_mut(usize::try_from(at).unwrap()) {
                *byte ^= 0x10;
            }
        }
    }
    fs::write(path, bytes)
}

/// All values, and the exported file.
pub(super) fn values(engine: &Engine, root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut values = BTreeMap::new();
    for asset in engine.project().assets.values().filter(|asset| !asset.is_source()) {
        let value = match engine.value(&asset.key, 0).unwrap() {
            Value::Table { bytes, .. } | Value::Bytes(bytes) => bytes,
            Value::File(path) => fs::read(path).unwrap(),
            Value::Directory(path) => {
                let read = |path: &PathBuf| fs::read(path).unwrap();
                files(&path).iter().map(read).collect::<Vec<_>>().concat()
            }
        };
        values.insert(asset.key.to_string(), value);
    }
    values.insert("export".to_owned(), fs::read(root.join("big.txt")).unwrap());
    values
}

/// Opens, has the doctor look, makes everything; gives the values.
fn recover(root: &Path) -> Result<BTreeMap<String, Vec<u8>>, giornata::engine::Error> {
    // Who only looks must not fall either.
    if let Ok(mut engine) = open(root, Access::Read) {
        let _ = engine.doctor(Depth::Contents);
    }
    let mut engine = open(root, Access::Write)?;
    engine.doctor(Depth::Contents)?;
    make(&mut engine)?;
    assert_eq!(engine.doctor(Depth::Contents)?, [], "the doctor is content after all");
    Ok(values(&engine, root))
}

#[test]
fn whatever_file_is_damaged_everything_comes_back() {
    let expected = {
        let dir = project("fast");
        fs::write(dir.path().join("n.txt"), "2\n").unwrap();
        let mut engine = open(dir.path(), Access::Write).unwrap();
        make(&mut engine).unwrap();
        values(&engine, dir.path())
    };
    let dir = project("fast");
    let pristine = killed(dir.path());
    let store = dir.path().join(".giornata");
    let mut refused = BTreeMap::new();
    for file in files(pristine.path()) {
        let name = file.strip_prefix(pristine.path()).unwrap().to_owned();
        let is_database = name.to_str().is_some_and(|name| name.starts_with("giornata.db"));
        let flips = if is_database { 40 } else { 1 };
        let flips = (0..flips).map(|n| Damage::Flip((2 * n + 1) * 500 / flips));
        for how in [Damage::Delete, Damage::Empty, Damage::Halve].into_iter().chain(flips) {
            fs::remove_dir_all(&store).unwrap();
            copy_dir(pristine.path(), &store).unwrap();
            damage(&store.join(&name), how).unwrap();
            let tried = catch_unwind(AssertUnwindSafe(|| recover(dir.path())));
            let tried = tried.unwrap_or_else(|panic| {
                resume_unwind(Box::new(format!("{how:?} {}: {panic:?}", name.display())))
            });
            let values = match tried {
                Ok(values) => values,
                Err(error) => {
                    let text = giornata::engine::error_text(&error);
                    assert!(is_database, "{how:?} {}: {text}", name.display());
                    assert!(text.contains("giornata.db is damaged"), "{how:?}: {text}");
                    assert!(text.contains("move it away to start anew"), "{how:?}: {text}");
                    refused.insert(format!("{how:?} {}", name.display()), text);
                    // As it says.
                    for name in ["giornata.db", "giornata.db-wal", "giornata.db-shm"] {
                        let _ = fs::remove_file(store.join(name));
                    }
                    recover(dir.path()).unwrap()
                }
            };
            assert!(values == expected, "{how:?} {}", name.display());
        }
    }
    assert!(!refused.is_empty(), "no damage of the database was seen");
}
