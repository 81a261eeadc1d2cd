//! Draws what is wrong: diagnostics of files and errors of arguments, with the place, like rustc.
//!
//! The text carries colour codes; the stream they are written to takes them out where they do not
//! belong.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use clap::builder::styling::AnsiColor;

use super::error::CliError;
use super::term::bold;
use crate::load::{Diagnostic, Severity};

/// One diagnostic, with an empty line after it.
pub(super) fn render(diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let file = diagnostic.file.display().to_string();
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .elements(Vec::<Snippet<'_, Annotation<'_>>>::new());
    if diagnostic.text.is_empty() {
        group = group.element(annotate_snippets::Origin::path(file.as_str()));
    } else {
        let related = diagnostic.related.iter().map(|(span, text)| {
            AnnotationKind::Context.span(clamp(&diagnostic.text, span)).label(text.as_str())
        });
        let mut primary = AnnotationKind::Primary.span(clamp(&diagnostic.text, &diagnostic.span));
        if !diagnostic.label.is_empty() {
            primary = primary.label(diagnostic.label.as_str());
        }
        let snippet = Snippet::source(&*diagnostic.text).path(file.as_str());
        group = group.element(snippet.annotation(primary).annotations(related));
    }
    let mut report = vec![group];
    if let Some(help) = &diagnostic.help {
        report.push(Group::with_title(Level::HELP.secondary_title(help.as_str())));
    }
    Renderer::styled().render(&report) + "\n\n"
}

/// All of them, and their number.
pub(super) fn render_all<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>) -> String {
    let diagnostics: Vec<_> = diagnostics.into_iter().collect();
    let mut text: String = diagnostics.iter().map(|diagnostic| render(diagnostic)).collect();
    text += &count(diagnostics);
    text.push('\n');
    text
}

/// `2 errors, 1 warning`.
pub(super) fn count<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>) -> String {
    let (errors, warnings): (Vec<_>, Vec<_>) =
        diagnostics.into_iter().partition(|diagnostic| diagnostic.is_error());
    let number = |n: usize, word: &str| match n {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let parts = [number(errors.len(), "error"), number(warnings.len(), "warning")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no errors".to_owned() } else { parts.join(", ") }
}

/// An error with the argument that it is about, and its hints.
pub(super) fn render_error(error: &CliError) -> String {
    let mut text = match &error.excerpt {
        Some(excerpt) => {
            let message = error.message();
            let span = clamp(&excerpt.text, &excerpt.span);
            let mut annotation = AnnotationKind::Primary.span(span);
            if !excerpt.label.is_empty() {
                annotation = annotation.label(excerpt.label.as_str());
            }
            let snippet = Snippet::source(&*excerpt.text).line_numbering(false);
            let title = Level::ERROR.primary_title(message.as_str());
            Renderer::styled().render(&[title.element(snippet.annotation(annotation))]) + "\n"
        }
        None => {
            let style = bold(AnsiColor::Red);
            format!("{style}error{style:#}: {}\n", error.message())
        }
    };
    for hint in &error.hints {
        let style = bold(AnsiColor::Cyan);
        text += &format!("{style}hint{style:#}: {hint}\n");
    }
    text
}

/// A range that can be cut out of the text.
fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.min(text.len())).max(start);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::{Excerpt, Kind};
    use expect_test::{Expect, expect};
    use std::sync::Arc;

    #[track_caller]
    fn check(text: &str, expect: Expect) {
        expect.assert_eq(&anstream::adapter::strip_str(text).to_string());
    }

    fn diagnostic() -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: "assets/orders.yaml".into(),
            text: Arc::from("assets:\n  orders:\n    deps: [raw_order]\n    run: x\n"),
            span: 29..38,
            message: "asset `orders` reads `raw_order`, which does not exist".into(),
            label: "no asset has this name".into(),
            help: Some("did you mean `raw_orders`?".into()),
            related: Vec::new(),
            disables: Vec::new(),
            stops: Vec::new(),
        }
    }

    #[test]
    fn a_diagnostic_has_place_label_and_help() {
        check(
            &render_all([&diagnostic()]),
            expect![[r#"
            error: asset `orders` reads `raw_order`, which does not exist
             --> assets/orders.yaml:3:12
              |
            3 |     deps: [raw_order]
              |            ^^^^^^^^^ no asset has this name
              |
            help: did you mean `raw_orders`?

            1 error
        "#]],
        );
    }

    #[test]
    fn a_file_that_is_no_text_has_no_excerpt() {
        let diagnostic = Diagnostic { text: Arc::from(""), span: 0..0, ..diagnostic() };
        check(
            &render(&diagnostic),
            expect![[r#"
            error: asset `orders` reads `raw_order`, which does not exist
            --> assets/orders.yaml
             |
            help: did you mean `raw_orders`?

        "#]],
        );
    }

    #[test]
    fn an_argument_is_shown_with_its_place() {
        let error = CliError {
            kind: Kind::User,
            error: "there is no asset `foo`".into(),
            hints: vec!["did you mean `fo`?".into()],
            excerpt: Some(Excerpt {
                text: "foo+ bar".into(),
                span: 0..3,
                label: "nothing has this name".into(),
            }),
        };
        check(
            &render_error(&error),
            expect![[r#"
            error: there is no asset `foo`
             |
             | foo+ bar
             | ^^^ nothing has this name
            hint: did you mean `fo`?
        "#]],
        );
    }

    #[test]
    fn errors_and_warnings_are_counted_apart() {
        let warning = Diagnostic { severity: Severity::Warning, ..diagnostic() };
        let all = [diagnostic(), diagnostic(), warning];
        assert_eq!(count(&all), "2 errors, 1 warning");
        assert_eq!(count(&all[2..]), "1 warning");
        assert_eq!(count(&[]), "no errors");
    }
}
