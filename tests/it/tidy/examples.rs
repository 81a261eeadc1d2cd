//! Finds public items of the Rust API that nobody is shown how to use.
//!
//! Sources are read line by line as `rustfmt` leaves them: what ends a block stands as deep as its beginning.

/// A public item with its documentation.
#[derive(Debug)]
pub struct Item {
    /// `src/api/op.rs:12`, for messages.
    place: String,
    /// The type whose method it is.
    owner: Option<String>,
    name: String,
    is_function: bool,
    is_of_trait: bool,
    /// Sentences, without the code.
    text: String,
    /// What the examples in its documentation consist of.
    code: String,
}

impl Item {
    fn path(&self) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}::{}", self.name),
            None => self.name.clone(),
        }
    }

    fn file(&self) -> &str {
        self.place.split(':').next().unwrap_or_default()
    }

    /// The item whose example its documentation points to: "see the example of [`X`]".
    fn pointed_to(&self) -> Option<String> {
        let after =
            ["example of [`", "examples of [`"].iter().find_map(|it| self.text.split_once(it));
        let (_, after) = after?;
        let path = after.split('`').next()?.trim_end_matches("()");
        let segments: Vec<&str> = path.rsplit("::").take(2).collect();
        match segments.as_slice() {
            // A module is written small and is no part of an item's path here.
            [name, of] if of.starts_with(char::is_uppercase) => {
                Some(format!("{}::{name}", if *of == "Self" { self.owner.as_deref()? } else { of }))
            }
            [name, ..] => Some((*name).to_owned()),
            [] => None,
        }
    }
}

/// The types that `mod.rs` of the API takes from other modules: module and name.
pub fn taken_over(module: &str) -> Vec<(String, String)> {
    let text: String = module.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut taken = Vec::new();
    for tree in text.split("pub use crate::").skip(1) {
        let tree = tree.split(';').next().unwrap_or_default();
        let (path, names) = match tree.split_once('{') {
            Some((path, names)) => (path, names.trim_end_matches('}')),
            None => tree.rsplit_once("::").unwrap_or((tree, "")),
        };
        let top = path.split("::").next().unwrap_or_default();
        let names = names.split(',').filter_map(|name| name.split_whitespace().next());
        taken.extend(names.map(|name| (top.to_owned(), name.to_owned())));
    }
    taken
}

/// What a block that is being read belongs to.
struct Block {
    indent: usize,
    owner: String,
    /// Everything in it that is not hidden is public.
    is_trait: bool,
}

/// The public items of a file, without its tests. `file` is for messages.
pub fn items(file: &str, text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    let (mut docs, mut hidden, mut open_attribute) = (Vec::new(), false, false);
    for (number, line) in text.lines().enumerate() {
        let (indent, code) = (line.len() - line.trim_start().len(), line.trim());
        if code == "mod tests {" {
            break;
        }
        if open_attribute || code.starts_with("#[") || code.starts_with("$(#[") {
            hidden |= code == "#[doc(hidden)]";
            open_attribute = !code.ends_with(']') && !code.ends_with("])*");
            continue;
        }
        if let Some(doc) = code.strip_prefix("///") {
            docs.push(doc.strip_prefix(' ').unwrap_or(doc));
            continue;
        }
        if code.starts_with('}') && blocks.last().is_some_and(|block| block.indent == indent) {
            blocks.pop();
        }
        let within = blocks.last().filter(|block| block.indent + 4 == indent);
        let declared =
            code.strip_prefix("pub ").or(within.filter(|it| it.is_trait).and(Some(code)));
        if let Some((keyword, name)) = declared.and_then(declaration).filter(|_| !hidden) {
            let is_function = keyword == "fn";
            // The types and constants of a trait are in its example.
            if is_function || !within.is_some_and(|block| block.is_trait) {
                let (text, code) = parts(&docs);
                let place = format!("{file}:{}", number + 1);
                let owner = within.map(|block| block.owner.clone());
                let is_of_trait = within.is_some_and(|block| block.is_trait);
                let name = name.to_owned();
                items.push(Item { place, owner, name, is_function, is_of_trait, text, code });
            }
        }
        if code.ends_with('{') {
            let owner = match declared.and_then(declaration) {
                Some(("trait", name)) => Some((name.to_owned(), true)),
                _ => implemented(code).map(|name| (name.to_owned(), false)),
            };
            blocks.extend(owner.map(|(owner, is_trait)| Block { indent, owner, is_trait }));
        }
        (docs, hidden) = (Vec::new(), false);
    }
    items
}

/// Keyword and name of what a line declares, after `pub`.
fn declaration(code: &str) -> Option<(&str, &str)> {
    let code = code.strip_prefix("const ").filter(|rest| rest.starts_with("fn ")).unwrap_or(code);
    let (keyword, rest) = code.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    let known = ["fn", "struct", "enum", "trait", "type", "const", "static"];
    known.contains(&keyword).then_some((keyword, name))
}

/// The type whose methods a block has, if its first line is `line`.
fn implemented(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.char_indices().find(|(at, c)| {
            match c {
                '<' => depth += 1,
                '>' if !rest[..*at].ends_with('-') => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        rest = &rest[end?.0 + 1..];
    }
    let rest = rest.trim_start();
    (!rest.contains(" for ")).then(|| rest.split(|c: char| !c.is_alphanumeric()).next())?
}

/// The sentences of a documentation, and the code in it that is compiled and, unless it must not compile, run.
fn parts(docs: &[&str]) -> (String, String) {
    let (mut text, mut code, mut fence) = (String::new(), String::new(), None);
    for line in docs {
        match (line.strip_prefix("```"), fence) {
            (Some(kind), None) => fence = Some(kind),
            (Some(_), Some(_)) => fence = None,
            (None, None) => text += &format!("{} ", line.trim()),
            (None, Some(kind)) if kind.is_empty() || kind.starts_with("compile_fail") => {
                code += &format!("{line}\n");
            }
            (None, Some(_)) => {}
        }
    }
    (text, code)
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// Items without documentation, without an example, or that point to an example in which they are not.
pub fn check(items: &[Item]) -> Vec<String> {
    let with_example = |path: &str, near: &Item| -> Option<&Item> {
        let mut found = items.iter().filter(|item| item.path() == path && !item.code.is_empty());
        let same_file = found.clone().find(|item| item.file() == near.file());
        same_file.or_else(|| found.next())
    };
    let fault = |item: &Item| -> Option<String> {
        if item.text.trim().is_empty() {
            return Some("has no documentation".to_owned());
        }
        if !item.code.is_empty() {
            return None;
        }
        // Whoever implements a trait is shown all of it at once.
        let of_trait = item.owner.as_deref().filter(|_| item.is_of_trait);
        let Some(path) = item.pointed_to().or(of_trait.map(str::to_owned)) else {
            return Some("has neither an example nor \"see the example of [`X`]\"".to_owned());
        };
        match with_example(&path, item) {
            None => Some(format!("points to `{path}`, which has no example")),
            Some(shown) if item.is_function && !has_word(&shown.code, &item.name) => {
                Some(format!("points to the example of `{path}`, which does not call it"))
            }
            Some(_) => None,
        }
    };
    let told = |item: &Item| Some(format!("{}: `{}` {}", item.place, item.path(), fault(item)?));
    items.iter().filter_map(told).collect()
}

/// Of the items of a module, those of one type: itself and its methods.
pub fn of_type(items: Vec<Item>, name: &str) -> Vec<Item> {
    let is_it = |item: &Item| match &item.owner {
        Some(owner) => owner == name,
        None => item.name == name && !item.is_function,
    };
    items.into_iter().filter(is_it).collect()
}

mod rules {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, expect: &[&str]) {
        assert_eq!(check(&items("a.rs", text)), expect);
    }

    const SHOWN: &str =
        "/// Makes an `A`.\n///\n/// ```\n/// assert!(A::new().is_b());\n/// ```\npub struct A;\n";

    #[test]
    fn an_item_needs_an_example() {
        check_text(SHOWN, &[]);
        check_text("pub enum A {}", &["a.rs:1: `A` has no documentation"]);
        check_text(
            "/// Is.\n#[must_use]\npub const fn a() {}",
            &["a.rs:3: `a` has neither an example nor \"see the example of [`X`]\""],
        );
        check_text(
            "/// Is.\n///\n/// ```text\n/// a\n/// ```\npub fn a() {}",
            &["a.rs:6: `a` has neither an example nor \"see the example of [`X`]\""],
        );
        check_text("pub(super) fn a() {}\nfn b() {}\n#[doc(hidden)]\npub fn c() {}", &[]);
        check_text("#[cfg(test)]\nmod tests {\n    pub fn a() {}\n}", &[]);
    }

    #[test]
    fn an_example_of_another_item_must_exist_and_call_it() {
        let method = |name: &str, of: &str| {
            let doc = format!("/// Is; see the\n    /// example of [`{of}`](super::{of}).");
            format!("{SHOWN}impl<T: Fn() -> T> A<T> {{\n    {doc}\n    pub fn {name}() {{}}\n}}\n")
        };
        check_text(&method("is_b", "A"), &[]);
        check_text(
            &method("is_b", "Self"),
            &["a.rs:10: `A::is_b` points to `Self`, which has no example"],
        );
        check_text(
            &method("c", "A"),
            &["a.rs:10: `A::c` points to the example of `A`, which does not call it"],
        );
        check_text(
            &method("c", "D::e"),
            &["a.rs:10: `A::c` points to `D::e`, which has no example"],
        );
    }

    #[test]
    fn methods_of_public_traits_are_public() {
        let text = "/// Is.\n///\n/// ```\n/// x.b();\n/// ```\n#[x(\n    y\n)]\npub trait A {\n    type T;\n\
            \n    /// Is.\n    fn b();\n    /// Is.\n    fn c();\n    #[doc(hidden)]\n    fn d();\n}\n\
            impl A for X {\n    fn e() {}\n}\n";
        check_text(text, &["a.rs:15: `A::c` points to the example of `A`, which does not call it"]);
    }

    #[test]
    fn what_macros_make_is_seen() {
        let text = "macro_rules! m {\n    () => {\n        impl<$($A: X),*> B<($A,)> {\n            pub fn c() {}\n        }\n    };\n}\n";
        check_text(text, &["a.rs:4: `B::c` has no documentation"]);
    }

    #[test]
    fn what_is_taken_over_is_found() {
        let module = "pub use a::B;\npub use crate::base::Key;\npub use crate::defs::{\n    Backoff, MappingDef as Mapping,\n};\n";
        let taken = taken_over(module);
        let taken: Vec<(&str, &str)> =
            taken.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(taken, [("base", "Key"), ("defs", "Backoff"), ("defs", "MappingDef")]);
        let text = "pub struct A;\nimpl A {\n    pub fn b() {}\n}\npub struct B;\nimpl B {\n    pub fn c() {}\n}\n";
        let found: Vec<String> = of_type(items("a.rs", text), "A").iter().map(Item::path).collect();
        assert_eq!(found, ["A", "A::b"]);
    }
}
